"""First-byte, idle and paused-peer timeouts: one timer each for all connections."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger(namespace="fleetiq.game")

# Who is due so soon after another knocks with him.
SOON = 0.001


class Newcomer(TypingProtocol):
    """One who has sent nothing yet: L{echoserver.game.connections.Echo}."""

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
                _log.failure("A player could not knock.")
        self._await()

    def _await(self) -> None:
        if self._next is None and self._due:
            left = max(0.0, next(iter(self._due.values())) - self._clock.seconds())
            self._next = self._clock.callLater(left, self._look)


LOOKS = 10


class Sender(TypingProtocol):
    """A player who is in: L{echoserver.game.connections.Echo}."""

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


LOOK_EVERY = 1.0


class Player(TypingProtocol):
    """One who does not read: L{echoserver.game.connections.Echo}."""

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
