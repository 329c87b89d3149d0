"""
The time until players are disconnected if their network drops all packets:

    .venv/bin/python -m benchmarks.vanish

It needs root, Linux and iproute2. The server and the players are in network namespaces. The router
between them stops forwarding. With default settings, each player must be disconnected within 120 s.
TCP_USER_TIMEOUT (60 s) and keep-alive (60 s and three probes) make it 60 s and 70 s.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from benchmarks.processes import Server, commandPath

WITHIN = 120.0
NAMES = SERVER, ROUTER, PLAYERS = "echo-server", "echo-router", "echo-players"
PLAYER = """
import socket, sys
from threading import Thread

kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
player = socket.create_connection((host, port))
player.sendall(b"hello")
assert player.recv(5) == b"hello"
if kind == "streams":
    Thread(target=lambda: [player.recv(65536) for _ in iter(int, 1)], daemon=True).start()
print("plays", player.getsockname()[1], flush=True)
while kind != "idle":
    player.sendall(bytes(65536))
sys.stdin.read()
"""
KINDS = {
    "idle": "sends nothing",
    "unread": "does not read: the server has unsent bytes",
    "streams": "sends and reads all the time",
}


def ip(*words: str) -> None:
    """Run the command C{ip}."""
    subprocess.run(["ip", *words], check=True)


def forward(on: bool) -> None:
    """Set whether the router forwards packets."""
    write = f"echo {on:d} > /proc/sys/net/ipv4/ip_forward"
    ip("netns", "exec", ROUTER, "sh", "-c", write)


@contextmanager
def network() -> Iterator[str]:
    """Make two networks and a router between them. Yield the address of the server."""
    try:
        for name in NAMES:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for name, net in ((SERVER, "10.199.1"), (PLAYERS, "10.199.2")):
            ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", net, "netns", ROUTER)
            for where, link, host in ((name, "eth0", 1), (ROUTER, net, 2)):
                ip("-n", where, "addr", "add", f"{net}.{host}/24", "dev", link)
                ip("-n", where, "link", "set", link, "up")
            ip("-n", name, "route", "add", "default", "via", f"{net}.2")
        forward(True)
        yield "10.199.1.1"
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False)


def main() -> int:
    """Measure. Return 1 if a player was disconnected too late."""
    with network() as host:
        twistd = (commandPath("twistd"), "-n", "fleetiq-echo")
        options = (f"--listen=tcp:5000:interface={host}", "--local=tcp:0:interface=127.0.0.1")
        with Server(("ip", "netns", "exec", SERVER, *twistd, *options)) as server:
            server.waitForLine("Ready")
            players = {}
            for kind in KINDS:
                command = (sys.executable, "-c", PLAYER, kind, host, "5000")
                child = subprocess.Popen(
                    ("ip", "netns", "exec", PLAYERS, *command),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                assert child.stdout is not None
                players[kind] = child, child.stdout.readline().split()[1]
            server.waitForLine("players: 3")
            forward(False)
            dropped = perf_counter()
            late = False
            server.waitForLine("players: 0", WITHIN + 60)
            for kind, (_, port) in players.items():
                [(at, found)] = server.matches(rf":{port} left: (.*)\.$")
                seconds = at - dropped
                late = late or seconds > WITHIN
                sys.stdout.write(f"{seconds:6.1f} s  {KINDS[kind]}; {found[1]}\n")
            for child, _ in players.values():
                child.kill()
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
