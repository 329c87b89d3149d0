"""How many players are in from the same address."""

from __future__ import annotations

from collections import Counter

from echoserver.players.hooks import Player


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
