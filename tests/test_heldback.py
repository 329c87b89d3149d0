"""Players who are not read, for they do not read."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.players.heldback import LOOK_EVERY, HeldBack


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
