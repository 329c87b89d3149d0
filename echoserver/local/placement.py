"""Pure: which free game server an untargeted claim gets, found without looking at the others."""

from bisect import bisect_left, insort
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

Key = TypeVar("Key", int, str, tuple[int, int, str])

# In the order in which claims take them. SPOT_TERMINATING is missing: nothing new starts there.
CLAIMABLE_STATUSES = ("ACTIVE", "DRAINING")


class Standing(Enum):
    """What one game server is to claims."""

    ABSENT = 0
    FREE = 1
    BUSY = 2


@dataclass(slots=True)
class _Load:
    """What one instance carries: its FREE game servers by serial, and how many are BUSY."""

    status: str
    free: list[int] = field(default_factory=list)
    busy: int = 0


def discard(keys: list[Key], key: Key) -> None:
    """Take C{key}, which is there, out of a sorted list."""
    del keys[bisect_left(keys, key)]


class Placement:
    """
    The order in which one group's free game servers are claimed: ACTIVE instances before DRAINING
    ones, then the instance with most game servers CLAIMED or UTILIZED, then the lowest InstanceId,
    then the oldest registration. AWS documents the packing and that DRAINING comes last; the rest
    is our choice.

    All is kept in sorted lists: a search is O(log n), and shifting the pointers of 10,000 entries,
    the only part that grows, is a microsecond.
    """

    def __init__(self) -> None:
        self._loads: dict[str, _Load] = {}
        self._ranking: list[tuple[int, int, str]] = []

    def addInstance(self, instanceId: str, status: str) -> None:
        self._loads[instanceId] = _Load(status)

    def removeInstance(self, instanceId: str) -> None:
        """Of an instance without game servers."""
        del self._loads[instanceId]

    def setStatus(self, instanceId: str, status: str) -> None:
        self._unrank(instanceId)
        self._loads[instanceId].status = status
        self._rank(instanceId)

    def move(self, instanceId: str, serial: int, was: Standing, becomes: Standing) -> None:
        """Account for a game server, named by its registration serial, whose standing changes."""
        if was is becomes:
            return
        load = self._loads[instanceId]
        self._unrank(instanceId)
        if was is Standing.FREE:
            discard(load.free, serial)
        elif was is Standing.BUSY:
            load.busy -= 1
        if becomes is Standing.FREE:
            insort(load.free, serial)
        elif becomes is Standing.BUSY:
            load.busy += 1
        self._rank(instanceId)

    def best(self, statuses: Collection[str]) -> int | None:
        """The serial to claim next, on an instance of these statuses, ACTIVE being one of them."""
        if not self._ranking:
            return None
        statusRank, _, instanceId = self._ranking[0]
        if CLAIMABLE_STATUSES[statusRank] not in statuses:
            return None
        return self._loads[instanceId].free[0]

    def _place(self, instanceId: str) -> tuple[int, int, str] | None:
        load = self._loads[instanceId]
        if not load.free or load.status not in CLAIMABLE_STATUSES:
            return None
        return (CLAIMABLE_STATUSES.index(load.status), -load.busy, instanceId)

    def _rank(self, instanceId: str) -> None:
        place = self._place(instanceId)
        if place is not None:
            insort(self._ranking, place)

    def _unrank(self, instanceId: str) -> None:
        place = self._place(instanceId)
        if place is not None:
            discard(self._ranking, place)
