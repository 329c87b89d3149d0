"""The game port: socket options, descriptor limit, accept rate."""

from __future__ import annotations

import os
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
from echoserver.descriptors import MAX_ACCEPTS_PER_CYCLE, DescriptorLimit
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

    They are set once, on the listening socket: accepted sockets inherit them. Connections that were
    in the accept queue of an adopted socket before this call do not have them. Options that the
    platform does not have are skipped.
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
    """Return whether the peer has sent FIN, even if it is not read yet. Only Linux reports this."""
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


def logPrefixOf(application: object) -> str:
    """Return the log prefix of a factory or protocol: its own one, or the name of its class."""
    if ILoggingContext.providedBy(application):
        prefix: str = ILoggingContext(application).logPrefix()
        return prefix
    return type(application).__name__


def hostOf(address: IAddress) -> str | None:
    """Return the host of an address; None if it has none."""
    host: str | None = getattr(address, "host", None)
    return host


@implementer(IProtocolFactory, ILoggingContext)
class AcceptLimiter:
    """
    Wraps a factory, and pauses its port above the accept rate and at the descriptor limit.
    Meanwhile, new connections wait in the accept queue.

    @param rate: the accept rate, in connections a second. The connections that Twisted accepts in
        one cycle of the reactor may exceed it. None: no limit.
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
        """Return whether enough descriptors are left. The accept rate is not considered."""
        return self._descriptors.enough

    def attach(self, port: IListeningPort) -> None:
        """Set the port to pause. If it is of a kind that cannot pause, there is no limit."""
        if hasattr(port, "stopReading"):
            self._port = port
            self._updateReading()

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        if self._port is not None:
            most = self._descriptors.maxAccepts
            # With 0, Twisted does not raise the number after this cycle.
            self._port.numberAccepts = (
                min(most, self._port.numberAccepts) if most == MAX_ACCEPTS_PER_CYCLE else 0
            )
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
        return logPrefixOf(self._factory)

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
            most = self._descriptors.maxAccepts
            self._port.numberAccepts = 1 if self._rate is not None else most
            self._port.startReading()
        else:
            self._port.stopReading()
