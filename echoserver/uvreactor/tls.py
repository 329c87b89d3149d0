"""
TLS on an existing connection (STARTTLS).

L{PlainConnection.startTLS} puts a C{TLSMemoryBIOProtocol} between the connection and its protocol.
The connection becomes a L{SecureConnection}, the transport above TLS. TLS itself writes to a
L{TLSLowerTransport}, the same connection below TLS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from echoserver.uvreactor.transport import Connection


@implementer(ITLSTransport)
class PlainConnection(Connection):
    """A connection without TLS, as a TCP port makes it for each accepted socket."""

    __slots__ = ()

    @property
    def writeBytes(self) -> Callable[[bytes], None]:
        """Return a function that writes as C{write} does now, without the check of the type."""
        return self.rawWrite

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Start TLS, as the TLS server if C{normal} is true, else as the TLS client."""
        producer, streaming = self.producer, self.streamingProducer
        if producer is not None:
            self.unregisterProducer()
        factory = TLSMemoryBIOFactory(contextFactory, not normal, Factory())
        tls: Any = TLSMemoryBIOProtocol(factory, self.protocol, False)
        self.protocol = tls
        # The protocol keeps its transport object, so the object changes its class.
        self.__class__ = SecureConnection  # type: ignore[assignment] # both have the same slots
        tls.makeConnection(TLSLowerTransport(self))
        if producer is not None:
            self.registerProducer(producer, streaming)


@implementer(ISSLTransport)
class SecureConnection(Connection):
    """A connection above TLS: C{protocol} is the C{TLSMemoryBIOProtocol}."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        if self.connected:
            self.protocol.write(data)

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.protocol.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.protocol.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        if self.connected:
            self.protocol.unregisterProducer()

    def getHandle(self) -> Any:
        return self.protocol.getHandle()

    def getPeerCertificate(self) -> Any:
        return self.protocol.getPeerCertificate()


class TLSLowerTransport:
    """The connection below TLS: the transport of the C{TLSMemoryBIOProtocol}."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write(self, data: bytes) -> None:
        self._connection.rawWrite(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self._connection.rawWrite(b"".join(iovec))

    def loseConnection(self) -> None:
        Connection.loseConnection(self._connection)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        Connection.registerProducer(self._connection, producer, streaming)

    def unregisterProducer(self) -> None:
        Connection.unregisterProducer(self._connection)
