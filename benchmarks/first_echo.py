"""
How long a player waits for the first echo while every call to FleetIQ takes 2 s.

Starts a game server on its embedded FleetIQ, orders the fault, lets players come one after the
other, and prints what each waited: C{make bench}.
"""

from __future__ import annotations

import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from time import perf_counter

PLAYERS = 20
SLOW = 2.0
GOAL_MS = 50.0


def main() -> int:
    """Measure, print, and end with 1 if a player waited longer than the goal."""
    ports = ["--listen", "tcp:0:interface=127.0.0.1", "--local", "tcp:0:interface=127.0.0.1"]
    twistd = str(Path(sys.executable).with_name("twistd"))
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [twistd, "-n", "fleetiq-echo", *ports], stdout=subprocess.PIPE, text=True, cwd=folder
        ) as server,
    ):
        try:
            url, port = started(server)
            slowDown(url)
            waits = [firstEcho(port) for _ in range(PLAYERS)]
        finally:
            server.terminate()
            server.communicate()
    for number, wait in enumerate(waits, 1):
        sys.stdout.write(f"first echo of player {number:2d}: {wait:6.2f} ms\n")
    sys.stdout.write(
        f"{PLAYERS} first echoes with every call slowed by {SLOW:.0f} s:"
        f" median {statistics.median(waits):.2f} ms, longest {max(waits):.2f} ms"
        f" (goal: each under {GOAL_MS:.0f} ms)\n"
    )
    return int(max(waits) >= GOAL_MS)


def started(server: subprocess.Popen[str]) -> tuple[str, int]:
    """The local FleetIQ's URL and the game port, once the server is AVAILABLE."""
    url, port = "", 0
    for line in server.stdout or ():
        if found := re.search(r"LOCAL FleetIQ on (\S+),", line):
            url = found[1]
        if found := re.search(r"Listening for players on \S+:(\d+)", line):
            port = int(found[1])
        if "AVAILABLE as" in line:
            return url, port
    raise SystemExit("The game server ended before it was AVAILABLE.")


def slowDown(url: str) -> None:
    """Every call takes C{SLOW} seconds from now on."""
    order = {"operation": "*", "kind": "slow", "seconds": SLOW}
    request = urllib.request.Request(
        f"{url}/_local/faults", json.dumps(order).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request).close()


def firstEcho(port: int) -> float:
    """Milliseconds from connecting to the first echo; the player says goodbye and is gone."""
    began = perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as player:
        player.sendall(b"hello\n")
        player.recv(64)
        waited = (perf_counter() - began) * 1000
        player.sendall(b"q\n")
        while player.recv(64):
            pass
    return waited


if __name__ == "__main__":
    sys.exit(main())
