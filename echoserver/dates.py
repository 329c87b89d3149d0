"""Dates of the reactor's times, which count from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from twisted.internet.interfaces import IReactorTime


class Dates:
    """
    Says when something was, or will be.

    @param today: the date and time now, with a zone.
    """

    def __init__(
        self, clock: IReactorTime, today: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._today = today

    def of(self, when: float) -> str:
        """C{when}, in seconds of the clock, as people and programs read it, to the second."""
        date = self._today() + timedelta(seconds=when - self._clock.seconds())
        return date.isoformat(timespec="seconds")
