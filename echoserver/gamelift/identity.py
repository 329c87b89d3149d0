"""What a registration says of one game server."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from string import ascii_lowercase, digits

from echoserver.gamelift.fleetiq import GameServer


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What a registration says.

    @ivar port: the one bound; a part of each id drawn.
    @ivar data: published with it, at most 1,024 characters. None for none.
    @ivar fixedId: the game server id; None draws one an attempt.
    """

    instanceId: str
    connectionInfo: str
    port: int
    data: str | None = None
    fixedId: str | None = None

    def drawId(self, dice: Random) -> str:
        """A game server id for one attempt to register."""
        drawn = "".join(dice.choices(ascii_lowercase + digits, k=10))
        return self.fixedId or f"{self.instanceId}-{self.port}-{drawn}"

    def owns(self, seen: GameServer) -> bool:
        """Whether a game server that FleetIQ describes is this one."""
        return (seen.instanceId, seen.connectionInfo) == (self.instanceId, self.connectionInfo)
