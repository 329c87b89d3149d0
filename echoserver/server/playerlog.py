"""Log players that join and leave: each of them, or one summary a second if there are many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger(namespace="fleetiq.server")

MODES = ("all", "summary", "none")
# Joins and leaves a second that are logged separately. Two lines for a player take more time of the
# processor than its connection and its echo.
MAX_LINES = 20
INTERVAL = 1.0


class LoggedPlayer(TypingProtocol):
    """The attributes of a player in the log. See L{echoserver.game.Player}."""

    @property
    def address(self) -> str: ...
    @property
    def bytesReceived(self) -> int: ...


class PlayerLog:
    """
    The log of the players of one game server.

    @param mode: C{all}, C{summary} or C{none}. With C{summary}, at most 20 players a second are
        logged, and the others are counted in one line at the end of the second.
    @param gameServerId: returns the id of the game server, for the fields of the log.
    """

    def __init__(
        self,
        clock: IReactorTime,
        mode: str,
        gameServerId: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._gameServerId = gameServerId
        self._all = mode == "all"
        self._none = mode == "none"
        self._since = 0.0
        self._lines = 0
        self._joined = self._left = self._players = 0
        self._summary: IDelayedCall | None = None

    def joined(self, player: LoggedPlayer, session: int, players: int) -> None:
        """
        A player has joined.

        @param players: the number of players that are connected now.
        """
        if self._isLogged(players):
            _log.info(
                "Player {address} joined session {session}; players: {players}.",
                address=player.address,
                session=session,
                players=players,
                gameServerId=self._gameServerId(),
                eventName="player.joined",
            )
        else:
            self._joined += 1

    def left(self, player: LoggedPlayer, reason: str, players: int) -> None:
        """A player has left."""
        if self._isLogged(players):
            _log.info(
                "Player {address} left: {reason}; {received} bytes; players: {players}.",
                address=player.address,
                reason=reason,
                received=player.bytesReceived,
                players=players,
                gameServerId=self._gameServerId(),
                eventName="player.left",
            )
        else:
            self._left += 1

    def stop(self) -> None:
        """Log the counted players, and stop the timer."""
        if self._summary is not None:
            self._summary.cancel()
            self._summarize()

    def _isLogged(self, players: int) -> bool:
        if self._all or self._none:
            return self._all
        now = self._clock.seconds()
        if now - self._since >= INTERVAL:
            self._since, self._lines = now, 0
        self._lines += 1
        self._players = players
        if self._lines <= MAX_LINES:
            return True
        if self._summary is None:
            wait = max(0.0, self._since + INTERVAL - now)
            self._summary = self._clock.callLater(wait, self._summarize)
        return False

    def _summarize(self) -> None:
        self._summary = None
        joined, self._joined = self._joined, 0
        left, self._left = self._left, 0
        _log.info(
            "{joined} more players joined and {left} left; players: {players}. With --log-players"
            " all each has a line.",
            joined=joined,
            left=left,
            players=self._players,
            gameServerId=self._gameServerId(),
            eventName="player.summary",
        )
