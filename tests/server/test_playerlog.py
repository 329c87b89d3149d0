"""Tests of L{echoserver.server.playerlog}."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.server.playerlog import MAX_LINES, PlayerLog


class Anybody:
    """A player."""

    address = "192.0.2.1:4000"
    bytesReceived = 5


class PlayerLogTests(SynchronousTestCase):
    """The lines of players that join and leave."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100.25)

    def lines(self, mode: str, players: int, seconds: float = 0.0) -> list[str]:
        """Return the lines for players that join and leave, one after another."""
        log = PlayerLog(self.clock, mode)
        with capturedLogs() as events:
            for _ in range(players):
                log.joined(Anybody(), 1, 1)
                log.left(Anybody(), "closed the connection", 0)
            self.clock.advance(seconds)
            log.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        return [formatEvent(event) for event in events]

    def test_few(self) -> None:
        """By default a few players have lines of their own."""
        expected = [
            "Player 192.0.2.1:4000 joined session 1; players: 1.",
            "Player 192.0.2.1:4000 left: closed the connection; 5 bytes; players: 0.",
        ]
        self.assertEqual(expected, self.lines("summary", 1))
        self.assertEqual(expected, self.lines("all", 1))
        self.assertEqual([], self.lines("none", 1))

    def test_many(self) -> None:
        """Players beyond 20 lines a second are counted, and logged after the second."""
        summary = "990 more players joined and 990 left; players: 0. With --log-players all "
        for seconds in (0.0, 1.0):
            *lines, last = self.lines("summary", 1000, seconds)
            self.assertEqual(MAX_LINES, len(lines))
            self.assertTrue(last.startswith(summary), last)
            self.clock.advance(1.0)

    def test_all(self) -> None:
        """On request each player has two lines."""
        self.assertEqual(2000, len(self.lines("all", 1000)))

    def test_nextSecond(self) -> None:
        """After the second, players have lines again."""
        log = PlayerLog(self.clock, "summary")
        with capturedLogs() as events:
            for second in range(3):
                for _ in range(MAX_LINES + second):
                    log.joined(Anybody(), 1, 1)
                self.clock.advance(1.0)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(3 * MAX_LINES + 2, len(events))
