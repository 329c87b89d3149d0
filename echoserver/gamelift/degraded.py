"""Since when, and why, FleetIQ does not do as the game servers of a process ask."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echoserver.dates import Dates
from echoserver.gamelift.identity import Identity

_EVERY = 60.0


class Degraded:
    """
    Hears how the game servers fare, and says it in the log: once a minute at most, and when it is
    over.

    @ivar since: when the first call failed of those that no success has followed, in seconds of the
        clock. None while all is well.
    """

    _log: ClassVar = Logger()

    def __init__(self, clock: IReactorTime, dates: Dates) -> None:
        self._clock = clock
        self._dates = dates
        self._failing: set[Identity] = set()
        self._told = False
        self._toldLast = float("-inf")
        self.since: float | None = None

    def failed(self, who: Identity, why: str) -> None:
        """A step of this game server has failed."""
        now = self._clock.seconds()
        self._failing.add(who)
        if self.since is None:
            self.since = now
        if now - self._toldLast >= _EVERY:
            self._toldLast, self._told = now, True
            self._log.warn(
                "Degraded since {since}, game servers: {count}; players play on. {why}",
                since=self._dates.of(self.since),
                count=len(self._failing),
                why=why,
            )

    def well(self, who: Identity) -> None:
        """FleetIQ does again as this game server asks, or it asks no more."""
        self._failing.discard(who)
        if self.since is None or self._failing:
            return
        if self._told:
            self._log.info(
                "No longer degraded; it was since {since}.", since=self._dates.of(self.since)
            )
        self.since, self._told = None, False
