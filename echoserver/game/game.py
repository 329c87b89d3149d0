"""What a game asks and tells of its players, and what a player hears who is not let in."""

from __future__ import annotations

from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred

FULL = b"FULL\n"
CLAIM_FIRST = b"CLAIM FIRST\n"


class Player(TypingProtocol):
    """
    A player, as hooks see one.

    @ivar received: bytes that have come from the player so far.
    """

    received: int

    @property
    def address(self) -> str:
        """The peer, C{host:port}."""

    @property
    def host(self) -> str | None:
        """The peer's address alone; None where it has none, on a UNIX socket for instance."""


class Hooks(TypingProtocol):
    """
    Who hears of players: L{echoserver.server.gameserver.GameServer}. All on the reactor thread.

    A hook that raises is logged, and changes nothing for the player.
    """

    def admission(self, player: Player) -> Deferred[bytes | None]:
        """
        A player sent his first byte, or was there for 0.5 s: may he come in?

        Fires with None if he may, else with what he is told. Until then his bytes wait, unread.
        """

    def playerJoined(self, player: Player) -> None:
        """A player has come in."""

    def playerLeft(self, player: Player, reason: str) -> None:
        """A player who had joined is gone; C{reason} completes the sentence C{left: …}."""
