"""The clock of the local FleetIQ, and the timer for its deadlines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

# One hour per second. With a much higher scale, the clock would pass the year 9999 within a day.
MAX_SCALE = 3600.0


class LocalClock:
    """
    A clock that starts at the real time. It goes back only if it is L{reset}, or if the clock of
    the machine goes back.

    @ivar scale: its seconds per real second.
    """

    def __init__(self, reactor: IReactorTime, scale: float = 1.0) -> None:
        """
        @raise ValueError: with a sentence, if C{scale} is not allowed.
        """
        if not 0 < scale <= MAX_SCALE:
            raise ValueError(
                f"The time scale is {scale:g}: it must be above 0, at most {MAX_SCALE:g}."
            )
        self._reactor = reactor
        self._firstScale = scale
        self.reset()

    def reset(self) -> None:
        """Set the clock to the real time, and the scale to its first value."""
        self.scale = self._firstScale
        self._real = self._local = self._reactor.seconds()

    def seconds(self) -> float:
        """Return the time in epoch seconds."""
        return self._local + (self._reactor.seconds() - self._real) * self.scale

    def advance(self, seconds: float) -> None:
        self._local += seconds

    def setScale(self, scale: float) -> None:
        self._local, self._real = self.seconds(), self._reactor.seconds()
        self.scale = scale

    def callLater(self, seconds: float, callable: Callable[[], None]) -> IDelayedCall:
        """
        Call a function after this many seconds of this clock. Later changes of the clock do not
        move the call.
        """
        return self._reactor.callLater(seconds / self.scale, callable)


# A health deadline passes only after its exact time. Without a minimum, the timer would be called
# again and again at that time.
MIN_WAIT = 1.0
# Real seconds. On a fast clock, MIN_WAIT is too short.
MIN_REAL_WAIT = 0.01


class Expiring(TypingProtocol):
    """An object with a next deadline: a fleet, with or without Auto Scaling."""

    def nextDeadline(self) -> float | None: ...

    def expire(self, now: float) -> None: ...


class ExpiryTimer:
    """Expires claims, game servers and instances of a fleet, with one delayed call."""

    def __init__(self, clock: LocalClock, fleet: Expiring) -> None:
        """
        @param clock: the clock of the fleet's times.
        """
        self._clock = clock
        self._fleet = fleet
        self._call: IDelayedCall | None = None
        self._due = 0.0

    def schedule(self) -> None:
        """Set the timer to the next deadline. Call this after each change of the fleet."""
        deadline = self._fleet.nextDeadline()
        if deadline is None or (self._call is not None and self._due <= deadline):
            return
        self.stop()
        now = self._clock.seconds()
        wait = max(MIN_WAIT, MIN_REAL_WAIT * self._clock.scale)
        self._due = max(deadline, now + wait)
        self._call = self._clock.callLater(self._due - now, self._expire)

    def clockMoved(self) -> None:
        """Expire what is due now. Call this after each change of the clock or its scale."""
        self.stop()
        self._expire()

    def stop(self) -> None:
        """Cancel the timer."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _expire(self) -> None:
        self._call = None
        self._fleet.expire(self._clock.seconds())
        self.schedule()
