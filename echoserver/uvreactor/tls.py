"""TLS that begins in the middle of a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from echoserver.uvreactor.transport import Connection


@implementer(ITLSTransport)
class PlainConnection(Connection):
    """What a TCP port makes of each socket it accepts: TLS has not started."""

    __slots__ = ()

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Put TLS between this and its protocol, as the server unless C{normal} is false."""
        producer, streaming = self.producer, self.streamingProducer
        if producer is not None:
            self.unregisterProducer()
        factory = TLSMemoryBIOFactory(contextFactory, not normal, Factory())
        tls: Any = factory.protocol(factory, self.protocol, False)
        self.protocol = tls
        # For the protocol it stays the transport it has.
        self.__class__ = SecureConnection  # type: ignore[assignment] # the same, but for methods
        tls.makeConnection(Beneath(self))
        if producer is not None:
            self.registerProducer(producer, streaming)


@implementer(ISSLTransport)
class SecureConnection(Connection):
    """What it becomes: the socket's protocol is TLS now, and this is the transport above TLS."""

    __slots__ = ()

    def writeBy(self, write: Callable[[bytes], None]) -> None:
        self.send = write

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


class Beneath:
    """What TLS itself writes to: the connection as it was before."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write(self, data: bytes) -> None:
        self._connection.send(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self._connection.send(b"".join(iovec))

    def loseConnection(self) -> None:
        Connection.loseConnection(self._connection)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        Connection.registerProducer(self._connection, producer, streaming)

    def unregisterProducer(self) -> None:
        Connection.unregisterProducer(self._connection)
