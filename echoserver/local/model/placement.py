"""Pure: which game server an untargeted claim gets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum

from sortedcontainers import SortedList

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
    free: SortedList[int] = field(default_factory=SortedList)
    busy: int = 0


class Placement:
    """
    The order in which one group's free game servers are claimed: ACTIVE instances before DRAINING
    ones, then the instance with most game servers CLAIMED or UTILIZED, then the lowest InstanceId,
    then the oldest registration. AWS documents the packing and that DRAINING comes last; the rest
    is our choice.

    Each change and each search takes time in O(log n) of the group's instances and game servers.
    """

    def __init__(self) -> None:
        self._loads: dict[str, _Load] = {}
        self._ranking: SortedList[tuple[int, int, str]] = SortedList()

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
            load.free.remove(serial)
        elif was is Standing.BUSY:
            load.busy -= 1
        if becomes is Standing.FREE:
            load.free.add(serial)
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
        oldest: int = self._loads[instanceId].free[0]
        return oldest

    def _place(self, instanceId: str) -> tuple[int, int, str] | None:
        load = self._loads[instanceId]
        if not load.free or load.status not in CLAIMABLE_STATUSES:
            return None
        return (CLAIMABLE_STATUSES.index(load.status), -load.busy, instanceId)

    def _rank(self, instanceId: str) -> None:
        place = self._place(instanceId)
        if place is not None:
            self._ranking.add(place)

    def _unrank(self, instanceId: str) -> None:
        place = self._place(instanceId)
        if place is not None:
            self._ranking.remove(place)
