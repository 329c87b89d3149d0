"""Players who have connected and sent nothing yet."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.players.newcomers import SOON, Newcomers


class Silent:
    """One who knocks: it is written down when."""

    knocked: float | None = None

    def __init__(self, clock: Clock, then: Callable[[], object] = lambda: None) -> None:
        self._clock = clock
        self._then = then

    def knock(self) -> None:
        assert self.knocked is None
        self.knocked = self._clock.seconds()
        self._then()


class NewcomersTests(SynchronousTestCase):
    """Each knocks in his time, by one timer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.newcomers = Newcomers(self.clock, 0.5)

    @given(st.lists(st.floats(0.0, 0.7), max_size=8))
    def test_inTime(self, gaps: list[float]) -> None:
        """Each half a second after he came, to the millisecond, whoever comes before or after."""
        self.setUp()
        came: dict[Silent, float] = {}
        for gap in gaps:
            self.advance(gap)
            newcomer = Silent(self.clock)
            came[newcomer] = self.clock.seconds()
            self.newcomers.add(newcomer)
            self.assertEqual(1, len(self.due()))
        self.advance(0.6)
        for newcomer, when in came.items():
            assert newcomer.knocked is not None
            self.assertLessEqual(abs(when + 0.5 - newcomer.knocked), 1.01 * SOON)
        self.assertEqual([], self.due())

    def advance(self, seconds: float) -> None:
        """As time goes by: from call to call, not in one leap."""
        end = self.clock.seconds() + seconds
        while (left := end - self.clock.seconds()) > 0:
            self.clock.advance(min([left, *(when - self.clock.seconds() for when in self.due())]))

    def due(self) -> list[float]:
        """When the clock has something to do."""
        return [call.getTime() for call in self.clock.getDelayedCalls()]

    def test_exact(self) -> None:
        """Who comes a while after another knocks that while after him."""
        first, second = Silent(self.clock), Silent(self.clock)
        self.newcomers.add(first)
        self.clock.advance(0.2)
        self.newcomers.add(second)
        self.clock.advance(0.3)
        self.assertEqual((0.5, None), (first.knocked, second.knocked))
        self.clock.advance(0.2)
        self.assertEqual(0.7, second.knocked)

    def test_discarded(self) -> None:
        """Who has sent something, or is gone, does not knock; nor is he there twice."""
        newcomer = Silent(self.clock)
        self.newcomers.add(newcomer)
        self.assertTrue(self.newcomers.discard(newcomer))
        self.assertFalse(self.newcomers.discard(newcomer))
        self.clock.advance(0.5)
        self.assertEqual((None, []), (newcomer.knocked, self.due()))

    def test_whoKnocksSendsAnotherAway(self) -> None:
        """The one who was to knock next, too."""
        second = Silent(self.clock)
        first = Silent(self.clock, lambda: self.newcomers.discard(second))
        for newcomer in (first, second):
            self.newcomers.add(newcomer)
        self.clock.advance(0.5)
        self.assertEqual((0.5, None), (first.knocked, second.knocked))

    def test_oneFails(self) -> None:
        """Whoever fails to knock, the others do, those who come later too."""

        def fail() -> None:
            raise ValueError("one who cannot knock")

        second, third = Silent(self.clock), Silent(self.clock)
        self.newcomers.add(Silent(self.clock, fail))
        self.newcomers.add(second)
        self.clock.advance(0.2)
        self.newcomers.add(third)
        self.clock.advance(0.3)
        self.clock.advance(0.2)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual((0.5, 0.7), (second.knocked, third.knocked))

    def test_whoKnocksBringsAnother(self) -> None:
        """One who comes meanwhile has his time, and one timer serves them still."""
        last = Silent(self.clock)
        second = Silent(self.clock)
        self.newcomers.add(Silent(self.clock, lambda: self.newcomers.add(last)))
        self.newcomers.add(second)
        self.clock.advance(0.5)
        self.assertEqual((0.5, 1), (second.knocked, len(self.due())))
        self.clock.advance(0.5)
        self.assertEqual((1.0, []), (last.knocked, self.due()))

    def test_stop(self) -> None:
        """It leaves no timer behind, and begins again with the next."""
        self.newcomers.add(Silent(self.clock))
        self.newcomers.stop()
        self.newcomers.stop()
        self.assertEqual([], self.due())
        self.newcomers.add(Silent(self.clock))
        self.assertEqual(1, len(self.due()))
