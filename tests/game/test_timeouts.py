"""Players who have connected and sent nothing yet.
Players who send nothing.
Players who are not read, for they do not read."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.game.timeouts import LOOK_EVERY, LOOKS, SOON, HeldBack, Idleness, Newcomers


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


class Quiet:
    """A player who is there since C{since}, and writes down when he is let go."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.received = 0
        self.lastByte = clock.seconds()
        self.left: float | None = None

    def send(self) -> None:
        self.received += 1
        self.lastByte = self.clock.seconds()

    def leave(self, reason: str) -> None:
        self.reason = reason
        self.left = self.left or self.clock.seconds()


class IdlenessTests(SynchronousTestCase):
    """One timer for all."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.players: list[Quiet] = []
        self.idleness = Idleness(self.clock, 60.0, lambda: self.players)

    def join(self) -> Quiet:
        """One player more."""
        self.players.append(Quiet(self.clock))
        self.idleness.start()
        return self.players[-1]

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.floats(0.1, 59.9), max_size=8), st.floats(0.0, 20.0))
    def test_when(self, pauses: list[float], joins: float) -> None:
        """Whoever sends in time stays; who does not is gone after 60 s, and 72 at most."""
        self.setUp()
        self.join()
        self.clock.pump([joins / 4] * 4)
        player = self.join()
        for pause in pauses:
            self.clock.pump([pause / 20] * 20)
            self.assertIsNone(player.left)
            player.send()
        self.clock.pump([0.5] * 2 * 73)
        assert player.left is not None
        silent = player.left - player.lastByte
        self.assertTrue(silent + 1e-6 >= 60.0 and silent <= 72.5, silent)
        self.idleness.stop()

    def test_reason(self) -> None:
        """He is told of with the time that he was silent."""
        player = self.join()
        self.clock.pump([6.0] * 11)
        self.assertEqual("sent nothing for 60 s", player.reason)

    def test_oneTimer(self) -> None:
        """However many there are, one call is due; none once nobody is there."""
        for _ in range(100):
            self.join()
        [due] = self.clock.getDelayedCalls()
        self.assertEqual(60.0 / LOOKS, due.getTime())
        self.idleness.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.idleness.stop()
        self.idleness.start()
        self.assertEqual(1, len(self.clock.getDelayedCalls()))


class Unread:
    """A player who ends his side when the test says so."""

    ended = False
    given: float | None = None

    def endsUnheard(self) -> bool:
        return self.ended

    def abortIn(self, seconds: float) -> None:
        self.given = seconds


class HeldBackTests(SynchronousTestCase):
    """One look a second."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.heldBack = HeldBack(self.clock, 10.0)

    def test_endIsSeen(self) -> None:
        """Who has ended his side has ten seconds, the one before the look among them."""
        ends, stays = Unread(), Unread()
        for player in (ends, stays):
            self.heldBack.add(player)
        self.clock.advance(LOOK_EVERY)
        self.assertIsNone(ends.given)
        ends.ended = True
        self.clock.advance(LOOK_EVERY)
        self.assertEqual((9.0, None), (ends.given, stays.given))

    def test_nobody(self) -> None:
        """A second after nobody is held back any more nobody looks; nor does one who is stopped."""
        player = Unread()
        for _ in range(3):
            self.heldBack.add(player)
            self.assertEqual(1, len(self.clock.getDelayedCalls()))
            self.heldBack.discard(player)
        player.ended = True
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(([], None), (self.clock.getDelayedCalls(), player.given))
        self.heldBack.add(player)
        self.heldBack.stop()
        self.heldBack.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
