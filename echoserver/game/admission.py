"""Decide whether a connection becomes a player: claim check, player limits."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger(namespace="fleetiq.game")

CHECK_TIMEOUT = 5.0
# The minimum number of seconds between the starts of two calls.
CALL_INTERVAL = 1.0


def overLimit(
    players: int, maxPlayers: int | None, fromAddress: int, maxPerAddress: int | None
) -> bool:
    """
    Return whether one more player would exceed a limit. None is no limit.

    @param players: the players who are connected.
    @param fromAddress: how many of them come from the same address.
    """
    full = maxPlayers is not None and players >= maxPlayers
    return full or (maxPerAddress is not None and fromAddress >= maxPerAddress)


class ClaimCheck:
    """
    Check with FleetIQ whether a claim is active, with at most one call a second.

    Waiting checks share a call. If its result is positive, all of them fire. If it is negative,
    only the checks that began before the call fire, because a claim may have been made since; the
    others share the next call. A failure, or no result within 5 s, is a negative result.

    @param isClaimed: calls FleetIQ; its Deferred fires with whether a claim is active.
    """

    def __init__(self, clock: IReactorTime, isClaimed: Callable[[], Deferred[bool]]) -> None:
        self._clock = clock
        self._isClaimed = isClaimed
        self._lastCall = -inf
        self._calling = False
        self._nextCall: IDelayedCall | None = None
        self._waiting: list[Deferred[bool]] = []

    def check(self) -> Deferred[bool]:
        """
        Return a Deferred that fires with whether a claim is active; it never fails. It fires within
        10 s: at the latest after the call in flight and the next one.
        """
        result: Deferred[bool] = Deferred()
        self._waiting.append(result)
        self._schedule()
        return result

    def stop(self) -> None:
        """Drop the waiting checks, because all connections are closed."""
        self._waiting.clear()
        if self._nextCall is not None:
            self._nextCall.cancel()
            self._nextCall = None

    def _schedule(self) -> None:
        if self._calling or self._nextCall is not None or not self._waiting:
            return
        delay = self._lastCall + CALL_INTERVAL - self._clock.seconds()
        if delay > 0:
            self._nextCall = self._clock.callLater(delay, self._call)
        else:
            self._call()

    def _call(self) -> None:
        self._nextCall = None
        self._calling = True
        self._lastCall = self._clock.seconds()
        began = len(self._waiting)
        call = self._isClaimed().addTimeout(CHECK_TIMEOUT, self._clock, _timedOut)
        call.addErrback(self._failed).addCallback(self._called, began)

    def _failed(self, failure: Failure) -> bool:
        _log.warn(
            "A connection was rejected, because the claim check failed: {reason}",
            reason=failure.getErrorMessage(),
            eventName="player.claimCheckFailed",
        )
        return False

    def _called(self, claimed: bool, began: int) -> None:
        self._calling = False
        self._fire(len(self._waiting) if claimed else began, claimed=claimed)
        self._schedule()

    def _fire(self, count: int, *, claimed: bool) -> None:
        """Fire the first C{count} waiting checks, in the order in which they began."""
        done, self._waiting = self._waiting[:count], self._waiting[count:]
        for result in done:
            result.callback(claimed)


def _timedOut(_: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"no result within {timeout:.0f} s")
