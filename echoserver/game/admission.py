"""Decide whether a connection becomes a player: claim check, player limits."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import inf
from typing import NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger(namespace="fleetiq.game")

CHECK_TIMEOUT = 5.0
NO_CLAIM_TTL = 1.0


class Rejection(Enum):
    """Why a connection does not become a player."""

    FULL = "a player limit is reached"
    CLAIM_FIRST = "no claim is active"


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
    Check with FleetIQ whether a claim is active. Concurrent checks share one call.

    A negative result is kept for 1 s, so that repeated connections cost at most one call a second.
    No result within 5 s, or a failure, counts as negative.

    @param isClaimed: makes the call; fires with whether a claim waits for its players.
    """

    def __init__(self, clock: IReactorTime, isClaimed: Callable[[], Deferred[bool]]) -> None:
        self._clock = clock
        self._isClaimed = isClaimed
        self._negativeSince = -inf
        self._waiting: list[Deferred[bool]] = []

    def check(self) -> Deferred[bool]:
        """Return a Deferred that fires with whether a claim is active, within 5 s; never fails."""
        if self._clock.seconds() - self._negativeSince < NO_CLAIM_TTL:
            return succeed(False)
        result: Deferred[bool] = Deferred()
        self._waiting.append(result)
        if len(self._waiting) == 1:
            call = self._isClaimed().addTimeout(CHECK_TIMEOUT, self._clock, _timedOut)
            call.addErrback(self._failed).addCallback(self._fireAll)
        return result

    def _failed(self, failure: Failure) -> bool:
        _log.warn(
            "A connection was rejected, because the claim check failed: {reason}",
            reason=failure.getErrorMessage(),
        )
        return False

    def _fireAll(self, claimed: bool) -> None:
        if not claimed:
            self._negativeSince = self._clock.seconds()
        waiting, self._waiting = self._waiting, []
        for result in waiting:
            result.callback(claimed)


def _timedOut(_: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"no result within {timeout:.0f} s")
