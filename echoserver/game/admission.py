"""Decide whether a connection becomes a player: claim check, player limits."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NoReturn

from twisted.internet.defer import CancelledError, Deferred, succeed
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

    A positive result is for all checks that wait. A negative one is only for those that began
    before its call did: a claim can have been made since. All others wait for the next call, which
    they share. No result within 5 s of the call, or a failure, counts as negative.

    @param isClaimed: makes the call; fires with whether a claim waits for its players.
    @param mayCall: fires when the call may be made. This time does not count for the 5 s: clients
        of other game servers of the process can cause it. It may be cancelled.
    """

    def __init__(
        self,
        clock: IReactorTime,
        isClaimed: Callable[[], Deferred[bool]],
        mayCall: Callable[[], Deferred[None]] = lambda: succeed(None),
    ) -> None:
        self._clock = clock
        self._isClaimed = isClaimed
        self._mayCall = mayCall
        self._turn: Deferred[None] | None = None
        self._lastCall = -inf
        self._calling = False
        self._nextCall: IDelayedCall | None = None
        self._waiting: list[Deferred[bool]] = []

    def check(self) -> Deferred[bool]:
        """
        Return a Deferred that fires with whether a claim is active; it never fails. It fires within
        10 s: after the call that runs already, and the next one. Without a call that may be made,
        it fires later.
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
        if self._turn is not None:
            self._turn.addErrback(lambda failure: failure.trap(CancelledError)).cancel()

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
        self._turn = self._mayCall()
        self._turn.addCallback(self._turnCame)

    def _turnCame(self, _: object) -> None:
        self._turn = None
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
