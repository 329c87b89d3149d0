"""The subcommand bots: claim and play as many players, and measure the echoes."""

from __future__ import annotations

import random
import resource
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from click import UsageError
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall, deferLater

from echoserver.address import DEFAULT_PORT, Address, parseConnectionInfo
from echoserver.cli.botplayer import BotPlayer
from echoserver.cli.botstats import BotStats, svgPlot, terminalPlot
from echoserver.cli.command import Action, Command
from echoserver.cli.output import CommandFailed, Console
from echoserver.cli.target import Target
from echoserver.cli.values import Number
from echoserver.client import CONNECT_TIMEOUT, claim
from echoserver.gamelift.errors import CallFailed, ConflictException, OutOfCapacityException
from echoserver.gamelift.service import FleetIQ

# Descriptors for FleetIQ, standard streams and files.
_OTHER_DESCRIPTORS = 100
_PROGRESS = 0.25
_BAR = 30


@click.command(
    cls=Command,
    examples=[
        "bots -n 50 --duration 30",
        "bots -n 2000 --per-claim 2000 --rate 200 --duration 60 --svg latency.svg",
    ],
)
@click.option(
    "-n",
    "--players",
    metavar="NUMBER",
    default="10",
    type=Number(),
    help="How many players. [default: 10]",
)
@click.option(
    "--duration",
    metavar="SECONDS",
    default="10",
    type=Number(),
    help="For how many seconds the players start and play. [default: 10]",
)
@click.option(
    "--rate",
    metavar="NUMBER",
    default="5",
    type=Number(),
    help="How many players start in a second. [default: 5]",
)
@click.option(
    "--think",
    metavar="SECONDS",
    default="0.2",
    type=Number(),
    help="How long a player waits after an echo, on average. [default: 0.2]",
)
@click.option(
    "--per-claim",
    metavar="NUMBER",
    default="1",
    type=Number(),
    help="How many players share a claim and its game server. [default: 1]",
)
@click.option(
    "--svg",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the latency over time to this file.",
)
def bots(
    players: float, duration: float, rate: float, think: float, per_claim: float, svg: Path | None
) -> Action:
    """
    Claim and play as many players, and check and time each echo.

    The result is a table: claims, refusals (no game server was free, or it was full), echoes, lost
    and wrong bytes, and the latency of the echoes. On a terminal it is followed by the latency over
    time. The exit status is 1 if a byte was lost or wrong, or if nobody could play.
    """
    for name, value in (("--players", players), ("--per-claim", per_claim)):
        if not isinstance(value, int):
            raise UsageError(f"{name} is {value}: it must be a whole number.")
    if players / rate > duration:
        raise UsageError(
            f"{players} players at {rate:g} a second need {players / rate:g} s to start: use a "
            "longer --duration, or a higher --rate."
        )
    _allowDescriptors(int(players) + _OTHER_DESCRIPTORS)
    load = Load(int(players), float(duration), float(rate), float(think), int(per_claim))

    async def run(target: Target) -> int:
        stats = await Bots(target, load).run()
        return _report(target.console, stats, svg)

    return Action(run)


