"""Pure: the session of a game server, and the number of players, in all and from each address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Session:
    """
    The sessions of one game server. At most one runs at a time.

    @ivar number: the number of the last session that started: 1 for the first, 0 before it.
    @ivar running: whether that session still runs.
    @ivar players: how many players are connected.
    """

    number: int = 0
    running: bool = False
    players: int = 0

    @property
    def ended(self) -> int:
        """Return how many sessions have ended."""
        return self.number - self.running

    def started(self) -> Session:
        """Return the state after a session has started; the same if one runs already."""
        return self if self.running else Session(self.number + 1, True, self.players)

    def finished(self) -> Session:
        """Return the state after the session has ended; the same if none runs."""
        return replace(self, running=False)

    def joined(self) -> Session:
        """Return the state with one more player."""
        return replace(self, players=self.players + 1)

    def left(self) -> Session:
        """
        Return the state with one player less.

        @raise ValueError: if there is no player.
        """
        if not self.players:
            raise ValueError("A player left, but there was none.")
        return replace(self, players=self.players - 1)


class PlayersByAddress:
    """
    Counts the players of each address.

    The address of a player is stored when it joins, because the transport may report another one
    later: a PROXY header changes it.

    @param counting: whether there is a limit. If not, nothing is stored.
    """

    def __init__(self, counting: bool) -> None:
        self._counting = counting
        self._hosts: dict[Hashable, str] = {}
        self._counts: Counter[str] = Counter()

    def count(self, host: str | None, *, without: Hashable = None) -> int:
        """
        Return how many players there are from this host; 0 if it is None.

        @param without: a player that does not count.
        """
        if not self._counting or host is None:
            return 0
        return self._counts[host] - (self._hosts.get(without) == host)

    def add(self, player: Hashable, host: str | None) -> None:
        """Count a player that joined from this host; None, on a UNIX socket, is not counted."""
        if self._counting and host is not None:
            self._hosts[player] = host
            self._counts[host] += 1

    def remove(self, player: Hashable) -> None:
        """Stop counting a player."""
        host = self._hosts.pop(player, None)
        if host is not None:
            self._counts[host] -= 1
            if not self._counts[host]:
                del self._counts[host]
