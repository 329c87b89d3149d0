"""The transport of the uvloop reactor: what is written, who is held back, TLS in the middle.
Truths of an object that share one attribute."""

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
    """All that comes until the end, or until it is as much."""
    received = bytearray()
    while len(received) < most and (data := peer.recv(1 << 20)):
        received += data
    return bytes(received)


class Producer:
    """
    Writes, on demand.

    @ivar asked: what was asked of it, in order.
    """

    def __init__(self, transport: Any, chunks: int = 0) -> None:
        self.transport = transport
        self.chunks = chunks
        self.asked: list[str] = []

    def resumeProducing(self) -> None:
        self.asked.append("resume")
        if self.chunks:
            self.chunks -= 1
            self.transport.write(b"x" * 100_000)
        else:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def stopProducing(self) -> None:
        self.asked.append("stop")


class Greeting(Server):
    """Has all to say before uvloop has taken over."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"hello")
        self.transport.writeSequence([b", ", b"and goodbye"])
        self.transport.loseConnection()


class Hasty(Server):
    """Leaves before uvloop has taken over."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"never")
        self.transport.abortConnection()


class HandingOn(Server):
    """Has a producer say all, which begins before uvloop has taken over."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.registerProducer(Producer(self.transport), False)
        self.transport.write(b"hello")
        self.transport.loseConnection()
        self.transport.registerProducer(Producer(self.transport), False)


class PausedAtFirst(Server):
    """Reads nothing until told."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.pauseProducing()


