"""TLS handshakes: admission is requested after the handshake, which has a timeout."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from echoserver.game.factory import ADMISSION_DELAY, HANDSHAKE_TIMEOUT
from echoserver.game.proxyheader import ProxyHeaderFactory
from tests.doubles import PlayerTransport
from tests.endtoend.certificates import writeCertificate
from tests.game.test_connection import JOINED, PEER, ConnectionsTestCase, RecordingProtocol

HEADER = b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 5000\r\n"


@implementer(IHandshakeListener)
class Notified(RecordingProtocol):
    """A protocol that counts handshakes, when it is connected."""

    handshakes = 0

    def handshakeCompleted(self) -> None:
        assert self.transport is not None
        self.handshakes += 1


class Peer(Protocol):
    """A player's side. It records what it receives."""

    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class HandshakeTests(ConnectionsTestCase):
    """TLS between two memory transports."""

    protocol = Notified
    behindProxy = False

    def connectTLS(self) -> PlayerTransport:
        """Return the server's side of a TCP connection on which TLS is expected."""
        pem = Path(self.mktemp())
        writeCertificate(pem)
        self.context = PrivateCertificate.loadPEM(pem.read_bytes()).options()
        self.connect().lose(ConnectionError())
        return self.connectAnother()

    def connectAnother(self, *, flushed: bool = True) -> PlayerTransport:
        if not hasattr(self, "context"):
            return super().connectAnother(flushed=flushed)
        factory = TLSMemoryBIOFactory(self.context, False, self.connections, self.clock)
        protocol = (ProxyHeaderFactory(factory) if self.behindProxy else factory).buildProtocol(
            PEER
        )
        transport = PlayerTransport(protocol, PEER, flushed=flushed)
        protocol.makeConnection(transport)
        self.addCleanup(self.assertNothingLeft, transport)
        return transport

    def client(self) -> None:
        """Make the peer, and its side of the connection."""
        self.peer = Peer()
        game = Factory.forProtocol(lambda: self.peer)
        factory = TLSMemoryBIOFactory(CertificateOptions(), True, game, self.clock)
        self.tls = factory.buildProtocol(PEER)
        self.wire = StringTransport()
        self.tls.makeConnection(self.wire)

    def exchange(self, server: PlayerTransport, rounds: int = 6) -> None:
        """Pass on what both sides have written."""
        for _ in range(rounds):
            self.clock.advance(0)  # TLS collects small writes
            data = self.wire.value()
            self.wire.clear()
            if data:
                server.protocol.dataReceived(data)
            data = server.value()
            server.clear()
            if data:
                self.tls.dataReceived(data)

    def begin(self, server: PlayerTransport) -> None:
        """Send what precedes the handshake."""
        if self.behindProxy:
            server.protocol.dataReceived(HEADER)

    def joined(self) -> list[tuple[str, str]]:
        """Return the calls when the player has joined."""
        address = "203.0.113.9:1111" if self.behindProxy else "192.0.2.7:4242"
        return [(call, address) for call, _ in JOINED]

    def test_silent(self) -> None:
        """A client that never begins the handshake is no player, and is aborted after 10 s."""
        server = self.connectTLS()
        self.begin(server)
        self.clock.advance(HANDSHAKE_TIMEOUT - 0.1)
        self.assertFalse(server.closed)
        self.clock.advance(0.1)
        self.assertTrue(server.aborted)
        self.assertEqual(self.listener.calls, [])

    def test_slow(self) -> None:
        """A client that sends its part byte by byte is aborted after 10 s."""
        server = self.connectTLS()
        self.client()
        self.begin(server)
        hello = self.wire.value()
        for i in range(10):
            server.protocol.dataReceived(hello[i : i + 1])
            self.clock.advance(HANDSHAKE_TIMEOUT / 10)
        self.assertTrue(server.aborted)
        self.assertEqual(self.listener.calls, [])

    def test_garbage(self) -> None:
        """Bytes that are no TLS end the connection, without a player."""
        server = self.connectTLS()
        self.begin(server)
        server.protocol.dataReceived(b"hello\n" * 100)
        self.assertTrue(server.closed)
        self.clock.advance(HANDSHAKE_TIMEOUT)
        self.assertEqual(self.listener.calls, [])

    def test_served(self) -> None:
        """After the handshake, the first data admits and is delivered."""
        server = self.connectTLS()
        self.client()
        self.begin(server)
        self.exchange(server)
        self.assertEqual(self.listener.calls, [])
        self.tls.write(b"hello")
        self.exchange(server)
        self.assertEqual(self.listener.calls, self.joined())
        self.assertEqual(self.peer.received, b"hello")
        [connection] = self.connections.open
        self.assertEqual(connection.protocol.handshakes, 1)
        self.clock.advance(HANDSHAKE_TIMEOUT)
        self.assertFalse(server.closed)

    def test_startTLS(self) -> None:
        """A protocol that starts TLS itself is notified of the handshake too."""
        server = self.connect()
        self.send(server, b"hello")
        [connection] = self.connections.open
        self.assertEqual(connection.protocol.handshakes, 0)
        connection.handshakeCompleted()
        self.assertEqual(connection.protocol.handshakes, 1)

    def test_silentAfterHandshake(self) -> None:
        """After the handshake, a client without data is admitted after half a second."""
        server = self.connectTLS()
        self.client()
        self.begin(server)
        self.clock.advance(HANDSHAKE_TIMEOUT - 1)
        self.exchange(server)
        self.clock.advance(ADMISSION_DELAY - 0.1)
        self.assertEqual(self.listener.calls, [])
        self.clock.advance(0.1)
        self.assertEqual(self.listener.calls, self.joined())
        self.clock.advance(HANDSHAKE_TIMEOUT)
        self.assertFalse(server.closed)

    def test_stop(self) -> None:
        """A game server that stops ends connections in their handshake."""
        server = self.connectTLS()
        self.begin(server)
        closed = self.closeAll(1.0)
        self.successResultOf(closed)
        self.assertTrue(server.closed)


class ProxyHandshakeTests(HandshakeTests):
    """The same where a PROXY header precedes TLS."""

    behindProxy = True
