"""Many game servers in one process: start, memory, CPU time and heartbeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from threading import Event
from time import perf_counter

from benchmarks.figures import Goal, Result
from benchmarks.processes import Server, fleetiqEcho

SERVERS = (1, 100, 500)
HEARTBEAT = 60.0


@dataclass(frozen=True, slots=True)
class Measured:
    """
    The figures of a process with game servers and an embedded local FleetIQ.

    @ivar ready: seconds from exec until all game servers are AVAILABLE.
    @ivar memory: MiB.
    @ivar idle: percent of a core without players.
    @ivar watched: the duration of the measurement in seconds.
    @ivar beats: the number of heartbeats.
    @ivar mostBeats: the maximum of heartbeats in one second.
    """

    servers: int
    ready: float
    memory: float
    idle: float
    watched: float
    beats: int
    mostBeats: int


def measure(full: bool) -> Result:
    """Take a quarter of a minute for each number, or two heartbeats."""
    seen = [_measure(servers, 2 * HEARTBEAT if full else 12.0) for servers in SERVERS]
    most = seen[-1]
    return Result(
        title="Game servers in one process",
        method=(
            f"With an embedded local FleetIQ and a heartbeat every {HEARTBEAT:.0f} s. Measured for"
            f" {most.watched:.0f} s."
        ),
        columns=(
            "servers",
            "all AVAILABLE, s",
            "MiB",
            "idle, % of a core",
            "max. heartbeats a second",
        ),
        rows=[
            [
                str(each.servers),
                f"{each.ready:.2f}",
                f"{each.memory:.0f}",
                f"{each.idle:.2f}",
                str(each.mostBeats) if full else "-",
            ]
            for each in seen
        ],
        data=[asdict(each) for each in seen],
        goals=[
            Goal("all AVAILABLE after", most.ready, 30.0, most=True, unit=" s"),
            Goal("memory", most.memory, 300.0, most=True, unit=" MiB"),
            Goal("idle", most.idle, 5.0, most=True, unit=" % of a core"),
        ],
    )


def _measure(servers: int, seconds: float) -> Measured:
    options = (f"--heartbeat={HEARTBEAT:.0f}", "--log-level=debug")
    with fleetiqEcho(f"--servers={servers}", *options) as server:
        ready, _ = server.waitForLine("Ready")
        server.skipLines()
        busy, began = server.cpuSeconds(), perf_counter()
        Event().wait(seconds)
        watched = perf_counter() - began
        seen = beats([server], began)
        return Measured(
            servers=servers,
            ready=ready - server.began,
            memory=server.memory(),
            idle=(server.cpuSeconds() - busy) / watched * 100,
            watched=watched,
            beats=sum(seen.values()),
            mostBeats=max(seen.values(), default=0),
        )


def beats(servers: Sequence[Server], since: float) -> Counter[int]:
    """Return the number of logged heartbeats in each second."""
    return Counter(
        int(at - since) for server in servers for at in server.times(r"Heartbeat of") if at > since
    )
