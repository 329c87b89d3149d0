"""Echoes a second and how long each takes, by connections and size, beside every peer."""

from __future__ import annotations

import resource
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

from benchmarks.contenders import (
    EPOLL,
    OURS,
    OURS_UVLOOP,
    STOCK,
    STOCK_OURS,
    WORKSHOP,
    contenders,
)
from benchmarks.figures import Goal, Result, alternate, pairedRatio, spread
from benchmarks.load import Load, players
from benchmarks.plots import Series, bars, lines
from benchmarks.processes import Server, connect

SIZES = (64, 1024, 16384)
CONNECTIONS = (1, 100, 1000, 10_000)
QUICK = ((1, 64), (100, 64), (1000, 64), (100, 16384))
MAIN = (100, 64)
FILES_OF_OUR_OWN = 100

Seen = dict[str, list[Load]]


def measure(full: bool) -> Result:
    """A quarter of an hour, or two minutes."""
    setups = [(many, size) for many in CONNECTIONS for size in SIZES] if full else list(QUICK)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES_OF_OUR_OWN
    setups = [(min(many, most), size) for many, size in setups]
    with ExitStack() as stack:
        servers = {name: stack.enter_context(start()) for name, start in contenders().items()}
        for name, server in servers.items():
            if name != WORKSHOP:
                # Somebody stays: no game session begins or ends meanwhile, with its calls.
                stack.enter_context(connect(server.port))
        seen = {setup: _compare(servers, setup, full) for setup in setups}
    main = seen[MAIN]
    return Result(
        title="Echoes",
        method=(
            "Closed loop: each connection sends a line, waits for all of it, sends again. The"
            " server has one core, the load generator the other. Ratios are medians of those of"
            " each round of 0.4 s; 'core' is the time the server's threads ran on a core, an echo."
        ),
        columns=(
            *("connections x size", "x stock", "echoes a second", "p50 us", "p99", "p99.9"),
            *("core us", "core x stock"),
        ),
        rows=[row for setup, each in seen.items() for row in _rows(setup, each)],
        data=[
            _json(setup, name, runs) for setup, each in seen.items() for name, runs in each.items()
        ],
        goals=_goals(main),
        plots={"echo-rate.svg": _bars(main), "echo-by-connections.svg": _lines(seen)},
    )


def _compare(servers: dict[str, Server], setup: tuple[int, int], full: bool) -> Seen:
    connections, size = setup
    # The workshop's server plays with one player at a time.
    names = [name for name in servers if connections == 1 or name != WORKSHOP]
    # Many and short: this machine's good and bad seconds fall to all alike.
    rounds = (40 if setup == MAIN else 7) if full else (15 if setup == MAIN else 4)
    return alternate(names, rounds, partial(_run, servers, connections, size, 0.4))


def _run(
    servers: dict[str, Server], connections: int, size: int, seconds: float, name: str
) -> Load:
    with players(servers[name], connections, size, seconds, lines=name != WORKSHOP) as load:
        return load


def _rates(runs: list[Load]) -> list[float]:
    return [load.rate for load in runs]


def _core(runs: list[Load]) -> list[float]:
    return [load.core for load in runs]


def _rows(setup: tuple[int, int], seen: Seen) -> list[list[str]]:
    rows = [[f"{setup[0]:,} x {setup[1]:,} B", *[""] * 7]]
    for name, runs in seen.items():
        times = [load.echoes for load in runs]
        rows.append(
            [
                f"  {name}",
                f"{pairedRatio(_rates(runs), _rates(seen[STOCK])):.2f}",
                spread(_rates(runs), "{:,.0f}"),
                *(f"{median(getattr(t, p) for t in times):,.0f}" for p in ("p50", "p99", "p999")),
                f"{median(_core(runs)):.2f}",
                f"{pairedRatio(_core(seen[STOCK]), _core(runs)):.2f}",
            ]
        )
    return rows


def _goals(seen: Seen) -> list[Goal]:
    stock, ours = seen[STOCK], seen[OURS]
    goals = [
        Goal(
            "default reactor x stock Twisted", pairedRatio(_rates(ours), _rates(stock)), 0.95, 0.90
        ),
        Goal("the same by time on a core", pairedRatio(_core(stock), _core(ours)), 0.95, 0.90),
    ]
    if OURS_UVLOOP in seen:
        fast, same, epoll = seen[OURS_UVLOOP], seen[STOCK_OURS], seen[EPOLL]
        goals += [
            Goal(
                "uvloop reactor x stock Twisted", pairedRatio(_rates(fast), _rates(stock)), 2.8, 2.3
            ),
            Goal("the same by time on a core", pairedRatio(_core(stock), _core(fast)), 2.8, 2.3),
            Goal("with Twisted's Echo on both", pairedRatio(_rates(same), _rates(stock)), 2.8, 2.3),
            Goal("the same by time on a core", pairedRatio(_core(stock), _core(same)), 2.8, 2.3),
            Goal("uvloop reactor x C loop", pairedRatio(_rates(fast), _rates(epoll)), 0.8),
            Goal("the same by time on a core", pairedRatio(_core(epoll), _core(fast)), 0.8),
        ]
    return goals


def _json(setup: tuple[int, int], name: str, runs: list[Load]) -> dict[str, Any]:
    rounds = [asdict(load) for load in runs]
    return {"connections": setup[0], "size": setup[1], "server": name, "rounds": rounds}


def _bars(seen: Seen) -> str:
    return bars(
        "Echoes a second, 100 connections x 64 bytes (the line: least to most of the rounds)",
        [(name, _rates(runs)) for name, runs in seen.items()],
        emphasized=(OURS, OURS_UVLOOP),
    )


def _lines(seen: dict[tuple[int, int], Seen]) -> str:
    names = dict.fromkeys(name for each in seen.values() for name in each if name != WORKSHOP)
    series = [
        Series(
            name,
            [
                (setup[0], median(_rates(each[name])))
                for setup, each in seen.items()
                if setup[1] == MAIN[1] and name in each
            ],
        )
        for name in names
    ]
    return lines(
        "Echoes a second by connections, 64 bytes", "connections", series, (OURS, OURS_UVLOOP)
    )
