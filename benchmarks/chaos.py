"""
Run game servers and players while calls fail and processes are killed: C{make chaos}.

Instances are interrupted too, the clock jumps, state files are damaged, and nobody reads the log of
a process. Attackers connect all the time. The checks use FleetIQ, sockets, and a few log lines:

  - A player is rejected or disconnected only for a known reason, which is counted.
  - Each byte is echoed.
  - A claimed player is admitted, although strangers connect to the same game server.
  - A client that never begins the TLS handshake is disconnected, and is never a player.
  - After each session its registration is removed.
  - No game server is registered twice at a time.
  - At the end, each game server is registered once and AVAILABLE.

Prints a report with its seed. The exit code is 1 if a check failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from asyncio import Lock, create_task, gather, sleep
from collections import Counter
from itertools import cycle
from pathlib import Path
from random import Random, SystemRandom

from benchmarks.chaos_attackers import PLANTED, Attackers, damage
from benchmarks.chaos_fleet import Fleet, GameServers, Kind, freePorts
from benchmarks.chaos_players import Players

# The faults that make a call fail.
FAILING = (
    {"kind": "error", "code": "InternalServiceException"},
    {"kind": "throttle"},
    {"kind": "drop"},
    {"kind": "lost-reply"},
)
# Shorter than the start of a process. Otherwise a call of a killed process could still register a
# game server after the next process has removed the old registrations.
SLOW = {"kind": "slow", "seconds": 0.2, "probability": 0.05}
TICK = 2.0
NOTICE = 25.0
AVAILABLE_DEADLINE = 90.0
# What a damaged state file left registered expires at the end: 180 s of the clock, in steps during
# which each process sends heartbeats.
EXPIRE_STEPS, EXPIRE_SECONDS, EXPIRE_PAUSE = 4, 60.0, 8.0
DAMAGED_SHARE = 0.3


class Chaos:
    """One run: the fleet, the players, the disturbances and the report."""

    def __init__(self, settings: argparse.Namespace, folder: Path) -> None:
        self.settings = settings
        self.rng = Random(settings.seed)
        self.fleet = Fleet(folder, settings.seed, instances=settings.processes + 200)
        self.events: Counter[str] = Counter()
        self.failures: list[str] = []
        self._clock = Lock()
        self._playing = self._watching = True
        self._everUtilized: set[str] = set()
        self._doubles: set[str] = set()
        self._left: set[str] = set()
        self._damaged: set[int] = set()
        self._planted = folder / "planted"

    async def run(self) -> bool:
        """Run. Return whether all checks passed."""
        settings = self.settings
        async with self.fleet as fleet:
            bases = freePorts(settings.processes, settings.servers, SystemRandom())
            for base, kind in zip(bases, cycle(Kind), strict=False):
                await fleet.start(base, settings.servers, kind)
            await self.faults()
            attackers = Attackers(fleet, Random(f"attackers {settings.seed}"))
            attackers.start()
            # A separate rng: the disturbances do not depend on the timing of the players.
            players = Players(fleet, Random(f"players {settings.seed}"), settings.sessions)
            watching = create_task(self.watch())
            disturbing = gather(self.disturb(), self.passTime())
            await players.play(settings.players)
            self._playing = False
            await fleet.control("DELETE", "/_local/faults")
            await disturbing
            await self.expireDamaged()
            await self.waitUntilAvailable()
            self._watching = False
            await watching
            await attackers.stop()
            await self.stopAll()
        self.report(players, attackers)
        return not self.failures

    async def faults(self) -> None:
        """Set the faults, so that the given share of the calls fails."""
        each = 1 - (1 - self.settings.failing) ** (1 / len(FAILING))
        for fault in FAILING:
            await self.fleet.control(
                "POST", "/_local/faults", {"operation": "*", "probability": each, **fault}
            )
        await self.fleet.control("POST", "/_local/faults", {"operation": "*", **SLOW})

    async def disturb(self) -> None:
        """Run one disturbance after another, until the players have finished."""
        while self._playing:
            await sleep(TICK)
            disturbance = self.rng.choices(
                (self.drop, self.kill, self.spot, self.drain, self.rebalance), (2, 5, 2, 2, 1)
            )[0]
            await disturbance()

    async def passTime(self) -> None:
        """
        Advance the clock by minutes, so that unused claims expire.

        Not during an interruption, which would end too early.
        """
        while self._playing:
            await sleep(TICK)
            async with self._clock:
                self.events["clock jumps of 60 s"] += 1
                await self.fleet.advance(60)

    async def drop(self) -> None:
        """Advance the clock so far that FleetIQ drops every game server."""
        self.events["clock jumps of 200 s, after which each server is dropped"] += 1
        await self.fleet.advance(200)

    async def kill(self) -> None:
        """Kill a process, and start it again with the same ports."""
        self.events["processes killed and started again"] += 1
        await self.fleet.kill(self.anyProcess(), self.damage)

    def damage(self, servers: GameServers) -> None:
        """
        Damage some state files of a killed process.

        Not with C{--admission claimed}: a claim of the registration that is then left over names no
        registration of the next process.
        """
        if servers.kind is Kind.CLAIMED:
            return
        for port in servers.ports:
            path = self.fleet.stateDir / f"{port}.json"
            if path.is_file() and self.rng.random() < DAMAGED_SHARE:
                self._damaged.add(port)
                how = damage(path, self._planted, self.rng)
                self.events[f"state files damaged: {how}"] += 1

    async def expireDamaged(self) -> None:
        """Advance the clock, so that registrations expire whose state file was damaged."""
        for _ in range(EXPIRE_STEPS if self._damaged else 0):
            await self.fleet.advance(EXPIRE_SECONDS)
            await sleep(EXPIRE_PAUSE)
        if self._planted.exists() and self._planted.read_bytes() != PLANTED:
            self.failures.append("a file was written to through a symlink in the state directory")

    async def spot(self) -> None:
        """Send a Spot or Auto Scaling notice, and replace the process when its instance ends."""
        kind = self.rng.choice(("spot", "autoscaling"))
        self.events[f"{kind} interruptions"] += 1
        servers = self.anyProcess()
        async with self._clock:
            if await self.fleet.interrupt(servers, kind, NOTICE):
                self.events[f"{kind} interruptions: the process stopped before the end"] += 1

    async def drain(self) -> None:
        """Set the instance to DRAINING, and stop its process."""
        self.events["instances drained, and their process stopped"] += 1
        await self.fleet.drain(self.anyProcess())

    async def rebalance(self) -> None:
        """Send a rebalance recommendation, which has no effect by default."""
        self.events["rebalance recommendations"] += 1
        await self.fleet.notice(self.anyProcess().instanceId, "rebalance")

    def anyProcess(self) -> GameServers:
        """Return a random process."""
        return self.rng.choice(self.fleet.running)

    async def watch(self) -> None:
        """Check the state repeatedly."""
        while self._watching:
            self.check(await self.fleet.gameServers())
            await sleep(0.25)

    def check(self, servers: list[dict[str, str]]) -> None:
        """
        Check that no game server is registered twice.

        A registration with the same address but of another instance is from a stopped process that
        could not deregister in time. So is one whose state file was damaged.
        """
        first: dict[str, dict[str, str]] = {}
        for each in servers:
            other = first.setdefault(each["ConnectionInfo"], each)
            if each is not other:
                both = f"{other['GameServerId']} and {each['GameServerId']}"
                same = other["InstanceId"] == each["InstanceId"]
                same = same and int(each["ConnectionInfo"].rpartition(":")[2]) not in self._damaged
                (self._doubles if same else self._left).add(both)
            if each["UtilizationStatus"] == "UTILIZED":
                self._everUtilized.add(each["GameServerId"])

    async def waitUntilAvailable(self) -> None:
        """Wait until each game server is AVAILABLE once, without players and faults."""
        expected = sorted(f"localhost:{port}" for each in self.fleet.running for port in each.ports)
        servers: list[dict[str, str]] = []
        for _ in range(int(AVAILABLE_DEADLINE * 2)):
            servers = await self.fleet.gameServers()
            free = [each for each in servers if each["UtilizationStatus"] == "AVAILABLE"]
            if len(free) == len(servers) and sorted(at(servers)) == expected:
                break
            await sleep(0.5)
        else:
            missing = sorted(set(expected) - set(at(servers)))
            unexpected = sorted(set(at(servers)) - set(expected))
            self.failures.append(
                f"not all AVAILABLE after {AVAILABLE_DEADLINE:.0f} s: missing {missing}, "
                f"unexpected {unexpected}, "
                f"{Counter(each['UtilizationStatus'] for each in servers)}"
            )
        leaked = self._everUtilized & {each["GameServerId"] for each in servers}
        if leaked:
            self.failures.append(
                f"registrations that were not removed after their session: {sorted(leaked)}"
            )

    async def stopAll(self) -> None:
        """Stop all processes, and check that no registration is left."""
        await gather(*(self.fleet.stop(each) for each in self.fleet.running))
        left = at(await self.fleet.gameServers())
        if left:
            self.failures.append(f"still registered after their process was stopped: {left}")

    def report(self, players: Players, attackers: Attackers) -> None:
        """Print the report, and write it to the JSON file if there is one."""
        if self._doubles:
            self.failures.append(f"registered twice at a time: {sorted(self._doubles)}")
        self.events["registrations left after a stop"] = len(self._left)
        self.failures += players.failures + attackers.failures + self.fleet.failures
        figures = {
            "seed": self.settings.seed,
            "game servers": self.settings.processes * self.settings.servers,
            "calls that fail": self.settings.failing,
            "happened": dict(self.events),
            "players": dict(players.counted),
            "attackers": dict(attackers.counted),
            "calls": self.fleet.calls,
            "failures": self.failures,
            "log": self.fleet.lines(
                [word for both in self._doubles for word in both.split(" and ")]
                + players.unexplained
            ),
        }
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        if self.settings.json is not None:
            self.settings.json.write_text(json.dumps(figures, indent=2) + "\n")
        verdict = f"{len(self.failures)} failures" if self.failures else "all checks passed"
        sys.stdout.write(f"seed {self.settings.seed}: {verdict}\n")


def at(servers: list[dict[str, str]]) -> list[str]:
    """Return the addresses of game servers."""
    return [each["ConnectionInfo"] for each in servers]


def main() -> int:
    """Parse the command line, and run. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10000)
    parser.add_argument("--failing", type=float, default=0.2, help="the share of calls that fail")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--servers", type=int, default=40, help="of each process")
    parser.add_argument("--players", type=int, default=60, help="at a time")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    parser.add_argument("--json", type=Path, help="a file for the report")
    parser.add_argument("--logs", type=Path, help="a directory for the logs of the processes")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        passed = asyncio.run(Chaos(settings, settings.logs or Path(folder)).run())
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
