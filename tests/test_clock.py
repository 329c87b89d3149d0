"""A sleep that can be cut short.
WallClock of times of a clock that counts from anywhere."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.clock import CancellableSleep, WallClock


class AlarmTests(SynchronousTestCase):
    """A sleep that can be cut short."""

    def test_sleeps(self) -> None:
        """It ends after its time."""
        clock = Clock()
        slept = CancellableSleep(clock).sleep(5.0)
        clock.advance(4.9)
        self.assertNoResult(slept)
        clock.advance(0.1)
        self.successResultOf(slept)

    def test_sleepsUntilRung(self) -> None:
        """Without a time only a ring ends it."""
        clock = Clock()
        alarm = CancellableSleep(clock)
        slept = alarm.sleep(None)
        self.assertEqual([], clock.getDelayedCalls())
        self.assertNoResult(slept)
        alarm.wake()
        self.successResultOf(slept)

    def test_rings(self) -> None:
        """It ends when it rings, and leaves nothing behind."""
        clock = Clock()
        alarm = CancellableSleep(clock)
        slept = alarm.sleep(5.0)
        alarm.wake()
        self.successResultOf(slept)
        self.assertEqual([], clock.getDelayedCalls())

    def test_cancelled(self) -> None:
        """Cancelled it leaves nothing behind either, and a later ring is nobody's."""
        clock = Clock()
        alarm = CancellableSleep(clock)
        slept = alarm.sleep(5.0)
        slept.cancel()
        self.failureResultOf(slept, CancelledError)
        alarm.wake()
        self.assertEqual([], clock.getDelayedCalls())


class DatesTests(SynchronousTestCase):
    """Noon is the clock's 1000."""

    def test_of(self) -> None:
        """What was, is and will be, by the date that it is now."""
        clock = Clock()
        clock.advance(1000.0)
        dates = WallClock(clock, lambda: datetime(2026, 1, 1, 12, tzinfo=UTC))
        self.assertEqual(dates.format(1000.0), "2026-01-01T12:00:00+00:00")
        self.assertEqual(dates.format(940.0), "2026-01-01T11:59:00+00:00")
        self.assertEqual(dates.format(87_400.0), "2026-01-02T12:00:00+00:00")

    def test_now(self) -> None:
        """Without a date given it is the machine's."""
        said = datetime.fromisoformat(WallClock(Clock()).format(0.0))
        self.assertLess(abs((datetime.now(UTC) - said).total_seconds()), 3600)
