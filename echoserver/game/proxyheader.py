"""
The header of the PROXY protocol before the first byte of a connection (C{haproxy:}).

Twisted's parser decodes a header. But it closes the connection if the header arrives in pieces or
is the short C{PROXY UNKNOWN}, and raises if a port is not a number. So a header is collected and
checked here, and passed on whole. Source: U{https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt}
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IListeningPort,
    INegotiated,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger

# Twisted's public wrapper does not accept a header that arrives in pieces.
from twisted.protocols.haproxy._exceptions import InvalidProxyHeader
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

_log = Logger(namespace="fleetiq.game")

_V1 = b"PROXY "
_V1_MAX = 107
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = 16
# A header of version 2 may announce 65,535 bytes. Those of proxies have less than 1 KiB.
V2_MAX = 4096
# Twisted's parser expects a space after the word.
_UNKNOWN = b"PROXY UNKNOWN"


def headerLength(data: bytes) -> int | None:
    """
    Return the length of the header at the start of what was received; None while it is not whole.

    @raise ValueError: if it is not a header.
    """
    if data.startswith(_V1):
        end = data.find(b"\r\n", 0, _V1_MAX)
        if end >= 0:
            return end + 2
        limit = _V1_MAX
    elif data.startswith(_V2):
        limit = V2_MAX
        if len(data) >= _V2_FIXED:
            limit = length = _V2_FIXED + int.from_bytes(data[14:16], "big")
            if length > V2_MAX:
                raise ValueError("the header is too long")
            if len(data) >= length:
                return length
    elif _V1.startswith(data) or _V2.startswith(data):
        return None
    else:
        raise ValueError("this is no header")
    if len(data) >= limit:
        raise ValueError("the header is too long")
    return None


def parseHeader(header: bytes) -> tuple[IAddress | None, IAddress | None]:
    """
    Return the addresses of the player and of the port it connected to; None if the header has none.

    @param header: a whole header. See L{headerLength}.
    @raise ValueError: if it is malformed.
    """
    try:
        if header.startswith(_V2):
            info = V2Parser.parse(header)
        else:
            line = header.removesuffix(b"\r\n")
            info = V1Parser.parse(line + b" " if line == _UNKNOWN else line)
    except (InvalidProxyHeader, LookupError, ValueError) as error:
        raise ValueError(f"the header is malformed: {error!r}") from error
    for address in (info.source, info.destination):
        if not 0 <= getattr(address, "port", 0) <= 65535:
            raise ValueError("the header has an invalid port")
    return info.source, info.destination


class ProxyHeader(ProtocolWrapper):
    """
    A connection that begins with a header of the PROXY protocol, which has the player's address.

    When the header is whole, C{handshakeCompleted} of the wrapped protocol is called. A connection
    that begins with anything else is closed.
    """

    factory: ProxyHeaderFactory
    _peer: IAddress | None = None
    _host: IAddress | None = None
    _received = b""

    def dataReceived(self, data: bytes) -> None:
        if self.disconnecting:
            return
        self._received += data
        try:
            length = headerLength(self._received)
            if length is None:
                return
            self._peer, self._host = parseHeader(self._received[:length])
        except ValueError as error:
            self._received = b""
            self.loseConnection()
            self.factory.closed(error)
            return
        rest, self._received = self._received[length:], b""
        wrapped: Any = self.wrappedProtocol
        # From now on, received data is passed on by the method of the base class.
        self.dataReceived = super().dataReceived  # type: ignore[method-assign] # for this instance
        if IHandshakeListener.providedBy(wrapped):
            wrapped.handshakeCompleted()
        if rest:
            wrapped.dataReceived(rest)

    def getPeer(self) -> IAddress:
        peer: IAddress = self._peer or super().getPeer()
        return peer

    def getHost(self) -> IAddress:
        host: IAddress = self._host or super().getHost()
        return host

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Otherwise the bound method would keep the connection until the next garbage collection.
        self.__dict__.pop("dataReceived", None)
        super().connectionLost(reason)


class ProxyHeaderFactory(WrappingFactory):
    """A factory of connections that begin with a header, around another factory."""

    noisy = False
    protocol = ProxyHeader
    _closed = 0

    def closed(self, reason: ValueError) -> None:
        """Log the 1st, 2nd, 4th, 8th … connection that is closed: there may be very many."""
        self._closed += 1
        if self._closed & (self._closed - 1) == 0:
            _log.info(
                "A connection was closed, because its PROXY header is wrong: {reason}; closed so"
                " far: {count}.",
                reason=reason,
                count=self._closed,
                eventName="player.proxyHeaderWrong",
            )


@implementer(IStreamServerEndpoint)
class ProxyEndpoint:
    """An endpoint whose connections begin with a header, around another endpoint."""

    def __init__(self, endpoint: IStreamServerEndpoint) -> None:
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        listening: Deferred[IListeningPort] = self._endpoint.listen(
            ProxyHeaderFactory(protocolFactory)
        )
        return listening


def hasHandshake(transport: object) -> bool:
    """
    Return whether C{handshakeCompleted} is called before the first data arrives: for TLS and the
    PROXY protocol.
    """
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, ProxyHeader) or INegotiated.providedBy(transport):
            return True
        transport = transport.transport
    return False
