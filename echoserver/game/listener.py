"""The game port: accept rate, descriptor limit, socket options."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IReadDescriptor,
    ISystemHandle,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

from echoserver.address import Address
from echoserver.ratelimit import TokenBucket

_log = Logger(namespace="fleetiq.game")

_TCP = (socket.AF_INET, socket.AF_INET6)
_OPTIONS = (
    ("TCP_NODELAY", True),
    ("TCP_KEEPIDLE", 60),
    ("TCP_KEEPALIVE", 60),
    ("TCP_KEEPINTVL", 10),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 60_000),
)

# Linux's include/net/tcp_states.h; tcpi_state is the first byte of struct tcp_info.
_CLOSE_WAIT = 8


def keepAlive(port: IListeningPort) -> None:
    """
    Have the kernel notice a player who vanished silently: 60 s idle, then 3 probes of 10 s; and
    send what is written at once.

    What a socket accepts has its options, so they cost no player anything; but who came to an
    adopted socket before it was told has none. What a socket does not know it does without.
    """
    if not IReadDescriptor.providedBy(port):
        return
    with socket.socket(fileno=os.dup(port.fileno())) as listening:
        if listening.family not in _TCP:
            return
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
        for name, value in _OPTIONS:
            option = getattr(socket, name, None)
            if option is not None:
                with suppress(OSError):
                    listening.setsockopt(socket.IPPROTO_TCP, option, value)


def hasEnded(transport: Any) -> bool:
    """Whether the peer's FIN has come, though nobody may have read it; only Linux says so."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    option = getattr(socket, "TCP_INFO", None)
    if not ITCPTransport.providedBy(transport) or option is None:
        return False
    handle: Any = ISystemHandle(transport).getHandle()
    # A socket that the player has reset already tells nothing on some systems.
    with suppress(OSError):
        if handle.family in _TCP:
            return bool(handle.getsockopt(socket.IPPROTO_TCP, option, 1)[0] == _CLOSE_WAIT)
    return False


def describe(address: IAddress) -> str:
    """The address of a socket as people write it; a PROXY header may say anything for one."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    said = str(address) if host is None or port is None else str(Address(host, port))
    return said if said.isascii() and said.isprintable() else ascii(said)


def hostOf(address: IAddress) -> str | None:
    """The host of a socket's address, if it has one."""
    host: str | None = getattr(address, "host", None)
    return host


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
            _log.warn(
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
            _log.info("Players are accepted again.")
            self._change(True)

    def _change(self, enough: bool) -> None:
        self.enough = enough
        for changed in self._watching:
            changed()


# Twisted accepts as many in one go as it accepted last, and 20 more: 52 of the 64 in reserve.
IN_ONE_GO = 32


@implementer(IProtocolFactory, ILoggingContext)
class Gate:
    """
    A factory before the game's own, which has its port pause. Whoever comes meanwhile waits in the
    accept queue.

    @param rate: connections a second, a whole burst at once; as many as Twisted accepts in one go
        may come in on top of that. None is no limit.
    @param changed: called when L{open} has changed.
    """

    def __init__(
        self,
        clock: IReactorTime,
        factory: IProtocolFactory,
        rate: TokenBucket | None,
        descriptors: Descriptors,
        changed: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._factory = factory
        self._rate = rate
        self._descriptors = descriptors
        self._changed = changed
        self._port: Any = None
        self._pause: IDelayedCall | None = None
        descriptors.watch(self._descriptorsChanged)

    @property
    def open(self) -> bool:
        """Whether there are descriptors for players. A rate that is used up closes nothing."""
        return self._descriptors.enough

    def guard(self, port: IListeningPort) -> None:
        """Have this port pause."""
        # Not each kind of port can: then who comes is accepted all the same.
        if hasattr(port, "stopReading"):
            self._port = port
            self._turn()

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        if self._port is not None:
            self._port.numberAccepts = min(IN_ONE_GO, self._port.numberAccepts)
            self._spend()
            self._descriptors.accepted()
        return self._factory.buildProtocol(addr)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._port = None
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._factory.doStop()

    def logPrefix(self) -> str:
        return type(self._factory).__name__

    def _spend(self) -> None:
        if self._rate is None:
            return
        now = self._clock.seconds()
        self._rate = self._rate.consume(now)
        wait = self._rate.delay(now)
        if wait and self._pause is None:
            self._pause = self._clock.callLater(wait, self._resume)
            self._turn()

    def _resume(self) -> None:
        self._pause = None
        self._turn()

    def _descriptorsChanged(self) -> None:
        self._turn()
        self._changed()

    def _turn(self) -> None:
        if self._port is None:
            return
        if self._pause is None and self.open:
            self._port.numberAccepts = 1 if self._rate is not None else IN_ONE_GO
            self._port.startReading()
        else:
            self._port.stopReading()
