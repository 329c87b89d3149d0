"""TLS that begins in the middle of a connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import alsoProvides

_ENCRYPTED = (
    "write",
    "loseConnection",
    "registerProducer",
    "unregisterProducer",
    "getHandle",
    "getPeerCertificate",
)


class Beneath:
    """What TLS itself speaks to: the connection as it was before."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._plain = type(connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write(self, data: bytes) -> None:
        self._connection.send(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self._connection.send(b"".join(iovec))

    def loseConnection(self) -> None:
        self._plain.loseConnection(self._connection)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._plain.registerProducer(self._connection, producer, streaming)

    def unregisterProducer(self) -> None:
        self._plain.unregisterProducer(self._connection)


def startTLS(connection: Any, contextFactory: Any, client: bool) -> None:
    """Put TLS between a connection and its protocol, whose transport stays the connection."""
    producer, streaming = connection.producer, connection.streamingProducer
    if producer is not None:
        connection.unregisterProducer()
    factory = TLSMemoryBIOFactory(contextFactory, client, Factory())
    tls: Any = factory.protocol(factory, connection.protocol, False)
    connection.protocol = tls
    connection.secure = True
    for name in _ENCRYPTED:
        setattr(connection, name, getattr(tls, name))
    alsoProvides(connection, ISSLTransport)
    tls.makeConnection(Beneath(connection))
    if producer is not None:
        connection.registerProducer(producer, streaming)
