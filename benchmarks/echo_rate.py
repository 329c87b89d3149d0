"""Echo rate and latency of all servers, by number of connections, size and payload."""

from __future__ import annotations

import resource
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from benchmarks.contenders import (
    ECHO,
    ECHO_UVLOOP,
    EPOLL,
    STOCK,
    STOCK_UVLOOP,
    WORKSHOP,
    contenders,
)
from benchmarks.figures import Goal, Result, alternate, pairedRatio, spread
from benchmarks.load import Load, players
from benchmarks.plots import Series, bars, lines
from benchmarks.processes import Server, connect

SIZES = (64, 1024, 16384)
CONNECTIONS = (1, 100, 1000, 10_000)
RESERVED_DESCRIPTORS = 100


class Setup(NamedTuple):
    """
    The load of one comparison.

    @ivar payload: the kind of messages, as in L{players}.
    """

    connections: int
    size: int
    payload: str = "line"


QUICK = (Setup(1, 64), Setup(100, 64), Setup(1000, 64), Setup(100, 16384))
MAIN = Setup(100, 64)
# A message without a line end makes fleetiq-echo search for the quit command in another way.
BINARY = Setup(100, 64, "binary")
BINARY_SERVERS = (ECHO, ECHO_UVLOOP, STOCK, STOCK_UVLOOP)

Seen = dict[str, list[Load]]


def measure(full: bool) -> Result:
    """Take a quarter of an hour, or two minutes."""
    setups = [Setup(many, size) for many in CONNECTIONS for size in SIZES] if full else list(QUICK)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS
    setups = [Setup(min(many, most), size) for many, size, _ in setups] + [BINARY]
    with ExitStack() as stack:
        servers = {name: stack.enter_context(start()) for name, start in contenders().items()}
        for name, server in servers.items():
            if name != WORKSHOP:
                # One player stays connected, so that no session starts or ends during the rounds.
                stack.enter_context(connect(server.port))
        seen = {setup: _compare(servers, setup, full) for setup in setups}
    main = seen[MAIN]
    return Result(
        title="Echoes",
        method=(
            "Closed loop: each connection sends a message, waits for its echo, and sends again."
            " A message is a line, or binary data without a line end. The server has one core, the"
            " load generator the other. Ratios are medians of the ratios of all rounds of 0.4 s;"
            " 'core' is the CPU time of the server for each echo."
        ),
        columns=(
            *("connections x size", "x stock", "echoes a second", "p50 us", "p99", "p99.9"),
            *("core us", "core x stock"),
        ),
        rows=[row for setup, each in seen.items() for row in _rows(setup, each)],
        data=[
            _json(setup, name, runs) for setup, each in seen.items() for name, runs in each.items()
        ],
        goals=[*_goals(main), *_binaryGoals(seen[BINARY])],
        plots={"echo-rate.svg": _bars(main), "echo-by-connections.svg": _lines(seen)},
    )


def _compare(servers: dict[str, Server], setup: Setup, full: bool) -> Seen:
    # The workshop's server serves one player at a time.
    names = [name for name in servers if setup.connections == 1 or name != WORKSHOP]
    if setup == BINARY:
        names = [name for name in BINARY_SERVERS if name in servers]
    # Many short rounds: slow seconds of the machine affect all servers alike.
    main = setup in (MAIN, BINARY)
    rounds = (40 if main else 7) if full else (15 if main else 4)
    return alternate(names, rounds, partial(_run, servers, setup, 0.4))


def _run(servers: dict[str, Server], setup: Setup, seconds: float, name: str) -> Load:
    connections, size, payload = setup
    if name == WORKSHOP:
        payload = "plain"
    with players(servers[name], connections, size, seconds, payload=payload) as load:
        return load


def _rates(runs: list[Load]) -> list[float]:
    return [load.rate for load in runs]


def _core(runs: list[Load]) -> list[float]:
    return [load.core for load in runs]


def _rows(setup: Setup, seen: Seen) -> list[list[str]]:
    kind = "" if setup.payload == "line" else f", {setup.payload}"
    rows = [[f"{setup.connections:,} x {setup.size:,} B{kind}", *[""] * 7]]
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
    stock, echo = seen[STOCK], seen[ECHO]
    goals = [
        Goal(
            "default reactor x stock Twisted", pairedRatio(_rates(echo), _rates(stock)), 0.95, 0.90
        ),
        Goal("the same by time on a core", pairedRatio(_core(stock), _core(echo)), 0.95, 0.90),
    ]
    if ECHO_UVLOOP in seen:
        fast, same, epoll = seen[ECHO_UVLOOP], seen[STOCK_UVLOOP], seen[EPOLL]
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


def _binaryGoals(seen: Seen) -> list[Goal]:
    goals = []
    for name, base, reactor in ((ECHO, STOCK, "default"), (ECHO_UVLOOP, STOCK_UVLOOP, "uvloop")):
        if name in seen:
            what = f"binary messages x Twisted's Echo, {reactor} reactor, time on a core"
            goals.append(Goal(what, pairedRatio(_core(seen[base]), _core(seen[name])), 0.95, 0.90))
    return goals


def _json(setup: Setup, name: str, runs: list[Load]) -> dict[str, Any]:
    rounds = [asdict(load) for load in runs]
    return {**setup._asdict(), "server": name, "rounds": rounds}


def _bars(seen: Seen) -> str:
    return bars(
        "Echoes a second, 100 connections x 64 bytes (black line: minimum to maximum)",
        [(name, _rates(runs)) for name, runs in seen.items()],
        emphasized=(ECHO, ECHO_UVLOOP),
    )


def _lines(seen: dict[Setup, Seen]) -> str:
    names = dict.fromkeys(name for each in seen.values() for name in each if name != WORKSHOP)
    series = [
        Series(
            name,
            [
                (setup.connections, median(_rates(each[name])))
                for setup, each in seen.items()
                if setup.size == MAIN.size and setup != BINARY and name in each
            ],
        )
        for name in names
    ]
    return lines(
        "Echoes a second by connections, 64 bytes", "connections", series, (ECHO, ECHO_UVLOOP)
    )
