"""Keeps one game server registered: one call to FleetIQ at a time, towards the wanted state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from random import Random
from typing import Protocol as TypingProtocol
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echoserver.clock import CancellableSleep, WallClock
from echoserver.gamelift.errors import CallFailed, ConflictException, NotFoundException
from echoserver.gamelift.lifecycle import (
    ADOPT_WITHIN,
    NOBODYS,
    Absent,
    Available,
    Confirmed,
    Conflict,
    Known,
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
from echoserver.gamelift.pace import Pace
from echoserver.gamelift.service import GameServerDescription, RegistrationRequest

_log = Logger(namespace="fleetiq.gamelift")


def tell(
    log: Logger,
    step: Step,
    before: RegistrationState,
    after: RegistrationState,
    outcome: Confirmed | Outcome,
) -> None:
    """One line in the log, or none: what was known before the step, and what it has brought."""
    known, newId = after.known, after.gameServerId
    gameServerId = before.gameServerId
    match step, known:
        case Step.REGISTER, Absent():
            return
        case _, Conflict() if before.known != known:
            log.warn("Is {id} registered, and is it ours? Asking.", id=gameServerId)
        case _, Unknown() if before.known != known:
            log.warn("It may have happened: {id} is asked about.", id=gameServerId)
        case Step.DEREGISTER, Absent():
            log.info("Deregistered {id}.", id=gameServerId)
        case _, Absent() if outcome is Outcome.GONE and newId != gameServerId:
            log.warn("FleetIQ no longer knows {id}.", id=gameServerId)
        case _, Absent() if newId != gameServerId:
            log.warn("{id} is a stranger's.", id=gameServerId)
        case _, Utilized(session=session) if before.known != known:
            log.info("UTILIZED: session {session}.", session=session)
        case Step.HEARTBEAT, Available() | Utilized() | UtilizedExternally() if (
            before.known == known
        ):
            log.info("Heartbeat of {id}.", id=gameServerId)
        case _, UtilizedExternally() if before.known != known:
            log.warn("FleetIQ says UTILIZED, but nobody is here: waiting for players.")
        case ((Step.REGISTER | Step.INSPECT), Available()) if before.known != known:
            log.info("AVAILABLE as {id}.", id=gameServerId)


class Claims:
    """
    The claims on one registration, as replies tell of them.

    @ivar data: the GameServerData of the last claim. None before one. It is never logged.
    """

    def __init__(self) -> None:
        self.data: str | None = None
        self._open: datetime | None = None

    def saw(self, seen: GameServerDescription) -> None:
        """A reply: it may tell of a claim that is new, or that has lapsed."""
        if seen.lastClaim is not None:
            self.data = seen.gameServerData
        if seen.claimed:
            if self._open != seen.lastClaim:
                _log.info("Claimed: a player has 60 s to come.")
            self._open = seen.lastClaim
        else:
            if self._open is not None and not seen.utilized:
                _log.info("The claim has lapsed, nobody came: free for the next.")
            self._open = None


_EVERY = 60.0


class Degraded:
    """
    Hears how the game servers fare, and says it in the log: once a minute at most, and when it is
    over.

    @ivar since: when the first call failed of those that no success has followed, in seconds of the
        clock. None while all is well.
    """

    def __init__(self, clock: IReactorTime, wallClock: WallClock) -> None:
        self._clock = clock
        self._wallClock = wallClock
        self._failing: set[RegistrationRequest] = set()
        self._told = False
        self._toldLast = float("-inf")
        self.since: float | None = None

    def failed(self, who: RegistrationRequest, why: str) -> None:
        """A step of this game server has failed."""
        now = self._clock.seconds()
        self._failing.add(who)
        if self.since is None:
            self.since = now
        if now - self._toldLast >= _EVERY:
            self._toldLast, self._told = now, True
            _log.warn(
                "Degraded since {since}, game servers: {count}; players play on. {why}",
                since=self._wallClock.format(self.since),
                count=len(self._failing),
                why=why,
            )

    def well(self, who: RegistrationRequest) -> None:
        """FleetIQ does again as this game server asks, or it asks no more."""
        self._failing.discard(who)
        if self.since is None or self._failing:
            return
        if self._told:
            _log.info(
                "No longer degraded; it was since {since}.",
                since=self._wallClock.format(self.since),
            )
        self.since, self._told = None, False


class Fleet(TypingProtocol):
    """What is asked of FleetIQ: L{echoserver.gamelift.service.FleetIQ}."""

    def register(
        self, gameServerId: str, instanceId: str, connectionInfo: str, data: str | None
    ) -> Deferred[GameServerDescription]: ...
    def utilize(self, gameServerId: str) -> Deferred[GameServerDescription]: ...
    def heartbeat(self, gameServerId: str) -> Deferred[GameServerDescription]: ...
    def describe(self, gameServerId: str) -> Deferred[GameServerDescription]: ...
    def deregister(self, gameServerId: str) -> Deferred[None]: ...


@dataclass(frozen=True, slots=True)
class StepResult:
    """
    What a step brought.

    @ivar seen: what the reply says of the game server.
    @ivar trouble: a sentence, if the call failed.
    @ivar hopeless: whether it fails until somebody mends something.
    """

    outcome: Confirmed | Outcome
    seen: GameServerDescription | None = None
    trouble: str = "FleetIQ does not do as it is asked."
    hopeless: bool = False


class Steps:
    """The calls that keep one registration."""

    def __init__(self, fleet: Fleet, identity: RegistrationRequest) -> None:
        self._fleet = fleet
        self._identity = identity

    async def perform(self, step: Step, gameServerId: str) -> StepResult:
        """Make the call. Fails with CancelledError alone."""
        try:
            seen = await self._call(step, gameServerId)
        except NotFoundException as error:
            return StepResult(Outcome.GONE, None, str(error), hopeless=step is Step.REGISTER)
        except ConflictException as error:
            return StepResult(Outcome.CONFLICT, None, str(error))
        except CallFailed as error:
            refusal = Outcome.REFUSED if error.retry else Outcome.FORBIDDEN
            outcome = Outcome.LOST if error.mayHaveHappened else refusal
            return StepResult(outcome, None, str(error), hopeless=outcome is Outcome.FORBIDDEN)
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 # a fault of ours must not end the heartbeats
            _log.failure("The step {step} failed by a fault of ours.", step=step.value)
            return StepResult(Outcome.LOST, None, "This is a fault of ours.")
        return StepResult(Outcome.GONE) if seen is None else self._read(step, seen)

    def _call(
        self, step: Step, gameServerId: str
    ) -> Deferred[GameServerDescription] | Deferred[None]:
        match step:
            case Step.REGISTER:
                _log.info("Registering {id}.", id=gameServerId)
                identity = self._identity
                return self._fleet.register(
                    gameServerId, identity.instanceId, identity.connectionInfo, identity.data
                )
            case Step.UTILIZE:
                return self._fleet.utilize(gameServerId)
            case Step.DEREGISTER:
                return self._fleet.deregister(gameServerId)
            case Step.INSPECT:
                return self._fleet.describe(gameServerId)
        return self._fleet.heartbeat(gameServerId)

    def _read(self, step: Step, seen: GameServerDescription) -> StepResult:
        identity = self._identity
        ours = identity.owns(seen)
        if step is Step.INSPECT and not ours and identity.fixedId is not None:
            trouble = (
                f"The game server id {identity.fixedId} is taken by {seen.connectionInfo} on"
                f" {seen.instanceId}: give another --game-server-id, or leave it out."
            )
            return StepResult(Outcome.FORBIDDEN, None, trouble, hopeless=True)
        return StepResult(Confirmed(seen.utilized, ours), seen)


T = TypeVar("T")

_JITTER = 0.1
_HEALTH_REPORTS = (Step.REGISTER, Step.UTILIZE, Step.HEARTBEAT)


@dataclass(frozen=True, slots=True)
class RegistrationConfig:
    """
    What a game server registers with, and who is told.

    @ivar registered: called when FleetIQ confirms a registration for the first time.
    @ivar refused: asked, with a sentence, if FleetIQ refuses for good before that: True ends the
        worker, else it goes on at the longest backoff.
    @ivar keep: called with the id that FleetIQ is to have; Register waits until it fires. None for
        none.
    @ivar left: an id of ours that a crash left registered. It is deregistered first.
    """

    fleet: Fleet
    identity: RegistrationRequest
    pace: Pace
    registered: Callable[[], None]
    refused: Callable[[str], bool]
    degraded: Degraded
    keep: Callable[[str | None], Deferred[None]] = lambda _: succeed(None)
    left: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A step that failed: when, by the clock, and why."""

    at: float
    why: str


