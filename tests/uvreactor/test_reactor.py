"""The uvloop reactor: its TCP ports, how connections end, and that no end is missed."""

from __future__ import annotations

import socket
import sys
from typing import Any

from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import IHalfCloseableProtocol, IListeningPort, ITCPTransport
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from echoserver.uvreactor.transport import Connection
from tests.uvloopcase import Server, Servers, UvloopTestCase

MUCH = b"x" * (8 * 1024 * 1024)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Server):
    """Hears of each half."""

    def readConnectionLost(self) -> None:
        self.happened("read closed")

    def writeConnectionLost(self) -> None:
        self.happened("write closed")


class Pausing(Server):
    """Reads nothing from the first."""

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        super().connectionMade()


class PortTests(UvloopTestCase):
    """What C{listenTCP} and C{adoptStreamPort} promise."""

    def test_taken(self) -> None:
        """A port in use is said at once."""
        port = self.listen()
        with self.assertRaises(CannotListenError):
            self.reactor.listenTCP(port.getHost().port, Servers(), interface="127.0.0.1")

    def test_connection(self) -> None:
        """A connection is uvloop's, and all that Twisted promises of one over TCP."""
        peer, server = self.connected()
        verifyObject(IListeningPort, self.port)
        verifyObject(ITCPTransport, server.transport)
        self.assertIsInstance(server.transport, Connection)
        self.assertEqual(server.transport.getPeer().port, peer.getsockname()[1])
        self.assertEqual(server.transport.getHost(), self.port.getHost())
        self.assertIn(f"#0 on {self.port.getHost().port}>", repr(server.transport))

    def test_ipv6(self) -> None:
        """Addresses are IPv6's on an IPv6 port."""
        self.factory = Servers()
        self.port = self.reactor.listenTCP(0, self.factory, interface="::1")
        peer = socket.create_connection(self.port.socket.getsockname()[:2])
        self.addCleanup(peer.close)
        self.until(lambda: self.factory.servers)
        [server] = self.factory.servers
        self.assertEqual(server.transport.getPeer().host, "::1")
        self.assertEqual(server.transport.getHost(), self.port.getHost())

    def test_adopted(self) -> None:
        """A listening socket that somebody else has made is served the same way."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        listening.setblocking(False)
        self.factory = Servers()
        self.port = self.reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, self.factory)
        _, server = self.connected()
        self.assertIsInstance(server.transport, Connection)

    def test_pause(self) -> None:
        """A paused port accepts no connection; those that wait are accepted afterwards."""
        port = self.listen()
        port.stopReading()
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            self.turns()
            self.assertEqual(self.factory.servers, [])
            port.startReading()
            self.until(lambda: self.factory.servers)

    def test_stopListening(self) -> None:
        """It fires when nobody can connect; those who are connected stay."""
        peer, server = self.connected()
        number = self.port.getHost().port
        stopped: list[object] = []
        self.port.stopListening().addCallback(stopped.append)
        self.until(lambda: stopped)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", number))
        peer.sendall(b"still here")
        self.until(lambda: server.events == ["made", b"still here"])

    def test_nobodyServes(self) -> None:
        """A connection for which the factory has no protocol is closed."""
        self.listen()
        self.factory.buildProtocol = lambda _: None  # type: ignore[assignment] # that is it
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as peer:
            self.turns()
            self.assertEqual(peer.recv(1), b"")


class EndTests(UvloopTestCase):
    """Each way in which a connection ends is heard of, whatever the server is about."""

    def lost(self, server: Any, *before: object) -> type[Exception]:
        """Wait for the end of a connection, before which only this has happened."""
        self.until(lambda: server.transport.disconnected)
        *events, reason = server.events
        self.assertEqual(events, ["made", *before])
        self.assertEqual(self.reactor.connections, set())
        ended: type[Exception] = reason
        return ended

    def blocked(self, protocol: type[Server] = Server) -> tuple[socket.socket, Any]:
        """Return a client that does not read, so that nothing more can be written."""
        peer, server = self.connected(protocol)
        server.transport.write(MUCH)
        return peer, server

    def test_fin(self) -> None:
        """Who closes has left cleanly."""
        peer, server = self.connected()
        peer.close()
        self.assertEqual(self.lost(server), ConnectionDone)

    def test_rst(self) -> None:
        """Who resets has not."""
        peer, server = self.connected()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_finWhilePaused(self) -> None:
        """What came before a FIN is the server's to read first: the FIN comes after it."""
        peer, server = self.connected()
        server.transport.pauseProducing()
        peer.sendall(b"the last words")
        peer.close()
        self.turns()
        self.assertEqual(server.events, ["made"])
        server.transport.resumeProducing()
        self.assertEqual(self.lost(server, b"the last words"), ConnectionDone)

    def test_rstWhilePaused(self) -> None:
        """A reset is heard of at once, though nobody reads and nothing is to be written."""
        peer, server = self.connected()
        server.transport.pauseProducing()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_rstBehindUnreadBytes(self) -> None:
        """Nor do bytes that nobody has read hide it."""
        peer, server = self.connected()
        server.transport.pauseProducing()
        peer.sendall(b"unread" * 10000)
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_rstWhilePausedFromTheFirst(self) -> None:
        """Nor does it matter that nothing was ever read."""
        peer, server = self.connected(Pausing)
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_finWhileBlocked(self) -> None:
        """A client that does not read and closes its side is disconnected."""
        peer, server = self.blocked()
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(self.lost(server), ConnectionDone)

    def test_rstWhileBlocked(self) -> None:
        """So is who resets."""
        peer, server = self.blocked()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_rstWhileBlockedAndPaused(self) -> None:
        """Though nobody reads."""
        peer, server = self.blocked()
        server.transport.pauseProducing()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_halfClose(self) -> None:
        """Who has no more to say can still be written to."""
        peer, server = self.connected(HalfCloseable)
        peer.shutdown(socket.SHUT_WR)
        self.until(lambda: server.events[-1] == "read closed")
        server.transport.write(b"an answer")
        server.transport.loseWriteConnection()
        self.until(lambda: server.events[-1] == "write closed")
        self.assertEqual((peer.recv(100), peer.recv(100)), (b"an answer", b""))
        server.transport.loseConnection()
        self.assertEqual(self.lost(server, "read closed", "write closed"), ConnectionDone)

    def test_halfCloseWhilePaused(self) -> None:
        """It is heard of when the server reads on."""
        peer, server = self.connected(HalfCloseable)
        server.transport.pauseProducing()
        peer.shutdown(socket.SHUT_WR)
        server.transport.resumeProducing()
        self.until(lambda: server.events[-1] == "read closed")

    def test_rstAfterHalfClose(self) -> None:
        """A reset is heard of after the end of what could be read."""
        peer, server = self.connected(HalfCloseable)
        peer.shutdown(socket.SHUT_WR)
        self.until(lambda: server.events[-1] == "read closed")
        # Reading on after the end is no second end.
        server.transport.resumeProducing()
        self.turns()
        self.reset(peer)
        self.assertEqual(self.lost(server, "read closed"), ConnectionLost)

    def test_rstAfterTheLastWord(self) -> None:
        """A reset is heard of while a close waits for a producer who is paused."""
        peer, server = self.blocked(HalfCloseable)
        server.transport.registerProducer(server.transport, True)
        server.transport.loseConnection()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_bothHalvesClosedButNotAll(self) -> None:
        """What was sent before both sides said the end can be read, late as it may be."""
        peer, server = self.connected(HalfCloseable)
        server.transport.pauseProducing()
        peer.sendall(b"read me")
        peer.shutdown(socket.SHUT_WR)
        server.transport.loseWriteConnection()
        self.until(lambda: server.events[-1] == "write closed")
        server.transport.resumeProducing()
        self.until(lambda: server.events[-1] == "read closed")
        self.assertEqual(server.events, ["made", "write closed", b"read me", "read closed"])

    def test_abort(self) -> None:
        """Nothing is written any more, and the peer sees a reset."""
        peer, server = self.blocked()
        server.transport.abortConnection()
        self.assertEqual(self.lost(server), ConnectionAborted)
        self.turns()
        with self.assertRaises(ConnectionResetError):
            while peer.recv(65536):
                pass

    def test_stop(self) -> None:
        """When the reactor stops, connections are lost on both sides at once."""
        peer, server = self.connected()
        self.reactor.disconnectAll()
        self.assertEqual(peer.recv(1), b"")
        self.assertEqual(self.lost(server), ConnectionLost)


