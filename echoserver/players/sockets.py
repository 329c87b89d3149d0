"""What players' sockets are told, and how their addresses read."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReadDescriptor,
    ISystemHandle,
    ITCPTransport,
)
from twisted.protocols.policies import ProtocolWrapper

from echoserver.address import Address

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
