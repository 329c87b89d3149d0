"""What the log says while FleetIQ does not do as it is asked."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.dates import Dates
from echoserver.gamelift.degraded import Degraded
from echoserver.gamelift.identity import Identity
from tests.awsdoubles import INSTANCE_ID, told

ONE = Identity(INSTANCE_ID, "localhost:5000", 5000)
OTHER = Identity(INSTANCE_ID, "localhost:5001", 5001)
SINCE = "Degraded since 1970-01-01T00:00:00+00:00, game servers: "


class DegradedTests(SynchronousTestCase):
    """Two game servers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.degraded = Degraded(self.clock, Dates(self.clock, self.today))

    def today(self) -> datetime:
        """The date: the clock counts from 1970."""
        return datetime.fromtimestamp(self.clock.seconds(), UTC)

    def fails(self, who: Identity = ONE, why: str = "No.") -> list[str]:
        """What is said of a failure."""
        with capturedLogs() as events:
            self.degraded.failed(who, why)
        return told(events)

    def recovers(self, who: Identity = ONE) -> list[str]:
        """What is said of a success."""
        with capturedLogs() as events:
            self.degraded.well(who)
        return told(events)

    def test_onceAMinute(self) -> None:
        """Since when, how many, and why the last; at once, then once a minute at most."""
        self.assertEqual(self.fails(), [f"{SINCE}1; players play on. No."])
        self.clock.advance(59.0)
        self.assertEqual(self.fails(OTHER), [])
        self.clock.advance(1.0)
        self.assertEqual(self.fails(why="Never."), [f"{SINCE}2; players play on. Never."])
        self.assertEqual(self.degraded.since, 0.0)

    def test_over(self) -> None:
        """It is over when the last of them is well, and that is said once."""
        self.fails()
        self.fails(OTHER)
        self.assertEqual(self.recovers(), [])
        self.assertIsNotNone(self.degraded.since)
        [line] = self.recovers(OTHER)
        self.assertTrue(line.startswith("No longer degraded; it was since 1970"))
        self.assertEqual((self.recovers(), self.degraded.since), ([], None))

    def test_flapping(self) -> None:
        """What fails and recovers on and on is told once a minute, too."""
        lines = []
        for _ in range(120):
            lines += self.fails() + self.recovers()
            self.clock.advance(1.0)
        self.assertEqual(len(lines), 4)
