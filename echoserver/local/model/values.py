"""Pure: the values of the model, its error, and the names and fields of FleetIQ."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Any

from sortedcontainers import SortedList

from echoserver.local.model.placement import Placement

REGION = "us-east-1"
ACCOUNT = "000000000000"
_SHOWN_CHARACTERS = 60
# The message of AWS's services for a call beyond the rate.
RATE_EXCEEDED = "Rate exceeded"


class FleetIQError(Exception):
    """
    An error that FleetIQ returns.

    @ivar code: the name of the error, such as C{NotFoundException}.
    @ivar message: a sentence for the caller.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Event:
    """
    A change of a game server, an instance, a group or the whole local FleetIQ. Its subject is the
    first of these that it has a name or id of.

    @ivar time: epoch seconds of the local clock.
    @ivar sentence: what changed, without the name of the subject.
    @ivar statuses: the statuses of the subject after the change; empty if it no longer exists.
    """

    time: float
    event: str
    groupName: str | None
    instanceId: str | None
    gameServerId: str | None
    sentence: str
    statuses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interruption:
    """
    A notice that an instance received.

    @ivar kind: a key of C{echoserver.local.model.interruptions.KINDS}.
    @ivar noticeTime: epoch seconds.
    @ivar end: when the instance ends; C{None} if this notice does not end it.
    @ivar notBefore: when scheduled maintenance begins; 0 for other kinds.
    @ivar notAfter: when scheduled maintenance is over; C{None} if it ends the instance.
    """

    kind: str
    noticeTime: float
    end: float | None
    notBefore: float = 0.0
    notAfter: float | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """
    An EC2 instance that runs.

    @ivar interruptions: oldest first.
    """

    instanceId: str
    groupName: str
    launchTime: float
    instanceType: str = "c5.large"
    lifeCycle: str = "spot"
    status: str = "ACTIVE"
    interruptions: tuple[Interruption, ...] = ()

    @property
    def end(self) -> float | None:
        """When the instance ends; C{None} if it has no notice of an end."""
        return self.interruptions[-1].end if self.interruptions else None

    @property
    def changeTime(self) -> float:
        """When the instance last received a notice, or was launched."""
        return self.interruptions[-1].noticeTime if self.interruptions else self.launchTime


@dataclass(frozen=True, slots=True)
class GameServer:
    """
    One registration of a game server. Times are epoch seconds.

    @ivar serial: the number of the registration. It is never used again.
    @ivar dataBeforeClaim: the C{gameServerData} before the last claim.
    """

    serial: int
    groupName: str
    gameServerId: str
    instanceId: str
    connectionInfo: str | None
    gameServerData: str | None
    registrationTime: float
    lastHealthCheckTime: float
    lastClaimTime: float | None = None
    claimed: bool = False
    utilized: bool = False
    dataBeforeClaim: str | None = None


@dataclass(frozen=True, slots=True)
class InstanceDefinition:
    """An instance type that a group can launch."""

    instanceType: str
    weightedCapacity: str | None = None


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """The settings of a group that UpdateGameServerGroup can change."""

    roleArn: str
    instanceDefinitions: tuple[InstanceDefinition, ...]
    balancingStrategy: str = "SPOT_PREFERRED"
    gameServerProtectionPolicy: str = "NO_PROTECTION"


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """
    What CreateGameServerGroup defines of the Auto Scaling group.

    @ivar targetValue: of PercentUtilizedGameServers; C{None} if it is not given.
    @ivar warmup: EstimatedInstanceWarmup, in seconds; C{None} if it is not given.
    """

    maxSize: int
    targetValue: float | None = None
    warmup: float | None = None


@dataclass(slots=True)
class GameServerGroup:
    """
    A group, with the ids of its instances and game servers. It is mutable; C{Groups} and
    C{GameServerIndex} change it.

    @ivar minSize: how many instances it launches when it becomes ACTIVE.
    @ivar launch: identifies this group among all groups of its name, so that their instances have
        different ids.
    @ivar isScaled: whether it has an Auto Scaling group. It gets one when it becomes ACTIVE.
    @ivar utilized: how many of its game servers are UTILIZED.
    @ivar deleteOption: the option of its deletion, if it is being deleted.
    @ivar waitsForUtilized: whether its deletion waits until no game server is UTILIZED.
    @ivar scaling: C{None} for a group that exists from the start.
    @ivar instanceIds: in the order of their launch.
    @ivar serials: the serials of its game servers.
    """

    name: str
    settings: GroupSettings
    minSize: int
    launch: str
    creationTime: float
    lastUpdatedTime: float
    status: str = "NEW"
    statusReason: str | None = None
    suspendedActions: tuple[str, ...] = ()
    isScaled: bool = False
    utilized: int = 0
    deleteOption: str = "SAFE_DELETE"
    waitsForUtilized: bool = False
    scaling: ScalingPolicy | None = None
    tags: dict[str, str] = field(default_factory=dict)
    instanceIds: list[str] = field(default_factory=list)
    sortedInstanceIds: SortedList[str] = field(default_factory=SortedList)
    serials: SortedList[int] = field(default_factory=SortedList)
    placement: Placement = field(default_factory=Placement)


def instanceIdOf(launch: str, index: int) -> str:
    """
    Return the id of an instance, in the form of EC2's ids. A group that exists from the start has
    the same ids after each restart.

    @param launch: the C{launch} of the group; of a group from the start it is the name.
    """
    return "i-" + sha256(f"{launch}/{index}".encode()).hexdigest()[:17]


def groupArnOf(groupName: str) -> str:
    return f"arn:aws:gamelift:{REGION}:{ACCOUNT}:gameservergroup/{groupName}"


def autoScalingGroupOf(groupName: str) -> str:
    """Return the name of the Auto Scaling group that FleetIQ creates for a group."""
    return f"gamelift-gameservergroup-{groupName}"


def formatNames(names: Collection[str]) -> str:
    """Format the first five names, and the number of the others."""
    first = list(islice(names, 5))
    return ", ".join(first) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def quoted(value: object) -> str:
    """Format a value that a caller sent, in at most 63 characters."""
    # A nested value may be large, so only its type is printed.
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def checkNames(body: Mapping[str, Any], what: str, names: Collection[str]) -> None:
    """
    Check that an object has only these fields.

    @param what: what the object describes, such as "a fault".
    @raise ValueError: with a sentence, if it has another field.
    """
    for name in body:
        if name not in names:
            raise ValueError(f"{quoted(name)} is not a field of {what}: it has {', '.join(names)}.")


def numberOf(body: Mapping[str, Any], name: str, maximum: float) -> float | None:
    """
    Return a field that must be a number above 0; C{None} if it is missing or null.

    @raise ValueError: with a sentence, if it is another value.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= maximum:
        raise ValueError(
            f"{name} is {quoted(value)}: it must be a number above 0, at most {maximum:.12g}."
        )
    return float(value)


def textOf(body: Mapping[str, Any], name: str) -> str | None:
    """
    Return a field that must be a string; C{None} if it is missing or null.

    @raise ValueError: with a sentence, if it is another value.
    """
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{name} is {quoted(value)}: it must be a string.")
