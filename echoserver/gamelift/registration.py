"""
Keep one game server registered with FleetIQ: a loop that makes one call at a time, until the known
state is the desired one. The desired state may change during a call: the loop reads it after each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echoserver.clock import CancellableSleep
from echoserver.gamelift.claim import Claim
from echoserver.gamelift.degraded import Degraded
from echoserver.gamelift.health import HealthCheck
from echoserver.gamelift.idstore import IdStore
from echoserver.gamelift.lifecycle import (
    ADOPT_WITHIN,
    NO_PLAYERS,
    Absent,
    Available,
    Confirmed,
    Desired,
    RegistrationState,
    Step,
    Utilized,
    UtilizedExternally,
    Wanted,
    after,
    backoff,
    mayBeClaimed,
    nextStep,
    settle,
)
from echoserver.gamelift.listener import RegistrationListener, notify
from echoserver.gamelift.registrationlog import logStep
from echoserver.gamelift.service import GameServerDescription, RegistrationRequest, checkData
from echoserver.gamelift.stepcalls import FleetIQOperations, StepResult, callStep
from echoserver.ratelimit import RateLimiter

T = TypeVar("T")

_log = Logger(namespace="fleetiq.gamelift")

_JITTER = 0.1
# A heartbeat that is this late, in seconds, has priority over all other calls of the process.
_URGENT_AFTER = 2.0
_HEALTH_REPORTS = (Step.REGISTER, Step.UTILIZE, Step.HEARTBEAT)
# UTILIZE is first, because the claim expires after 60 s. Claim checks are last, because any client
# can cause them.
_PRIORITIES = {
    Step.UTILIZE: 0,
    Step.DEREGISTER: 1,
    Step.INSPECT: 2,
    Step.HEARTBEAT: 3,
    Step.REGISTER: 4,
}
LOWEST_PRIORITY = 5


@dataclass(frozen=True, slots=True)
class RegistrationError:
    """
    A call that failed.

    @ivar time: when, in seconds of the clock.
    """

    time: float
    message: str


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
    @ivar degradedSince: the time of the first failed call since the last success; None after a
        success.
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
        self._health = HealthCheck(clock, healthy, self._healthCheckEnded)
        self._idStore = idStore
        self.state = RegistrationState(request.newId(rng))
        storedId = None if idStore is None else idStore.load(request)
        if storedId is not None:
            self.state = RegistrationState(storedId, NO_PLAYERS)
        self.desired = Desired(Absent())
        self.calling = False
        self.lastReport: float | None = None
        self.nextReportDue = clock.seconds()
        self.lastError: RegistrationError | None = None
        self.degradedSince: float | None = None
        self._claim = Claim()
        self._dataToSend: str | None = None
        self._confirmed = False
        self._givenUp = False
        self._notifiedSession = 0
        self._wait = CancellableSleep(clock)
        self._waiter = limiter.waiter(self._wait.wake)
        self._acquire = limiter.acquire
        self._pausing = False
        self._callDone: list[Deferred[None]] = []

    @property
    def unhealthySince(self) -> float | None:
        """The time of the first health check that failed; None if the last one succeeded."""
        return self._health.failingSince

    @property
    def claimData(self) -> str | None:
        """The GameServerData of the last claim; None before one. It is never logged."""
        return self._claim.data

    def run(self) -> Deferred[None]:
        """
        Start. Fires with None when the desired state is final and FleetIQ does not have the game
        server. Cancel it to abandon a call in flight.
        """

        def ended(result: T) -> T:
            self._waiter.giveUp()
            self._health.reset()
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

    def mayCheckClaim(self) -> Deferred[None]:
        """
        Return a Deferred that fires when the rate limiter allows L{isClaimed}, at the lowest
        priority. It may be cancelled.
        """
        return Deferred.fromCoroutine(self._mayCheckClaim())

    async def _mayCheckClaim(self) -> None:
        if self.calling and self.state.known == Absent():
            await self.whenCallDone()  # a claim can come before the reply of Register
        if mayBeClaimed(self.state.known):
            await self._acquire(LOWEST_PRIORITY)

    def isClaimed(self) -> Deferred[bool]:
        """
        Call DescribeGameServer, and return whether a claim waits for its players. Call it as soon
        as L{mayCheckClaim} fires. It may be cancelled.
        """
        return Deferred.fromCoroutine(self._isClaimed())

    async def _isClaimed(self) -> bool:
        before = self.state
        if isinstance(before.known, UtilizedExternally) or not mayBeClaimed(before.known):
            return isinstance(before.known, UtilizedExternally)
        result = await callStep(self._fleetIQ, Step.INSPECT, before.gameServerId, self.request)
        description = result.description
        if description is None:
            _log.warn(
                "Could not check the claim of {gameServerId}: {reason}",
                gameServerId=before.gameServerId,
                reason=result.message,
                eventName="registration.claimNotChecked",
            )
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
            wanted = self._wanted()
            self._settle(wanted, now)
            self._notifySession(wanted)
            step = nextStep(self.state.known, wanted)
            absent = self.state.known == Absent()
            resting = step is Step.REST
            # Data is sent with a heartbeat, so it waits while the game server is unhealthy.
            sendData = self._dataToSend is not None and self.unhealthySince is None
            if resting and (absent or (now < self.nextReportDue and not sendData)):
                self._waiter.giveUp()
                await self._wait.sleep(None if absent else self._nextWakeUp() - now)
                continue
            if resting:
                step = Step.HEARTBEAT
                if not self._health.hasSucceeded():
                    if self._health.running:
                        self._waiter.giveUp()
                        await self._wait.sleep(None)
                    continue
            urgentAt = inf if absent else self.nextReportDue + _URGENT_AFTER
            if not self._waiter.mayCall(_PRIORITIES[step], urgentAt):
                await self._wait.sleep(None)
                continue
            failures = self.state.failures
            result = await self._runStep(step, wanted)
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

    def _settle(self, wanted: Wanted, now: float) -> None:
        """Decide on a UTILIZED that another client has set: adopt it, or renew the registration."""
        known = settle(self.state.known, wanted, now)
        if known != self.state.known:
            decision = "registering anew" if known == NO_PLAYERS else "this session adopts it"
            _log.info(
                "UTILIZED was set by another client: {decision}.",
                decision=decision,
                gameServerId=self.state.gameServerId,
                eventName="registration.utilizedExternallyResolved",
            )
            self.state = replace(self.state, known=known)

    def _notifySession(self, wanted: Wanted) -> None:
        known = self.state.known
        if isinstance(known, Utilized) and known == wanted:
            if known.session != self._notifiedSession and self.claimData is not None:
                notify(self._listener.sessionConfirmed, self.claimData)
            self._notifiedSession = known.session

    def _healthCheckEnded(self, succeeded: bool) -> None:
        if not succeeded:
            self._scheduleReport(self._clock.seconds())
        self._wait.wake()

    async def _failed(self, message: str) -> None:
        self.lastError = RegistrationError(self._clock.seconds(), message)
        if self.degradedSince is None:
            self.degradedSince = self.lastError.time
        self._degraded.failed(self, message)
        if self._ended():
            return
        seconds = backoff(self.state.failures, self._rng.uniform(0, 1))
        _log.warn(
            "{reason} Retrying in {seconds:.1f} s.",
            reason=message,
            seconds=seconds,
            gameServerId=self.state.gameServerId,
            eventName="registration.retrying",
        )
        self._pausing = True
        try:
            await self._wait.sleep(seconds)
        finally:
            self._pausing = False

    # One step.

    async def _runStep(self, step: Step, wanted: Wanted) -> StepResult:
        self._health.reset()
        self.calling = True
        try:
            return await self._takeStep(step, wanted)
        except GeneratorExit:
            self._callDone.clear()  # what waits is collected as garbage too
            raise
        finally:
            self.calling = False
            done, self._callDone = self._callDone, []
            for each in done:
                each.callback(None)

    async def _takeStep(self, step: Step, wanted: Wanted) -> StepResult:
        sent, before = self._clock.seconds(), self.state
        result = await self._perform(step, before.gameServerId)
        self.calling = False
        outcome = result.outcome
        if isinstance(outcome, Confirmed) and step in _HEALTH_REPORTS:
            self.lastReport = sent
            self._scheduleReport(sent)
        self.state = after(
            self.state,
            step,
            wanted,
            outcome,
            self._clock.seconds(),
            self._heartbeat,
            self.request.newId(self._rng),
        )
        logStep(step, before, self.state, outcome)
        if step is Step.DEREGISTER and self.state.known == Absent() and self._idStore is not None:
            self._idStore.save(self.request, None)
        if isinstance(outcome, Confirmed) and outcome.ours and result.description is not None:
            self._updateClaim(result.description)
            if not self._confirmed:
                self._confirmed = True
                notify(self._listener.registered)
        elif result.permanent and not self._confirmed:
            self._givenUp = bool(notify(self._listener.refused, result.message))
        return result

    def _scheduleReport(self, now: float) -> None:
        self.nextReportDue = now + self._heartbeat * (1 - self._rng.uniform(0, _JITTER))

    async def _perform(self, step: Step, gameServerId: str) -> StepResult:
        if step is Step.REGISTER:
            self._claim = Claim()
            if self._idStore is not None:
                await self._idStore.save(self.request, gameServerId)
        data = self.request.data if step is Step.REGISTER else self._dataToSend
        result = await callStep(self._fleetIQ, step, gameServerId, self.request, data)
        carriesData = step in (Step.REGISTER, Step.HEARTBEAT)
        # It may have changed during the call.
        if carriesData and isinstance(result.outcome, Confirmed) and data == self._dataToSend:
            self._dataToSend = None
        return result

    def _updateClaim(self, description: GameServerDescription) -> None:
        self._claim, claimed = self._claim.after(description)
        if claimed is not None:
            notify(self._listener.claimChanged, claimed, self._claim.data or "")