class Impatient(Server):
    """Raises at what it reads."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if data == b"raise":
            raise ValueError(data)


class WritingTests(UvloopTestCase):
    """What is written, and when the end follows."""

    def test_atOnce(self) -> None:
        """What is written before uvloop has taken the socket over is sent, and then the close."""
        self.listen(Greeting)
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as peer:
            self.until(lambda: self.factory.servers and self.factory.servers[0].events[1:])
            self.assertEqual(read(peer), b"hello, and goodbye")

    def test_byProducers(self) -> None:
        """Nor does it get lost, or stay, when producers come and go before that."""
        self.listen(HandingOn)
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as peer:
            self.until(lambda: self.factory.servers and self.factory.servers[0].events[1:])
            self.assertEqual(read(peer), b"hello")

    def test_abortedAtOnce(self) -> None:
        """What was written before an abort that comes as early is not sent."""
        self.listen(Hasty)
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as peer:
            self.until(lambda: self.factory.servers and self.factory.servers[0].events[1:])
            self.turns()
            with self.assertRaises(ConnectionResetError):
                peer.recv(1)

    def test_closedToWhatComes(self) -> None:
        """What comes after loseConnection is nobody's, while all that was written still goes."""
        peer, server = self.connected()
        server.transport.write(MUCH)
        server.transport.loseConnection()
        peer.sendall(b"too late")
        self.turns()
        self.assertEqual(server.events, ["made"])
        self.assertFalse(server.transport.disconnected)

    def test_loseConnection(self) -> None:
        """All that was written, and is written meanwhile, comes before the close."""
        peer, server = self.connected()
        server.transport.write(MUCH)
        server.transport.loseConnection()
        server.transport.write(b"the end")
        thread = self.inThread(lambda: read(peer))
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(thread(), MUCH + b"the end")

    def test_notBytes(self) -> None:
        """Text is refused, and the connection lives on."""
        _, server = self.connected()
        for write in (server.transport.write, lambda text: server.transport.writeSequence([text])):
            with self.assertRaises(TypeError):
                write("text")
        self.assertTrue(server.transport.connected)

    def test_afterTheEnd(self) -> None:
        """What is written to nobody is lost, and nothing is raised."""
        peer, server = self.connected()
        peer.close()
        self.until(lambda: server.transport.disconnected)
        server.transport.write(b"nobody")
        server.transport.writeSequence([b"nobody"])
        server.transport.loseConnection()
        server.transport.loseWriteConnection()
        server.transport.abortConnection()

    def test_protocolThatRaises(self) -> None:
        """It is logged, and ends its own connection."""
        peer, server = self.connected(Impatient)
        peer.sendall(b"raise")
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(server.events[-1], ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_noDelay(self) -> None:
        """Options are as they were set, though uvloop has its own idea of one."""
        _, server = self.connected()
        self.assertFalse(server.transport.getTcpNoDelay())
        server.transport.setTcpNoDelay(True)
        server.transport.setTcpKeepAlive(True)
        self.assertTrue(server.transport.getTcpNoDelay())
        self.assertTrue(server.transport.getTcpKeepAlive())


class ProducerTests(UvloopTestCase):
    """Who is held back while nothing can be written."""

    def test_push(self) -> None:
        """A push producer is paused while too much is to be written, and resumed after it."""
        peer, server = self.connected()
        producer = Producer(server.transport)
        server.transport.registerProducer(producer, True)
        server.transport.write(MUCH)
        self.assertEqual(producer.asked, ["pause"])
        thread = self.inThread(lambda: read(peer, len(MUCH)))
        self.until(lambda: producer.asked == ["pause", "resume"])
        self.assertEqual(thread(), MUCH)

    def test_registeredLate(self) -> None:
        """A push producer who comes when too much is to be written is paused at once."""
        _, server = self.connected()
        server.transport.write(MUCH)
        producer = Producer(server.transport)
        server.transport.registerProducer(producer, True)
        self.assertEqual(producer.asked, ["pause"])
        server.transport.abortConnection()
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(producer.asked, ["pause", "stop"])

    def test_pull(self) -> None:
        """A pull producer is asked for more whenever all is written, and the close waits for it."""
        peer, server = self.connected()
        producer = Producer(server.transport, chunks=20)
        server.transport.registerProducer(producer, False)
        server.transport.loseConnection()
        thread = self.inThread(lambda: read(peer))
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(len(thread()), 2_000_000)
        self.assertEqual(producer.asked, ["resume"] * 21)

    def test_oneAtATime(self) -> None:
        """A second producer is refused; when the first has gone writing is uvloop's own again."""
        _, server = self.connected()
        direct = server.transport.write
        server.transport.registerProducer(Producer(server.transport, chunks=1), False)
        with self.assertRaises(RuntimeError):
            server.transport.registerProducer(Producer(server.transport), True)
        self.until(lambda: server.transport.producer is None)
        self.assertEqual(server.transport.write, direct)

    def test_pausedAtFirst(self) -> None:
        """Who reads nothing from the first is told nothing until he does."""
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

    def record(self, callback: str) -> None:
        """Record the log system of the running callback."""
        self.systems[callback] = context.get(ILogContext)["system"]

    def connectionMade(self) -> None:
        self.record("connectionMade")
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self.record("dataReceived")
        super().dataReceived(data)

    def readConnectionLost(self) -> None:
        self.record("readConnectionLost")
        self.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        self.record("writeConnectionLost")
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.record("connectionLost")
        super().connectionLost(reason)


class LogContextTests(UvloopTestCase):
    """The context that C{twisted.python.log} reads while a protocol's callback runs."""

    def test_system(self) -> None:
        """As on Twisted's reactors, the port names itself first, and then the connection."""
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
        """After each callback, also one that raises, the context is what it was before."""
        peer, server = self.connected(Impatient)
        before = list(self.reactor.contexts)
        peer.sendall(b"raise")
        self.until(lambda: server.transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.reactor.contexts, before)
        self.assertEqual(context.get(ILogContext), {"system": "-"})

    def test_otherContexts(self) -> None:
        """Keys other than the log's are found below the connection's context."""
        _, server = self.connected()
        found = context.call(
            {"a key": "a value"}, context.call, server.transport, context.get, "a key"
        )
        self.assertEqual(found, "a value")


class SecureServer(Server):
    """Starts TLS when it is told to."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if data == b"STARTTLS":
            self.transport.registerProducer(self.transport, True)
            self.transport.startTLS(self.factory.tls)


class SecureClient(Protocol):
    """Tells it to, and speaks to it over TLS."""

    received = b""
    ended: type[BaseException] | None = None

    def connectionMade(self) -> None:
        self.transport.write(b"STARTTLS")  # type: ignore[union-attr] # it is connected

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason.type


class StartTLSTests(UvloopTestCase):
    """TLS that begins in the middle."""

    def test_startTLS(self) -> None:
        """Before it bytes are as they are, and after it encrypted, with producers and the close."""
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
        self.assertTrue(ISSLTransport.providedBy(transport))
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