def _allowDescriptors(needed: int) -> None:
    """@raise UsageError: if this process cannot have so many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
        except (OSError, ValueError):
            hard = soft
        if hard < needed:
            raise UsageError(
                f"the players need {needed} descriptors, and this process may have {hard}: use "
                "fewer players, or raise the limit with 'ulimit -n'."
            )


@dataclass(frozen=True, slots=True)
class Load:
    """The options of C{bots}."""

    players: int
    duration: float
    rate: float
    think: float
    perClaim: int


class Bots:
    """
    The players of a run.

    @ivar stats: what they have measured so far.
    @ivar playing: how many are connected.
    @ivar problem: the first error that was neither a refusal nor lost bytes; empty if none.
    """

    def __init__(self, target: Target, load: Load) -> None:
        self.stats = BotStats(load.players, load.duration)
        self.playing = 0
        self.problem = ""
        self._target = target
        self._clock = target.clock
        self._load = load
        self._fleet = FleetIQ(target.calls, target.group)
        self._began = target.clock.seconds()

    async def run(self) -> BotStats:
        """Start the players one after the other, and return when all have ended."""
        self._began = self._clock.seconds()
        progress = LoopingCall(self._writeProgress)
        progress.clock = self._clock
        if self._target.console.showsProgress:
            progress.start(_PROGRESS)
        ending = []
        for first in range(0, self._load.players, self._load.perClaim):
            await self._until(first / self._load.rate)
            count = min(self._load.perClaim, self._load.players - first)
            ending.append(Deferred.fromCoroutine(self._claimAndPlay(first, count)))
        await DeferredList(ending, fireOnOneErrback=True, consumeErrors=True)
        if progress.running:
            progress.stop()
            self._target.console.writeProgress("")
        if self.problem:
            self._target.console.writeMessage(self.problem)
        return self.stats

    @property
    def _elapsed(self) -> float:
        return self._clock.seconds() - self._began

    async def _until(self, second: float) -> None:
        if (rest := second - self._elapsed) > 0:
            await deferLater(self._clock, rest)

    async def _claimAndPlay(self, first: int, count: int) -> None:
        def refused(reason: CallFailed, _delay: float) -> None:
            self._countFailure(reason)

        try:
            claimed = await claim(
                self._fleet,
                self._clock,
                random=random.random,
                wait=max(0.0, self._load.duration - self._elapsed),
                onRetry=refused,
            )
        except CallFailed as reason:
            self._countFailure(reason)
            return
        self.stats.claims += 1
        try:
            address = parseConnectionInfo(claimed.server.connectionInfo, DEFAULT_PORT)
        except ValueError as reason:
            self.stats.connectFailures += count
            self.problem = self.problem or str(reason)
            return
        playing = []
        for number in range(first, first + count):
            await self._until(number / self._load.rate)
            playing.append(Deferred.fromCoroutine(self._play(number, address)))
        await DeferredList(playing, fireOnOneErrback=True, consumeErrors=True)

    def _countFailure(self, reason: CallFailed) -> None:
        if isinstance(reason, OutOfCapacityException | ConflictException):
            self.stats.refusals += 1
        else:
            self.stats.failedCalls += 1
            self.problem = self.problem or str(reason)

    async def _play(self, number: int, address: Address) -> None:
        connecting = self._target.endpointFor(address).connect(
            Factory.forProtocol(partial(BotPlayer, self._clock))
        )
        try:
            player = await connecting.addTimeout(CONNECT_TIMEOUT, self._clock)
        except Exception as reason:  # noqa: BLE001 (each error of a connection has its own class)
            self.stats.connectFailures += 1
            name = type(reason).__name__
            self.problem = self.problem or f"{address} cannot be connected to: {name}."
            return
        assert isinstance(player, BotPlayer)
        self.playing += 1
        await self._exchange(number, player)
        await player.quit()
        self.playing -= 1
        self.stats.lostBytes += player.lostBytes
        self.stats.wrongBytes += player.wrongBytes
        self.stats.refusals += player.isRejected

    async def _exchange(self, number: int, player: BotPlayer) -> None:
        """Send lines until the run ends, or an echo does not come."""
        sequence = 0
        while self._elapsed < self._load.duration and not player.closed:
            line = f"bot {number} line {sequence}\n".encode()
            sent = self._clock.seconds()
            self.stats.sentBytes += len(line)
            if not await player.send(line):
                return
            self.stats.echoes.append((self._elapsed, self._clock.seconds() - sent))
            sequence += 1
            # Players that wait equally long would all send at the same time.
            await deferLater(self._clock, self._load.think * (0.5 + random.random()))

    def _writeProgress(self) -> None:
        done = min(1.0, self._elapsed / self._load.duration)
        bar = ("#" * round(done * _BAR)).ljust(_BAR, ".")
        self._target.console.writeProgress(
            f"[{bar}] {self._elapsed:.0f} of {self._load.duration:g} s, {self.playing:,d} players, "
            f"{len(self.stats.echoes):,d} echoes"
        )


def _report(console: Console, stats: BotStats, svg: Path | None) -> int:
    if console.json:
        console.writeJSON(stats.asJSON())
    elif console.isTerminal:
        from echoserver.cli.drawing import drawn

        console.draw(drawn(stats.table()))
        console.write(terminalPlot(stats.timeline()))
    else:
        console.write(str(stats.table()))
    if svg is not None:
        title = f"Latency of {len(stats.echoes):,d} echoes of {stats.players:,d} players"
        try:
            svg.write_text(svgPlot(title, stats.timeline()), encoding="utf-8")
        except OSError as reason:
            raise CommandFailed(f"Cannot write {svg}: {reason.strerror}.") from reason
    if not stats.echoes:
        console.writeMessage("No player received an echo.")
        return 1
    return int(bool(stats.lostBytes or stats.wrongBytes))
