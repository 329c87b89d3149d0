"""What fleetiq-wrap costs: CPU time for each echo that it forwards, beside the echo itself."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median

from benchmarks.contenders import reactors
from benchmarks.figures import Goal, Result, alternate, pairedRatio, spread
from benchmarks.load import Load, players
from benchmarks.processes import Server, connect, gameServer, peer, splice

CONNECTIONS, SIZE, SECONDS = 100, 64, 0.4
# At most 2.2 times the CPU time of the child's own echo.
GOAL = 1 / 2.2
ECHO = "stock Twisted's echo"
IN_C = "C splice loop before stock Twisted's echo"
CHILD = (sys.executable, "-m", "benchmarks.peers", "twisted", "{port}")


def wrapped(reactor: str) -> Server:
    """Start fleetiq-wrap before stock Twisted's echo, and wait until it is registered."""
    server = gameServer("fleetiq-wrap", "--", *CHILD, reactor=reactor)
    server.waitForLine("AVAILABLE as")
    return server


def measure(full: bool) -> Result:
    """Take a minute, or five."""
    with ExitStack() as stack:
        servers = {
            f"fleetiq-wrap, {reactor} reactor": stack.enter_context(wrapped(reactor))
            for reactor in reactors().values()
        }
        servers[ECHO] = stack.enter_context(peer("twisted"))
        servers[IN_C] = stack.enter_context(splice(servers[ECHO].port))
        for server in servers.values():
            # One player stays connected, so that no session starts or ends during the rounds.
            player = stack.enter_context(connect(server.port))
            player.sendall(b"hello")
            player.recv(64)

        def run(name: str) -> Load:
            with players(servers[name], CONNECTIONS, SIZE, SECONDS, payload="binary") as load:
                return load

        seen = alternate(list(servers), 40 if full else 15, run)
    return Result(
        title="fleetiq-wrap",
        method=(
            f"{CONNECTIONS} connections send {SIZE} bytes in a closed loop, in alternating rounds"
            f" of {SECONDS} s, through a proxy to stock Twisted's echo. 'core' is the CPU time of"
            " the proxy alone, or of the echo alone, for each echo. Ratios are medians of the"
            " ratios of all rounds."
        ),
        columns=("", "echoes a second", "core us"),
        rows=[
            [
                name,
                spread([load.rate for load in loads], "{:,.0f}"),
                f"{median(load.core for load in loads):.2f}",
            ]
            for name, loads in seen.items()
        ],
        data={name: [asdict(load) for load in loads] for name, loads in seen.items()},
        goals=[_goal(name, seen) for name in servers if name not in (ECHO, IN_C)],
    )


def _goal(name: str, seen: dict[str, list[Load]]) -> Goal:
    proxy, echo = ([load.core for load in seen[each]] for each in (name, ECHO))
    return Goal(f"{ECHO} x {name}, time on a core", pairedRatio(echo, proxy), GOAL)
