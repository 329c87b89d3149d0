"""A token bucket, and a rate limiter with priorities for the calls of one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

# In seconds. Timers and the time of day as a float are not more precise.
_NO_DELAY = 0.001


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """
    A token bucket. It starts with C{burst} tokens, its maximum, and gets C{rate} more each second.

    Times are seconds of one monotonic clock.

    @ivar rate: tokens a second, over 0.
    @ivar burst: the capacity in tokens, 1 or more.
    @ivar fullAt: when it is full again if no token is consumed.
    """

    rate: float
    burst: float
    fullAt: float = float("-inf")

    def delay(self, now: float) -> float:
        """Return the seconds until a token is available; 0 if one is."""
        seconds = max(self.fullAt, now) - (self.burst - 1) / self.rate - now
        return 0.0 if seconds < _NO_DELAY else seconds

    def consume(self, now: float) -> TokenBucket:
        """Return the bucket with one token less. Call it only if L{delay} returns 0."""
        return replace(self, fullAt=max(self.fullAt, now) + 1 / self.rate)


class Waiter:
    """
    A caller of a L{RateLimiter}. It is in the queue from the first time that it may not call, until
    it may call or gives up.

    @param retry: called when L{mayCall} should be called again.
    @ivar ticket: its number in the queue; 0 if it is not there.
    """

    def __init__(self, limiter: RateLimiter, retry: Callable[[], None]) -> None:
        self._limiter = limiter
        self.retry = retry
        self.priority = 0
        self.urgentAt = inf
        self.ticket = 0

    def mayCall(self, priority: int, urgentAt: float = inf) -> bool:
        """
        Return whether to call now; if so, a token is consumed.

        @param priority: lower numbers go first; callers of the same priority in order.
        @param urgentAt: from this time on, by the clock, this caller goes before all others.
        """
        self.priority, self.urgentAt = priority, urgentAt
        return self._limiter.mayCall(self)

    def giveUp(self) -> None:
        """Leave the queue, because there is nothing to call."""
        self._limiter.giveUp(self)


class RateLimiter:
    """
    Limits the calls of one process, by one token bucket.

    @param bucket: None for no limit.
    """

    def __init__(self, clock: IReactorTime, bucket: TokenBucket | None = None) -> None:
        self._clock = clock
        self._bucket = bucket
        self._tickets = 0
        self._queue: set[Waiter] = set()
        self._timer: IDelayedCall | None = None

    def waiter(self, retry: Callable[[], None]) -> Waiter:
        """Return a caller that is not in the queue yet."""
        return Waiter(self, retry)

    def acquire(self, priority: int) -> Deferred[None]:
        """Return a Deferred that fires when one call may be made. It may be cancelled."""

        def retry() -> None:
            if waiter.mayCall(priority):
                turn.callback(None)

        turn: Deferred[None] = Deferred(lambda _: waiter.giveUp())
        waiter = self.waiter(retry)
        retry()
        return turn

    def mayCall(self, waiter: Waiter) -> bool:
        """See L{Waiter.mayCall}."""
        if self._bucket is None:
            return True
        if not waiter.ticket:
            self._tickets += 1
            waiter.ticket = self._tickets
        self._queue.add(waiter)
        now = self._clock.seconds()
        if self._bucket.delay(now) or self._first(now) is not waiter:
            self._retryLater()
            return False
        self._bucket = self._bucket.consume(now)
        self.giveUp(waiter)
        return True

    def giveUp(self, waiter: Waiter) -> None:
        """See L{Waiter.giveUp}."""
        self._queue.discard(waiter)
        waiter.ticket = 0
        if not self._queue and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _first(self, now: float) -> Waiter:
        def rank(waiter: Waiter) -> tuple[float, int]:
            return (-inf if now >= waiter.urgentAt else waiter.priority, waiter.ticket)

        return min(self._queue, key=rank)

    def _retryLater(self) -> None:
        if self._timer is None and self._queue and self._bucket is not None:
            delay = self._bucket.delay(self._clock.seconds())
            self._timer = self._clock.callLater(delay, self._retry)

    def _retry(self) -> None:
        self._timer = None
        # If it still has a call to make, it joins the queue again with the same ticket.
        first = self._first(self._clock.seconds())
        self._queue.discard(first)
        first.retry()
        self._retryLater()
