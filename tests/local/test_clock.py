"""The local clock: real time, moved and sped up."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.clock import LocalClock

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
