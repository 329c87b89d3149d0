"""
Many bad days in a few minutes: game servers and players, while calls fail, instances are
interrupted, processes are killed and the clock jumps.

All is checked from outside, through FleetIQ and sockets: no player is refused or cut without a
reason that is counted, every byte comes back, every ended session's registration goes, no game
server is registered twice, and all comes to rest. Prints a report and its seed, and ends with 1 if
anything was lost: C{make chaos}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from asyncio import Lock, create_task, gather, sleep
from collections import Counter
from pathlib import Path
from random import Random, SystemRandom

from benchmarks.chaos_fleet import Fleet, GameServers, freePorts
from benchmarks.chaos_players import Players

# The kinds of fault that make a call fail.
FAILING = (
    {"kind": "error", "code": "InternalServiceException"},
    {"kind": "throttle"},
    {"kind": "drop"},
    {"kind": "lost-reply"},
)
# Shorter than a start: what a killed process was registering may land after the next one looked
# for it, and stays until its health lapses.
SLOW = {"kind": "slow", "seconds": 0.2, "probability": 0.05}
TICK = 2.0
NOTICE = 25.0
REST_WITHIN = 90.0


class Chaos:
    """One run: the fleet, the players, what happens to them, and what it all came to."""

    def __init__(self, settings: argparse.Namespace, folder: Path) -> None:
        self.settings = settings
        self.rng = Random(settings.seed)
        self.fleet = Fleet(folder, settings.seed, instances=settings.processes + 200)
        self.happened: Counter[str] = Counter()
        self.failures: list[str] = []
        self._clock = Lock()
        self._playing = self._watching = True
        self._everUtilized: set[str] = set()
        self._doubles: set[str] = set()
        self._left: set[str] = set()

    async def run(self) -> bool:
        """Whether nothing was lost."""
        settings = self.settings
        async with self.fleet as fleet:
            for base in freePorts(settings.processes, settings.servers, SystemRandom()):
                await fleet.start(base, settings.servers)
            await self.faults()
            # A random source of its own: the faults do not depend on how long players play.
            players = Players(fleet, Random(f"players {settings.seed}"), settings.sessions)
            watching = create_task(self.watch())
            disturbing = gather(self.disturb(), self.passTime())
            await players.play(settings.players)
            self._playing = False
            await fleet.order("DELETE", "/_local/faults")
            await disturbing
            await self.rest()
            self._watching = False
            await watching
            await self.stopAll()
        self.report(players)
        return not self.failures

    async def faults(self) -> None:
        """Have the share of calls fail that was asked for."""
        each = 1 - (1 - self.settings.failing) ** (1 / len(FAILING))
        for fault in FAILING:
            await self.fleet.order(
                "POST", "/_local/faults", {"operation": "*", "probability": each, **fault}
            )
        await self.fleet.order("POST", "/_local/faults", {"operation": "*", **SLOW})

    async def disturb(self) -> None:
        """One thing happens after the other, while anybody plays."""
        while self._playing:
            await sleep(TICK)
            what = self.rng.choices(
                (self.drop, self.kill, self.spot, self.drain, self.rebalance), (2, 5, 2, 2, 1)
            )[0]
            await what()

    async def passTime(self) -> None:
        """
        The clock jumps by minutes, so that claims nobody came for lapse; but for the time of an
        interruption, whose end would come too early.
        """
        while self._playing:
            await sleep(TICK)
            async with self._clock:
                self.happened["clock jumps of 60 s"] += 1
                await self.fleet.advance(60)

    async def drop(self) -> None:
        """The clock jumps so far that FleetIQ drops every game server."""
        self.happened["clock jumps of 200 s, which drop every server"] += 1
        await self.fleet.advance(200)

    async def kill(self) -> None:
        """A process is killed, and started again where it was."""
        self.happened["processes killed and started again"] += 1
        await self.fleet.kill(self.someone())

    async def spot(self) -> None:
        """A Spot or Auto Scaling notice: the process ends in time, and another takes its place."""
        kind = self.rng.choice(("spot", "autoscaling"))
        self.happened[f"{kind} interruptions"] += 1
        servers = self.someone()
        async with self._clock:
            if await self.fleet.interrupt(servers, kind, NOTICE):
                self.happened[f"{kind} interruptions that a process left in time"] += 1

    async def drain(self) -> None:
        """FleetIQ drains the instance, and an operator stops the process."""
        self.happened["instances drained, then their process stopped"] += 1
        await self.fleet.drain(self.someone())

    async def rebalance(self) -> None:
        """A rebalance recommendation, which changes nothing by default."""
        self.happened["rebalance recommendations"] += 1
        await self.fleet.notice(self.someone().instanceId, "rebalance")

    def someone(self) -> GameServers:
        """One of the processes."""
        return self.rng.choice(self.fleet.living)

    async def watch(self) -> None:
        """Look at the state, again and again."""
        while self._watching:
            self.look(await self.fleet.gameServers())
            await sleep(0.25)

    def look(self, servers: list[dict[str, str]]) -> None:
        """
        No game server may be registered twice. What stands there with its address, but of another
        instance, was left by a process that was stopped and could not deregister in time.
        """
        first: dict[str, dict[str, str]] = {}
        for each in servers:
            other = first.setdefault(each["ConnectionInfo"], each)
            if each is not other:
                both = f"{other['GameServerId']} and {each['GameServerId']}"
                same = other["InstanceId"] == each["InstanceId"]
                (self._doubles if same else self._left).add(both)
            if each["UtilizationStatus"] == "UTILIZED":
                self._everUtilized.add(each["GameServerId"])

    async def rest(self) -> None:
        """With no player and no fault left, each game server is registered once, and free."""
        expected = sorted(f"localhost:{port}" for each in self.fleet.living for port in each.ports)
        servers: list[dict[str, str]] = []
        for _ in range(int(REST_WITHIN * 2)):
            servers = await self.fleet.gameServers()
            free = [each for each in servers if each["UtilizationStatus"] == "AVAILABLE"]
            if len(free) == len(servers) and sorted(at(servers)) == expected:
                break
            await sleep(0.5)
        else:
            missing = sorted(set(expected) - set(at(servers)))
            strange = sorted(set(at(servers)) - set(expected))
            self.failures.append(
                f"not at rest after {REST_WITHIN:.0f} s: missing {missing}, strange {strange}, "
                f"{Counter(each['UtilizationStatus'] for each in servers)}"
            )
        leaked = self._everUtilized & {each["GameServerId"] for each in servers}
        if leaked:
            self.failures.append(f"registrations that outlived their session: {sorted(leaked)}")

    async def stopAll(self) -> None:
        """Stopped, they leave nothing behind."""
        await gather(*(self.fleet.stop(each) for each in self.fleet.living))
        left = at(await self.fleet.gameServers())
        if left:
            self.failures.append(f"still registered after their process was stopped: {left}")

    def report(self, players: Players) -> None:
        """Print what happened, and keep it as JSON if asked to."""
        if self._doubles:
            self.failures.append(f"registered twice at a time: {sorted(self._doubles)}")
        self.happened["registrations left at a stop, until their health lapsed"] = len(self._left)
        self.failures += players.failures + self.fleet.failures
        figures = {
            "seed": self.settings.seed,
            "game servers": self.settings.processes * self.settings.servers,
            "calls that fail": self.settings.failing,
            "happened": dict(self.happened),
            "players": dict(players.counted),
            "calls": self.fleet.calls,
            "failures": self.failures,
            "log": self.fleet.lines(
                [word for both in self._doubles for word in both.split(" and ")]
            ),
        }
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        if self.settings.json is not None:
            self.settings.json.write_text(json.dumps(figures, indent=2) + "\n")
        verdict = f"{len(self.failures)} failures" if self.failures else "nothing was lost"
        sys.stdout.write(f"seed {self.settings.seed}: {verdict}\n")


def at(servers: list[dict[str, str]]) -> list[str]:
    """Their addresses."""
    return [each["ConnectionInfo"] for each in servers]


def main() -> int:
    """Read the settings, and run."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10000)
    parser.add_argument("--failing", type=float, default=0.2, help="the share of calls that fail")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--servers", type=int, default=40, help="of each process")
    parser.add_argument("--players", type=int, default=60, help="at a time")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    parser.add_argument("--json", type=Path, help="where to keep the report")
    parser.add_argument("--logs", type=Path, help="a folder where the processes' logs are kept")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole = asyncio.run(Chaos(settings, settings.logs or Path(folder)).run())
    return int(not whole)


if __name__ == "__main__":
    sys.exit(main())
