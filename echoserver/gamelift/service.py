"""The operations of FleetIQ on one game server group, as Deferreds and values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from string import ascii_lowercase, digits
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from echoserver.gamelift.errors import unreadable

Reply = dict[str, Any]

_ALPHABET = ascii_lowercase + digits
_RANDOM_LENGTH = 10


class Calls(Protocol):
    """Where calls are made: L{echoserver.gamelift.client.GameLift}."""

    def call(self, operation: str, **request: Any) -> Deferred[Reply]: ...


@dataclass(frozen=True, slots=True)
class GameServerDescription:
    """
    A game server, as a reply of FleetIQ describes it.

    Members never set may be missing, null or empty on the wire (AWS does not document which); here
    they are empty. Times are as boto3 gives them, with a zone.
    """

    group: str
    gameServerId: str
    instanceId: str
    connectionInfo: str
    gameServerData: str = field(repr=False)
    claimed: bool
    utilized: bool
    registered: datetime | None
    lastClaim: datetime | None
    lastHealthReport: datetime | None

    @classmethod
    def fromReply(cls, members: Reply) -> GameServerDescription:
        """From the C{GameServer} member of a reply."""
        return cls(
            group=members.get("GameServerGroupName") or "",
            gameServerId=members.get("GameServerId") or "",
            instanceId=members.get("InstanceId") or "",
            connectionInfo=members.get("ConnectionInfo") or "",
            gameServerData=members.get("GameServerData") or "",
            claimed=members.get("ClaimStatus") == "CLAIMED",
            utilized=members.get("UtilizationStatus") == "UTILIZED",
            registered=members.get("RegistrationTime") or None,
            lastClaim=members.get("LastClaimTime") or None,
            lastHealthReport=members.get("LastHealthCheckTime") or None,
        )


class FleetIQ:
    """
    One game server group. Every method makes one call, fires with a L{GameServerDescription} unless
    it says otherwise, and fails with L{CallFailed<echoserver.gamelift.errors.CallFailed>}, which
    says whether to retry.
    """

    def __init__(self, gameLift: Calls, group: str) -> None:
        self._gameLift = gameLift
        self.group = group

    def register(
        self, gameServerId: str, instanceId: str, connectionInfo: str, data: str | None = None
    ) -> Deferred[GameServerDescription]:
        """Register: AVAILABLE from now on, and the first health report."""
        return self._ask(
            "RegisterGameServer",
            GameServerId=gameServerId,
            InstanceId=instanceId,
            ConnectionInfo=connectionInfo,
            GameServerData=data,
        )

    def utilize(self, gameServerId: str) -> Deferred[GameServerDescription]:
        """Report players and health. The only way back to AVAILABLE is to deregister."""
        return self._ask(
            "UpdateGameServer",
            GameServerId=gameServerId,
            UtilizationStatus="UTILIZED",
            HealthCheck="HEALTHY",
        )

    def heartbeat(
        self, gameServerId: str, data: str | None = None
    ) -> Deferred[GameServerDescription]:
        """Report health, and set GameServerData if given. A claim stays as it is."""
        return self._ask(
            "UpdateGameServer",
            GameServerId=gameServerId,
            GameServerData=data,
            HealthCheck="HEALTHY",
        )

    def describe(self, gameServerId: str) -> Deferred[GameServerDescription]:
        """Ask what FleetIQ knows of a game server."""
        return self._ask("DescribeGameServer", GameServerId=gameServerId)

    def claim(self, gameServerId: str | None = None) -> Deferred[GameServerDescription]:
        """Reserve a free game server, or that one, for 60 s. Repeated, it may reserve a second."""
        return self._ask("ClaimGameServer", GameServerId=gameServerId)

    def deregister(self, gameServerId: str) -> Deferred[None]:
        """Take a game server out of the group; fires with None."""
        gone = self._gameLift.call(
            "DeregisterGameServer", GameServerGroupName=self.group, GameServerId=gameServerId
        )
        return gone.addCallback(lambda _: None)

    def instanceStatus(self, instanceId: str) -> Deferred[str | None]:
        """Fires with what FleetIQ thinks of an instance of the group; None if it says nothing."""
        asked = self._gameLift.call(
            "DescribeGameServerInstances", GameServerGroupName=self.group, InstanceIds=[instanceId]
        )

        def read(reply: Reply) -> str | None:
            instances = reply.get("GameServerInstances") or [{}]
            status: str | None = instances[0].get("InstanceStatus")
            return status

        return asked.addCallback(read)

    def _ask(self, operation: str, **request: Any) -> Deferred[GameServerDescription]:
        def read(reply: Reply) -> GameServerDescription:
            members = reply.get("GameServer")
            if not members:
                raise unreadable(operation, "it has no GameServer")
            return GameServerDescription.fromReply(members)

        asked = self._gameLift.call(operation, GameServerGroupName=self.group, **request)
        return asked.addCallback(read)


def checkData(data: str) -> None:
    """@raise ValueError: if FleetIQ does not accept this GameServerData."""
    if not (len(data) <= 1024 and re.fullmatch(r".*\S.*", data)):
        raise ValueError(
            f"GameServerData has {len(data)} characters: FleetIQ accepts 1 to 1024 in one line, and"
            " not blanks alone."
        )


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
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

    def newId(self, rng: Random) -> str:
        """A game server id for one attempt to register."""
        random = "".join(rng.choices(_ALPHABET, k=_RANDOM_LENGTH))
        return self.fixedId or f"{self._prefix}{random}"

    def isDrawn(self, gameServerId: str) -> bool:
        """Return whether this is an id of this request that was drawn at random."""
        random = gameServerId.removeprefix(self._prefix)
        return (
            gameServerId.startswith(self._prefix)
            and len(random) == _RANDOM_LENGTH
            and set(random) <= set(_ALPHABET)
        )

    @property
    def _prefix(self) -> str:
        return f"{self.instanceId}-{self.port}-"

    def owns(self, seen: GameServerDescription) -> bool:
        """Whether a game server that FleetIQ describes is this one."""
        return (seen.instanceId, seen.connectionInfo) == (self.instanceId, self.connectionInfo)
