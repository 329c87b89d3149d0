"""The cost of a game session: calls to FleetIQ, and the time from q until AVAILABLE again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.contenders import ECHO, WORKSHOP, reactors
from benchmarks.figures import Goal, Result, spread
from benchmarks.processes import Server, call, connect, fleetiqEcho, fleetiqLocal, workshop

AVAILABLE = r" AVAILABLE$"
CALLS = 3.0


def measure(full: bool) -> Result:
    """Take some seconds."""
    starts: dict[str, Callable[[], Server]] = {
        name: partial(_start, reactor) for name, reactor in reactors().items()
    }
    starts[WORKSHOP] = workshop
    seen = {name: _sessions(start(), 100 if full else 20) for name, start in starts.items()}
    return Result(
        title="A game session",
        method=(
            "A player connects, receives one echo and sends q. The next player connects when the"
            " game server is AVAILABLE again. The local FleetIQ is a separate process. Milliseconds"
            " from q until AVAILABLE."
        ),
        columns=("", "sessions", "calls a session", "q to AVAILABLE, ms"),
        rows=[
            [name, str(len(each["waits"])), f"{each['calls']:.2f}", spread(each["waits"])]
            for name, each in seen.items()
        ],
        data=seen,
        goals=[Goal("calls a session", seen[ECHO]["calls"], CALLS, most=True)],
    )


def _start(reactor: str) -> Server:
    fleet = fleetiqLocal()
    server = fleetiqEcho(f"--local={fleet.url}", reactor=reactor)
    server.fleet = fleet
    return server


def _sessions(server: Server, sessions: int) -> dict[str, Any]:
    with server:
        assert server.fleet is not None
        server.fleet.waitForLine(AVAILABLE)
        before = _calls(server)
        waits = [_session(server.port, server.fleet) for _ in range(sessions)]
        after = _calls(server)
    each = {name: (count - before.get(name, 0)) / sessions for name, count in after.items()}
    return {"waits": waits, "calls": sum(each.values()), "each": each, "median": median(waits)}


def _session(port: int, fleet: Server) -> float:
    with connect(port) as player:
        player.sendall(b"hello")
        player.recv(64)
        fleet.waitForLine("UTILIZED")
        began = perf_counter()
        player.sendall(b"q")
        available, _ = fleet.waitForLine(AVAILABLE)
    return (available - began) * 1000


def _calls(server: Server) -> dict[str, int]:
    calls: dict[str, int] = call(f"{server.url}/_local/state")["calls"]
    return calls
