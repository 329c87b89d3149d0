"""
Walks lifecycle's steps: one call to FleetIQ at a time, towards what is wanted now.

What is wanted may change during a call; the worker looks again after each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import ClassVar, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echoserver.alarm import Alarm
from echoserver.gamelift.claims import Claims
from echoserver.gamelift.degraded import Degraded
from echoserver.gamelift.identity import Identity
from echoserver.gamelift.lifecycle import (
    NOBODYS,
    TAKEN_FOR,
    Absent,
    Answered,
    Available,
    Known,
    Registration,
    Step,
    Taken,
    Utilized,
    Wanted,
    after,
    backoff,
    mayBeClaimed,
    nextStep,
    settle,
)
from echoserver.gamelift.pace import Pace
from echoserver.gamelift.steplog import tell
from echoserver.gamelift.steps import Brought, Fleet, Steps

T = TypeVar("T")

_JITTER = 0.1
_HEALTH_REPORTS = (Step.REGISTER, Step.UTILIZE, Step.HEARTBEAT)


@dataclass(frozen=True, slots=True)
class Enrolment:
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
    identity: Identity
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


class Worker:
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

    _log: ClassVar = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        dice: Random,
        enrolment: Enrolment,
        heartbeat: float,
        wants: Callable[[Known], Wanted | None],
        utilized: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._steps = Steps(enrolment.fleet, enrolment.identity)
        self.identity = enrolment.identity
        self._heartbeat = heartbeat
        self._wants = wants
        self._enrolment = enrolment
        self._utilized = utilized
        self.registration = Registration(self.identity.drawId(dice))
        if enrolment.left is not None:
            self.registration = Registration(enrolment.left, NOBODYS)
        self.calling = False
        self.reported: float | None = None
        self.trouble: Trouble | None = None
        self.degradedSince: float | None = None
        self._confirmed = False
        self._givenUp = False
        self._session = 0
        self.claims = Claims()
        self.beatDue = clock.seconds()
        self._alarm = Alarm(clock)
        self._place = enrolment.pace.place(self._alarm.ring)
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
            self._alarm.ring()

    def hasten(self) -> None:
        """What is wanted has changed, and a backoff ends now."""
        self.registration = replace(self.registration, failures=0)
        self._alarm.ring()

    async def claimed(self) -> bool:
        """Ask FleetIQ, beside the steps, whether a claim awaits players. It may be cancelled."""
        if mayBeClaimed(self.registration.known):
            await self._enrolment.pace.question()
        asked = self.registration
        if isinstance(asked.known, Taken) or not mayBeClaimed(asked.known):
            return isinstance(asked.known, Taken)
        brought = await self._steps.perform(Step.INSPECT, asked.gameServerId)
        seen = brought.seen
        if seen is None:
            self._log.warn("Was a player sent? {trouble}", trouble=brought.trouble)
            return False
        if self.registration.gameServerId != asked.gameServerId or not self.identity.owns(seen):
            return False
        self.claims.saw(seen)
        if seen.utilized and self.registration.known == Available():
            self.registration = replace(self.registration, known=Taken(self._clock.seconds()))
            self.changed()
        return seen.claimed or isinstance(self.registration.known, Taken)

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
        self._log.info("UTILIZED by somebody else before: {said}.", said=said)
        self.registration = replace(self.registration, known=known)

    def _tellClaim(self, towards: Wanted) -> None:
        known = self.registration.known
        if isinstance(known, Utilized) and known == towards and known.session != self._session:
            self._session = known.session
            if self.claims.data is not None:
                self._utilized(self.claims.data)

    def _nextDue(self) -> float:
        known = self.registration.known
        if isinstance(known, Taken):
            return min(self.beatDue, known.since + TAKEN_FOR)
        return self.beatDue

    async def _pause(self, trouble: str) -> None:
        seconds = backoff(self.registration.failures, self._dice.uniform(0, 1))
        self._log.warn(
            "{trouble} The next try is in {seconds:.1f} s.", trouble=trouble, seconds=seconds
        )
        self._pausing = True
        try:
            await self._alarm.sleep(seconds)
        finally:
            self._pausing = False

    async def _take(self, step: Step, towards: Wanted) -> Brought:
        sent = self._clock.seconds()
        before = self.registration
        brought = await self._perform(step, before.gameServerId)
        outcome = brought.outcome
        if isinstance(outcome, Answered) and step in _HEALTH_REPORTS:
            self.reported = sent
            self.beatDue = sent + self._heartbeat * (1 - self._dice.uniform(0, _JITTER))
        self.registration = after(
            self.registration,
            step,
            towards,
            outcome,
            self._clock.seconds(),
            self._heartbeat,
            self.identity.drawId(self._dice),
        )
        tell(self._log, step, before, self.registration, outcome)
        if step is Step.DEREGISTER and self.registration.known == Absent():
            self._enrolment.keep(None)
        if isinstance(outcome, Answered) and outcome.ours and brought.seen is not None:
            self.claims.saw(brought.seen)
            self._confirm()
        elif brought.hopeless and not self._confirmed:
            self._givenUp = self._enrolment.refused(brought.trouble)
        return brought

    async def _perform(self, step: Step, gameServerId: str) -> Brought:
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
                self._log.failure("The first registration could not be told.")
