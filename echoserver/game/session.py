"""Pure: who is connected, and when a session starts and ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from echoserver.game.game import Player


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


class Neighbours:
    """
    Counts them where there is a limit; where there is none, it keeps nothing of a player.

    Where one came from is kept: a PROXY header that comes late changes his address.

    @param limited: whether there is a limit.
    """

    def __init__(self, limited: bool) -> None:
        self._limited = limited
        self._cameFrom: dict[Player, str] = {}
        self._many: Counter[str] = Counter()

    def of(self, player: Player) -> int:
        """How many are in from where he comes; none on a socket that has no addresses."""
        return self._many[player.host] if self._limited and player.host is not None else 0

    def joined(self, player: Player) -> None:
        """He is in."""
        if self._limited and player.host is not None:
            host = self._cameFrom[player] = player.host
            self._many[host] += 1

    def left(self, player: Player) -> None:
        """He, who was in, is no more."""
        host = self._cameFrom.pop(player, None)
        if host is not None:
            self._many[host] -= 1
            if not self._many[host]:
                del self._many[host]
