"""Tests of the uvloop reactor's transport: writes, producers, the log context, and STARTTLS."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.python import context
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from zope.interface import implementer

from tests.endtoend.certificates import writeCertificate
from tests.uvloopcase import Server, UvloopTestCase

MUCH = b"x" * (8 * 1024 * 1024)


def read(peer: socket.socket, most: int = 1 << 30) -> bytes:
    """Read until the end, or until C{most} bytes have been received."""
    received = bytearray()
    while len(received) < most and (data := peer.recv(1 << 20)):
        received += data
    return bytes(received)


class Bytes(bytes):
    """A subclass of bytes."""


class Producer:
    """
    A producer that writes C{chunks} chunks, and then unregisters itself.

    @ivar calls: the calls it received, in order.
    """

    def __init__(self, transport: Any, chunks: int = 0) -> None:
        self.transport = transport
        self.chunks = chunks
        self.calls: list[str] = []

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        if self.chunks:
            self.chunks -= 1
            self.transport.write(b"x" * 100_000)
        else:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class Greeting(Server):
    """A protocol that writes and closes before uvloop has taken over."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"hello")
        self.transport.writeSequence([b", ", b"and the end"])
        self.transport.loseConnection()


class Aborting(Server):
    """A protocol that aborts before uvloop has taken over."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"never")
        self.transport.abortConnection()


class Delegating(Server):
    """A protocol that registers producers before uvloop has taken over."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.registerProducer(Producer(self.transport), False)
        self.transport.write(b"hello")
        self.transport.loseConnection()
        self.transport.registerProducer(Producer(self.transport), False)


class PausedAtFirst(Server):
    """A protocol that pauses its transport in C{connectionMade}."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.pauseProducing()


class Raising(Server):
    """A protocol that raises when it receives C{raise}."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if data == b"raise":
            raise ValueError(data)


