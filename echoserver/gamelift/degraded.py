"""Record and log how long calls to FleetIQ have been failing, for all game servers of a process."""

from __future__ import annotations

from collections.abc import Hashable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echoserver.clock import WallClock

_log = Logger(namespace="fleetiq.gamelift")

LOG_INTERVAL = 60.0


class Degraded:
    """
    Logs failing calls, at most once a minute, and the first success after them.

    @ivar since: the time of the first failure since the last success, in seconds of the clock; None
        while calls succeed.
    """

    def __init__(self, clock: IReactorTime, wallClock: WallClock) -> None:
        self._clock = clock
        self._wallClock = wallClock
        self._failing: set[Hashable] = set()
        self._logged = False
        self._lastLogged = float("-inf")
        self.since: float | None = None

    def failed(self, gameServer: Hashable, reason: str) -> None:
        """Record that a call of this game server has failed."""
        now = self._clock.seconds()
        self._failing.add(gameServer)
        if self.since is None:
            self.since = now
        if now - self._lastLogged >= LOG_INTERVAL:
            self._lastLogged, self._logged = now, True
            _log.warn(
                "FleetIQ calls fail since {since}; game servers affected: {count}; players stay"
                " connected. {reason}",
                since=self._wallClock.format(self.since),
                count=len(self._failing),
                reason=reason,
                eventName="fleetiq.degraded",
            )

    def succeeded(self, gameServer: Hashable) -> None:
        """Record that the calls of this game server succeed again."""
        since, logged = self.since, self._logged
        self.ended(gameServer)
        if since is not None and self.since is None and logged:
            _log.info(
                "FleetIQ calls succeed again; they failed since {since}.",
                since=self._wallClock.format(since),
                eventName="fleetiq.recovered",
            )

    def ended(self, gameServer: Hashable) -> None:
        """Remove this game server, which makes no more calls."""
        self._failing.discard(gameServer)
        if not self._failing:
            self.since, self._logged = None, False
