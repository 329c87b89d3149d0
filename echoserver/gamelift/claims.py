"""What FleetIQ's replies tell of claims: that one came, that it lapsed, and its data."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from twisted.logger import Logger

from echoserver.gamelift.fleetiq import GameServer


class Claims:
    """
    The claims on one registration, as replies tell of them.

    @ivar data: the GameServerData of the last claim. None before one. It is never logged.
    """

    _log: ClassVar = Logger()

    def __init__(self) -> None:
        self.data: str | None = None
        self._open: datetime | None = None

    def saw(self, seen: GameServer) -> None:
        """A reply: it may tell of a claim that is new, or that has lapsed."""
        if seen.lastClaim is not None:
            self.data = seen.gameServerData
        if seen.claimed:
            if self._open != seen.lastClaim:
                self._log.info("Claimed: a player has 60 s to come.")
            self._open = seen.lastClaim
        else:
            if self._open is not None and not seen.utilized:
                self._log.info("The claim has lapsed, nobody came: free for the next.")
            self._open = None
