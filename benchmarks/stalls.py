"""
The longest that bytes wait for FleetIQ's sake: what one player sees who echoes without a pause.

A gap between two turns of the reactor delays the echo that falls into it, by as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from statistics import median

from benchmarks.contenders import ours
from benchmarks.figures import Goal, Result, alternate, spread
from benchmarks.load import players
from benchmarks.processes import Server, call, fleetiqEcho

SERVERS = 500
# By default a heartbeat comes after 54 to 60 s. In the quick way a sixth of the servers beats six
# times as often: as many beats a second, in a sixth of the time.
HEARTBEAT = 60
QUICKER = 6
SLOW = 5
GOAL = 20.0
STARTING_SECONDS = 3.0


@contextmanager
def idle() -> Iterator[Server]:
    """One game server, and nothing happens: what this machine itself makes a player wait."""
    with ours() as server:
        yield server


@contextmanager
def starting() -> Iterator[Server]:
    """From the moment the port is bound: boto3 is imported, its client made, one registered."""
    with fleetiqEcho() as server:
        yield server


@contextmanager
def startingMany() -> Iterator[Server]:
    """The same with 500 game servers that register."""
    with fleetiqEcho(f"--servers={SERVERS}") as server:
        yield server


@contextmanager
def beating(quicker: int) -> Iterator[Server]:
    """500 game servers heartbeat to the FleetIQ in their own process."""
    servers, heartbeat = SERVERS // quicker, HEARTBEAT // quicker
    with fleetiqEcho(f"--servers={servers}", f"--heartbeat={heartbeat}") as server:
        server.waitForLine("Ready")
        yield server


@contextmanager
def slow(quicker: int) -> Iterator[Server]:
    """The same while every call takes 5 s."""
    with beating(quicker) as server:
        call(f"{server.url}/_local/faults", {"operation": "*", "kind": "slow", "seconds": SLOW})
        yield server


def measure(full: bool) -> Result:
    """Two minutes, or ten."""
    quicker = 1 if full else QUICKER
    watched = 1.2 * HEARTBEAT / quicker
    situations: dict[str, tuple[Callable[[], AbstractContextManager[Server]], float]] = {
        "idle": (idle, STARTING_SECONDS),
        "the client is made": (starting, STARTING_SECONDS),
        f"{SERVERS} servers register": (startingMany, 2 * STARTING_SECONDS),
        f"{SERVERS} servers heartbeat": (partial(beating, quicker), watched),
        f"{SERVERS} servers, calls take {SLOW} s": (partial(slow, quicker), watched),
    }

    def longest(name: str) -> tuple[float, float]:
        situation, seconds = situations[name]
        with situation() as server, players(server, 1, seconds=seconds) as load:
            return load.echoes.p999 / 1000, load.echoes.longest / 1000

    seen = alternate(list(situations), 3, longest)
    return Result(
        title="The longest echo while …",
        method=(
            "One player in a closed loop, ms: the median of the rounds, and the least and the most"
            f" of them. A heartbeat every {HEARTBEAT} s. The first row is this machine's own part."
            + ("" if full else f" {SERVERS // QUICKER} servers beat {QUICKER} times as often.")
        ),
        columns=("", "p99.9", "longest"),
        rows=[
            [name, spread([p for p, _ in each]), spread([most for _, most in each])]
            for name, each in seen.items()
        ],
        data=seen,
        goals=[
            Goal(f"longest echo, {name}", median(m for _, m in each), GOAL, most=True, unit=" ms")
            for name, each in seen.items()
        ],
    )
