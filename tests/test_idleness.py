"""Players who send nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.players.idleness import LOOKS, Idleness


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
