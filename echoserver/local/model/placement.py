"""Pure: which game server an untargeted claim gets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain, islice
from operator import itemgetter
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


# So many that few blocks are to be searched, so few that to take one out shifts next to nothing.
_LONGEST_BLOCK = 256
_first = itemgetter(0)


class Serials:
    """In blocks, none of them empty: out of one long list, to take the oldest shifts all others."""

    def __init__(self) -> None:
        self._blocks: list[list[int]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._blocks)

    def append(self, serial: int) -> None:
        """A serial greater than any so far."""
        if not self._blocks or len(self._blocks[-1]) == _LONGEST_BLOCK:
            self._blocks.append([])
        self._blocks[-1].append(serial)
        self._count += 1

    def remove(self, serial: int) -> None:
        """A serial that is here."""
        at = bisect_right(self._blocks, serial, key=_first) - 1
        block = self._blocks[at]
        del block[bisect_left(block, serial)]
        if not block:
            del self._blocks[at]
        self._count -= 1

    def page(self, after: int | None, size: int, descending: bool) -> tuple[list[int], bool]:
        """At most C{size} of those beyond a serial, which may be gone; and whether more follow."""
        beyond = self._before(after) if descending else self._behind(after)
        found = list(islice(beyond, size + 1))
        return found[:size], len(found) > size

    def _behind(self, after: int | None) -> Iterator[int]:
        if after is None:
            return iter(self)
        at = max(bisect_right(self._blocks, after, key=_first) - 1, 0)
        blocks = islice(self._blocks, at, None)
        return (serial for block in blocks for serial in block if serial > after)

    def _before(self, after: int | None) -> Iterator[int]:
        at = len(self._blocks)
        if after is not None:
            at = bisect_left(self._blocks, after, key=_first)
        blocks = reversed(self._blocks[:at])
        return (
            serial
            for block in blocks
            for serial in reversed(block)
            if after is None or serial < after
        )
