"""
What players cost who send 32 MiB each and do not read, and whether their bytes come back:

    .venv/bin/python -m benchmarks.unread

Over plain TCP and over TLS. 20 send until they are held back: together they may cost 64 MiB. Then
they read, and every byte that was taken has to come back. Then others say goodbye, or end their
side, without having read: none may be in for longer than 10 s.

On two shared cores: TCP 0.6 MiB, of 112 MiB taken all came back; TLS 2.2 MiB, 162 MiB.
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
HELD_BACK = 3.0


def connect(port: int, *, tls: bool) -> socket.socket:
    """A player who has connected."""
    player = socket.create_connection(("127.0.0.1", port), timeout=60)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        player = context.wrap_socket(player)
    return player


def sendUntilHeldBack(player: socket.socket, data: bytes) -> int:
    """How many bytes were taken before nothing was any more for 3 s."""
    player.settimeout(HELD_BACK)
    sent = 0
    with suppress(TimeoutError):
        while sent < len(data):
            sent += player.send(data[sent : sent + 16384])
    return sent


def readBack(player: socket.socket, data: bytes) -> int:
    """Read as much as C{data}; where it differs, or how much it was."""
    player.settimeout(60)
    read = 0
    while read < len(data):
        piece = player.recv(65536)
        if not piece or piece != data[read : read + len(piece)]:
            return read
        read += len(piece)
    return read


def leave(player: socket.socket, *, goodbye: bool) -> None:
    """Send 1 MiB, do not read, and go."""
    player.sendall(bytes(2**20) + b"\n" + b"q\n" * goodbye)
    if not goodbye:
        player.shutdown(socket.SHUT_WR)


def measure(server: Server, *, tls: bool) -> bool:
    """Print what was found; whether it is as it should be."""
    data = Random(1).randbytes(MUCH).replace(b"\n", b"\0")
    with ThreadPoolExecutor(PLAYERS) as threads:
        first = connect(server.port, tls=tls)
        first.sendall(b"hello")
        first.recv(5)
        before = server.memory()
        players = [connect(server.port, tls=tls) for _ in range(PLAYERS)]
        sent = list(threads.map(sendUntilHeldBack, players, [data] * PLAYERS))
        cost = server.memory() - before
        back = list(threads.map(readBack, players, [data[:count] for count in sent]))
        for player in [*players, first]:
            player.close()
        server.says("players: 0")
        unread = [connect(server.port, tls=tls) for _ in range(PLAYERS)]
        began = perf_counter()
        for i, player in enumerate(unread):
            leave(player, goodbye=i % 2 == 0)
        for _ in range(PLAYERS):
            at, _ = server.says(r"left: (quit command|closed the connection|vanished)", 60)
        held = at - began
        for player in unread:
            player.close()
    sys.stdout.write(
        f"{'TLS' if tls else 'TCP'}: {PLAYERS} players who do not read cost {cost:.1f} MiB;"
        f" {sum(sent) / 2**20:.0f} MiB were taken, {sum(back) / 2**20:.0f} MiB came back;"
        f" after goodbye or FIN the last was in for {held:.1f} s\n"
    )
    return cost < MEMORY and sent == back and held <= LAST_BYTES + 0.5


def main() -> int:
    """Measure; 1 if something is not as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "echo.pem"
        writeCertificate(pem)
        right = True
        for tls, listen in (
            (False, "tcp:0:interface=127.0.0.1"),
            (True, f"ssl:0:privateKey={pem}:interface=127.0.0.1"),
        ):
            with fleetiqEcho(f"--listen={listen}", "--idle-timeout=0") as server:
                server.says("Ready")
                right = measure(server, tls=tls) and right
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
