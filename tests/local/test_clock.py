"""The local clock, and the timer for its deadlines."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.clock import ExpiryTimer, LocalClock
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import Event

seconds = st.floats(0, 1e6)
moves = st.lists(
    st.tuples(st.just("advance"), seconds)
    | st.tuples(st.just("scale"), st.floats(0.01, 3600))
    | st.tuples(st.just("pass"), seconds)
)


class LocalClockTests(SynchronousTestCase):
    """A local clock whose real time the test advances."""

    def setUp(self) -> None:
        self.real = Clock()
        self.real.advance(1000)
        self.clock = LocalClock(self.real)

    @settings(deadline=None)
    @given(moves=moves)
    def test_addsUp(self, moves: list[tuple[str, float]]) -> None:
        """The time is the start, plus the time passed at each scale, plus the advances."""
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
        """A delayed call is due when that much local time has passed."""
        self.clock.setScale(60)
        called: list[float] = []
        self.clock.callLater(30, lambda: called.append(self.clock.seconds()))
        self.real.advance(0.4)
        self.assertEqual([], called)
        self.real.advance(0.1)
        self.assertEqual([1030.0], called)

    def test_reset(self) -> None:
        """A reset restores the real time and the first scale."""
        clock = LocalClock(self.real, 2.0)
        self.real.advance(10)
        self.assertEqual(1020.0, clock.seconds())
        clock.setScale(60)
        clock.advance(500)
        clock.reset()
        self.assertEqual((1010.0, 2.0), (clock.seconds(), clock.scale))


class ExpiryTimerTests(SynchronousTestCase):
    """A timer on a clock that the test advances."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[Event] = []
        self.fleet = Fleet(self.events.append)
        self.fleet.addGroup("one", 1, 0.0)
        self.localClock = LocalClock(self.clock)
        self.timer = ExpiryTimer(self.localClock, self.fleet)

    def register(self, gameServerId: str) -> None:
        [instance] = self.fleet.groups(self.clock.seconds()).group("one").instanceIds
        self.fleet.register("one", gameServerId, instance, None, None, self.clock.seconds())
        self.timer.schedule()

    def reported(self) -> list[tuple[float, str]]:
        return [(each.time, each.event) for each in self.events if each.event != "registered"]

    def test_dropsOnTime(self) -> None:
        """A game server without health reports is dropped at most 1 s after its deadline."""
        self.register("srv-1")
        self.clock.pump([1] * 182)
        self.assertEqual([(181.0, "dropped")], self.reported())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_claimEndsOnTime(self) -> None:
        """A claim that expires before the next deadline moves the timer forward."""
        self.register("srv-1")
        self.clock.advance(10)
        self.fleet.claim("one", None, None, None, self.clock.seconds())
        self.timer.schedule()
        self.clock.pump([1] * 61)
        self.assertEqual([(70.0, "claim-expired")], self.reported()[1:])

    def test_groupStatuses(self) -> None:
        """A group becomes ACTIVE, and is deleted, without calls; then there is no delayed call."""
        settings = self.fleet.groups(0.0).group("one").settings
        self.fleet.groups(0.0).create("two", settings, 1, {}, 0.0)
        self.timer.schedule()
        self.clock.pump([1] * 6)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.fleet.groups(6.0).delete("two", "SAFE_DELETE", 6.0)
        self.timer.schedule()
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

    def test_waitingDeletion(self) -> None:
        """A deletion that waits for a UTILIZED game server sets no timer."""
        self.register("srv-1")
        self.fleet.update("one", "srv-1", None, "UTILIZED", None, 0.0)
        self.fleet.groups(0.0).delete("one", "SAFE_DELETE", 0.0)
        self.timer.schedule()
        self.clock.advance(1)
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(180.0, call.getTime())
        self.clock.advance(0.5)
        self.fleet.deregister("one", "srv-1", 1.5)
        self.timer.schedule()
        self.clock.pump([1] * 6)
        self.assertEqual("is DELETED", self.events[-1].sentence)
        self.assertEqual(5.5, self.events[-1].time)

    def test_oneTimer(self) -> None:
        """Any number of game servers needs one delayed call."""
        for number in range(20):
            self.register(f"srv-{number}")
            self.clock.advance(0.5)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    def test_exactDeadlineDoesNotSpin(self) -> None:
        """At the exact health deadline nothing is due; the next call is 1 s later."""
        self.register("srv-1")
        self.clock.advance(180)
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(181.0, call.getTime())

    def test_clockJumps(self) -> None:
        """After an advance, what is due expires at once; the timer is set to the next deadline."""
        self.register("srv-1")
        self.localClock.advance(100)
        self.timer.clockMoved()
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(80.0, call.getTime())
        self.localClock.advance(81)
        self.timer.clockMoved()
        self.assertEqual([(181.0, "dropped")], self.reported())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_clockRunsFast(self) -> None:
        """A fast clock shortens the delay, to 10 ms at least."""
        self.register("srv-1")
        self.clock.advance(60)
        self.localClock.setScale(60)
        self.timer.clockMoved()
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(62.0, call.getTime())
        self.localClock.setScale(3600)
        self.localClock.advance(119)
        self.timer.clockMoved()
        [call] = self.clock.getDelayedCalls()
        self.assertAlmostEqual(60.01, call.getTime(), 6)

    def test_stop(self) -> None:
        """A stop cancels the delayed call; a second stop does nothing."""
        self.register("srv-1")
        self.timer.stop()
        self.timer.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
