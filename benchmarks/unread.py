"""
The memory of players that send 32 MiB each and do not read, and whether all bytes are echoed:

    .venv/bin/python -m benchmarks.unread

Over TCP and over TLS. 20 players send until the server stops reading. Together they may take 64 MiB
of memory. Then they read, and every sent byte must be echoed. Then other players send the quit
command or a FIN without reading. Each must be disconnected within 10 s.

On two shared cores: TCP 0.6 MiB, 112 MiB sent and echoed; TLS 2.2 MiB, 162 MiB.
"""

from __future__ import annotations

import socket
import ssl
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from time import perf_counter

from benchmarks.processes import Server, fleetiqEcho
from tests.endtoend.certificates import writeCertificate

PLAYERS = 20
MUCH = 32 * 2**20
MEMORY = 64.0
LAST_BYTES = 10.0
BLOCKED_SECONDS = 3.0


def connect(port: int, *, tls: bool) -> socket.socket:
    """Connect a player."""
    player = socket.create_connection(("127.0.0.1", port), timeout=60)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        player = context.wrap_socket(player)
    return player


def sendUntilBlocked(player: socket.socket, data: bytes) -> int:
    """Send until the socket is blocked for 3 s. Return the number of sent bytes."""
    player.settimeout(BLOCKED_SECONDS)
    sent = 0
    with suppress(TimeoutError):
        while sent < len(data):
            sent += player.send(data[sent : sent + 16384])
    return sent


def readBack(player: socket.socket, data: bytes) -> int:
    """Read the echo of C{data}. Return the number of correct bytes."""
    player.settimeout(60)
    read = 0
    while read < len(data):
        piece = player.recv(65536)
        if not piece or piece != data[read : read + len(piece)]:
            return read
        read += len(piece)
    return read


def disconnect(player: socket.socket, *, quitCommand: bool) -> None:
    """Send 1 MiB and the quit command or a FIN, without reading."""
    player.sendall(bytes(2**20) + b"\n" + b"q\n" * quitCommand)
    if not quitCommand:
        player.shutdown(socket.SHUT_WR)


def measure(server: Server, *, tls: bool) -> bool:
    """Measure one transport, and print the figures. Return whether they meet the limits."""
    data = Random(1).randbytes(MUCH).replace(b"\n", b"\0")
    with ThreadPoolExecutor(PLAYERS) as threads:
        first = connect(server.port, tls=tls)
        first.sendall(b"hello")
        first.recv(5)
        before = server.memory()
        players = [connect(server.port, tls=tls) for _ in range(PLAYERS)]
        sent = list(threads.map(sendUntilBlocked, players, [data] * PLAYERS))
        cost = server.memory() - before
        back = list(threads.map(readBack, players, [data[:count] for count in sent]))
        for player in [*players, first]:
            player.close()
        server.waitForLine("players: 0")
        unread = [connect(server.port, tls=tls) for _ in range(PLAYERS)]
        began = perf_counter()
        for i, player in enumerate(unread):
            disconnect(player, quitCommand=i % 2 == 0)
        for _ in range(PLAYERS):
            at, _ = server.waitForLine(r" left: ", 60)
        duration = at - began
        for player in unread:
            player.close()
    sys.stdout.write(
        f"{'TLS' if tls else 'TCP'}: {PLAYERS} players that do not read take {cost:.1f} MiB;"
        f" {sum(sent) / 2**20:.0f} MiB were sent, {sum(back) / 2**20:.0f} MiB were echoed;"
        f" the last player was disconnected {duration:.1f} s after its quit command or FIN\n"
    )
    return cost < MEMORY and sent == back and duration <= LAST_BYTES + 0.5


def main() -> int:
    """Measure. Return 1 if a figure exceeds its limit."""
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "echo.pem"
        writeCertificate(pem)
        passed = True
        for tls, listen in (
            (False, "tcp:0:interface=127.0.0.1"),
            (True, f"ssl:0:privateKey={pem}:interface=127.0.0.1"),
        ):
            with fleetiqEcho(
                f"--listen={listen}", "--idle-timeout=0", "--log-players=all"
            ) as server:
                server.waitForLine("Ready")
                passed = measure(server, tls=tls) and passed
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
