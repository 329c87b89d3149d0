"""Test the rules without a game server: C{PYTHONPATH=. trial test_tictactoe} in this folder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tictactoe import TicTacToeFactory
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase


class GameServer:
    """A double for the game server, with the methods that the game uses."""

    def __init__(self) -> None:
        self.players: list[Any] = []
        self.sessions: list[str] = []

    def startSession(self) -> int:
        self.sessions.append("started")
        return 1

    def endSession(self) -> None:
        self.sessions.append("ended")


class TicTacToeTests(SynchronousTestCase):
    """A game with two players and a spectator."""

    def setUp(self) -> None:
        self.server = GameServer()
        self.game = TicTacToeFactory(cast(Any, self.server))
        self.x, self.o, self.spectator = (self.join() for _ in range(3))

    def join(self) -> Any:
        """Connect a player."""
        protocol: Any = self.game.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        closed = protocol.transport.loseConnection
        player: Any = SimpleNamespace(protocol=protocol, close=lambda _: closed())
        self.server.players.append(player)
        self.game.playerJoined(player)
        return protocol

    def play(self, *moves: int) -> str:
        """Make these moves, X first, and return the text that the spectator received."""
        for turn, move in enumerate(moves):
            (self.x, self.o)[turn % 2].dataReceived(b"%d\n" % move)
        received: str = self.spectator.transport.value().decode()
        return received

    def test_win(self) -> None:
        """After three in a row, the session ends, and all are disconnected."""
        self.assertTrue(self.play(1, 4, 2, 5, 3).endswith("X X X\nO O 6\n7 8 9\nX wins.\n"))
        self.assertEqual("ended", self.server.sessions[-1])
        self.assertTrue(self.o.transport.disconnecting)

    def test_draw(self) -> None:
        """A full board without a row is a draw."""
        self.assertTrue(self.play(1, 2, 3, 5, 4, 6, 8, 7, 9).endswith("The game is a draw.\n"))

    def test_wrongMoves(self) -> None:
        """An occupied field, a word, and a move of the wrong player are rejected."""
        self.play(5)
        for protocol, line in ((self.o, b"5\n"), (self.o, b"X\n"), (self.x, b"1\n")):
            protocol.transport.clear()
            protocol.dataReceived(line)
            self.assertEqual(1, protocol.transport.value().count(b"\n"))
        self.spectator.dataReceived(b"1\n")
        self.assertIn(b"not your turn", self.spectator.transport.value())

    def test_claimAndDrain(self) -> None:
        """The name of the room comes from the claim. A shutdown is announced."""
        self.game.claimed("room=blue")
        self.game.draining(None, "Spot interruption")
        self.assertIn("room blue.\nThe server shuts down after this game", self.play())
