"""Time: a sleep that can be cancelled, and wall-clock dates of reactor times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class CancellableSleep:
    """A sleep that can be cut short."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._sleeping: Deferred[None] | None = None

    def sleep(self, seconds: float | None) -> Deferred[None]:
        """Fires after C{seconds}, or when L{wake} is called; with None, only then."""
        self._sleeping = Deferred(lambda _: self._stop())
        if seconds is not None:
            self._call = self._clock.callLater(max(0.0, seconds), self.wake)
        return self._sleeping

    def wake(self) -> None:
        """End the sleep, if there is one."""
        sleeping = self._sleeping
        self._stop()
        if sleeping is not None:
            sleeping.callback(None)

    def _stop(self) -> None:
        self._sleeping = None
        if self._call is not None and self._call.active():
            self._call.cancel()


class WallClock:
    """
    Says when something was, or will be.

    @param today: the date and time now, with a zone.
    """

    def __init__(
        self, clock: IReactorTime, today: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._today = today

    def format(self, when: float) -> str:
        """C{when}, in seconds of the clock, as people and programs read it, to the second."""
        date = self._today() + timedelta(seconds=when - self._clock.seconds())
        return date.isoformat(timespec="seconds")
