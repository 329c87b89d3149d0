"""Pure: ascending serials whose members leave in any order, at one cost however many there are."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import chain, islice
from operator import itemgetter

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
