"""Pure: a token bucket."""

from __future__ import annotations

from dataclasses import dataclass, replace

# Timers are no finer, and it hides what adding floats to the time of day rounds away.
_NO_WAIT = 0.001


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """
    C{burst} tokens at first, C{rate} more a second, never more than C{burst}.

    Times are seconds of any one clock that is never set back.

    @ivar rate: tokens a second, over 0.
    @ivar burst: tokens it holds, 1 or more.
    @ivar full: when it is full again, if nobody takes one.
    """

    rate: float
    burst: float
    full: float = float("-inf")

    def delay(self, now: float) -> float:
        """Seconds until there is a token to take; 0 where there is one."""
        seconds = max(self.full, now) - (self.burst - 1) / self.rate - now
        return 0.0 if seconds < _NO_WAIT else seconds

    def consume(self, now: float) -> TokenBucket:
        """The bucket with one token less; only where L{delay} is 0."""
        return replace(self, full=max(self.full, now) + 1 / self.rate)
