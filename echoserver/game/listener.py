"""The game port: socket options, descriptor limit, accept rate."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Sequence
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
# TCP_CLOSE_WAIT of Linux's include/net/tcp_states.h; tcpi_state is the first byte of tcp_info.
_CLOSE_WAIT = 8


def setSocketOptions(port: IListeningPort, options: Sequence[tuple[str, int]] = _OPTIONS) -> None:
    """
    Set keep-alive (60 s idle, then 3 probes of 10 s), a send timeout of 60 s, and TCP_NODELAY.

    Accepted sockets inherit the options of the listening socket, so they cost no connection
    anything. Connections that were queued on an adopted socket before this call have none. Options
    that the platform lacks are skipped.
    """
    if not IReadDescriptor.providedBy(port):
        return
    with socket.socket(fileno=os.dup(port.fileno())) as listening:
        if listening.family not in _TCP:
            return
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
        for name, value in options:
            option = getattr(socket, name, None)
            if option is not None:
                with suppress(OSError):
                    listening.setsockopt(socket.IPPROTO_TCP, option, value)


def peerHasClosed(transport: Any) -> bool:
    """Return whether the peer has sent FIN, even if it was not read. Only Linux reports that."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    option = getattr(socket, "TCP_INFO", None)
    if not ITCPTransport.providedBy(transport) or option is None:
        return False
    handle: Any = ISystemHandle(transport).getHandle()
    # Some systems report nothing for a socket that the peer has reset.
    with suppress(OSError):
        if handle.family in _TCP:
            return bool(handle.getsockopt(socket.IPPROTO_TCP, option, 1)[0] == _CLOSE_WAIT)
    return False


def describe(address: IAddress) -> str:
    """Return an address as C{host:port}, escaped: a PROXY header may contain anything."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    text = str(address) if host is None or port is None else str(Address(host, port))
    return text if text.isascii() and text.isprintable() else ascii(text)


def hostOf(address: IAddress) -> str | None:
    """Return the host of an address; None if it has none."""
    host: str | None = getattr(address, "host", None)
    return host


RESERVED_DESCRIPTORS = 64
RECOUNT_INTERVAL = 1.0
# Counting costs too much to do it for fewer. Accepting resumes when twice as many are free.
_RECOUNT_STEP = 16
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
    """Return how many descriptors are open; None if all are. Takes 20 ms for 65,536."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return None


class DescriptorLimit:
    """
    The open descriptors of this process, shared by all its game servers.

    Without a free descriptor Twisted accepts connections and closes them. So accepting stops while
    64 are left, for calls to FleetIQ and for files; new connections wait in the accept queue. They
    are counted again when as many connections were accepted as there was room for.

    @ivar enough: whether connections may be accepted.
    """

    def __init__(
        self, clock: IReactorTime, limit: int, count: Callable[[], int | None] = countDescriptors
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._countOpen = count
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
        if self._room < _RECOUNT_STEP:
            _log.warn(
                "Accepting no more connections: {used} of {limit} descriptors are in use.",
                used=self._limit - RESERVED_DESCRIPTORS - self._room,
                limit=self._limit,
            )
            self._clock.callLater(RECOUNT_INTERVAL, self._check)
            self._change(False)

    def _recount(self) -> None:
        used = self._countOpen()
        self._room = self._limit - RESERVED_DESCRIPTORS - (self._limit if used is None else used)

    def _check(self) -> None:
        self._recount()
        if self._room < 2 * _RECOUNT_STEP:
            self._clock.callLater(RECOUNT_INTERVAL, self._check)
        else:
            _log.info("Accepting connections again.")
            self._change(True)

    def _change(self, enough: bool) -> None:
        self.enough = enough
        for callback in self._callbacks:
            callback()


# Twisted accepts in one cycle as many as in the last one, and 20 more: 52 of the 64 in reserve.
MAX_ACCEPTS_PER_CYCLE = 32


@implementer(IProtocolFactory, ILoggingContext)
class AcceptLimiter:
    """
    A factory around another one that pauses the port. New connections wait in the accept queue.

    @param rate: connections a second, a whole burst at once; as many as Twisted accepts in one
        cycle may come on top. None is no limit.
    @param changed: called when L{accepting} has changed.
    """

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        factory: IProtocolFactory,
        rate: TokenBucket | None,
        descriptors: DescriptorLimit,
        changed: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._factory = factory
        self._rate = rate
        self._descriptors = descriptors
        self._changed = changed
        self._port: Any = None
        self._pause: IDelayedCall | None = None
        descriptors.onChange(self._descriptorsChanged)

    @property
    def accepting(self) -> bool:
        """Return whether descriptors are left. A rate that is used up does not count."""
        return self._descriptors.enough

    def attach(self, port: IListeningPort) -> None:
        """Pause this port. A kind of port that cannot be paused accepts all connections."""
        if hasattr(port, "stopReading"):
            self._port = port
            self._updateReading()

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        if self._port is not None:
            self._port.numberAccepts = min(MAX_ACCEPTS_PER_CYCLE, self._port.numberAccepts)
            self._consume()
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
        if ILoggingContext.providedBy(self._factory):
            prefix: str = self._factory.logPrefix()
            return prefix
        return type(self._factory).__name__

    def _consume(self) -> None:
        if self._rate is None:
            return
        now = self._clock.seconds()
        self._rate = self._rate.consume(now)
        delay = self._rate.delay(now)
        if delay and self._pause is None:
            self._pause = self._clock.callLater(delay, self._resume)
            self._updateReading()

    def _resume(self) -> None:
        self._pause = None
        self._updateReading()

    def _descriptorsChanged(self) -> None:
        self._updateReading()
        self._changed()

    def _updateReading(self) -> None:
        if self._port is None:
            return
        if self._pause is None and self.accepting:
            self._port.numberAccepts = 1 if self._rate is not None else MAX_ACCEPTS_PER_CYCLE
            self._port.startReading()
        else:
            self._port.stopReading()
