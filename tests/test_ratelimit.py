"""The token bucket of the rate limiter."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ratelimit import TokenBucket

RATES = st.floats(0.01, 1000.0)
BURSTS = st.integers(1, 50)
STARTS = st.sampled_from([0.0, 1e9, 1.7e9])


class BucketTests(SynchronousTestCase):
    """Consume tokens, and the delay until the next one."""

    def test_burstThenRate(self) -> None:
        """The whole burst is available at once, then one token in 1/rate seconds."""
        bucket = TokenBucket(rate=4.0, burst=3)
        for _ in range(3):
            self.assertEqual(0.0, bucket.delay(100.0))
            bucket = bucket.consume(100.0)
        self.assertEqual(0.25, bucket.delay(100.0))
        self.assertEqual(0.125, bucket.delay(100.125))
        bucket = bucket.consume(100.25)
        self.assertEqual(0.25, bucket.delay(100.25))

    def test_neverMoreThanBurst(self) -> None:
        """After a long time without calls, at most the burst is available."""
        bucket = TokenBucket(rate=10.0, burst=2).consume(0.0).consume(1000.0).consume(1000.0)
        self.assertAlmostEqual(0.1, bucket.delay(1000.0))

    @settings(deadline=None, max_examples=100)
    @given(RATES, BURSTS, STARTS, st.lists(st.floats(0.0, 2.0), min_size=1, max_size=60))
    def test_neverTooMany(self, rate: float, burst: int, start: float, pauses: list[float]) -> None:
        """In any period at most burst + rate * seconds tokens are consumed."""
        bucket, now, consumed = TokenBucket(rate, burst), start, []
        for pause in pauses:
            now += max(pause, bucket.delay(now))
            bucket = bucket.consume(now)
            consumed.append(now)
        for i, first in enumerate(consumed):
            for j in range(i, len(consumed)):
                self.assertLessEqual(j - i + 1, burst + rate * (consumed[j] - first + 0.001) + 1e-3)

    @settings(deadline=None, max_examples=100)
    @given(RATES, BURSTS, STARTS)
    def test_delay(self, rate: float, burst: int, start: float) -> None:
        """After the burst, the next token is available after the returned delay."""
        bucket = TokenBucket(rate, burst)
        for _ in range(burst):
            self.assertEqual(0.0, bucket.delay(start))
            bucket = bucket.consume(start)
        now = start + bucket.delay(start)
        self.assertEqual(0.0, bucket.delay(now))
