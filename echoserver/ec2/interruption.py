"""Poll for interruption notices: the instance metadata, and the instance's status in FleetIQ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
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
from echoserver.ec2.notices import (
    MAINTENANCE_PATH,
    PATHS,
    InstanceStatus,
    InvalidNotice,
    Notice,
    NoticeKind,
    parseNotices,
)

_log = Logger(namespace="fleetiq.ec2")

METADATA_INTERVAL = 5.0
MAX_INTERVAL = 600.0
# Seconds before scheduled maintenance at which game servers drain. EC2 announces it up to weeks
# ahead; until then the instance can serve players. Most sessions end within an hour.
MAINTENANCE_LEAD = 3600.0
_JITTER = 0.1


class Drainable(TypingProtocol):
    """A game server that can drain: L{echoserver.server.gameserver.GameServer}."""

    def terminate(self, deadline: float | None, reason: str) -> None:
        """
        The instance ends: deregister after the running session, and at the latest before the
        deadline.

        @param deadline: seconds of the reactor's clock; None if it is not known.
        """

    def drain(self, reason: str) -> None:
        """FleetIQ is draining the instance: the running session is the last one."""

    def cancelDrain(self) -> None:
        """FleetIQ no longer drains the instance."""


@dataclass(frozen=True, slots=True)
class InterruptionConfig:
    """
    The settings of L{InterruptionPoller}.

    @ivar drainOnRebalance: if True, a rebalance recommendation has the effect of a Spot notice.
    @ivar statusInterval: seconds between two calls for the instance's status; 0 for no calls.
    """

    drainOnRebalance: bool = False
    statusInterval: float = 60.0


class InterruptionPoller:
    """
    Polls for notices about the instance of this process, and drains its game servers.

    Errors are logged; only a notice drains the game servers. Use it on the reactor thread.

    @param instanceStatus: calls FleetIQ for the status of the instance.
    @param statusError: the exception that C{instanceStatus} fails with if the call fails; its text
        is a sentence. Any other exception is logged with its traceback.
    @ivar notices: the number of different notices of each kind.
    @ivar metadataErrors: the number of requests to the metadata service that failed.
    @ivar status: the last status that FleetIQ returned; None before the first.
    """

    def __init__(
        self,
        clock: IReactorTime,
        rng: Random,
        metadata: InstanceMetadata,
        instanceStatus: Callable[[], Deferred[str | None]],
        servers: Sequence[Drainable],
        config: InterruptionConfig,
        *,
        statusError: type[Exception],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._metadata = metadata
        self._instanceStatus = instanceStatus
        self._statusError = statusError
        self._servers = servers
        self._config = config
        # By the digest of a notice: True if it was handled, False if its time is far ahead.
        self._handled: dict[bytes, bool] = {}
        # The reason of each maintenance event in the last response, by the same digest.
        self._scheduled: dict[bytes, str] = {}
        self._everResponded = False
        self._metadataWorks = True
        self._loops: list[Deferred[None]] = []
        self.notices: Counter[NoticeKind] = Counter()
        self.metadataErrors = 0
        self.status: InstanceStatus | None = None

    def start(self) -> None:
        """Start polling. The first poll is one interval from now."""
        self._startLoop(self._pollMetadata, METADATA_INTERVAL)
        if self._config.statusInterval:
            self._startLoop(self._pollStatus, self._config.statusInterval)

    def stop(self) -> None:
        """Stop polling, and cancel the requests in flight."""
        loops, self._loops = self._loops, []
        for loop in loops:
            loop.cancel()

    def _startLoop(
        self, poll: Callable[[float], Coroutine[Any, Any, float]], interval: float
    ) -> None:
        loop = Deferred.fromCoroutine(self._loop(poll, interval))
        loop.addErrback(Failure.trap, CancelledError)
        self._loops.append(loop)

    async def _loop(
        self, poll: Callable[[float], Coroutine[Any, Any, float]], interval: float
    ) -> None:
        """Poll until cancelled. C{poll} takes the last interval and returns the next, in s."""
        sleep, duration = CancellableSleep(self._clock), 0.0
        while True:
            await sleep.sleep(interval - duration)
            began = self._clock.seconds()
            try:
                interval = await poll(interval)
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001 # a bug in one poll must not end the polling
                _log.failure(
                    "Polling for interruption notices failed. It continues.",
                    eventName="instance.pollingFailed",
                )
            duration = self._clock.seconds() - began

    async def _pollMetadata(self, interval: float) -> float:
        """Request all paths. If the service never responded, double the interval."""
        lastError = None
        for path in PATHS:
            try:
                await self._checkPath(path)
            except NoMetadata as error:
                lastError = str(error)
                self.metadataErrors += 1
        self._logMetadataState(lastError)
        return METADATA_INTERVAL if self._everResponded else min(2 * interval, MAX_INTERVAL)

    async def _checkPath(self, path: str) -> None:
        item = await self._metadata.item(path)
        self._everResponded = True
        try:
            notices = [] if item is None else parseNotices(path, item.text, item.date)
        except InvalidNotice as error:
            raise NoMetadata(
                f"The instance metadata service returned no valid notice for {path}: {error}."
            ) from error
        found = {sha256(f"{path} {each.key}".encode()).digest(): each for each in notices}
        if path == MAINTENANCE_PATH:
            self._logCanceled(found)
        for digest, notice in found.items():
            if not self._handled.get(digest):
                await self._handleNotice(digest, notice)

    def _logCanceled(self, found: Mapping[bytes, Notice]) -> None:
        for digest, reason in self._scheduled.items():
            if digest not in found:
                _log.info(
                    "No longer scheduled: {reason}.",
                    reason=reason,
                    eventName="instance.eventCanceled",
                )
        self._scheduled = {digest: each.reason for digest, each in found.items()}

    def _logMetadataState(self, error: str | None) -> None:
        works = error is None
        if works == self._metadataWorks:
            return
        self._metadataWorks = works
        if works:
            _log.info(
                "The instance metadata service responds again; {n} requests failed.",
                n=self.metadataErrors,
                eventName="instance.metadataResponds",
            )
        elif self._everResponded:
            _log.warn("{error} Polling continues.", error=error, eventName="instance.metadataFails")
        else:
            _log.warn(
                "{error} Interruption notices are not seen until the service responds.",
                error=error,
                eventName="instance.metadataMissing",
            )

    async def _handleNotice(self, digest: bytes, notice: Notice) -> None:
        isNew = digest not in self._handled
        self.notices[notice.kind] += isNew
        self._handled[digest] = True
        if notice.kind is NoticeKind.MAINTENANCE:
            self._handled[digest] = await self._handleMaintenance(notice, isNew)
        elif notice.kind is NoticeKind.REBALANCE and not self._config.drainOnRebalance:
            _log.info(
                "{reason}. No action is taken (--on-rebalance log).",
                reason=notice.reason,
                eventName="instance.rebalanceIgnored",
            )
        else:
            await self._terminateAll(notice.secondsLeft, notice.reason)

    async def _handleMaintenance(self, notice: Notice, isNew: bool) -> bool:
        """Drain, or log why not. Return False if the maintenance is still far ahead."""
        left = notice.secondsLeft or 0.0
        # A process that starts after the time can be that of the rebooted instance: EC2 shows the
        # event for a while. If this process shut down then, nothing would start it again.
        hasPassed = isNew and left <= 0.0
        if hasPassed or not notice.endsInstance:
            reason = "this time has passed" if hasPassed else "the instance keeps running"
            _log.warn(
                "{event}. No action is taken: {reason}.",
                event=notice.reason,
                reason=reason,
                eventName="instance.eventIgnored",
            )
            return True
        if left > MAINTENANCE_LEAD:
            if isNew:
                _log.warn(
                    "{event}, in {left:.0f} s: game servers drain {lead:.0f} s before.",
                    event=notice.reason,
                    left=left,
                    lead=MAINTENANCE_LEAD,
                    eventName="instance.eventScheduled",
                )
            return False
        await self._terminateAll(left, notice.reason)
        return True

    async def _terminateAll(self, secondsLeft: float | None, reason: str) -> None:
        when = "" if secondsLeft is None else f", in {secondsLeft:.0f} s"
        _log.warn(
            "{reason}{when}: every game server deregisters when its session has ended.",
            reason=reason,
            when=when,
            eventName="instance.terminating",
        )
        deadline = None if secondsLeft is None else self._clock.seconds() + secondsLeft
        await self._forEachServer(lambda server: server.terminate(deadline, reason))

    async def _forEachServer(self, action: Callable[[Drainable], None]) -> None:
        """Run the action on one server a reactor iteration, so that players are served between."""
        for index, server in enumerate(self._servers):
            if index:
                await CancellableSleep(self._clock).sleep(0.0)
            try:
                action(server)
            except Exception:  # noqa: BLE001 # a bug in one server must not keep the others running
                _log.failure(
                    "A game server could not be drained. The next one follows.",
                    eventName="instance.drainFailed",
                )

    async def _pollStatus(self, interval: float) -> float:
        configured = self._config.statusInterval
        try:
            value = await self._instanceStatus()
        except self._statusError as error:
            longer = max(configured, min(2 * interval, MAX_INTERVAL))
            _log.warn(
                "{error} The instance's status is requested again in {interval:.0f} s.",
                error=error,
                interval=longer,
                eventName="instance.statusFails",
            )
            return longer
        status = next((each for each in InstanceStatus if each.value == value), None)
        if status is not self.status:
            self.status = status
            await self._handleStatus(status)
        return configured * (1 - self._rng.uniform(0, _JITTER))

    async def _handleStatus(self, status: InstanceStatus | None) -> None:
        match status:
            case InstanceStatus.SPOT_TERMINATING:
                await self._terminateAll(None, "FleetIQ reports the end of this Spot instance")
            case InstanceStatus.DRAINING:
                reason = "FleetIQ is draining this instance"
                _log.warn(
                    "{reason}: the running or next session of each game server is its last.",
                    reason=reason,
                    eventName="instance.draining",
                )
                await self._forEachServer(lambda server: server.drain(reason))
            case InstanceStatus.ACTIVE:
                await self._forEachServer(lambda server: server.cancelDrain())
