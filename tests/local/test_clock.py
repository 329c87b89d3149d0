"""The local clock: real time, moved and sped up.
What is due happens on time, with one timer at most."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.clock import LocalClock, Sweep
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import Event

seconds = st.floats(0, 1e6)
moves = st.lists(
    st.tuples(st.just("advance"), seconds)
    | st.tuples(st.just("scale"), st.floats(0.01, 3600))
    | st.tuples(st.just("pass"), seconds)
)


class LocalClockTests(SynchronousTestCase):
    """A local clock on a real one."""

    def setUp(self) -> None:
        self.real = Clock()
        self.real.advance(1000)
        self.clock = LocalClock(self.real)

    @settings(deadline=None)
    @given(moves=moves)
    def test_addsUp(self, moves: list[tuple[str, float]]) -> None:
        """It is its start, and what passed at each scale, and each advance."""
        self.setUp()
        scale, expected = 1.0, 1000.0
        for move, amount in moves:
            if move == "advance":
                self.clock.advance(amount)
                expected += amount
            elif move == "scale":
                self.clock.setScale(amount)
                scale = amount
            else:
                self.real.advance(amount)
                expected += amount * scale
            self.assertAlmostEqual(1.0, self.clock.seconds() / expected, 9)

    def test_callsSooner(self) -> None:
        """A call is due when so much local time has passed."""
        self.clock.setScale(60)
        called: list[float] = []
        self.clock.callLater(30, lambda: called.append(self.clock.seconds()))
        self.real.advance(0.4)
        self.assertEqual([], called)
        self.real.advance(0.1)
        self.assertEqual([1030.0], called)

    def test_reset(self) -> None:
        """Reset, it is the real time again, at the scale it began with."""
        clock = LocalClock(self.real, 2.0)
        self.real.advance(10)
        self.assertEqual(1020.0, clock.seconds())
        clock.setScale(60)
        clock.advance(500)
        clock.reset()
        self.assertEqual((1010.0, 2.0), (clock.seconds(), clock.scale))


class SweepTests(SynchronousTestCase):
    """A sweep on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[Event] = []
        self.state = Fleet(self.events.append)
        self.state.addGroup("one", 1, 0.0)
        self.localClock = LocalClock(self.clock)
        self.sweep = Sweep(self.localClock, self.state)

    def register(self, gameServerId: str) -> None:
        [instance] = self.state.groups(self.clock.seconds()).group("one").instanceIds
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

    def test_groupsLiveOn(self) -> None:
        """A group becomes ACTIVE, and goes, when nobody calls; then there is no timer."""
        settings = self.state.groups(0.0).group("one").settings
        self.state.groups(0.0).create("two", settings, 1, {}, 0.0)
        self.sweep.schedule()
        self.clock.pump([1] * 6)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.state.groups(6.0).delete("two", "SAFE_DELETE", 6.0)
        self.sweep.schedule()
        self.clock.pump([1] * 6)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(
            [
                (0.0, "is NEW"),
                (1.0, "is ACTIVATING"),
                (5.0, "is ACTIVE with 1 instance"),
                (6.0, "is DELETE_SCHEDULED with SAFE_DELETE"),
                (7.0, "is DELETING"),
                (11.0, "is DELETED"),
            ],
            [(each.time, each.sentence) for each in self.events],
        )

    def test_waitingForPlayDoesNotSpin(self) -> None:
        """A deletion that waits for a game server has no timer of its own."""
        self.register("srv-1")
        self.state.update("one", "srv-1", None, "UTILIZED", None, 0.0)
        self.state.groups(0.0).delete("one", "SAFE_DELETE", 0.0)
        self.sweep.schedule()
        self.clock.advance(1)
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(180.0, call.getTime())
        self.clock.advance(0.5)
        self.state.deregister("one", "srv-1", 1.5)
        self.sweep.schedule()
        self.clock.pump([1] * 6)
        self.assertEqual("is DELETED", self.events[-1].sentence)
        self.assertEqual(5.5, self.events[-1].time)

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

    def test_clockJumps(self) -> None:
        """What a jump of the clock makes due happens at once, and the timer is for what is left."""
        self.register("srv-1")
        self.localClock.advance(100)
        self.sweep.clockMoved()
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(80.0, call.getTime())
        self.localClock.advance(81)
        self.sweep.clockMoved()
        self.assertEqual([(181.0, "dropped")], self.told())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_clockRunsFast(self) -> None:
        """On a fast clock what is due comes sooner; on one too fast to follow, every 10 ms."""
        self.register("srv-1")
        self.clock.advance(60)
        self.localClock.setScale(60)
        self.sweep.clockMoved()
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(62.0, call.getTime())
        self.localClock.setScale(3600)
        self.localClock.advance(119)
        self.sweep.clockMoved()
        [call] = self.clock.getDelayedCalls()
        self.assertAlmostEqual(60.01, call.getTime(), 6)

    def test_stop(self) -> None:
        """Stopped, nothing is left; stopping twice is no error."""
        self.register("srv-1")
        self.sweep.stop()
        self.sweep.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
