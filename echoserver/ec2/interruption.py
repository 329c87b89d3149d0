"""Polls for interruption notices: instance metadata, and the instance status in FleetIQ."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from random import Random
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.clock import CancellableSleep
from echoserver.ec2.metadata import InstanceMetadata, NoMetadata
from echoserver.gamelift.errors import CallFailed

_log = Logger(namespace="fleetiq.ec2")

# What stands there: {"action": "terminate", "time": "2017-09-18T08:22:00Z"},
# {"noticeTime": "2020-11-05T08:22:00Z"}, and a word: Terminated is the notice.
PATHS = (
    "spot/instance-action",
    "events/recommendations/rebalance",
    "autoscaling/target-lifecycle-state",
)
# EC2 gives two minutes; a notice is seen some seconds later. For times that are not to be read.
UNTOLD = 110.0
_ACTIONS = ("terminate", "stop", "hibernate")


class Kind(Enum):
    """What a notice of the metadata is about."""

    SPOT = "spot"
    REBALANCE = "rebalance"
    AUTO_SCALING = "autoscaling"


@dataclass(frozen=True, slots=True)
class Notice:
    """
    A notice of the instance metadata.

    @ivar left: seconds until the instance goes; None if nobody says.
    @ivar reason: whose doing it is, in words.
    """

    kind: Kind
    left: float | None
    reason: str


class Status(Enum):
    """What FleetIQ thinks of an instance: all that AWS documents."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    SPOT_TERMINATING = "SPOT_TERMINATING"


class Unreadable(Exception):
    """Something else stands where a notice should: an error page, for instance."""


def read(path: str, text: str, date: float | None) -> Notice | None:
    """
    What stands at one of L{PATHS}: a notice, or none.

    @param date: when the metadata said so, by its own clock, in seconds since the epoch.
    @raise Unreadable: if it is something else.
    """
    match path:
        case "spot/instance-action":
            return _spot(_members(text), date)
        case "events/recommendations/rebalance":
            if "noticeTime" not in _members(text):
                raise Unreadable("no noticeTime")
            return Notice(Kind.REBALANCE, None, "EC2 sees this Spot instance at risk")
    if not re.fullmatch("[A-Za-z]{1,32}(:[A-Za-z]{1,32})?", text):
        raise Unreadable("no lifecycle state")
    if text.endswith("Terminated"):
        return Notice(Kind.AUTO_SCALING, None, "Auto Scaling is to terminate this instance")
    return None


def _spot(members: dict[str, Any], date: float | None) -> Notice:
    action, time = members.get("action"), members.get("time")
    if action not in _ACTIONS:
        raise Unreadable("no action")
    ends = _seconds(time)
    if ends is None or date is None:
        return Notice(Kind.SPOT, UNTOLD, f"EC2 is to {action} this Spot instance")
    return Notice(Kind.SPOT, ends - date, f"EC2 is to {action} this Spot instance at {time}")


def _members(text: str) -> dict[str, Any]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable("no JSON") from error
    if not isinstance(members, dict):
        raise Unreadable("no JSON object")
    return members


