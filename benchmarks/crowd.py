"""10,000 players that connect at the same time: the time until all have had their first echo."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from benchmarks.contenders import ECHO, EPOLL, STOCK, UVLOOP, contenders
from benchmarks.figures import Goal, Result, alternate, spread
from benchmarks.load import Load, players
from benchmarks.processes import Server, peer

CROWD = 10_000
SHORT_QUEUE = "stock Twisted, its own accept queue of 50"


def measure(full: bool) -> Result:
    """Take a minute, or three."""
    crowd = min(CROWD, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)
    known = contenders()
    starts = {name: known[name] for name in known if name.startswith(ECHO)}
    starts |= {name: known[name] for name in (STOCK, UVLOOP, EPOLL) if name in known}
    starts[SHORT_QUEUE] = partial(peer, "twisted-short-queue")
    seen = alternate(list(starts), 5 if full else 1, lambda name: _connect(starts[name], crowd))
    return Result(
        title=f"{crowd:,} players at once",
        method=(
            "All players call connect() at the same time, and send a line as soon as they are"
            " connected. Seconds from connect() to the first echo."
        ),
        columns=("", "all have had an echo", "p50", "p99", "rejected"),
        rows=[
            [
                name,
                spread([load.arrivedAfter for load in loads]),
                spread([load.arrivals.p50 / 1e6 for load in loads]),
                spread([load.arrivals.p99 / 1e6 for load in loads]),
                str(max(load.failed for load in loads)),
            ]
            for name, loads in seen.items()
        ],
        data={name: [asdict(load) for load in loads] for name, loads in seen.items()},
        goals=[
            Goal(f"players with an echo, {name}", min(load.present for load in loads), crowd)
            for name, loads in seen.items()
            if name.startswith(ECHO)
        ],
    )


def _connect(start: Callable[[], Server], crowd: int) -> Load:
    with start() as server, players(server, crowd, arriving=crowd) as load:
        return load
