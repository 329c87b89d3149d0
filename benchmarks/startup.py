"""The time from exec until the port is bound, and until the game server is AVAILABLE."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter

from benchmarks.contenders import reactors
from benchmarks.figures import Result, alternate, spread
from benchmarks.plots import bars
from benchmarks.processes import SERVER_CORE, Server, commandPath, fleetiqEcho, fleetiqLocal, pin

BARE = "python -c pass"
HELP = "fleetiq --help"
REACTOR = "python, and Twisted's reactor"
BOTO3 = "python, and boto3's client of GameLift"

_REACTOR = "from twisted.internet import reactor, endpoints, protocol"
_BOTO3 = "import boto3; boto3.session.Session('k', 's', region_name='us-east-1').client('gamelift')"


def measure(full: bool) -> Result:
    """Take half a minute, or two minutes."""
    commands = {
        BARE: [sys.executable, "-c", "pass"],
        REACTOR: [sys.executable, "-c", _REACTOR],
        BOTO3: [sys.executable, "-c", _BOTO3],
        HELP: [commandPath("fleetiq"), "--help"],
    }
    rounds = 15 if full else 5
    times = {
        f"{name}: exit": each
        for name, each in alternate(
            list(commands), rounds, lambda name: _untilEnd(commands[name])
        ).items()
    }
    with fleetiqLocal() as fleet:
        starts: dict[str, Callable[[], Server]] = {}
        for name, reactor in reactors().items():
            starts[f"{name}, embedded FleetIQ"] = partial(fleetiqEcho, reactor=reactor)
            starts[f"{name}, FleetIQ in another process"] = partial(
                fleetiqEcho, f"--local={fleet.url}", reactor=reactor
            )
        for name, both in alternate(
            list(starts), rounds, lambda name: _started(starts[name])
        ).items():
            times[f"{name}: port bound"] = [bound for bound, _ in both]
            times[f"{name}: AVAILABLE"] = [available for _, available in both]
    return Result(
        title="Start-up",
        method="Milliseconds from exec, on one core; files are in the page cache.",
        columns=("", "ms"),
        rows=[[name, spread(each, "{:.0f}")] for name, each in times.items()],
        data=times,
        plots={
            "startup.svg": bars(
                "Milliseconds from exec",
                list(times.items()),
                [name for name in times if name.endswith("AVAILABLE")],
            )
        },
    )


def _untilEnd(command: list[str]) -> float:
    began = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        pin(process.pid, SERVER_CORE)
        process.wait()
    return (perf_counter() - began) * 1000


def _started(start: Callable[[], Server]) -> tuple[float, float]:
    with start() as server:
        available, _ = server.waitForLine("AVAILABLE as")
        bound = server.times("Listening for players")[0]
        return (bound - server.began) * 1000, (available - server.began) * 1000
