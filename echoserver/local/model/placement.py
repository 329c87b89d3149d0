"""Pure: which game server an untargeted claim gets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum

from sortedcontainers import SortedList

# In order of preference. SPOT_TERMINATING is missing: its game servers cannot be claimed.
CLAIMABLE_STATUSES = ("ACTIVE", "DRAINING")


class ClaimState(Enum):
    """Whether a game server can be claimed."""

    UNREGISTERED = 0
    FREE = 1
    # CLAIMED or UTILIZED.
    BUSY = 2


@dataclass(slots=True)
class _Load:
    """
    The game servers of one instance.

    @ivar free: the serials of those that are FREE.
    @ivar busy: the number of those that are BUSY.
    """

    status: str
    free: SortedList[int] = field(default_factory=SortedList)
    busy: int = 0


class Placement:
    """
    The order in which the free game servers of one group are claimed: ACTIVE instances before
    DRAINING ones, then the instance with most game servers CLAIMED or UTILIZED, then the lowest
    InstanceId, then the oldest registration. AWS documents that claims fill the busiest instances
    first, and that DRAINING instances come last. It does not document the rest.
    """

    def __init__(self) -> None:
        self._loads: dict[str, _Load] = {}
        self._ranking: SortedList[tuple[int, int, str]] = SortedList()

    def addInstance(self, instanceId: str, status: str) -> None:
        self._loads[instanceId] = _Load(status)

    def removeInstance(self, instanceId: str) -> None:
        """Remove an instance that has no game servers."""
        del self._loads[instanceId]

    def busy(self, instanceId: str) -> int:
        """Return how many game servers of an instance are CLAIMED or UTILIZED."""
        return self._loads[instanceId].busy

    def setStatus(self, instanceId: str, status: str) -> None:
        self._removeRank(instanceId)
        self._loads[instanceId].status = status
        self._addRank(instanceId)

    def move(self, instanceId: str, serial: int, before: ClaimState, after: ClaimState) -> None:
        """Change the state of a game server, which is identified by its registration serial."""
        if before is after:
            return
        load = self._loads[instanceId]
        self._removeRank(instanceId)
        if before is ClaimState.FREE:
            load.free.remove(serial)
        elif before is ClaimState.BUSY:
            load.busy -= 1
        if after is ClaimState.FREE:
            load.free.add(serial)
        elif after is ClaimState.BUSY:
            load.busy += 1
        self._addRank(instanceId)

    def best(self, statuses: Collection[str]) -> int | None:
        """
        Return the serial of the game server to claim next; C{None} if none is free.

        @param statuses: the allowed statuses of its instance, which include ACTIVE.
        """
        if not self._ranking:
            return None
        statusRank, _, instanceId = self._ranking[0]
        if CLAIMABLE_STATUSES[statusRank] not in statuses:
            return None
        oldest: int = self._loads[instanceId].free[0]
        return oldest

    def _rankOf(self, instanceId: str) -> tuple[int, int, str] | None:
        """Return the sort key of an instance; C{None} if nothing can be claimed on it."""
        load = self._loads[instanceId]
        if not load.free or load.status not in CLAIMABLE_STATUSES:
            return None
        return (CLAIMABLE_STATUSES.index(load.status), -load.busy, instanceId)

    def _addRank(self, instanceId: str) -> None:
        rank = self._rankOf(instanceId)
        if rank is not None:
            self._ranking.add(rank)

    def _removeRank(self, instanceId: str) -> None:
        rank = self._rankOf(instanceId)
        if rank is not None:
            self._ranking.remove(rank)
