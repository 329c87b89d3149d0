"""The limit of open descriptors of this process, and whether enough are left."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

_log = Logger(namespace="fleetiq.game")

RESERVED_DESCRIPTORS = 64
MAX_STATUS_CONNECTIONS = 32
MAX_FLEETIQ_CONNECTIONS = 256
RECOUNT_INTERVAL = 1.0
# If fewer are free, accepting stops, because counting them again often would cost too much. It
# resumes when twice as many are free.
_RECOUNT_STEP = 16
# Twisted accepts in one cycle as many as in the last one, and 20 more: 52 of the 64 in reserve.
MAX_ACCEPTS_PER_CYCLE = 32
# Linux's default of fs.nr_open. macOS reports infinity and accepts 10,240.
_MAX_LIMIT = 1_048_576
_MAX_LIMIT_MACOS = 10_240


def raiseDescriptorLimit() -> int:
    """Raise the soft limit of open descriptors to the hard one, and return the limit."""
    soft, hard = (_finite(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    for limit in (min(hard, _MAX_LIMIT), _MAX_LIMIT_MACOS):
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


def countDescriptors() -> int | None:
    """Return the number of open descriptors; None if none is free. Takes 20 ms for 65,536."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return None


class DescriptorLimit:
    """
    The open descriptors of this process, shared by all its game servers.

    Without a free descriptor Twisted accepts connections and closes them. So 64 descriptors are
    reserved for calls to FleetIQ and for files: while only these are free, accepting stops, and new
    connections wait in the accept queue. The open descriptors are counted again after as many
    accepted connections as there were free descriptors.

    With a limit below 256, a quarter of it is reserved, and each cycle accepts one connection.

    @ivar enough: whether connections may be accepted.
    @ivar maxAccepts: the maximum number of connections to accept in one cycle of the reactor.
    @ivar statusConnections: connections of the status port at most.
    @ivar fleetIQConnections: connections of an embedded local FleetIQ at most.
    """

    def __init__(
        self, clock: IReactorTime, limit: int, count: Callable[[], int | None] = countDescriptors
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._countOpen = count
        self._reserved = min(RESERVED_DESCRIPTORS, limit // 4)
        small = self._reserved < RESERVED_DESCRIPTORS
        self._step = 1 if small else _RECOUNT_STEP
        self.maxAccepts = 1 if small else MAX_ACCEPTS_PER_CYCLE
        self.statusConnections = min(MAX_STATUS_CONNECTIONS, limit // 8)
        self.fleetIQConnections = min(MAX_FLEETIQ_CONNECTIONS, limit // 4)
        self._room = 0
        self._callbacks: list[Callable[[], None]] = []
        self.enough = True

    def onChange(self, callback: Callable[[], None]) -> None:
        """Call C{callback} whenever L{enough} changes."""
        self._callbacks.append(callback)

    def accepted(self) -> None:
        """Count a connection that was accepted."""
        self._room -= 1
        if self._room > 0 or not self.enough:
            return
        self._recount()
        if self._room < self._step:
            _log.warn(
                "Accepting no more connections: {used} of {limit} descriptors are in use.",
                used=self._limit - self._reserved - self._room,
                limit=self._limit,
                eventName="process.descriptorsUsedUp",
            )
            self._clock.callLater(RECOUNT_INTERVAL, self._check)
            self._change(False)

    def _recount(self) -> None:
        used = self._countOpen()
        self._room = self._limit - self._reserved - (self._limit if used is None else used)

    def _check(self) -> None:
        self._recount()
        if self._room < 2 * self._step:
            self._clock.callLater(RECOUNT_INTERVAL, self._check)
        else:
            _log.info("Accepting connections again.", eventName="process.descriptorsFree")
            self._change(True)

    def _change(self, enough: bool) -> None:
        self.enough = enough
        for callback in self._callbacks:
            callback()
