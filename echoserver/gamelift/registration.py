"""
Keep one game server registered with FleetIQ: a loop that makes one call at a time, towards the
desired state. The desired state may change during a call; the loop looks again after each call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from random import Random
from typing import Any, TypeVar
from typing import Protocol as TypingProtocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.clock import CancellableSleep
from echoserver.gamelift.degraded import Degraded
from echoserver.gamelift.errors import CallFailed, ConflictException, NotFoundException
from echoserver.gamelift.idstore import IdStore
from echoserver.gamelift.lifecycle import (
    ADOPT_WITHIN,
    NOBODYS,
    Absent,
    Available,
    Confirmed,
    Conflict,
    Desired,
    Outcome,
    RegistrationState,
    Step,
    Unknown,
    Utilized,
    UtilizedExternally,
    Wanted,
    after,
    backoff,
    mayBeClaimed,
    nextStep,
    settle,
)
from echoserver.gamelift.service import GameServerDescription, RegistrationRequest, checkData
from echoserver.ratelimit import RateLimiter

T = TypeVar("T")

_log = Logger(namespace="fleetiq.gamelift")

_JITTER = 0.1
HEALTH_CHECK_TIMEOUT = 5.0
# A heartbeat that is this late, in seconds, goes before all other calls of the process.
_URGENT_AFTER = 2.0
_HEALTH_REPORTS = (Step.REGISTER, Step.UTILIZE, Step.HEARTBEAT)
# A claim expires while UTILIZE waits. Any client can cause claim checks, so they come last.
_PRIORITIES = {
    Step.UTILIZE: 0,
    Step.DEREGISTER: 1,
    Step.INSPECT: 2,
    Step.HEARTBEAT: 3,
    Step.REGISTER: 4,
}
LOWEST_PRIORITY = 5


class FleetIQOperations(TypingProtocol):
    """The operations that are used of L{echoserver.gamelift.service.FleetIQ}."""

    def register(
        self, gameServerId: str, instanceId: str, connectionInfo: str, data: str | None
    ) -> Deferred[GameServerDescription]: ...
    def utilize(self, gameServerId: str) -> Deferred[GameServerDescription]: ...
    def heartbeat(
        self, gameServerId: str, data: str | None = None
    ) -> Deferred[GameServerDescription]: ...
    def describe(self, gameServerId: str) -> Deferred[GameServerDescription]: ...
    def deregister(self, gameServerId: str) -> Deferred[None]: ...


class RegistrationListener(TypingProtocol):
    """Is notified of one registration. An exception that it raises is logged."""

    @property
    def registered(self) -> Callable[[], None]:
        """Called when FleetIQ has confirmed the first registration."""

    @property
    def refused(self) -> Callable[[str], bool]:
        """
        Called with a message if FleetIQ refuses permanently before the first registration. If it
        returns True, the registration ends; else the call is repeated.
        """

    @property
    def sessionConfirmed(self) -> Callable[[str], None]:
        """Called with a claim's GameServerData once the session it was for is UTILIZED."""

    @property
    def claimChanged(self) -> Callable[[bool, str], None]:
        """Called when a reply shows a new claim, or that a claim has expired unused."""


@dataclass(frozen=True, slots=True)
class RegistrationError:
    """
    A call that failed.

    @ivar time: when, in seconds of the clock.
    """

    time: float
    message: str


@dataclass(frozen=True, slots=True)
class _Result:
    """
    The result of a step.

    @ivar description: the game server in the reply.
    @ivar message: what failed.
    @ivar permanent: whether repeating cannot help before somebody changes something.
    """

    outcome: Confirmed | Outcome
    description: GameServerDescription | None = None
    message: str = "FleetIQ returned an unexpected UtilizationStatus."
    permanent: bool = False


