"""The last claim of a registration, as the replies of FleetIQ show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from twisted.logger import Logger

from echoserver.gamelift.service import GameServerDescription

_log = Logger(namespace="fleetiq.gamelift")


@dataclass(frozen=True, slots=True)
class Claim:
    """
    The last claim of a registration.

    @ivar data: its GameServerData; None before a claim. It is never logged.
    @ivar time: its LastClaimTime; None if no claim is active.
    """

    data: str | None = None
    time: datetime | None = None

    def after(self, description: GameServerDescription) -> tuple[Claim, bool | None]:
        """
        Return the claim after a reply, and the change: True for a new claim, False for a claim that
        has expired without a player, None for no change. A change is logged.
        """
        data = self.data if description.lastClaim is None else description.gameServerData
        if description.claimed:
            isNew = self.time != description.lastClaim
            if isNew:
                _log.info(
                    "Claimed: a player has 60 s to connect.",
                    gameServerId=description.gameServerId,
                    eventName="registration.claimed",
                )
            return Claim(data, description.lastClaim), True if isNew else None
        expired = self.time is not None and not description.utilized
        if expired:
            _log.info(
                "The claim has expired without a player: free for the next one.",
                gameServerId=description.gameServerId,
                eventName="registration.claimExpired",
            )
        return Claim(data), False if expired else None
