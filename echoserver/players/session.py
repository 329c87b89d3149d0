"""Pure: who is in, when a game session begins and ends, who may come in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """
    The session of one game server: it begins with its first player and ends with its last.

    @ivar number: 1 for the first session; it stays when the session ends. 0 before the first.
    @ivar players: how many are in.
    """

    number: int = 0
    players: int = 0

    @property
    def running(self) -> bool:
        """Whether anybody is in."""
        return self.players > 0

    @property
    def ended(self) -> int:
        """How many sessions have ended."""
        return self.number - self.running

    def joined(self) -> Session:
        """The session with one player more."""
        return Session(self.number + (not self.running), self.players + 1)

    def left(self) -> Session:
        """The session with one player less."""
        if not self.running:
            raise ValueError("A player left, but nobody was in.")
        return Session(self.number, self.players - 1)

    def hasRoom(self, maxPlayers: int | None, sameAddress: int, maxPerAddress: int | None) -> bool:
        """
        Whether one more may come in. None is no limit.

        @param sameAddress: how many are in from where he comes.
        """
        room = maxPlayers is None or self.players < maxPlayers
        return room and (maxPerAddress is None or sameAddress < maxPerAddress)