class Registration:
    """
    Keeps the registration of one game server at the desired state.

    @param request: what to register.
    @param heartbeat: seconds without a health report after which a heartbeat is sent.
    @param listener: is notified of events.
    @param healthy: the health check: returns whether the game server is healthy, or a Deferred of
        it. Called before each heartbeat.
    @param idStore: persists the id. An id that a crash left registered is deregistered first.
    @ivar state: the id, and what FleetIQ last confirmed.
    @ivar calling: whether a call is in flight.
    @ivar lastReport: when FleetIQ last received a health report, in seconds of the clock.
    @ivar nextReportDue: when the next one is due.
    @ivar lastError: the last call that failed.
    @ivar degradedSince: when the first call failed of those that no success has followed.
    @ivar unhealthySince: since when the health check fails.
    @ivar claimData: the GameServerData of the last claim; None before one. It is never logged.
    """

    def __init__(
        self,
        clock: IReactorTime,
        rng: Random,
        fleetIQ: FleetIQOperations,
        request: RegistrationRequest,
        *,
        limiter: RateLimiter,
        degraded: Degraded,
        heartbeat: float,
        listener: RegistrationListener,
        healthy: Callable[[], object] = lambda: True,
        idStore: IdStore | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._fleetIQ = fleetIQ
        self.request = request
        self._degraded = degraded
        self._heartbeat = heartbeat
        self._listener = listener
        self._healthy = healthy
        self._idStore = idStore
        self.state = RegistrationState(request.newId(rng))
        leftBehind = None if idStore is None else idStore.load(request)
        if leftBehind is not None:
            self.state = RegistrationState(leftBehind, NOBODYS)
        self.desired = Desired(Absent())
        self.calling = False
        self.lastReport: float | None = None
        self.nextReportDue = clock.seconds()
        self.lastError: RegistrationError | None = None
        self.degradedSince: float | None = None
        self.unhealthySince: float | None = None
        self.claimData: str | None = None
        self._claimTime: datetime | None = None
        self._dataToSend: str | None = None
        self._dataSent: str | None = None
        self._confirmed = False
        self._givenUp = False
        self._notifiedSession = 0
        self._check: Deferred[None] | None = None
        self._checkSucceeded = False
        self._wait = CancellableSleep(clock)
        self._waiter = limiter.waiter(self._wait.wake)
        self._acquire = limiter.acquire
        self._pausing = False
        self._callDone: list[Deferred[None]] = []

    def run(self) -> Deferred[None]:
        """
        Start. Fires with None when the desired state is final and FleetIQ does not have the game
        server. Cancel it to abandon a call in flight.
        """

        def ended(result: T) -> T:
            self._waiter.giveUp()
            self._endCheck()
            self.degradedSince = None
            self._degraded.ended(self)
            return result

        return Deferred.fromCoroutine(self._run()).addBoth(ended)

    def setDesired(self, desired: Desired) -> None:
        """Change the desired state. A pause after a failure is not shortened."""
        if desired != self.desired:
            self.desired = desired
            self._changed()

    def setData(self, data: str) -> None:
        """
        Publish this GameServerData: now if registered, and with each registration that follows.

        @raise ValueError: if FleetIQ would not accept it.
        """
        checkData(data)
        self.request = replace(self.request, data=data)
        self._dataToSend = data
        self._changed()

    def retryNow(self) -> None:
        """End a pause after a failure."""
        self.state = replace(self.state, failures=0)
        self._wait.wake()

    def reportNow(self) -> None:
        """Send a health report now: FleetIQ may not know the game server any more."""
        self.nextReportDue = self._clock.seconds()
        self.retryNow()

    def whenCallDone(self) -> Deferred[None]:
        """Return a Deferred that fires when the call in flight has ended, in any way."""
        done: Deferred[None] = Deferred()
        self._callDone.append(done)
        return done

    def isClaimed(self) -> Deferred[bool]:
        """
        Call DescribeGameServer, at the lowest priority, and return whether a claim waits for its
        players. It may be cancelled.
        """
        return Deferred.fromCoroutine(self._isClaimed())

    async def _isClaimed(self) -> bool:
        if mayBeClaimed(self.state.known):
            await self._acquire(LOWEST_PRIORITY)
        before = self.state
        if isinstance(before.known, UtilizedExternally) or not mayBeClaimed(before.known):
            return isinstance(before.known, UtilizedExternally)
        result = await self._call(Step.INSPECT, before.gameServerId)
        description = result.description
        if description is None:
            _log.warn("Could not check the claim: {reason}", reason=result.message)
            return False
        if self.state.gameServerId != before.gameServerId or not self.request.owns(description):
            return False
        self._updateClaim(description)
        if description.utilized and self.state.known == Available():
            self.state = replace(self.state, known=UtilizedExternally(self._clock.seconds()))
            self._changed()
        return description.claimed or isinstance(self.state.known, UtilizedExternally)

    def _changed(self) -> None:
        if not self._pausing:
            self._wait.wake()

    # The loop.

    async def _run(self) -> None:
        while not self._ended():
            now = self._clock.seconds()
            wanted = self._adopt(self.desired.towards(self.state.known), now)
            self._notifySession(wanted)
            step = nextStep(self.state.known, wanted)
            absent = self.state.known == Absent()
            resting = step is Step.REST
            # Data travels with a heartbeat, so it waits while the game server is unhealthy.
            sendData = self._dataToSend is not None and self.unhealthySince is None
            if resting and (absent or (now < self.nextReportDue and not sendData)):
                self._waiter.giveUp()
                await self._wait.sleep(None if absent else self._nextWakeUp() - now)
                continue
            if resting:
                step = Step.HEARTBEAT
                if not self._isHealthy():
                    if self._check is not None:
                        self._waiter.giveUp()
                        await self._wait.sleep(None)
                    continue
            urgentAt = inf if absent else self.nextReportDue + _URGENT_AFTER
            if not self._waiter.mayCall(_PRIORITIES[step], urgentAt):
                await self._wait.sleep(None)
                continue
            failures = self.state.failures
            result = await self._take(step, wanted)
            if self._givenUp:
                return
            if self.state.failures > failures:
                await self._failed(result.message)
            elif not self.state.failures:
                self.degradedSince = None
                self._degraded.succeeded(self)

    def _ended(self) -> bool:
        return self.desired.final and self.state.known == Absent() == self._wanted()

    def _wanted(self) -> Wanted:
        return self.desired.towards(self.state.known)

    def _nextWakeUp(self) -> float:
        known = self.state.known
        if isinstance(known, UtilizedExternally):
            return min(self.nextReportDue, known.since + ADOPT_WITHIN)
        return self.nextReportDue

    def _adopt(self, wanted: Wanted, now: float) -> Wanted:
        """Decide on a UTILIZED that another client has set: adopt it, or renew the registration."""
        known = settle(self.state.known, wanted, now)
        if known != self.state.known:
            decision = "registering anew" if known == NOBODYS else "this session adopts it"
            _log.info("UTILIZED was set by another client: {decision}.", decision=decision)
            self.state = replace(self.state, known=known)
        return wanted

    def _notifySession(self, wanted: Wanted) -> None:
        known = self.state.known
        if isinstance(known, Utilized) and known == wanted:
            if known.session != self._notifiedSession and self.claimData is not None:
                self._notify(self._listener.sessionConfirmed, self.claimData)
            self._notifiedSession = known.session

    def _isHealthy(self) -> bool:
        """
        Return whether the health check has succeeded for the next heartbeat. If not, start one,
        unless one is in progress: its end wakes the loop.
        """
        if not self._checkSucceeded and self._check is None:
            check: Deferred[Any] = maybeDeferred(self._healthy)
            self._check = check
            check.addTimeout(HEALTH_CHECK_TIMEOUT, self._clock).addBoth(self._checkDone, check)
        return self._checkSucceeded

    def _checkDone(self, result: object, check: Deferred[None]) -> None:
        if self._check is not check:
            return
        self._check = None
        if not isinstance(result, Failure):
            reason = "" if result else f"it returned {result!r}"
        elif result.check(TimeoutError):
            reason = f"no result within {HEALTH_CHECK_TIMEOUT:.0f} s"
        else:
            reason = repr(result.value)
        self._checkSucceeded = not reason
        self._recordHealth(reason)
        self._wait.wake()

    def _endCheck(self) -> None:
        """Cancel the health check in progress, and forget the result of the last one."""
        check, self._check = self._check, None
        self._checkSucceeded = False
        if check is not None:
            check.cancel()

    def _recordHealth(self, reason: str) -> None:
        if not reason and self.unhealthySince is not None:
            _log.info("Healthy again: sending heartbeats.")
            self.unhealthySince = None
        if not reason:
            return
        if self.unhealthySince is None:
            self.unhealthySince = self._clock.seconds()
            _log.warn(
                "Unhealthy: the game's health check failed ({reason}). Heartbeats are skipped until"
                " it succeeds; FleetIQ drops a game server after 180 s without one.",
                reason=reason,
            )
        self._scheduleReport(self._clock.seconds())

    async def _failed(self, message: str) -> None:
        self.lastError = RegistrationError(self._clock.seconds(), message)
        if self.degradedSince is None:
            self.degradedSince = self.lastError.time
        self._degraded.failed(self, message)
        if self._ended():
            return
        seconds = backoff(self.state.failures, self._rng.uniform(0, 1))
        _log.warn("{reason} Retrying in {seconds:.1f} s.", reason=message, seconds=seconds)
        self._pausing = True
        try:
            await self._wait.sleep(seconds)
        finally:
            self._pausing = False

    # One step.

    async def _take(self, step: Step, wanted: Wanted) -> _Result:
        self._endCheck()
        sent, before = self._clock.seconds(), self.state
        result = await self._perform(step, before.gameServerId)
        outcome = result.outcome
        if isinstance(outcome, Confirmed) and step in _HEALTH_REPORTS:
            self.lastReport = sent
            self._scheduleReport(sent)
            if self._dataSent == self._dataToSend:
                self._dataToSend = None
        self.state = after(
            self.state,
            step,
            wanted,
            outcome,
            self._clock.seconds(),
            self._heartbeat,
            self.request.newId(self._rng),
        )
        _logStep(step, before, self.state, outcome)
        if step is Step.DEREGISTER and self.state.known == Absent() and self._idStore is not None:
            self._idStore.save(self.request, None)
        if isinstance(outcome, Confirmed) and outcome.ours and result.description is not None:
            self._updateClaim(result.description)
            if not self._confirmed:
                self._confirmed = True
                self._notify(self._listener.registered)
        elif result.permanent and not self._confirmed:
            self._givenUp = bool(self._notify(self._listener.refused, result.message))
        return result

    def _scheduleReport(self, now: float) -> None:
        self.nextReportDue = now + self._heartbeat * (1 - self._rng.uniform(0, _JITTER))

    async def _perform(self, step: Step, gameServerId: str) -> _Result:
        self.calling = True
        self._dataSent = None
        try:
            if step is Step.REGISTER:
                self.claimData = self._claimTime = None
                if self._idStore is not None:
                    await self._idStore.save(self.request, gameServerId)
            return await self._call(step, gameServerId)
        finally:
            self.calling = False
            done, self._callDone = self._callDone, []
            for each in done:
                each.callback(None)

    async def _call(self, step: Step, gameServerId: str) -> _Result:
        """Call the operation of a step. Raises CancelledError only."""
        try:
            description = await self._operation(step, gameServerId)
        except NotFoundException as error:
            return _Result(Outcome.GONE, None, str(error), permanent=step is Step.REGISTER)
        except ConflictException as error:
            return _Result(Outcome.CONFLICT, None, str(error))
        except CallFailed as error:
            refusal = Outcome.REFUSED if error.retry else Outcome.FORBIDDEN
            outcome = Outcome.LOST if error.mayHaveHappened else refusal
            return _Result(outcome, None, str(error), permanent=outcome is Outcome.FORBIDDEN)
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 # an internal error must not end the heartbeats
            _log.failure("The step {step} failed by an internal error.", step=step.value)
            return _Result(Outcome.LOST, None, "An internal error occurred.")
        if description is None:
            return _Result(Outcome.GONE)
        ours = self.request.owns(description)
        if step is Step.INSPECT and not ours and self.request.fixedId is not None:
            message = (
                f"The game server id {self.request.fixedId} is registered by"
                f" {description.connectionInfo} on {description.instanceId}: give another"
                " --game-server-id, or leave it out."
            )
            return _Result(Outcome.FORBIDDEN, None, message, permanent=True)
        return _Result(Confirmed(description.utilized, ours), description)

    def _operation(
        self, step: Step, gameServerId: str
    ) -> Deferred[GameServerDescription] | Deferred[None]:
        request = self.request
        match step:
            case Step.REGISTER:
                _log.info("Registering {id}.", id=gameServerId)
                self._dataSent = request.data
                return self._fleetIQ.register(
                    gameServerId, request.instanceId, request.connectionInfo, request.data
                )
            case Step.UTILIZE:
                return self._fleetIQ.utilize(gameServerId)
            case Step.DEREGISTER:
                return self._fleetIQ.deregister(gameServerId)
            case Step.INSPECT:
                return self._fleetIQ.describe(gameServerId)
        self._dataSent = self._dataToSend
        return self._fleetIQ.heartbeat(gameServerId, self._dataSent)

    def _updateClaim(self, description: GameServerDescription) -> None:
        """Find in a reply that a claim is new, or that it has expired."""
        if description.lastClaim is not None:
            self.claimData = description.gameServerData
        before, self._claimTime = self._claimTime, None
        if description.claimed:
            self._claimTime = description.lastClaim
            if before != description.lastClaim:
                _log.info("Claimed: a player has 60 s to connect.")
                self._notify(self._listener.claimChanged, True, self.claimData or "")
        elif before is not None and not description.utilized:
            _log.info("The claim has expired without a player: free for the next one.")
            self._notify(self._listener.claimChanged, False, self.claimData or "")

    def _notify(self, callback: Callable[..., object], *args: object) -> object:
        """Call the listener, and return its result; None if it raises."""
        try:
            return callback(*args)
        except Exception:  # noqa: BLE001 # the listener's error must not end the heartbeats
            _log.failure("A listener of the registration failed.")
            return None


def _logStep(
    step: Step, before: RegistrationState, after: RegistrationState, outcome: Confirmed | Outcome
) -> None:
    """Log what a step has changed."""
    known, newId, id = after.known, after.gameServerId, before.gameServerId
    match step, known:
        case Step.REGISTER, Absent():
            return
        case _, Conflict() if before.known != known:
            _log.warn(
                "Result of RegisterGameServer for {id} unknown: calling DescribeGameServer.", id=id
            )
        case _, Unknown() if before.known != known:
            _log.warn("Result of the last call for {id} unknown: sending a heartbeat.", id=id)
        case Step.DEREGISTER, Absent():
            _log.info("Deregistered {id}.", id=id)
        case _, Absent() if outcome is Outcome.GONE and newId != id:
            _log.warn("FleetIQ does not know {id} any more: using a new id.", id=id)
        case _, Absent() if newId != id:
            _log.warn("{id} is registered by another server: using a new id.", id=id)
        case _, Utilized(session=session) if before.known != known:
            _log.info("UTILIZED: session {session}.", session=session)
        case Step.HEARTBEAT, Available() | Utilized() | UtilizedExternally() if (
            before.known == known
        ):
            _log.info("Heartbeat of {id}.", id=id)
        case _, UtilizedExternally() if before.known != known:
            _log.warn("UTILIZED was set by another client: waiting for players.")
        case ((Step.REGISTER | Step.INSPECT), Available()) if before.known != known:
            _log.info("AVAILABLE as {id}.", id=id)
