"""1,000 game servers in several processes, and the load of their one local FleetIQ."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Event
from time import perf_counter

from benchmarks.figures import Result
from benchmarks.many_servers import HEARTBEAT, beats
from benchmarks.processes import call, fleetiqEcho, fleetiqLocal

PROCESSES, EACH = 4, 250


def measure(full: bool) -> Result:
    """Take half a minute, or two heartbeats."""
    with ExitStack() as stack:
        fleet = stack.enter_context(fleetiqLocal())
        began = perf_counter()
        options = (f"--servers={EACH}", f"--local={fleet.url}", "--log-level=debug")
        servers = [stack.enter_context(fleetiqEcho(*options)) for _ in range(PROCESSES)]
        ready = max(server.waitForLine("Ready")[0] for server in servers) - began
        since, busy, calls = perf_counter(), fleet.cpuSeconds(), _calls(fleet.url)
        own = [server.cpuSeconds() for server in servers]
        Event().wait(2 * HEARTBEAT if full else 15.0)
        watched = perf_counter() - since
        seen = {
            "servers": PROCESSES * EACH,
            "processes": PROCESSES,
            "all AVAILABLE, s": ready,
            "FleetIQ, MiB": fleet.memory(),
            "FleetIQ, % of a core": (fleet.cpuSeconds() - busy) / watched * 100,
            "a process of game servers, MiB": max(server.memory() for server in servers),
            "a process of game servers, % of a core": max(
                (server.cpuSeconds() - before) / watched * 100
                for server, before in zip(servers, own, strict=True)
            ),
            "calls a second": (_calls(fleet.url) - calls) / watched,
            "maximum of calls in a second": max(beats(servers, since).values(), default=0),
        }
    return Result(
        title="A fleet on one machine",
        method=(
            f"{PROCESSES} processes use one local FleetIQ. Measured for {watched:.0f} s without"
            " players."
        ),
        columns=("", ""),
        rows=[[name, f"{value:,.4g}"] for name, value in seen.items()],
        data=seen,
    )


def _calls(url: str) -> int:
    calls: dict[str, int] = call(f"{url}/_local/state")["calls"]
    return sum(calls.values())