class WritingTests(UvloopTestCase):
    """Writing, and closing after all data is written."""

    def test_beforeTakeover(self) -> None:
        """Data written before uvloop has taken over is sent, and then the FIN."""
        self.listen(Greeting)
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as peer:
            self.until(lambda: self.factory.servers and self.factory.servers[0].events[1:])
            self.assertEqual(read(peer), b"hello, and the end")

    def test_producersBeforeTakeover(self) -> None:
        """Data is sent, and the FIN too, if producers were registered before uvloop took over."""
        self.listen(Delegating)
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as peer:
            self.until(lambda: self.factory.servers and self.factory.servers[0].events[1:])
            self.assertEqual(read(peer), b"hello")

    def test_abortBeforeTakeover(self) -> None:
        """An abort before uvloop has taken over drops written data."""
        self.listen(Aborting)
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as peer:
            self.until(lambda: self.factory.servers and self.factory.servers[0].events[1:])
            self.turns()
            with self.assertRaises(ConnectionResetError):
                peer.recv(1)

    def test_readAfterLoseConnection(self) -> None:
        """After C{loseConnection}, received data is dropped while written data is still sent."""
        peer, server = self.connected()
        server.transport.write(MUCH)
        server.transport.loseConnection()
        peer.sendall(b"too late")
        self.turns()
        self.assertEqual(server.events, ["made"])
        self.assertFalse(server.transport.disconnected)

    def test_loseConnection(self) -> None:
        """Data written before and after C{loseConnection} is sent before the FIN."""
        peer, server = self.connected()
        server.transport.write(MUCH)
        server.transport.loseConnection()
        server.transport.write(b"the end")
        thread = self.inThread(lambda: read(peer))
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(thread(), MUCH + b"the end")

    def test_notBytes(self) -> None:
        """Writing anything but bytes raises L{TypeError}, and the connection stays open."""
        peer, server = self.connected()
        self.writeNotBytes(server.transport)
        self.assertTrue(server.transport.connected)
        server.transport.write(b"")
        server.transport.write(Bytes(b"a"))
        server.transport.writeSequence(iter([b"b", Bytes(b"c")]))
        self.assertEqual(read(peer, 3), b"abc")

    def test_notBytesBeforeTakeover(self) -> None:
        """The same holds before uvloop has taken over."""
        greeting = self.writeNotBytes

        class Greeting(Server):
            """A protocol that writes what it must not."""

            def connectionMade(self) -> None:
                super().connectionMade()
                greeting(self.transport)
                self.transport.write(b"hello")

        peer, _ = self.connected(Greeting)
        self.assertEqual(read(peer, 5), b"hello")

    def test_notBytesAfterEnd(self) -> None:
        """The same holds after the end of the connection, and while it closes."""
        peer, server = self.connected()
        server.transport.loseConnection()
        self.writeNotBytes(server.transport)
        peer.close()
        self.until(lambda: server.transport.disconnected)
        self.writeNotBytes(server.transport)

    def writeNotBytes(self, transport: Any) -> None:
        """Write each kind of object that is not bytes, and expect L{TypeError}."""
        for data in (
            "text",
            "",
            None,
            0,
            1,
            [b"x"],
            bytearray(b"x"),
            memoryview(b"x"),
            bytearray(),
        ):
            for write in (transport.write, lambda data: transport.writeSequence([b"x", data])):
                with self.assertRaises(TypeError, msg=repr(data)):
                    write(data)

    def test_writeAfterEnd(self) -> None:
        """After the end of the connection, calls on the transport do nothing."""
        peer, server = self.connected()
        peer.close()
        self.until(lambda: server.transport.disconnected)
        server.transport.write(b"dropped")
        server.transport.writeSequence([b"dropped"])
        server.transport.loseConnection()
        server.transport.loseWriteConnection()
        server.transport.abortConnection()

    def test_protocolThatRaises(self) -> None:
        """An exception of a protocol is logged, and ends its connection."""
        peer, server = self.connected(Raising)
        peer.sendall(b"raise")
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(server.events[-1], ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_noDelay(self) -> None:
        """Socket options stay as they were set, although uvloop changes TCP_NODELAY."""
        _, server = self.connected()
        self.assertFalse(server.transport.getTcpNoDelay())
        server.transport.setTcpNoDelay(True)
        server.transport.setTcpKeepAlive(True)
        self.assertTrue(server.transport.getTcpNoDelay())
        self.assertTrue(server.transport.getTcpKeepAlive())


class ProducerTests(UvloopTestCase):
    """Producers, and when they are paused and resumed."""

    def test_push(self) -> None:
        """A push producer is paused while the buffer is full, and resumed when it is empty."""
        peer, server = self.connected()
        producer = Producer(server.transport)
        server.transport.registerProducer(producer, True)
        server.transport.write(MUCH)
        self.assertEqual(producer.calls, ["pause"])
        thread = self.inThread(lambda: read(peer, len(MUCH)))
        self.until(lambda: producer.calls == ["pause", "resume"])
        self.assertEqual(thread(), MUCH)

    def test_registeredLate(self) -> None:
        """A push producer is paused immediately if the buffer is full when it is registered."""
        _, server = self.connected()
        server.transport.write(MUCH)
        producer = Producer(server.transport)
        server.transport.registerProducer(producer, True)
        self.assertEqual(producer.calls, ["pause"])
        server.transport.abortConnection()
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(producer.calls, ["pause", "stop"])

    def test_pull(self) -> None:
        """A pull producer is resumed whenever the buffer is empty; the close waits for it."""
        peer, server = self.connected()
        producer = Producer(server.transport, chunks=20)
        server.transport.registerProducer(producer, False)
        server.transport.loseConnection()
        thread = self.inThread(lambda: read(peer))
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(len(thread()), 2_000_000)
        self.assertEqual(producer.calls, ["resume"] * 21)

    def test_secondProducer(self) -> None:
        """A second producer raises. Without a producer, C{write} is uvloop's again."""
        _, server = self.connected()
        direct = server.transport.write
        server.transport.registerProducer(Producer(server.transport, chunks=1), False)
        with self.assertRaises(RuntimeError):
            server.transport.registerProducer(Producer(server.transport), True)
        self.until(lambda: server.transport.producer is None)
        self.assertEqual(server.transport.write, direct)

    def test_pausedAtFirst(self) -> None:
        """A protocol that pauses in C{connectionMade} receives data only when it resumes."""
        self.listen(PausedAtFirst)
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as peer:
            peer.sendall(b"early")
            self.turns()
            [server] = self.factory.servers
            self.assertEqual(server.events, ["made"])
            server.transport.resumeProducing()
            self.until(lambda: server.events == ["made", b"early"])


@implementer(IHalfCloseableProtocol)
class Logging(Server):
    """
    A protocol that records the log system of each callback.

    @ivar systems: the log systems, by the names of the callbacks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.systems: dict[str, str] = {}

    def logPrefix(self) -> str:
        return "Custom"

    def recordSystem(self, callback: str) -> None:
        """Record the log system of the running callback."""
        self.systems[callback] = context.get(ILogContext)["system"]

    def connectionMade(self) -> None:
        self.recordSystem("connectionMade")
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self.recordSystem("dataReceived")
        super().dataReceived(data)

    def readConnectionLost(self) -> None:
        self.recordSystem("readConnectionLost")
        self.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        self.recordSystem("writeConnectionLost")
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.recordSystem("connectionLost")
        super().connectionLost(reason)


class LogContextTests(UvloopTestCase):
    """The context that L{twisted.python.log} reads while a callback of a protocol runs."""

    def test_system(self) -> None:
        """The system is the port's in C{connectionMade}, then the connection's."""
        peer, server = self.connected(Logging)
        host, _ = peer.getsockname()
        self.assertEqual(server.transport.logPrefix(), f"Custom,0,{host}")
        peer.shutdown(socket.SHUT_WR)
        self.until(lambda: server.transport.disconnected)
        callbacks = ("dataReceived", "readConnectionLost", "writeConnectionLost", "connectionLost")
        self.assertEqual(
            server.systems,
            {
                "connectionMade": self.port.logPrefix(),
                **dict.fromkeys(callbacks, f"Custom,0,{host}"),
            },
        )

    def test_restored(self) -> None:
        """After a callback, even one that raises, the context is restored."""
        peer, server = self.connected(Raising)
        contexts = context.theContextTracker.currentContext().contexts
        before = list(contexts)
        peer.sendall(b"raise")
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(contexts, before)
        self.assertEqual(context.get(ILogContext), {"system": "-"})

    def test_otherContexts(self) -> None:
        """Other keys are still found in the contexts below the connection's."""
        _, server = self.connected()
        found = context.call(
            {"a key": "a value"}, context.call, server.transport, context.get, "a key"
        )
        self.assertEqual(found, "a value")


class SecureServer(Server):
    """A server that starts TLS when it receives STARTTLS."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if data == b"STARTTLS":
            self.transport.registerProducer(self.transport, True)
            self.transport.startTLS(self.factory.tls)


class SecureClient(Protocol):
    """A client that sends STARTTLS, and records what it receives."""

    received = b""
    ended: type[BaseException] | None = None

    def connectionMade(self) -> None:
        self.transport.write(b"STARTTLS")  # type: ignore[union-attr] # it is connected

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason.type


class StartTLSTests(UvloopTestCase):
    """TLS that starts on an existing connection."""

    def test_startTLS(self) -> None:
        """After C{startTLS}, writes, producers and the close work above TLS."""
        pem = Path(self.mktemp())
        writeCertificate(pem)
        self.listen(SecureServer)
        self.factory.tls = PrivateCertificate.loadPEM(pem.read_bytes()).options()
        client: Any = SecureClient()
        factory = ClientFactory.forProtocol(lambda: client)
        self.reactor.connectTCP("127.0.0.1", self.port.getHost().port, factory)
        self.until(lambda: self.factory.servers and self.factory.servers[0].events[1:])
        [server] = self.factory.servers
        transport = server.transport
        self.assertEqual(len(b"STARTTLS"), transport.bytesReceived)
        self.assertTrue(ISSLTransport.providedBy(transport))
        self.assertFalse(hasattr(transport, "writeBytes"))
        client.transport.startTLS(CertificateOptions())
        client.transport.write(b"secret")
        self.until(lambda: server.events == ["made", b"STARTTLS" + b"secret"])
        with self.assertRaises(RuntimeError):
            transport.registerProducer(transport, True)
        transport.unregisterProducer()
        transport.registerProducer(Producer(transport, chunks=20), False)
        transport.loseConnection()
        self.until(lambda: transport.disconnected and client.ended)
        self.assertEqual((len(client.received), client.ended), (2_000_000, ConnectionDone))
