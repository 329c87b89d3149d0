"""The socket of a TCP connection: its addresses, its options, its end."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ISystemHandle
from zope.interface import implementer


@implementer(ISystemHandle)
class TCPSocket:
    """
    What a transport over TCP says of its socket.

    @ivar socket: for its options; its bytes are somebody else's.
    @ivar client: the peer's address as the socket had it, or nothing if uvloop knows it.
    """

    __slots__ = ("client", "socket")

    _uv: Any

    def __init__(self, skt: socket.socket, client: tuple[Any, ...]) -> None:
        self.socket = skt
        self.client = client

    def getHandle(self) -> Any:
        return self.socket

    def fileno(self) -> int:
        return self.socket.fileno()

    def getPeer(self) -> IPv4Address | IPv6Address:
        return address(self.client or self._uv.get_extra_info("peername"))

    def getHost(self) -> IPv4Address | IPv6Address:
        name = self.socket.getsockname()
        if len(name) == 4:
            numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            name = (socket.getnameinfo(name, numeric)[0], *name[1:])
        return address(name)

    def getTcpNoDelay(self) -> bool:
        return bool(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        # A socket that was reset already takes no options on some systems, and needs none.
        with suppress(OSError):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def hangUp(self, reset: bool) -> None:
        """Tell the peer that it is over: at once, or by a reset when the socket is closed."""
        with suppress(OSError):
            if reset:
                linger = struct.pack("ii", 1, 0)
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                self.socket.shutdown(socket.SHUT_RDWR)


def address(name: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    """A socket's name, as Twisted writes it."""
    return IPv4Address("TCP", *name) if len(name) == 2 else IPv6Address("TCP", *name)
