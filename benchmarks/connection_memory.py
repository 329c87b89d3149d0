"""The memory of a connected player."""

from __future__ import annotations

import resource
from collections.abc import Callable
from statistics import median

from benchmarks.contenders import ECHO_UVLOOP, STOCK, STOCK_UVLOOP, WORKSHOP, contenders
from benchmarks.figures import Goal, Result, alternate, spread
from benchmarks.load import players
from benchmarks.plots import bars
from benchmarks.processes import Server

# The first players use memory that was freed after the start.
FIRST = 8_000


def measure(full: bool) -> Result:
    """Take a minute, or five."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FIRST - 100
    further = min(8_000 if full else 2_000, most)
    starts = {name: start for name, start in contenders().items() if name != WORKSHOP}
    seen = alternate(list(starts), 3 if full else 1, lambda name: _each(starts[name], further))
    goals = [
        Goal(f"{name} x stock Twisted", median(seen[name]) / median(seen[STOCK]), 1.0, most=True)
        for name in (ECHO_UVLOOP, STOCK_UVLOOP)
        if name in seen
    ]
    return Result(
        title="Memory of a connection",
        method=(
            f"Resident memory that {further:,} players add to a process with {FIRST:,} players, in"
            " KiB a player, after each has had an echo; without the buffers of the kernel."
        ),
        columns=("", "KiB a player"),
        rows=[[name, spread(each)] for name, each in seen.items()],
        data=seen,
        goals=goals,
        plots={
            "connection-memory.svg": bars(
                "KiB of memory a connected player",
                list(seen.items()),
                [name for name in seen if name.startswith("fleetiq")],
                "{:.1f}",
            )
        },
    )


def _each(start: Callable[[], Server], further: int) -> float:
    with start() as server, players(server, FIRST):
        before = server.memory()
        with players(server, further) as load:
            assert load.failed == 0, load
            return (server.memory() - before) * 1024 / further