class Client(Protocol):
    """Reads nothing until told; writes down how it ended."""

    ended: type[BaseException] | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason.type


class Answering(Client):
    """Writes when it has read."""

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.reactor.callLater(0, transport.write, b"x")


class Port(DatagramProtocol):
    """Writes down what came, and what did not arrive."""

    transport: Any

    def __init__(self) -> None:
        self.events: list[Any] = []

    def datagramReceived(self, data: bytes, addr: object) -> None:
        self.events.append(data)

    def connectionRefused(self) -> None:
        self.events.append("refused")


class StockTests(UvloopTestCase):
    """What is not a TCP port's connection is the stock reactor's, but misses no error either."""

    def test_resetOfAClient(self) -> None:
        """A client who finds bytes before a reset is told of the reset, too."""
        self.assertToldOfReset(Client())

    def test_writesAfterTheReset(self) -> None:
        """The same, if the protocol writes before it has read all data before the reset."""
        self.assertToldOfReset(Answering())

    def assertToldOfReset(self, client: Client) -> None:
        """The connection is lost, and the protocol is notified, whatever came before."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            factory = ClientFactory.forProtocol(lambda: client)
            self.reactor.connectTCP("127.0.0.1", listening.getsockname()[1], factory)
            self.until(lambda: client.connected)
            peer, _ = listening.accept()
            # More than one doRead takes: the reset stays behind what it leaves.
            peer.sendall(b"x" * 200_000)
            self.reset(peer)
            self.until(lambda: client.ended)
        self.assertEqual(client.ended, ConnectionLost)

    def test_refusedDatagram(self) -> None:
        """A datagram that found nobody does not make the port deaf."""
        port = Port()
        listening = self.reactor.listenUDP(0, port, interface="127.0.0.1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            nobody = peer.getsockname()
        port.transport.connect(*nobody)
        port.transport.write(b"anybody?")
        self.until(lambda: port.events == ["refused"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(nobody)
            peer.sendto(b"here", ("127.0.0.1", listening.getHost().port))
            self.until(lambda: port.events == ["refused", b"here"])


class WithoutUvloopTests(SynchronousTestCase):
    """Where there is no uvloop."""

    def test_sentence(self) -> None:
        """The reactor says what to type."""
        held = {name: sys.modules.pop(name) for name in list(sys.modules) if "uvreactor" in name}
        uvloop = sys.modules["uvloop"]
        sys.modules["uvloop"] = None  # type: ignore[assignment] # how Python marks what is not there
        try:
            with self.assertRaises(ImportError) as caught:
                __import__("echoserver.uvreactor")
        finally:
            sys.modules.update(held, uvloop=uvloop)
        self.assertIn("type 'pip install uvloop'", str(caught.exception))
