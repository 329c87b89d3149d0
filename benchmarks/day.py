"""
Measure leaks: memory, threads, descriptors and delayed calls of a process of game servers and of a
local FleetIQ, after 1 hour and after 24 hours of sessions.

    .venv/bin/python -m benchmarks.day

The clock of the local FleetIQ runs 120 times as fast as real time, so a day takes 12 minutes.
C{--heartbeat} and C{--health-timeout} match it. The exit code is 1 if a process has grown by more
than 5 MiB since the first hour, or has another number of threads, descriptors or delayed calls.

Both processes are measured without players, while every game server is AVAILABLE. Just before,
FleetIQ is slow for some seconds, so that all threads and connections of the pools exist.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import mode
from threading import Condition, Event, Thread
from time import perf_counter
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmarks.figures import machine
from benchmarks.processes import ANY_PORT, Server, call, connect

SCALE = 120
HOUR = 3600 / SCALE
# The shortest heartbeat, 1 s, is 2 minutes of the local clock. 600 s of that clock are 5 s.
HEARTBEAT, HEALTH = "1", "600"
SERVERS = PLAYERS = 20
GROWTH = 5.0
# The numbers vary during calls. The most frequent one is the number between calls.
SAMPLES, BETWEEN = 50, 0.1
AVAILABLE_DEADLINE = 30.0
# Longer than the time between heartbeats, shorter than the time limit of a call.
SLOW = 2.5


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of a process; memory in MiB."""

    memory: float
    threads: int
    descriptors: int
    delayedCalls: int


def pause(seconds: float) -> None:
    """Wait for some seconds."""
    Event().wait(seconds)


class Players:
    """Players in threads. Each claims, plays for minutes of the local clock, and disconnects."""

    def __init__(self, url: str, rng: Random) -> None:
        self._url = url
        self._rng = rng
        self._condition = Condition()
        self._paused = False
        self._playing = 0
        self.sessions = self.sent = 0
        self.failures: list[str] = []
        for _ in range(PLAYERS):
            Thread(target=self._play, daemon=True).start()

    def pause(self) -> None:
        """Start no more sessions, and wait for the end of all running ones."""
        with self._condition:
            self._paused = True
            self._condition.wait_for(lambda: not self._playing)

    def resume(self) -> None:
        """Start sessions again."""
        with self._condition:
            self._paused = False
            self._condition.notify_all()

    def _play(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: not self._paused)
                self._playing += 1
            try:
                self._session()
            except (OSError, ValueError) as error:
                self.failures.append(repr(error))
            with self._condition:
                self._playing -= 1
                self._condition.notify_all()

    def _session(self) -> None:
        port = self._claim()
        if port is None:
            pause(0.5)
            return
        with connect(port) as player, player.makefile("rb") as back:
            player.settimeout(30)
            ends = perf_counter() + self._rng.uniform(2, 8)
            while perf_counter() < ends:
                line = self._rng.randbytes(self._rng.randint(1, 2000)).hex().encode() + b"\n"
                player.sendall(line)
                if back.readline() != line:
                    raise ValueError("another line was echoed")
                self.sent += len(line)
                pause(self._rng.uniform(0, 0.5))
            player.sendall(b"q\n")
            if back.read():
                raise ValueError("bytes were echoed after the quit command")
        self.sessions += 1

    def _claim(self) -> int | None:
        request = Request(
            self._url,
            b'{"GameServerGroupName": "local"}',
            {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "GameLift.ClaimGameServer",
            },
        )
        try:
            with urlopen(request) as reply:
                info: str = json.load(reply)["GameServer"]["ConnectionInfo"]
        except HTTPError:
            return None
        return int(info.rpartition(":")[2])


def measureIdle(url: str, processes: dict[str, Server]) -> dict[str, Sample]:
    """Measure each process without players, when all game servers are AVAILABLE."""
    waitUntilAvailable(url)
    # One slow call of each game server.
    slow = {"operation": "UpdateGameServer", "kind": "slow", "seconds": SLOW, "count": SERVERS}
    call(f"{url}/_local/faults", slow)
    pause(2 * SLOW)
    waitUntilAvailable(url)
    return {name: sample(process) for name, process in processes.items()}


