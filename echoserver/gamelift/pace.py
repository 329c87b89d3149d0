"""How fast a process calls FleetIQ, and who goes first where calls wait."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from echoserver.gamelift.lifecycle import Step
from echoserver.ratelimit import TokenBucket

# A claim may lapse while the first waits. Anybody who knocks can cause the last, a question beside
# the steps: it stands here for REST.
_ORDER = (Step.UTILIZE, Step.DEREGISTER, Step.INSPECT, Step.HEARTBEAT, Step.REGISTER, Step.REST)
_RANKS = {step: rank for rank, step in enumerate(_ORDER)}
_LATE = 2.0


class Place:
    """
    The place of one game server in the line of its process.

    A place is kept from the first refusal until the call is made or no longer wanted.

    @param ring: called when L{mayCall} is to be asked again: it may be told yes now.
    """

    def __init__(self, pace: Pace, ring: Callable[[], None]) -> None:
        self._pace = pace
        self.ring = ring
        self.step = Step.REST
        self.beatDue = inf
        self.ticket = 0

    def mayCall(self, step: Step, beatDue: float) -> bool:
        """
        Whether this step may be taken now; True takes a token.

        @param beatDue: when FleetIQ is to hear of our health, by the clock; 2 s after that we go
            first, whatever the step.
        """
        self.step, self.beatDue = step, beatDue
        return self._pace.mayCall(self)

    def leave(self) -> None:
        """Nothing is to be called now."""
        self._pace.leave(self)


class Pace:
    """
    One token bucket for all game servers of a process.

    @param bucket: None lets everybody call at once.
    """

    def __init__(self, clock: IReactorTime, bucket: TokenBucket | None = None) -> None:
        self._clock = clock
        self._bucket = bucket
        self._tickets = 0
        self._line: set[Place] = set()
        self._timer: IDelayedCall | None = None

    def place(self, ring: Callable[[], None]) -> Place:
        """A place, not yet in the line."""
        return Place(self, ring)

    def question(self) -> Deferred[None]:
        """Fires when a call beside the steps may be made: after all steps that wait."""

        def ring() -> None:
            if place.mayCall(Step.REST, inf):
                turn.callback(None)

        turn: Deferred[None] = Deferred(lambda _: place.leave())
        place = self.place(ring)
        ring()
        return turn

    def mayCall(self, place: Place) -> bool:
        """See L{Place.mayCall}."""
        if self._bucket is None:
            return True
        if not place.ticket:
            self._tickets += 1
            place.ticket = self._tickets
        self._line.add(place)
        now = self._clock.seconds()
        if self._bucket.delay(now) or self._first(now) is not place:
            self._ringLater()
            return False
        self._bucket = self._bucket.consume(now)
        self.leave(place)
        return True

    def leave(self, place: Place) -> None:
        """See L{Place.leave}."""
        self._line.discard(place)
        place.ticket = 0
        if not self._line and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _first(self, now: float) -> Place:
        def rank(place: Place) -> tuple[int, int]:
            late = now >= place.beatDue + _LATE
            return (-1 if late else _RANKS[place.step], place.ticket)

        return min(self._line, key=rank)

    def _ringLater(self) -> None:
        if self._timer is None and self._line and self._bucket is not None:
            wait = self._bucket.delay(self._clock.seconds())
            self._timer = self._clock.callLater(wait, self._ring)

    def _ring(self) -> None:
        self._timer = None
        # Who is rung stands in line again if it still wants a call.
        first = self._first(self._clock.seconds())
        self._line.discard(first)
        first.ring()
        self._ringLater()