def _seconds(time: object) -> float | None:
    """Seconds since the epoch, of a time as EC2 writes it."""
    try:
        return datetime.strptime(str(time), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


EVERY = 5.0
SLOWEST = 600.0
_JITTER = 0.1


class Drainable(TypingProtocol):
    """Who is told: L{echoserver.server.gameserver.GameServer}."""

    def terminate(self, deadline: float | None, reason: str) -> None: ...
    def drain(self, reason: str) -> None: ...
    def cancelDrain(self) -> None: ...


@dataclass(frozen=True, slots=True)
class InterruptionConfig:
    """
    How to watch.

    @ivar leaveOnRebalance: whether a rebalance recommendation is taken for a Spot notice.
    @ivar statusEvery: seconds between two questions for the status in FleetIQ; 0 for none.
    """

    leaveOnRebalance: bool = False
    statusEvery: float = 60.0


class InterruptionPoller:
    """
    One process's watch over its instance. Whatever it meets, it ends nothing but by a notice.

    @param askStatus: asks FleetIQ what it thinks of the instance: fires with it, or fails with
        L{CallFailed}.
    @param servers: who is told.
    @ivar notices: how many of each kind there have been. A notice that stands is one.
    @ivar hiccups: how often the metadata did not answer as it should.
    @ivar status: what FleetIQ said last; None before.
    """

    def __init__(
        self,
        clock: IReactorTime,
        rng: Random,
        metadata: InstanceMetadata,
        askStatus: Callable[[], Deferred[str | None]],
        servers: Sequence[Drainable],
        watching: InterruptionConfig,
    ) -> None:
        self._clock = clock
        self._dice = rng
        self._metadata = metadata
        self._statusAnswer = askStatus
        self._servers = servers
        self._watching = watching
        self._seen: set[bytes] = set()
        self._answered = False
        self._well = True
        self._loops: list[Deferred[None]] = []
        self.notices: Counter[Kind] = Counter()
        self.hiccups = 0
        self.status: Status | None = None

    def start(self) -> None:
        """Look from now on, for the first time after a pause."""
        self._loop(self._lookAtMetadata, EVERY)
        if self._watching.statusEvery:
            self._loop(self._askStatus, self._watching.statusEvery)

    def stop(self) -> None:
        """Look no more."""
        loops, self._loops = self._loops, []
        for loop in loops:
            loop.cancel()

    def _loop(self, look: Callable[[float], Coroutine[Any, Any, float]], pause: float) -> None:
        loop = Deferred.fromCoroutine(self._again(look, pause))
        loop.addErrback(Failure.trap, CancelledError)
        self._loops.append(loop)

    async def _again(
        self, look: Callable[[float], Coroutine[Any, Any, float]], pause: float
    ) -> None:
        """Look, for ever; each look says how long to pause until the next begins."""
        alarm, spent = CancellableSleep(self._clock), 0.0
        while True:
            await alarm.sleep(pause - spent)
            began = self._clock.seconds()
            try:
                pause = await look(pause)
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001 # a fault of ours must not end the watch
                _log.failure("A look at this instance's state failed by a fault of ours.")
            spent = self._clock.seconds() - began

    async def _lookAtMetadata(self, pause: float) -> float:
        """Where nothing has ever answered there is no such service: look ever more rarely."""
        trouble = None
        for path in PATHS:
            try:
                await self._lookAt(path)
            except NoMetadata as error:
                trouble = str(error)
                self.hiccups += 1
        self._tellHealth(trouble)
        return EVERY if self._answered else min(2 * pause, SLOWEST)

    async def _lookAt(self, path: str) -> None:
        item = await self._metadata.item(path)
        self._answered = True
        if item is None:
            return
        try:
            notice = read(path, item.text, item.date)
        except Unreadable as error:
            raise NoMetadata(f"The instance metadata answers {path} with {error}.") from error
        mark = sha256(f"{path} {item.text}".encode()).digest()
        if notice is not None and mark not in self._seen:
            self._seen.add(mark)
            await self._heedNotice(notice)

    def _tellHealth(self, trouble: str | None) -> None:
        well = trouble is None
        if well == self._well:
            return
        self._well = well
        if well:
            _log.info("The instance metadata answers again; {n} hiccups.", n=self.hiccups)
        elif self._answered:
            _log.warn("{trouble} It is asked again.", trouble=trouble)
        else:
            _log.warn(
                "{trouble} Notices of interruption are not seen before it answers.", trouble=trouble
            )

    async def _heedNotice(self, notice: Notice) -> None:
        self.notices[notice.kind] += 1
        if notice.kind is Kind.REBALANCE and not self._watching.leaveOnRebalance:
            _log.info("{reason}. Nothing is done (--on-rebalance).", reason=notice.reason)
            return
        await self._leave(notice.left, notice.reason)

    async def _leave(self, left: float | None, reason: str) -> None:
        when = "" if left is None else f", in {left:.0f} s"
        _log.warn("{reason}{when}: every game server leaves once idle.", reason=reason, when=when)
        deadline = None if left is None else self._clock.seconds() + left
        await self._each(lambda server: server.terminate(deadline, reason))

    async def _each(self, tell: Callable[[Drainable], None]) -> None:
        """Tell one game server a turn: very many in one would hold up the players of all."""
        for index, server in enumerate(self._servers):
            if index:
                await CancellableSleep(self._clock).sleep(0.0)
            try:
                tell(server)
            except Exception:  # noqa: BLE001 # the others are to hear of it all the same
                _log.failure("A game server could not be told by a fault of ours.")

    async def _askStatus(self, pause: float) -> float:
        every = self._watching.statusEvery
        try:
            said = await self._statusAnswer()
        except CallFailed as error:
            slower = max(every, min(2 * pause, SLOWEST))
            _log.warn(
                "{error} The instance's status is asked for again in {pause:.0f} s.",
                error=error,
                pause=slower,
            )
            return slower
        status = next((each for each in Status if each.value == said), None)
        if status is not self.status:
            self.status = status
            await self._heedStatus(status)
        return every * (1 - self._dice.uniform(0, _JITTER))

    async def _heedStatus(self, status: Status | None) -> None:
        match status:
            case Status.SPOT_TERMINATING:
                await self._leave(None, "FleetIQ sees the end of this Spot instance")
            case Status.DRAINING:
                _log.warn(
                    "FleetIQ drains this instance: the next session of each game server that"
                    " ends is its last."
                )
                await self._each(lambda server: server.drain("FleetIQ drains this instance"))
            case Status.ACTIVE:
                await self._each(lambda server: server.cancelDrain())
