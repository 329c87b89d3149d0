"""Players who have sent nothing yet: after a while each of them knocks all the same."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol as Seam

from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Who is due so soon after another knocks with him.
SOON = 0.001


class Newcomer(Seam):
    """One who has sent nothing yet: L{echoserver.players.protocol.Echo}."""

    def knock(self) -> None:
        """Ask to be let in."""


class Newcomers:
    """
    One timer serves them all: who sends at once pays for none.

    @param after: seconds until one knocks.
    """

    def __init__(self, clock: IReactorTime, after: float) -> None:
        self._clock = clock
        self._after = after
        self._due: OrderedDict[Newcomer, float] = OrderedDict()
        self._next: IDelayedCall | None = None

    def add(self, newcomer: Newcomer) -> None:
        """Somebody has connected."""
        self._due[newcomer] = self._clock.seconds() + self._after
        if self._next is None:
            self._next = self._clock.callLater(self._after, self._look)

    def discard(self, newcomer: Newcomer) -> bool:
        """He has sent something, or is gone. Tells whether he had not knocked."""
        return self._due.pop(newcomer, None) is not None

    def stop(self) -> None:
        """Nobody is connected any more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        self._next = None
        now = self._clock.seconds()
        while self._due:
            newcomer, due = next(iter(self._due.items()))
            if due > now + SOON:
                self._next = self._clock.callLater(due - now, self._look)
                return
            del self._due[newcomer]
            newcomer.knock()
