"""Dates of times of a clock that counts from anywhere."""

from datetime import UTC, datetime

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.dates import Dates


class DatesTests(SynchronousTestCase):
    """Noon is the clock's 1000."""

    def test_of(self) -> None:
        """What was, is and will be, by the date that it is now."""
        clock = Clock()
        clock.advance(1000.0)
        dates = Dates(clock, lambda: datetime(2026, 1, 1, 12, tzinfo=UTC))
        self.assertEqual(dates.of(1000.0), "2026-01-01T12:00:00+00:00")
        self.assertEqual(dates.of(940.0), "2026-01-01T11:59:00+00:00")
        self.assertEqual(dates.of(87_400.0), "2026-01-02T12:00:00+00:00")

    def test_now(self) -> None:
        """Without a date given it is the machine's."""
        said = datetime.fromisoformat(Dates(Clock()).of(0.0))
        self.assertLess(abs((datetime.now(UTC) - said).total_seconds()), 3600)
