"""Run the health check of a game before each heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger(namespace="fleetiq.gamelift")

# Seconds.
HEALTH_CHECK_TIMEOUT = 5.0


class HealthCheck:
    """
    The health check of one game server. One check runs at a time.

    @param healthy: returns whether the game server is healthy, or a Deferred of it. An exception,
        and no result in L{HEALTH_CHECK_TIMEOUT} seconds, mean that it is not.
    @param ended: called when a check has ended, with its result.
    @ivar failingSince: the time of the first failure since the last success, in seconds of the
        clock; None after a success.
    """

    def __init__(
        self, clock: IReactorTime, healthy: Callable[[], object], ended: Callable[[bool], object]
    ) -> None:
        self._clock = clock
        self._healthy = healthy
        self._ended = ended
        self._check: Deferred[Any] | None = None
        self._succeeded = False
        self.failingSince: float | None = None

    @property
    def running(self) -> bool:
        """Whether a check is in progress."""
        return self._check is not None

    def hasSucceeded(self) -> bool:
        """
        Return whether the check has succeeded since L{reset}. If not, start one, unless one is in
        progress.
        """
        if not self._succeeded and self._check is None:
            check: Deferred[Any] = maybeDeferred(self._healthy)
            self._check = check
            check.addTimeout(HEALTH_CHECK_TIMEOUT, self._clock).addBoth(self._done, check)
        return self._succeeded

    def reset(self) -> None:
        """Cancel the check in progress, and forget the result of the last one."""
        check, self._check = self._check, None
        self._succeeded = False
        if check is not None:
            check.cancel()

    def _done(self, result: object, check: Deferred[Any]) -> None:
        if self._check is not check:
            return
        self._check = None
        if not isinstance(result, Failure):
            reason = "" if result else f"it returned {result!r}"
        elif result.check(TimeoutError):
            reason = f"no result within {HEALTH_CHECK_TIMEOUT:.0f} s"
        else:
            reason = repr(result.value)
        self._succeeded = not reason
        self._record(reason)
        self._ended(self._succeeded)

    def _record(self, reason: str) -> None:
        """Log the first failure, and the first success after it."""
        if not reason:
            if self.failingSince is not None:
                _log.info("Healthy again: sending heartbeats.", eventName="game.healthy")
            self.failingSince = None
        elif self.failingSince is None:
            self.failingSince = self._clock.seconds()
            _log.warn(
                "Unhealthy: the game's health check failed ({reason}). Heartbeats are skipped until"
                " it succeeds; FleetIQ drops a game server after 180 s without one.",
                reason=reason,
                eventName="game.unhealthy",
            )
