"""Players who are not read, for they do not read: has one ended his side meanwhile?"""

from __future__ import annotations

from typing import Protocol as Seam

from twisted.internet.interfaces import IDelayedCall, IReactorTime

LOOK_EVERY = 1.0


class Player(Seam):
    """One who does not read: L{echoserver.players.protocol.Echo}."""

    def endsUnheard(self) -> bool:
        """Whether his end waits behind what is not read."""

    def abortIn(self, seconds: float) -> None:
        """Give him so long at most."""


class HeldBack:
    """
    Looks at them each second while there are any; to be held back costs other players nothing.

    @param within: seconds that a player has after his end.
    """

    def __init__(self, clock: IReactorTime, within: float) -> None:
        self._clock = clock
        self._within = within
        self._players: set[Player] = set()
        self._next: IDelayedCall | None = None

    def add(self, player: Player) -> None:
        """He is not read from now on."""
        self._players.add(player)
        if self._next is None:
            self._next = self._clock.callLater(LOOK_EVERY, self._look)

    def discard(self, player: Player) -> None:
        """He is read again, or gone."""
        self._players.discard(player)

    def stop(self) -> None:
        """Nobody is connected any more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        # Not at each change of the set: who reads slowly is paused and resumed all the time.
        going = bool(self._players)
        self._next = self._clock.callLater(LOOK_EVERY, self._look) if going else None
        for player in self._players:
            if player.endsUnheard():
                player.abortIn(self._within - LOOK_EVERY)
