"""A sleep that can be cancelled, and the dates of reactor times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class CancellableSleep:
    """A sleep that can be ended early, and cancelled. One at a time."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._sleeping: Deferred[None] | None = None

    def sleep(self, seconds: float | None) -> Deferred[None]:
        """
        Return a Deferred that fires after C{seconds}, or when L{wake} is called. It may be
        cancelled.

        @param seconds: None for a sleep without an end.
        """
        self._sleeping = Deferred(lambda _: self._stop())
        if seconds is not None:
            self._call = self._clock.callLater(max(0.0, seconds), self.wake)
        return self._sleeping

    def wake(self) -> None:
        """End the sleep, if one is in progress."""
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
    Converts times of the reactor's clock to dates.

    @param today: returns the date and time now, with a time zone.
    """

    def __init__(
        self, clock: IReactorTime, today: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._today = today

    def format(self, when: float) -> str:
        """Return the date of C{when}, which is in seconds of the clock, in ISO 8601."""
        date = self._today() + timedelta(seconds=when - self._clock.seconds())
        return date.isoformat(timespec="seconds")
