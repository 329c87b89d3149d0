"""Tic-tac-toe for two players and any number of spectators. Each line is a move."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from echoserver.game import Game, GameServer, Player

ROWS = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


class TicTacToe(LineReceiver):
    """The connection of a player or spectator. A line is a move: the number of a field, 1 to 9."""

    delimiter = b"\n"
    factory: Any

    def lineReceived(self, line: bytes) -> None:
        self.factory.move(self, line.decode("ascii", "replace").strip())


class TicTacToeFactory(Game, Factory):
    """The game of one game server. A session runs from the first player to the result."""

    protocol = TicTacToe

    def __init__(self, gameServer: GameServer) -> None:
        super().__init__(gameServer)
        self.room = "lobby"
        self.seats: dict[TicTacToe, str] = {}
        self.board = list("123456789")
        self.turn = "X"

    # The hooks of Game.

    def playerJoined(self, player: Player) -> None:
        protocol = cast(TicTacToe, player.protocol)
        free = [mark for mark in "XO" if mark not in self.seats.values()]
        if not free:
            self.send(protocol, "You watch this game.")
            return
        self.seats[protocol] = free[0]
        # Now FleetIQ must not offer this game server to other players.
        self.gameServer.startSession()
        self.send(protocol, f"You play {free[0]}.")
        if len(self.seats) == 2:
            self.broadcast("\n" + self.formatBoard() + "\nX begins: send 1 to 9.")

    def playerLeft(self, player: Player, reason: str) -> None:
        mark = self.seats.pop(cast(TicTacToe, player.protocol), None)
        if mark is not None:
            self.finish(f"{mark} has left.")

    def claimed(self, data: str) -> None:
        self.room = data.removeprefix("room=") or self.room
        self.broadcast(f"This is room {self.room}.")

    def draining(self, deadline: float | None, reason: str) -> None:
        self.broadcast(f"The server shuts down after this game: {reason}.")

    def closePlayers(self, reason: str) -> None:
        self.broadcast(f"Goodbye: {reason}.")
        super().closePlayers(reason)

    # The game.

    def move(self, protocol: TicTacToe, word: str) -> None:
        """Make a move, or send the reason why it is not possible."""
        mark = self.seats.get(protocol)
        if mark is None or len(self.seats) < 2 or mark != self.turn:
            self.send(protocol, "It is not your turn.")
        elif word not in self.board or not word.isdigit():
            self.send(protocol, "Send the number of a free field.")
        else:
            self.board[int(word) - 1] = mark
            self.turn = "O" if mark == "X" else "X"
            self.broadcast("\n" + self.formatBoard())
            if any(all(self.board[field] == mark for field in row) for row in ROWS):
                self.finish(f"{mark} wins.")
            elif not any(field.isdigit() for field in self.board):
                self.finish("The game is a draw.")

    def finish(self, result: str) -> None:
        """End the game and its session. Then the game server registers again."""
        self.broadcast(result)
        self.seats.clear()
        self.board, self.turn, self.room = list("123456789"), "X", "lobby"
        self.gameServer.endSession()
        super().closePlayers("the game is over")

    def formatBoard(self) -> str:
        """Return the board as three lines."""
        return "\n".join(" ".join(self.board[at : at + 3]) for at in (0, 3, 6))

    def send(self, protocol: TicTacToe, text: str) -> None:
        """Send a line to one connection."""
        protocol.sendLine(text.encode())

    def broadcast(self, text: str) -> None:
        """Send a line to all players and spectators."""
        for player in self.gameServer.players:
            self.send(cast(TicTacToe, player.protocol), text)


def makeFactory(gameServer: GameServer) -> TicTacToeFactory:
    """Return the game of one game server."""
    return TicTacToeFactory(gameServer)
