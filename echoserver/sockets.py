"""What a player's socket is told, and how its address reads."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IAddress, ISystemHandle, ITCPTransport
from twisted.protocols.policies import ProtocolWrapper

from echoserver.address import Address

_KEEP_ALIVE = (
    ("TCP_KEEPIDLE", 60),
    ("TCP_KEEPALIVE", 60),
    ("TCP_KEEPINTVL", 10),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 60_000),
)

# Linux's include/net/tcp_states.h; tcpi_state is the first byte of struct tcp_info.
_CLOSE_WAIT = 8


def keepAlive(transport: Any) -> None:
    """Have the kernel notice a player who vanished silently: 60 s idle, then 3 probes of 10 s."""
    transport, handle = _socketOf(transport)
    if handle is None:
        return
    # A socket that the player has reset already takes no options on some systems.
    with suppress(OSError):
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        for name, value in _KEEP_ALIVE:
            option = getattr(socket, name, None)
            if option is not None:
                handle.setsockopt(socket.IPPROTO_TCP, option, value)


def hasEnded(transport: Any) -> bool:
    """Whether the peer's FIN has come, though nobody may have read it; only Linux says so."""
    _, handle = _socketOf(transport)
    option = getattr(socket, "TCP_INFO", None)
    if handle is None or option is None:
        return False
    with suppress(OSError):
        return bool(handle.getsockopt(socket.IPPROTO_TCP, option, 1)[0] == _CLOSE_WAIT)
    return False


def _socketOf(transport: Any) -> tuple[Any, Any]:
    """The innermost transport, and its socket if it is one of TCP, else None."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    if ITCPTransport.providedBy(transport):
        handle: Any = ISystemHandle(transport).getHandle()
        if handle.family in (socket.AF_INET, socket.AF_INET6):
            return transport, handle
    return transport, None


def describe(address: IAddress) -> str:
    """The address of a socket as people write it; a PROXY header may say anything for one."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    said = str(address) if host is None or port is None else str(Address(host, port))
    return said if said.isascii() and said.isprintable() else ascii(said)


def hostOf(address: IAddress) -> str | None:
    """The host of a socket's address, if it has one."""
    host: str | None = getattr(address, "host", None)
    return host
