"""The players of one game server, with the limits of their number."""

from __future__ import annotations

from echoserver.game.admission import overLimit
from echoserver.game.connection import Connection
from echoserver.game.session import PlayersByAddress


class Players:
    """
    The players of one game server, in the order of their join.

    @param maxPlayers: the limit of all players; None for no limit.
    @param maxPerAddress: the limit of the players from one address; None for no limit.
    """

    def __init__(self, maxPlayers: int | None, maxPerAddress: int | None) -> None:
        self._maxPlayers = maxPlayers
        self._maxPerAddress = maxPerAddress
        self._all: dict[Connection, None] = {}
        # The players that had sent nothing when they joined.
        self._silent: dict[Connection, None] = {}
        self._byAddress = PlayersByAddress(maxPerAddress is not None)
        self._receivedBefore = 0

    def all(self) -> tuple[Connection, ...]:
        """Return the players."""
        return tuple(self._all)

    @property
    def receivedBytes(self) -> int:
        """Return the number of bytes received from all players, also those that have left."""
        return self._receivedBefore + sum(player.bytesReceived for player in self._all)

    def add(self, player: Connection) -> None:
        """Add a player that joins."""
        self._all[player] = None
        if not player.bytesReceived:
            self._silent[player] = None
        self._byAddress.add(player, player.host)

    def remove(self, player: Connection) -> None:
        """Remove a player that has left."""
        self._all.pop(player, None)
        self._silent.pop(player, None)
        self._byAddress.remove(player)
        self._receivedBefore += player.bytesReceived

    def overLimit(self, connection: Connection, without: Connection | None = None) -> bool:
        """
        Return whether one of the limits rejects a connection.

        @param without: a player that does not count.
        """
        return overLimit(
            len(self._all) - (without is not None),
            self._maxPlayers,
            self._byAddress.count(connection.host, without=without),
            self._maxPerAddress,
        )

    def replaceableBy(self, connection: Connection) -> Connection | None:
        """
        Return a player that has never sent a byte and whose place is enough for a connection that
        has sent data; None if there is none.
        """
        if not connection.bytesReceived:
            return None
        for player in list(self._silent):
            if player.bytesReceived:
                del self._silent[player]
            elif not self.overLimit(connection, without=player):
                return player
        return None
