"""Lets go of players from whom no byte has come for a while; their bytes pay nothing for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol as Seam

from twisted.internet.interfaces import IDelayedCall, IReactorTime

LOOKS = 10


class Sender(Seam):
    """A player who is in: L{echoserver.players.protocol.Echo}."""

    received: int

    def leave(self, reason: str) -> None:
        """Let him go."""


class Idleness:
    """
    One timer, which looks at what all have sent: who is let go has sent nothing for C{seconds},
    or up to a fifth more.

    @param players: who is in now.
    """

    def __init__(
        self, clock: IReactorTime, seconds: float, players: Callable[[], Iterable[Sender]]
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._players = players
        self._silent: dict[Sender, tuple[int, float]] = {}
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Somebody is connected: look now and then from now on."""
        if self._next is None:
            self._next = self._clock.callLater(self._seconds / LOOKS, self._look)

    def stop(self) -> None:
        """Nobody is connected any more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._silent = {}

    def _look(self) -> None:
        self._next = None
        self.start()
        now = self._clock.seconds()
        before, self._silent = self._silent, {}
        for player in list(self._players()):
            received, since = before.get(player, (-1, now))
            if received != player.received:
                since = now
            self._silent[player] = (player.received, since)
            if now - since >= self._seconds:
                player.leave(f"sent nothing for {now - since:.0f} s")
