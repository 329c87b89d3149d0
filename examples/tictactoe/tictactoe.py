"""Tic-tac-toe for two players and any number of spectators, line by line."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from echoserver.game import Game, GameServer, Player

ROWS = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


class TicTacToe(LineReceiver):
    """One connection: a line is a move, 1 to 9."""

    delimiter = b"\n"
    factory: Any

    def lineReceived(self, line: bytes) -> None:
        self.factory.move(self, line.decode("ascii", "replace").strip())


class TicTacToeFactory(Game, Factory):
    """One game server: one board at a time. A session lasts from the first seat to the result."""

    protocol = TicTacToe

    def __init__(self, gameServer: GameServer) -> None:
        super().__init__(gameServer)
        self.room = "lobby"
        self.seats: dict[TicTacToe, str] = {}
        self.board = list("123456789")
        self.turn = "X"

    # The hooks of the game server.

    def playerJoined(self, player: Player) -> None:
        protocol = cast(TicTacToe, player.protocol)
        free = [mark for mark in "XO" if mark not in self.seats.values()]
        if not free:
            self.tell(protocol, "You watch.")
            return
        self.seats[protocol] = free[0]
        # From the first seat on: FleetIQ must not offer this server to another match.
        self.gameServer.startSession()
        self.tell(protocol, f"You play {free[0]}.")
        if len(self.seats) == 2:
            self.broadcast("\n" + self.drawing() + "\nX begins: send 1 to 9.")

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
        """Make a move, or say what is wrong with it."""
        mark = self.seats.get(protocol)
        if mark is None or len(self.seats) < 2 or mark != self.turn:
            self.tell(protocol, "It is not your turn.")
        elif word not in self.board or not word.isdigit():
            self.tell(protocol, "Send the number of a free field.")
        else:
            self.board[int(word) - 1] = mark
            self.turn = "O" if mark == "X" else "X"
            self.broadcast("\n" + self.drawing())
            if any(all(self.board[field] == mark for field in row) for row in ROWS):
                self.finish(f"{mark} wins.")
            elif not any(field.isdigit() for field in self.board):
                self.finish("Nobody wins.")

    def finish(self, result: str) -> None:
        """End the game and its session: FleetIQ may offer this server again."""
        self.broadcast(result)
        self.seats.clear()
        self.board, self.turn, self.room = list("123456789"), "X", "lobby"
        self.gameServer.endSession()
        super().closePlayers("the game is over")

    def drawing(self) -> str:
        """Return the board as three lines."""
        return "\n".join(" ".join(self.board[at : at + 3]) for at in (0, 3, 6))

    def tell(self, protocol: TicTacToe, text: str) -> None:
        """Send text to one connection."""
        protocol.sendLine(text.encode())

    def broadcast(self, text: str) -> None:
        """Send text to all players and spectators."""
        for player in self.gameServer.players:
            self.tell(cast(TicTacToe, player.protocol), text)


def makeFactory(gameServer: GameServer) -> TicTacToeFactory:
    """Make the game of one game server."""
    return TicTacToeFactory(gameServer)
