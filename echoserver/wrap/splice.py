"""Forward between each player and the child, with back-pressure and half-close."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_log = Logger(namespace="fleetiq.wrap")

LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 10.0
_SIGNATURE_V2 = b"\r\n\r\n\x00\r\nQUIT\n"


def proxyHeader(version: str, source: Any, destination: Any) -> bytes:
    """
    Return the header of the PROXY protocol, for Twisted's addresses of a player's connection.

    @param version: C{off} for none, C{v1} or C{v2}.
    @see: U{https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt}
    """
    if version == "off":
        return b""
    try:
        addresses = [ip_address(each.host.partition("%")[0]) for each in (source, destination)]
        ports = [int(each.port) for each in (source, destination)]
    except (AttributeError, TypeError, ValueError):
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _SIGNATURE_V2 + b"\x20\x00\x00\x00"
    family = max(each.version for each in addresses)
    if version == "v1":
        words = ("PROXY", f"TCP{family}", *map(str, addresses), *map(str, ports))
        return " ".join(words).encode() + b"\r\n"
    packed = b"".join(each.packed for each in addresses) + struct.pack("!HH", *ports)
    kind = 0x11 if family == 4 else 0x21
    return _SIGNATURE_V2 + struct.pack("!BBH", 0x21, kind, len(packed)) + packed


@implementer(IHalfCloseableProtocol)
class PlayerSide(Protocol):
    """The game's protocol of a player: it connects to the child, and forwards to it."""

    factory: Any
    transport: Any

    def __init__(self) -> None:
        self._childSide: ChildSide | None = None
        self._early: list[bytes] = []
        self._readEnded = self._childReadEnded = False
        self._closed = False

    def connectionMade(self) -> None:
        # Until the child is connected, the player's data waits in the kernel.
        self.transport.pauseProducing()
        # An endpoint would put one more protocol between the connection and ChildSide.
        self.factory.reactor.connectTCP(
            LOOPBACK, self.factory.childPort, ChildFactory(self), CONNECT_TIMEOUT
        )

    def childConnected(self, childSide: ChildSide) -> None:
        """Forward in both directions from now on."""
        child = childSide.transport
        if self._closed:
            child.abortConnection()
            return
        self._childSide = childSide
        child.setTcpNoDelay(True)
        peer, host = self.transport.getPeer(), self.transport.getHost()
        child.write(proxyHeader(self.factory.proxyProtocol, peer, host) + b"".join(self._early))
        self._early.clear()
        self.transport.registerProducer(child, True)
        child.registerProducer(self.transport, True)
        self.transport.resumeProducing()
        if self._readEnded:
            child.loseWriteConnection()

    def childReadEnded(self) -> None:
        """The child has sent FIN."""
        self._childReadEnded = True
        if self._readEnded:
            self.childLost("closed the connection")
        else:
            self.transport.loseWriteConnection()

    def childLost(self, reason: str = "the child closed the connection") -> None:
        """Close the player's connection, once all is written."""
        if not self._closed:
            self.close(reason)

    def close(self, reason: str) -> None:
        """Close both connections, once all is written."""
        if self._childSide is not None:
            self.transport.unregisterProducer()
        self._disconnectChild()
        self.transport.close(reason)

    def dataReceived(self, data: bytes) -> None:
        if self._childSide is None:
            self._early.append(data)
        else:
            self._childSide.transport.write(data)

    def readConnectionLost(self) -> None:
        self._readEnded = True
        if self._childReadEnded:
            self.childLost("closed the connection")
        elif self._childSide is not None:
            self._childSide.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        """The child's FIN was forwarded. The player can still send."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closed = True
        self._disconnectChild()

    def _disconnectChild(self) -> None:
        """Close the connection to the child, once it has read what the player sent."""
        childSide, self._childSide = self._childSide, None
        if childSide is not None:
            childSide.transport.unregisterProducer()
            childSide.transport.loseConnection()
            childSide.abortIn(CLOSE_TIMEOUT)

    def notConnected(self, failure: Failure) -> None:
        """The child does not accept the player."""
        if not self._closed:
            _log.warn(
                "The child does not accept player {address}: {reason}.",
                address=self.transport.address,
                reason=failure.getErrorMessage().rstrip("."),
                eventName="child.playerNotAccepted",
            )
            self.transport.close("the child does not accept")


@implementer(IHalfCloseableProtocol)
class ChildSide(Protocol):
    """The connection to the child of one player."""

    transport: Any

    def __init__(self, player: PlayerSide) -> None:
        self._player = player
        self._abort: IDelayedCall | None = None

    def abortIn(self, seconds: float) -> None:
        """Abort the connection, if it is still open then."""
        if self.connected:
            clock = self._player.factory.reactor
            self._abort = clock.callLater(seconds, self.transport.abortConnection)

    def connectionMade(self) -> None:
        self._player.childConnected(self)

    def dataReceived(self, data: bytes) -> None:
        self._player.transport.write(data)

    def readConnectionLost(self) -> None:
        self._player.childReadEnded()

    def writeConnectionLost(self) -> None:
        """The player's FIN was forwarded. The child can still send."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self._player.childLost()


class ChildFactory(ClientFactory):
    """Connects one player to the child."""

    noisy = False

    def __init__(self, player: PlayerSide) -> None:
        self._player = player

    def buildProtocol(self, addr: IAddress | None) -> ChildSide:
        return ChildSide(self._player)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._player.notConnected(reason)
