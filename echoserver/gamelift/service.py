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
    """Makes the calls: L{echoserver.gamelift.client.GameLift}."""

    def call(self, operation: str, **request: Any) -> Deferred[Reply]: ...


@dataclass(frozen=True, slots=True)
class GameServerDescription:
    """
    A game server in a reply of FleetIQ.

    A member without a value can be missing, null or empty in the reply (AWS does not document
    which). Here it is empty. Times are those of boto3, with a time zone.
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
        """Return the value of the C{GameServer} member of a reply."""
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
    The operations of FleetIQ on one game server group. Each method makes one call. Its Deferred
    fires with a L{GameServerDescription} unless noted, and fails with
    L{CallFailed<echoserver.gamelift.errors.CallFailed>}, whose C{retry} is True if a retry
    can succeed.
    """

    def __init__(self, gameLift: Calls, group: str) -> None:
        self._gameLift = gameLift
        self.group = group

    def register(
        self, gameServerId: str, instanceId: str, connectionInfo: str, data: str | None = None
    ) -> Deferred[GameServerDescription]:
        """Register the game server. It is AVAILABLE then. This is the first health report."""
        return self._call(
            "RegisterGameServer",
            GameServerId=gameServerId,
            InstanceId=instanceId,
            ConnectionInfo=connectionInfo,
            GameServerData=data,
        )

    def utilize(self, gameServerId: str) -> Deferred[GameServerDescription]:
        """
        Report UTILIZED and health. A UTILIZED game server cannot become AVAILABLE again: deregister
        it, and register a new one.
        """
        return self._call(
            "UpdateGameServer",
            GameServerId=gameServerId,
            UtilizationStatus="UTILIZED",
            HealthCheck="HEALTHY",
        )

    def heartbeat(
        self, gameServerId: str, data: str | None = None
    ) -> Deferred[GameServerDescription]:
        """Report health, and set GameServerData if it is not None. A claim does not change."""
        return self._call(
            "UpdateGameServer",
            GameServerId=gameServerId,
            GameServerData=data,
            HealthCheck="HEALTHY",
        )

    def describe(self, gameServerId: str) -> Deferred[GameServerDescription]:
        """Describe a game server."""
        return self._call("DescribeGameServer", GameServerId=gameServerId)

    def claim(self, gameServerId: str | None = None) -> Deferred[GameServerDescription]:
        """
        Claim a game server for 60 s.

        @param gameServerId: None for any that is free. Then a retry can claim a second one.
        """
        return self._call("ClaimGameServer", GameServerId=gameServerId)

    def deregister(self, gameServerId: str) -> Deferred[None]:
        """Remove a game server from the group; fires with None."""
        removed = self._gameLift.call(
            "DeregisterGameServer", GameServerGroupName=self.group, GameServerId=gameServerId
        )
        return removed.addCallback(lambda _: None)

    def instanceStatus(self, instanceId: str) -> Deferred[str | None]:
        """Fires with the status of an instance of the group; None if the reply has none."""
        described = self._gameLift.call(
            "DescribeGameServerInstances", GameServerGroupName=self.group, InstanceIds=[instanceId]
        )

        def read(reply: Reply) -> str | None:
            instances = reply.get("GameServerInstances") or [{}]
            status: str | None = instances[0].get("InstanceStatus")
            return status

        return described.addCallback(read)

    def _call(self, operation: str, **request: Any) -> Deferred[GameServerDescription]:
        def read(reply: Reply) -> GameServerDescription:
            members = reply.get("GameServer")
            if not members:
                raise unreadable(operation, "it has no GameServer")
            return GameServerDescription.fromReply(members)

        reply = self._gameLift.call(operation, GameServerGroupName=self.group, **request)
        return reply.addCallback(read)


def checkData(data: str) -> None:
    """
    Check GameServerData.

    @raise ValueError: if FleetIQ does not accept it.
    """
    if not (len(data) <= 1024 and re.fullmatch(r".*\S.*", data)):
        raise ValueError(
            f"GameServerData has {len(data)} characters: FleetIQ accepts 1 to 1024 in one line, and"
            " not blanks alone."
        )


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """
    The parameters of a registration.

    @ivar port: the bound port. It is part of each random id.
    @ivar data: GameServerData, at most 1,024 characters; None for none.
    @ivar fixedId: the game server id; None for a new random id for each attempt.
    """

    instanceId: str
    connectionInfo: str
    port: int
    data: str | None = None
    fixedId: str | None = None

    def newId(self, rng: Random) -> str:
        """Return a game server id for one attempt to register."""
        random = "".join(rng.choices(_ALPHABET, k=_RANDOM_LENGTH))
        return self.fixedId or f"{self._prefix}{random}"

    def isRandomId(self, gameServerId: str) -> bool:
        """Return whether this is a random id of this request, and not a fixed one."""
        random = gameServerId.removeprefix(self._prefix)
        return (
            gameServerId.startswith(self._prefix)
            and len(random) == _RANDOM_LENGTH
            and set(random) <= set(_ALPHABET)
        )

    @property
    def _prefix(self) -> str:
        return f"{self.instanceId}-{self.port}-"

    def owns(self, described: GameServerDescription) -> bool:
        """Return whether a game server in a reply is the one of this request."""
        return (described.instanceId, described.connectionInfo) == (
            self.instanceId,
            self.connectionInfo,
        )
