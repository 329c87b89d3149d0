"""A sleep that can be cut short."""

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.alarm import Alarm


class AlarmTests(SynchronousTestCase):
    """A sleep that can be cut short."""

    def test_sleeps(self) -> None:
        """It ends after its time."""
        clock = Clock()
        slept = Alarm(clock).sleep(5.0)
        clock.advance(4.9)
        self.assertNoResult(slept)
        clock.advance(0.1)
        self.successResultOf(slept)

    def test_sleepsUntilRung(self) -> None:
        """Without a time only a ring ends it."""
        clock = Clock()
        alarm = Alarm(clock)
        slept = alarm.sleep(None)
        self.assertEqual([], clock.getDelayedCalls())
        self.assertNoResult(slept)
        alarm.ring()
        self.successResultOf(slept)

    def test_rings(self) -> None:
        """It ends when it rings, and leaves nothing behind."""
        clock = Clock()
        alarm = Alarm(clock)
        slept = alarm.sleep(5.0)
        alarm.ring()
        self.successResultOf(slept)
        self.assertEqual([], clock.getDelayedCalls())

    def test_cancelled(self) -> None:
        """Cancelled it leaves nothing behind either, and a later ring is nobody's."""
        clock = Clock()
        alarm = Alarm(clock)
        slept = alarm.sleep(5.0)
        slept.cancel()
        self.failureResultOf(slept, CancelledError)
        alarm.ring()
        self.assertEqual([], clock.getDelayedCalls())
