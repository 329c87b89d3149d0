"""Pure: the values that state.py keeps and hands out, and how FleetIQ names things and refuses."""

from dataclasses import dataclass, field
from hashlib import sha256

from echoserver.local.placement import Placement

REGION = "us-east-1"
ACCOUNT = "000000000000"


class Refusal(Exception):
    """What FleetIQ answers instead of a result: one of its error codes, and a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a game server or, where C{gameServerId} is C{None}, to an instance."""

    time: float
    event: str
    groupName: str
    instanceId: str
    gameServerId: str | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Instance:
    instanceId: str
    groupName: str
    status: str = "ACTIVE"


@dataclass(frozen=True, slots=True)
class GameServer:
    """One registration. Times are epoch seconds; C{serial} counts registrations, never repeats."""

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


@dataclass(slots=True)
class GameServerGroup:
    """A group and the indexes of what is in it, sorted but for C{instanceIds}, which is as made."""

    name: str
    creationTime: float
    instanceIds: list[str] = field(default_factory=list)
    sortedInstanceIds: list[str] = field(default_factory=list)
    serials: list[int] = field(default_factory=list)
    placement: Placement = field(default_factory=Placement)


def instanceIdOf(groupName: str, index: int) -> str:
    """The id of a group's instance: the same after every restart, and of a real one's form."""
    return "i-" + sha256(f"{groupName}/{index}".encode()).hexdigest()[:17]


def groupArnOf(groupName: str) -> str:
    return f"arn:aws:gamelift:{REGION}:{ACCOUNT}:gameservergroup/{groupName}"
