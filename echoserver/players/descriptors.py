"""How many descriptors the process may have open, and whether enough are left to accept players."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

RESERVE = 64
LOOK_EVERY = 1.0
# To count for fewer costs too much; of twice as many, players are accepted again.
_SOME = 16
# Linux allows no process more unless its fs.nr_open was raised; macOS says infinity, takes 10,240.
_MOST = 1_048_576
_ON_MACOS = 10_240


def raiseLimit() -> int:
    """Raise the soft limit of open descriptors to the hard one; the limit from now on."""
    soft, hard = (_finite(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    for limit in (min(hard, _MOST), _ON_MACOS):
        if soft < limit <= hard:
            try:
                resource.setrlimit(
                    resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
                )
            except (OSError, ValueError):
                continue
            return limit
    return soft


def _finite(limit: int) -> int:
    return 2**31 if limit == resource.RLIM_INFINITY else limit


def inUse() -> int | None:
    """How many descriptors are open, None if all are; 20 ms for 65,536 of them."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return None


class Descriptors:
    """
    Those of this process, which all its game servers share.

    Twisted accepts and closes whom it has no descriptor for. So nobody is accepted any more when
    64 are left, which calls to FleetIQ and other files need; whoever comes waits in the accept
    queue until there are more. They are counted when as many players were accepted as there was
    room for: seldom, but that does not know of those who have left.

    @ivar enough: whether players may be accepted.
    """

    _log: ClassVar = Logger()

    def __init__(
        self, clock: IReactorTime, limit: int, inUse: Callable[[], int | None] = inUse
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._inUse = inUse
        self._room = 0
        self._watching: list[Callable[[], None]] = []
        self.enough = True

    def watch(self, changed: Callable[[], None]) -> None:
        """Have this called whenever L{enough} changes."""
        self._watching.append(changed)

    def accepted(self) -> None:
        """Somebody was accepted: may another one be?"""
        self._room -= 1
        if self._room > 0 or not self.enough:
            return
        self._count()
        if self._room < _SOME:
            self._log.warn(
                "No more players are accepted: {used} of {limit} descriptors are in use.",
                used=self._limit - RESERVE - self._room,
                limit=self._limit,
            )
            self._clock.callLater(LOOK_EVERY, self._look)
            self._change(False)

    def _count(self) -> None:
        used = self._inUse()
        self._room = self._limit - RESERVE - (self._limit if used is None else used)

    def _look(self) -> None:
        self._count()
        if self._room < 2 * _SOME:
            self._clock.callLater(LOOK_EVERY, self._look)
        else:
            self._log.info("Players are accepted again.")
            self._change(True)

    def _change(self, enough: bool) -> None:
        self.enough = enough
        for changed in self._watching:
            changed()
