"""What is due happens on time, with one timer at most."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.state import FleetState
from echoserver.local.sweep import Sweep
from echoserver.local.values import Event


class SweepTests(SynchronousTestCase):
    """A sweep on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[Event] = []
        self.state = FleetState(self.events.append)
        self.state.addGroup("one", 1, 0.0)
        self.sweep = Sweep(self.clock, self.state)

    def register(self, gameServerId: str) -> None:
        [instance] = self.state.group("one").instanceIds
        self.state.register("one", gameServerId, instance, None, None, self.clock.seconds())
        self.sweep.schedule()

    def told(self) -> list[tuple[float, str]]:
        return [(each.time, each.event) for each in self.events if each.event != "registered"]

    def test_dropsOnTime(self) -> None:
        """A silent game server is dropped without a call, a second after its time at most."""
        self.register("srv-1")
        self.clock.pump([1] * 182)
        self.assertEqual([(181.0, "dropped")], self.told())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_claimEndsOnTime(self) -> None:
        """A claim that comes later and ends earlier brings the timer forward."""
        self.register("srv-1")
        self.clock.advance(10)
        self.state.claim("one", None, None, None, self.clock.seconds())
        self.sweep.schedule()
        self.clock.pump([1] * 61)
        self.assertEqual([(70.0, "claim-expired")], self.told()[1:])

    def test_oneTimer(self) -> None:
        """Any number of game servers has one timer."""
        for number in range(20):
            self.register(f"srv-{number}")
            self.clock.advance(0.5)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    def test_exactDeadlineDoesNotSpin(self) -> None:
        """At the very end of health nothing is due yet; the next look is a second later."""
        self.register("srv-1")
        self.clock.advance(180)
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(181.0, call.getTime())

    def test_stop(self) -> None:
        """Stopped, nothing is left; stopping twice is no error."""
        self.register("srv-1")
        self.sweep.stop()
        self.sweep.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
