"""
The longest delay of an echo while the game servers call FleetIQ.

One player sends in a closed loop. A slow iteration of the reactor delays the echo by its duration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from statistics import median

from benchmarks.contenders import registeredEcho
from benchmarks.figures import Goal, Result, alternate, spread
from benchmarks.load import players
from benchmarks.processes import Server, call, fleetiqEcho

SERVERS = 500
# By default there is a heartbeat every 54 to 60 s. The quick mode has a sixth of the servers with
# six times as many heartbeats each: as many heartbeats a second, in a sixth of the time.
HEARTBEAT = 60
QUICKER = 6
SLOW = 5
GOAL = 20.0
STARTING_SECONDS = 3.0


@contextmanager
def idle() -> Iterator[Server]:
    """Start one idle game server: the delay that the machine itself causes."""
    with registeredEcho() as server:
        yield server


@contextmanager
def starting() -> Iterator[Server]:
    """Start one game server. boto3 is imported and its client made while the player plays."""
    with fleetiqEcho() as server:
        yield server


@contextmanager
def startingMany() -> Iterator[Server]:
    """Start 500 game servers, which register while the player plays."""
    with fleetiqEcho(f"--servers={SERVERS}") as server:
        yield server


@contextmanager
def beating(quicker: int) -> Iterator[Server]:
    """Start 500 game servers, which send heartbeats to the embedded local FleetIQ."""
    servers, heartbeat = SERVERS // quicker, HEARTBEAT // quicker
    with fleetiqEcho(f"--servers={servers}", f"--heartbeat={heartbeat}") as server:
        server.waitForLine("Ready")
        yield server


@contextmanager
def slow(quicker: int) -> Iterator[Server]:
    """Start the same game servers while each call takes 5 s."""
    with beating(quicker) as server:
        call(f"{server.url}/_local/faults", {"operation": "*", "kind": "slow", "seconds": SLOW})
        yield server


def measure(full: bool) -> Result:
    """Take two minutes, or ten."""
    quicker = 1 if full else QUICKER
    watched = 1.2 * HEARTBEAT / quicker
    situations: dict[str, tuple[Callable[[], AbstractContextManager[Server]], float]] = {
        "idle": (idle, STARTING_SECONDS),
        "the boto3 client is made": (starting, STARTING_SECONDS),
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
            "One player in a closed loop, ms: median, minimum and maximum of the rounds. A"
            f" heartbeat every {HEARTBEAT} s. The first row is the delay of the machine itself."
            + (
                ""
                if full
                else f" {SERVERS // QUICKER} servers, {QUICKER} times as many heartbeats."
            )
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
