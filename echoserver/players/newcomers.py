"""Players who have sent nothing yet: after a while each of them knocks all the same."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar
from typing import Protocol as Seam

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

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

    _log: ClassVar = Logger()

    def __init__(self, clock: IReactorTime, after: float) -> None:
        self._clock = clock
        self._after = after
        self._due: OrderedDict[Newcomer, float] = OrderedDict()
        self._next: IDelayedCall | None = None

    def add(self, newcomer: Newcomer) -> None:
        """Somebody has connected."""
        self._due[newcomer] = self._clock.seconds() + self._after
        self._await()

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
        while self._due and next(iter(self._due.values())) <= now + SOON:
            newcomer, _ = self._due.popitem(last=False)
            try:
                newcomer.knock()
            except Exception:  # noqa: BLE001 # whatever it is, the others knock all the same
                self._log.failure("A player could not knock.")
        self._await()

    def _await(self) -> None:
        if self._next is None and self._due:
            left = max(0.0, next(iter(self._due.values())) - self._clock.seconds())
            self._next = self._clock.callLater(left, self._look)
