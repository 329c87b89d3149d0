"""Pure: the values that state.py keeps and hands out, and how FleetIQ names things and refuses."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Any, TypeVar

from sortedcontainers import SortedList

from echoserver.local.model.placement import Placement

Key = TypeVar("Key", int, str)

REGION = "us-east-1"
ACCOUNT = "000000000000"
_SHOWN_CHARACTERS = 60
# How AWS's services refuse a call too many.
RATE_EXCEEDED = "Rate exceeded"


class FleetIQError(Exception):
    """What FleetIQ answers instead of a result: one of its error codes, and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Event:
    """
    What happened to a game server; without C{gameServerId} to an instance, else to a group, else to
    all.

    @ivar statuses: those of whom it happened to, since then; empty if it is gone.
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
    That an instance was told to go.

    @ivar kind: as interruptions.py has them.
    @ivar end: when the instance goes; C{None} if it stays all the same.
    """

    kind: str
    noticeTime: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Instance:
    """Its C{interruptions} are in the order in which it was told of them."""

    instanceId: str
    groupName: str
    launchTime: float
    status: str = "ACTIVE"
    interruptions: tuple[Interruption, ...] = ()

    @property
    def end(self) -> float | None:
        """When it goes; C{None} if it was not told to."""
        return self.interruptions[-1].end if self.interruptions else None

    @property
    def changeTime(self) -> float:
        """When it was last told something, or launched."""
        return self.interruptions[-1].noticeTime if self.interruptions else self.launchTime


@dataclass(frozen=True, slots=True)
class GameServer:
    """
    One registration. Times are epoch seconds; C{serial} counts registrations, never repeats.

    @ivar dataUnclaimed: what C{gameServerData} was before the claim.
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
    dataUnclaimed: str | None = None


@dataclass(frozen=True, slots=True)
class InstanceDefinition:
    instanceType: str
    weightedCapacity: str | None = None


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """What UpdateGameServerGroup may change of a group."""

    roleArn: str
    instanceDefinitions: tuple[InstanceDefinition, ...]
    balancingStrategy: str = "SPOT_PREFERRED"
    gameServerProtectionPolicy: str = "NO_PROTECTION"


@dataclass(slots=True)
class GameServerGroup:
    """
    A group and the indexes of what is in it, sorted but for C{instanceIds}, which is as made.

    @ivar minSize: how many instances it launches as it becomes ACTIVE.
    @ivar launch: names one launch of a group, so that instance ids do not return with its name.
    @ivar isScaled: whether it has its Auto Scaling group, which it has once it was ACTIVE.
    @ivar utilized: how many of its game servers are UTILIZED.
    @ivar deleteOption: how it is deleted, once it is.
    @ivar awaitsPlay: whether its deletion waits for its last UTILIZED game server to go.
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
    awaitsPlay: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    instanceIds: list[str] = field(default_factory=list)
    sortedInstanceIds: SortedList[str] = field(default_factory=SortedList)
    serials: SortedList[int] = field(default_factory=SortedList)
    placement: Placement = field(default_factory=Placement)


def instanceIdOf(launch: str, index: int) -> str:
    """
    The id of an instance, of a real one's form: a group that is there from the start, whose name is
    C{launch}, has the same ones after every restart.
    """
    return "i-" + sha256(f"{launch}/{index}".encode()).hexdigest()[:17]


def groupArnOf(groupName: str) -> str:
    return f"arn:aws:gamelift:{REGION}:{ACCOUNT}:gameservergroup/{groupName}"


def autoScalingGroupOf(groupName: str) -> str:
    """The name of a group's Auto Scaling group, as FleetIQ makes it."""
    return f"gamelift-gameservergroup-{groupName}"


def some(names: Collection[str]) -> str:
    """The first of these names, for a sentence."""
    first = list(islice(names, 5))
    return ", ".join(first) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def quoted(value: object) -> str:
    """What somebody sent, for a sentence: short, whatever it is."""
    # A nested value is named, not printed: it may be large.
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def checkNames(body: Mapping[str, Any], what: str, names: Collection[str]) -> None:
    """
    @raise ValueError: A field is none of C{what}, such as "a fault".
    """
    for name in body:
        if name not in names:
            raise ValueError(f"{quoted(name)} is not a field of {what}: it has {', '.join(names)}.")


def numberOf(body: Mapping[str, Any], name: str, most: float) -> float | None:
    """
    The number above 0 that a field is; C{None} if it is not given.

    @raise ValueError: It is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise ValueError(
            f"{name} is {quoted(value)}: it must be a number above 0, at most {most:.12g}."
        )
    return float(value)


def textOf(body: Mapping[str, Any], name: str) -> str | None:
    """
    The string that a field is; C{None} if it is not given.

    @raise ValueError: It is something else.
    """
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{name} is {quoted(value)}: it must be a string.")


def cutPage(
    keys: SortedList[Key], after: Key | None, size: int, descending: bool = False
) -> tuple[list[Key], bool]:
    """
    Return a page of sorted keys, and whether more keys follow it. A key that stays in the list
    while a caller reads its pages is in exactly one of them.

    @param after: the last key of the page before, which may have been removed; C{None} for the
        first page.
    @param size: how many keys the page has at most.
    """
    following = (
        keys.irange(maximum=after, inclusive=(True, False), reverse=True)
        if descending
        else keys.irange(minimum=after, inclusive=(False, True))
    )
    page = list(islice(following, size + 1))
    return page[:size], len(page) > size


def writeToken(listing: str, after: int | str) -> str:
    """The token that continues C{listing}, a name no other listing has, after this key."""
    return urlsafe_b64encode(f"{listing} {after}".encode()).decode("ascii")


def readToken(listing: str, token: str) -> str:
    """
    The key that C{token} continues C{listing} after.

    @raise ValueError: The token is not one that L{writeToken} made for this listing.
    """
    text = urlsafe_b64decode(token.encode("ascii")).decode("ascii")
    name, _, after = text.rpartition(" ")
    if name != listing or writeToken(listing, after) != token:
        raise ValueError(f"{token} does not continue {listing}")
    return after
