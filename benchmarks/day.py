"""
What a day leaves behind: memory, threads, descriptors and delayed calls of a game server's process
and of a local FleetIQ's, after the first hour and after 24, with sessions running all the time.

    .venv/bin/python -m benchmarks.day

The local FleetIQ's clock runs 120 times as fast as ours, so that a day takes 12 minutes;
C{--heartbeat} and C{--health-timeout} match it. It ends with 1 if either process has grown by more
than 5 MiB since the first hour, or has another number of threads, descriptors or delayed calls.
They are counted at rest: nobody plays, every game server is registered again. Just before, FleetIQ
was slow for a moment, so that each thread and connection that there may be is there.
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
# 1 s, the shortest there is, is 2 minutes of the local clock; 600 s of it are 5 s of ours.
HEARTBEAT, HEALTH = "1", "600"
SERVERS = PLAYERS = 20
GROWTH = 5.0
# Calls come and go: what stands still is what is seen most often.
LOOKS, BETWEEN = 50, 0.1
REST_WITHIN = 30.0
# Longer than a heartbeat's pause, shorter than a call may take.
SLOW = 2.5


@dataclass(frozen=True, slots=True)
class Look:
    """A process at rest; memory in MiB."""

    memory: float
    threads: int
    descriptors: int
    delayedCalls: int


def pause(seconds: float) -> None:
    """What is measured here is what time brings."""
    Event().wait(seconds)


class Players:
    """They claim, play for some minutes of the local clock, and leave, until they are to rest."""

    def __init__(self, url: str, rng: Random) -> None:
        self._url = url
        self._dice = rng
        self._turn = Condition()
        self._resting = False
        self._playing = 0
        self.sessions = self.sent = 0
        self.failures: list[str] = []
        for _ in range(PLAYERS):
            Thread(target=self._play, daemon=True).start()

    def rest(self) -> None:
        """Returns once nobody plays."""
        with self._turn:
            self._resting = True
            self._turn.wait_for(lambda: not self._playing)

    def goOn(self) -> None:
        """Play again."""
        with self._turn:
            self._resting = False
            self._turn.notify_all()

    def _play(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: not self._resting)
                self._playing += 1
            try:
                self._session()
            except (OSError, ValueError) as error:
                self.failures.append(repr(error))
            with self._turn:
                self._playing -= 1
                self._turn.notify_all()

    def _session(self) -> None:
        port = self._claim()
        if port is None:
            pause(0.5)
            return
        with connect(port) as player, player.makefile("rb") as back:
            player.settimeout(30)
            ends = perf_counter() + self._dice.uniform(2, 8)
            while perf_counter() < ends:
                line = self._dice.randbytes(self._dice.randint(1, 2000)).hex().encode() + b"\n"
                player.sendall(line)
                if back.readline() != line:
                    raise ValueError("another line came back")
                self.sent += len(line)
                pause(self._dice.uniform(0, 0.5))
            player.sendall(b"q\n")
            if back.read():
                raise ValueError("something came back after the goodbye")
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


def atRest(url: str, processes: dict[str, Server]) -> dict[str, Look]:
    """Each process, once nothing is to be done."""
    untilFree(url)
    # One call of each game server.
    slow = {"operation": "UpdateGameServer", "kind": "slow", "seconds": SLOW, "count": SERVERS}
    call(f"{url}/_local/faults", slow)
    pause(2 * SLOW)
    untilFree(url)
    return {name: lookAt(process) for name, process in processes.items()}


def untilFree(url: str) -> None:
    """Returns once every game server is registered and free."""
    ends = perf_counter() + REST_WITHIN
    while perf_counter() < ends:
        servers = call(f"{url}/_local/state")["gameServers"]
        free = [each for each in servers if each["UtilizationStatus"] == "AVAILABLE"]
        if len(servers) == len(free) == SERVERS:
            break
        pause(0.2)
    else:
        raise SystemExit(f"Not at rest after {REST_WITHIN:.0f} s: {servers}")


def lookAt(process: Server) -> Look:
    """What is seen most often."""
    looks = []
    for _ in range(LOOKS):
        process.skipLines()
        os.kill(process.pid, signal.SIGUSR1)
        delayed = int(process.waitForLine(r"delayed calls: (\d+)")[1][1])
        proc = Path(f"/proc/{process.pid}")
        looks.append(
            (len(list((proc / "task").iterdir())), len(list((proc / "fd").iterdir())), delayed)
        )
        pause(BETWEEN)
    threads, descriptors, delayed = (mode(column) for column in zip(*looks, strict=True))
    return Look(round(process.memory(), 1), threads, descriptors, delayed)


def day(hours: int) -> dict[str, object]:
    """So many hours of the local clock."""
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
    """What was seen of them."""
    players = Players(url, Random(1))
    memory: dict[str, list[float]] = {name: [] for name in processes}
    first: dict[str, Look] = {}
    began = call(f"{url}/_local/state")["now"]
    for hour in range(1, hours + 1):
        while call(f"{url}/_local/state")["now"] - began < hour * 3600:
            pause(0.5)
        for name, process in processes.items():
            memory[name].append(round(process.memory(), 1))
        if hour == 1:
            players.rest()
            first = atRest(url, processes)
            players.goOn()
        sys.stderr.write(f"hour {hour}: {memory}, {players.sessions} sessions\n")
    players.rest()
    last = atRest(url, processes)
    return {
        "machine": machine(),
        "hours": hours,
        "sessions": players.sessions,
        "bytes that came back": players.sent,
        "players' failures": players.failures,
        "calls": call(f"{url}/_local/state")["calls"],
        "memory each hour, MiB": memory,
        "after the first hour": {name: asdict(look) for name, look in first.items()},
        "at the end": {name: asdict(look) for name, look in last.items()},
        "misses": [*misses(first, last), *players.failures],
    }


def misses(first: dict[str, Look], last: dict[str, Look]) -> list[str]:
    """A sentence for each thing that has grown."""
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
    """@return: 1 if something has grown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.day", description=__doc__)
    parser.add_argument("--hours", type=int, default=24, help="of the local clock")
    parser.add_argument("--into", type=Path, help="a file for the report")
    asked = parser.parse_args()
    report = day(asked.hours)
    text = json.dumps(report, indent=1) + "\n"
    sys.stdout.write(text)
    if asked.into is not None:
        asked.into.write_text(text)
    return int(bool(report["misses"]))


if __name__ == "__main__":
    sys.exit(main())
