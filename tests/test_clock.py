"""A sleep that can be ended early, and dates for the times of a clock."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.clock import CancellableSleep, WallClock


class CancellableSleepTests(SynchronousTestCase):
    """A sleep that can be ended early."""

    def test_ends(self) -> None:
        """The sleep ends after its time."""
        clock = Clock()
        slept = CancellableSleep(clock).sleep(5.0)
        clock.advance(4.9)
        self.assertNoResult(slept)
        clock.advance(0.1)
        self.successResultOf(slept)

    def test_withoutTime(self) -> None:
        """Without a time, only wake() ends the sleep."""
        clock = Clock()
        sleep = CancellableSleep(clock)
        slept = sleep.sleep(None)
        self.assertEqual([], clock.getDelayedCalls())
        self.assertNoResult(slept)
        sleep.wake()
        self.successResultOf(slept)

    def test_wake(self) -> None:
        """wake() ends the sleep, and cancels the delayed call."""
        clock = Clock()
        sleep = CancellableSleep(clock)
        slept = sleep.sleep(5.0)
        sleep.wake()
        self.successResultOf(slept)
        self.assertEqual([], clock.getDelayedCalls())

    def test_cancelled(self) -> None:
        """Cancelling the Deferred cancels the delayed call. A later wake() has no effect."""
        clock = Clock()
        sleep = CancellableSleep(clock)
        slept = sleep.sleep(5.0)
        slept.cancel()
        self.failureResultOf(slept, CancelledError)
        sleep.wake()
        self.assertEqual([], clock.getDelayedCalls())


class WallClockTests(SynchronousTestCase):
    """Dates for the times of a clock."""

    def test_format(self) -> None:
        """Times before, at and after the current time are formatted as dates."""
        clock = Clock()
        clock.advance(1000.0)
        wallClock = WallClock(clock, lambda: datetime(2026, 1, 1, 12, tzinfo=UTC))
        self.assertEqual(wallClock.format(1000.0), "2026-01-01T12:00:00+00:00")
        self.assertEqual(wallClock.format(940.0), "2026-01-01T11:59:00+00:00")
        self.assertEqual(wallClock.format(87_400.0), "2026-01-02T12:00:00+00:00")

    def test_now(self) -> None:
        """The current date is by default that of the system."""
        formatted = datetime.fromisoformat(WallClock(Clock()).format(0.0))
        self.assertLess(abs((datetime.now(UTC) - formatted).total_seconds()), 3600)
