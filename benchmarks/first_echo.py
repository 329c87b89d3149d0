"""The time until the first echo, while each call to FleetIQ takes 5 s."""

from __future__ import annotations

from time import perf_counter

from benchmarks.contenders import ECHO, WORKSHOP, reactors, registeredEcho
from benchmarks.figures import Goal, Result, share, spread
from benchmarks.processes import Server, call, connect, workshop

SLOW = 5.0
GOAL = 50.0


def measure(full: bool) -> Result:
    """Measure players one after another, each in its own session."""
    waits = {
        name: _waits(registeredEcho(reactor), 300 if full else 60)
        for name, reactor in reactors().items()
    }
    waits[WORKSHOP] = _waits(workshop(), 3 if full else 1)
    return Result(
        title="The first echo, while each call to FleetIQ takes 5 s",
        method="Milliseconds from connect() to the first echo, one player after another.",
        columns=("", "players", "median (least..most)", "p95"),
        rows=[
            [name, str(len(each)), spread(each, "{:,.2f}"), f"{share(each, 0.95):,.2f}"]
            for name, each in waits.items()
        ],
        data=waits,
        goals=[
            Goal(f"p95, {name}", share(each, 0.95), GOAL, most=True, unit=" ms")
            for name, each in waits.items()
            if name.startswith(ECHO)
        ],
    )


def _waits(server: Server, players: int) -> list[float]:
    with server:
        call(f"{server.url}/_local/faults", {"operation": "*", "kind": "slow", "seconds": SLOW})
        return [_firstEcho(server.port) for _ in range(players)]


def _firstEcho(port: int) -> float:
    """Return the milliseconds from connect() to the first echo. Then send the quit command."""
    began = perf_counter()
    with connect(port) as player:
        player.sendall(b"hello")
        player.recv(64)
        waited = (perf_counter() - began) * 1000
        player.sendall(b"q")
        while player.recv(64):
            pass
    return waited