def waitUntilAvailable(url: str) -> None:
    """Wait until every game server is registered and AVAILABLE."""
    ends = perf_counter() + AVAILABLE_DEADLINE
    while perf_counter() < ends:
        servers = call(f"{url}/_local/state")["gameServers"]
        free = [each for each in servers if each["UtilizationStatus"] == "AVAILABLE"]
        if len(servers) == len(free) == SERVERS:
            break
        pause(0.2)
    else:
        raise SystemExit(f"Not all AVAILABLE after {AVAILABLE_DEADLINE:.0f} s: {servers}")


def sample(process: Server) -> Sample:
    """Measure a process. Each number is the most frequent one of all samples."""
    samples = []
    for _ in range(SAMPLES):
        process.skipLines()
        os.kill(process.pid, signal.SIGRTMIN)
        delayed = int(process.waitForLine(r"delayed calls: (\d+)")[1][1])
        proc = Path(f"/proc/{process.pid}")
        samples.append(
            (len(list((proc / "task").iterdir())), len(list((proc / "fd").iterdir())), delayed)
        )
        pause(BETWEEN)
    threads, descriptors, delayed = (mode(column) for column in zip(*samples, strict=True))
    return Sample(round(process.memory(), 1), threads, descriptors, delayed)


def day(hours: int) -> dict[str, object]:
    """Run for a number of hours of the local clock. Return the report."""
    twistd = [sys.executable, "-m", "benchmarks.inside", "-n"]
    scale, health = f"--time-scale={SCALE}", f"--health-timeout={HEALTH}"
    fleet = Server([*twistd, "fleetiq-local", f"--listen={ANY_PORT}", scale, health])
    with fleet:
        url = fleet.waitForLine(r"FleetIQ for this machine on (\S+),")[1][1]
        server = Server(
            [
                *twistd,
                "fleetiq-echo",
                f"--local={url}",
                f"--listen={ANY_PORT}",
                f"--servers={SERVERS}",
                f"--heartbeat={HEARTBEAT}",
            ]
        )
        with server:
            server.waitForLine("Ready.")
            return watch(hours, url, {"game server": server, "local FleetIQ": fleet})


def watch(hours: int, url: str, processes: dict[str, Server]) -> dict[str, object]:
    """Measure the processes while players play. Return the report."""
    players = Players(url, Random(1))
    memory: dict[str, list[float]] = {name: [] for name in processes}
    first: dict[str, Sample] = {}
    began = call(f"{url}/_local/state")["now"]
    for hour in range(1, hours + 1):
        while call(f"{url}/_local/state")["now"] - began < hour * 3600:
            pause(0.5)
        for name, process in processes.items():
            memory[name].append(round(process.memory(), 1))
        if hour == 1:
            players.pause()
            first = measureIdle(url, processes)
            players.resume()
        sys.stderr.write(f"hour {hour}: {memory}, {players.sessions} sessions\n")
    players.pause()
    last = measureIdle(url, processes)
    return {
        "machine": machine(),
        "hours": hours,
        "sessions": players.sessions,
        "echoed bytes": players.sent,
        "players' failures": players.failures,
        "calls": call(f"{url}/_local/state")["calls"],
        "memory each hour, MiB": memory,
        "after the first hour": {name: asdict(each) for name, each in first.items()},
        "at the end": {name: asdict(each) for name, each in last.items()},
        "misses": [*misses(first, last), *players.failures],
    }


def misses(first: dict[str, Sample], last: dict[str, Sample]) -> list[str]:
    """Return a sentence for each figure that has grown."""
    found = []
    for name, before in first.items():
        grown = last[name].memory - before.memory
        if grown > GROWTH:
            found.append(f"The {name} has grown by {grown:.1f} MiB.")
        for what in ("threads", "descriptors", "delayedCalls"):
            was, now = getattr(before, what), getattr(last[name], what)
            if was != now:
                found.append(f"The {name} had {was} {what} after the first hour, {now} at the end.")
    return found


def main() -> int:
    """
    Run, and print the report.

    @return: 1 if a figure has grown.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.day", description=__doc__)
    parser.add_argument("--hours", type=int, default=24, help="of the local clock")
    parser.add_argument("--into", type=Path, help="a file for the report")
    arguments = parser.parse_args()
    report = day(arguments.hours)
    text = json.dumps(report, indent=1) + "\n"
    sys.stdout.write(text)
    if arguments.into is not None:
        arguments.into.write_text(text)
    return int(bool(report["misses"]))


if __name__ == "__main__":
    sys.exit(main())