class Registration:
    """
    Keeps one game server's registration at what is wanted.

    @param heartbeat: seconds of silence towards FleetIQ before a heartbeat.
    @param wants: what is wanted, given what is known. None is Absent for good: once that is known,
        the worker ends.
    @param utilized: called with a claim's data once the session that it sent is UTILIZED.
    @ivar registration: where it stands.
    @ivar calling: whether a call is out.
    @ivar identity: what it registers with.
    @ivar reported: when FleetIQ last heard of our health, by the clock; C{beatDue}: when it is to
        next.
    @ivar trouble: the last step that failed.
    @ivar degradedSince: when the first step failed of those that no success has followed.
    """

    def __init__(
        self,
        clock: IReactorTime,
        rng: Random,
        registrationConfig: RegistrationConfig,
        heartbeat: float,
        wants: Callable[[Known], Wanted | None],
        utilized: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._dice = rng
        self._steps = Steps(registrationConfig.fleet, registrationConfig.identity)
        self.identity = registrationConfig.identity
        self._heartbeat = heartbeat
        self._wants = wants
        self._enrolment = registrationConfig
        self._utilized = utilized
        self.registration = RegistrationState(self.identity.newId(rng))
        if registrationConfig.left is not None:
            self.registration = RegistrationState(registrationConfig.left, NOBODYS)
        self.calling = False
        self.reported: float | None = None
        self.trouble: Trouble | None = None
        self.degradedSince: float | None = None
        self._confirmed = False
        self._givenUp = False
        self._session = 0
        self.claims = Claims()
        self.beatDue = clock.seconds()
        self._alarm = CancellableSleep(clock)
        self._place = registrationConfig.pace.place(self._alarm.wake)
        self._pausing = False
        self._stepWaiters: list[Deferred[None]] = []

    def work(self) -> Deferred[None]:
        """Start. Fires when nothing is wanted for good, nor known; cancel it to abandon a call."""

        def ended(result: T) -> T:
            self._place.leave()
            self._well()
            return result

        return Deferred.fromCoroutine(self._walk()).addBoth(ended)

    def changed(self) -> None:
        """What is wanted may have changed. A backoff goes on all the same."""
        if not self._pausing:
            self._alarm.wake()

    def hasten(self) -> None:
        """What is wanted has changed, and a backoff ends now."""
        self.registration = replace(self.registration, failures=0)
        self._alarm.wake()

    async def claimed(self) -> bool:
        """Ask FleetIQ, beside the steps, whether a claim awaits players. It may be cancelled."""
        if mayBeClaimed(self.registration.known):
            await self._enrolment.pace.question()
        asked = self.registration
        if isinstance(asked.known, UtilizedExternally) or not mayBeClaimed(asked.known):
            return isinstance(asked.known, UtilizedExternally)
        brought = await self._steps.perform(Step.INSPECT, asked.gameServerId)
        seen = brought.seen
        if seen is None:
            _log.warn("Was a player sent? {trouble}", trouble=brought.trouble)
            return False
        if self.registration.gameServerId != asked.gameServerId or not self.identity.owns(seen):
            return False
        self.claims.saw(seen)
        if seen.utilized and self.registration.known == Available():
            self.registration = replace(
                self.registration, known=UtilizedExternally(self._clock.seconds())
            )
            self.changed()
        return seen.claimed or isinstance(self.registration.known, UtilizedExternally)

    def stepDone(self) -> Deferred[None]:
        """Fires when the call that is out now has ended, however it ends."""
        waiter: Deferred[None] = Deferred()
        self._stepWaiters.append(waiter)
        return waiter

    async def _walk(self) -> None:
        while not self._isOver():
            now = self._clock.seconds()
            towards = self._wants(self.registration.known) or Absent()
            self._settle(towards, now)
            self._tellClaim(towards)
            step = nextStep(self.registration.known, towards)
            absent = self.registration.known == Absent()
            if step is Step.REST and (absent or now < self.beatDue):
                self._place.leave()
                await self._alarm.sleep(None if absent else self._nextDue() - now)
                continue
            step = Step.HEARTBEAT if step is Step.REST else step
            if not self._place.mayCall(step, inf if absent else self.beatDue):
                await self._alarm.sleep(None)
                continue
            failures = self.registration.failures
            brought = await self._take(step, towards)
            if self._givenUp:
                return
            if self.registration.failures > failures:
                self.trouble = Trouble(self._clock.seconds(), brought.trouble)
                if self.degradedSince is None:
                    self.degradedSince = self.trouble.at
                self._enrolment.degraded.failed(self.identity, brought.trouble)
                if not self._isOver():
                    await self._pause(brought.trouble)
            elif not self.registration.failures:
                self._well()

    def _isOver(self) -> bool:
        """Nothing is known, nor wanted any more."""
        known = self.registration.known
        return known == Absent() and self._wants(known) is None

    def _well(self) -> None:
        """Nothing fails: all is as wanted, or nothing is asked any more."""
        self.degradedSince = None
        self._enrolment.degraded.well(self.identity)

    def _settle(self, towards: Wanted, now: float) -> None:
        known = settle(self.registration.known, towards, now)
        if known == self.registration.known:
            return
        said = "renewing the registration" if known == NOBODYS else "this session adopts it"
        _log.info("UTILIZED by somebody else before: {said}.", said=said)
        self.registration = replace(self.registration, known=known)

    def _tellClaim(self, towards: Wanted) -> None:
        known = self.registration.known
        if isinstance(known, Utilized) and known == towards and known.session != self._session:
            self._session = known.session
            if self.claims.data is not None:
                self._utilized(self.claims.data)

    def _nextDue(self) -> float:
        known = self.registration.known
        if isinstance(known, UtilizedExternally):
            return min(self.beatDue, known.since + ADOPT_WITHIN)
        return self.beatDue

    async def _pause(self, trouble: str) -> None:
        seconds = backoff(self.registration.failures, self._dice.uniform(0, 1))
        _log.warn("{trouble} The next try is in {seconds:.1f} s.", trouble=trouble, seconds=seconds)
        self._pausing = True
        try:
            await self._alarm.sleep(seconds)
        finally:
            self._pausing = False

    async def _take(self, step: Step, towards: Wanted) -> StepResult:
        sent = self._clock.seconds()
        before = self.registration
        brought = await self._perform(step, before.gameServerId)
        outcome = brought.outcome
        if isinstance(outcome, Confirmed) and step in _HEALTH_REPORTS:
            self.reported = sent
            self.beatDue = sent + self._heartbeat * (1 - self._dice.uniform(0, _JITTER))
        self.registration = after(
            self.registration,
            step,
            towards,
            outcome,
            self._clock.seconds(),
            self._heartbeat,
            self.identity.newId(self._dice),
        )
        tell(_log, step, before, self.registration, outcome)
        if step is Step.DEREGISTER and self.registration.known == Absent():
            self._enrolment.keep(None)
        if isinstance(outcome, Confirmed) and outcome.ours and brought.seen is not None:
            self.claims.saw(brought.seen)
            self._confirm()
        elif brought.hopeless and not self._confirmed:
            self._givenUp = self._enrolment.refused(brought.trouble)
        return brought

    async def _perform(self, step: Step, gameServerId: str) -> StepResult:
        self.calling = True
        try:
            if step is Step.REGISTER:
                self.claims = Claims()
                await self._enrolment.keep(gameServerId)
            brought = await self._steps.perform(step, gameServerId)
        finally:
            self.calling = False
            waiters, self._stepWaiters = self._stepWaiters, []
            for waiter in waiters:
                waiter.callback(None)
        return brought

    def _confirm(self) -> None:
        if not self._confirmed:
            self._confirmed = True
            try:
                self._enrolment.registered()
            except Exception:  # noqa: BLE001 # who is told must not end the heartbeats
                _log.failure("The first registration could not be told.")
