"""Tests of the uvloop reactor: its TCP ports, and how the end of a connection is noticed."""

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
    """A protocol that records the end of each direction."""

    def readConnectionLost(self) -> None:
        self.record("read closed")

    def writeConnectionLost(self) -> None:
        self.record("write closed")


class Pausing(Server):
    """A protocol that pauses its transport in C{connectionMade}."""

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        super().connectionMade()


class PortTests(UvloopTestCase):
    """Ports made by C{listenTCP} and C{adoptStreamPort}."""

    def test_portInUse(self) -> None:
        """Listening on a port in use raises L{CannotListenError} immediately."""
        port = self.listen()
        with self.assertRaises(CannotListenError):
            self.reactor.listenTCP(port.getHost().port, Servers(), interface="127.0.0.1")

    def test_connection(self) -> None:
        """A connection is a L{Connection}, and provides L{ITCPTransport}."""
        peer, server = self.connected()
        verifyObject(IListeningPort, self.port)
        verifyObject(ITCPTransport, server.transport)
        self.assertIsInstance(server.transport, Connection)
        self.assertEqual(server.transport.getPeer().port, peer.getsockname()[1])
        self.assertEqual(server.transport.getHost(), self.port.getHost())
        self.assertIn(f"#0 on {self.port.getHost().port}>", repr(server.transport))

    def test_ipv6(self) -> None:
        """A connection of an IPv6 port has IPv6 addresses."""
        self.factory = Servers()
        self.port = self.reactor.listenTCP(0, self.factory, interface="::1")
        peer = socket.create_connection(self.port.socket.getsockname()[:2])
        self.addCleanup(peer.close)
        self.until(lambda: self.factory.servers)
        [server] = self.factory.servers
        self.assertEqual(server.transport.getPeer().host, "::1")
        self.assertEqual(server.transport.getHost(), self.port.getHost())

    def test_adopted(self) -> None:
        """A port made from an existing listening socket makes the same connections."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        listening.setblocking(False)
        self.factory = Servers()
        self.port = self.reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, self.factory)
        _, server = self.connected()
        self.assertIsInstance(server.transport, Connection)

    def test_pause(self) -> None:
        """A paused port accepts nothing. When it resumes, it accepts the waiting connections."""
        port = self.listen()
        port.stopReading()
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            self.turns()
            self.assertEqual(self.factory.servers, [])
            port.startReading()
            self.until(lambda: self.factory.servers)

    def test_stopListening(self) -> None:
        """C{stopListening} fires when new connections are refused; open connections stay open."""
        peer, server = self.connected()
        number = self.port.getHost().port
        stopped: list[object] = []
        self.port.stopListening().addCallback(stopped.append)
        self.until(lambda: stopped)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", number))
        peer.sendall(b"still here")
        self.until(lambda: server.events == ["made", b"still here"])

    def test_noProtocol(self) -> None:
        """A connection for which the factory has no protocol is closed."""
        self.listen()
        self.factory.buildProtocol = lambda _: None  # type: ignore[assignment] # replaces the method
        with socket.create_connection(("127.0.0.1", self.port.getHost().port)) as peer:
            self.turns()
            self.assertEqual(peer.recv(1), b"")


class EndTests(UvloopTestCase):
    """The end of a connection is noticed in each state of the server."""

    def lost(self, server: Any, *before: object) -> type[Exception]:
        """Wait for the end of a connection. Check the events before, and return the reason."""
        self.until(lambda: server.transport.disconnected)
        *events, reason = server.events
        self.assertEqual(events, ["made", *before])
        self.assertEqual(self.reactor.connections, set())
        result: type[Exception] = reason
        return result

    def blocked(self, protocol: type[Server] = Server) -> tuple[socket.socket, Any]:
        """Return a peer that does not read, and its server, whose buffer is full."""
        peer, server = self.connected(protocol)
        server.transport.write(MUCH)
        return peer, server

    def test_fin(self) -> None:
        """A FIN ends the connection with L{ConnectionDone}."""
        peer, server = self.connected()
        peer.close()
        self.assertEqual(self.lost(server), ConnectionDone)

    def test_rst(self) -> None:
        """An RST ends the connection with L{ConnectionLost}."""
        peer, server = self.connected()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_finWhilePaused(self) -> None:
        """A paused server reads the data before the FIN first, then sees the FIN."""
        peer, server = self.connected()
        server.transport.pauseProducing()
        peer.sendall(b"the last words")
        peer.close()
        self.turns()
        self.assertEqual(server.events, ["made"])
        server.transport.resumeProducing()
        self.assertEqual(self.lost(server, b"the last words"), ConnectionDone)

    def test_rstWhilePaused(self) -> None:
        """A paused server with nothing to write notices an RST immediately."""
        peer, server = self.connected()
        server.transport.pauseProducing()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_rstBehindUnreadBytes(self) -> None:
        """Unread data does not hide an RST from a paused server."""
        peer, server = self.connected()
        server.transport.pauseProducing()
        peer.sendall(b"unread" * 10000)
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_rstWhilePausedFromTheFirst(self) -> None:
        """A server that has been paused since C{connectionMade} notices an RST."""
        peer, server = self.connected(Pausing)
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_finWhileBlocked(self) -> None:
        """A server whose buffer is full notices a FIN."""
        peer, server = self.blocked()
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(self.lost(server), ConnectionDone)

    def test_rstWhileBlocked(self) -> None:
        """A server whose buffer is full notices an RST."""
        peer, server = self.blocked()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_rstWhileBlockedAndPaused(self) -> None:
        """A paused server whose buffer is full notices an RST."""
        peer, server = self.blocked()
        server.transport.pauseProducing()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_halfClose(self) -> None:
        """After a FIN, a half-closeable protocol can still write, and then close its direction."""
        peer, server = self.connected(HalfCloseable)
        peer.shutdown(socket.SHUT_WR)
        self.until(lambda: server.events[-1] == "read closed")
        server.transport.write(b"a reply")
        server.transport.loseWriteConnection()
        self.until(lambda: server.events[-1] == "write closed")
        self.assertEqual((peer.recv(100), peer.recv(100)), (b"a reply", b""))
        server.transport.loseConnection()
        self.assertEqual(self.lost(server, "read closed", "write closed"), ConnectionDone)

    def test_halfCloseWhilePaused(self) -> None:
        """A paused half-closeable protocol sees the FIN when it resumes."""
        peer, server = self.connected(HalfCloseable)
        server.transport.pauseProducing()
        peer.shutdown(socket.SHUT_WR)
        server.transport.resumeProducing()
        self.until(lambda: server.events[-1] == "read closed")

    def test_rstAfterHalfClose(self) -> None:
        """An RST after a FIN is noticed."""
        peer, server = self.connected(HalfCloseable)
        peer.shutdown(socket.SHUT_WR)
        self.until(lambda: server.events[-1] == "read closed")
        # Resuming after the FIN does not report a second FIN.
        server.transport.resumeProducing()
        self.turns()
        self.reset(peer)
        self.assertEqual(self.lost(server, "read closed"), ConnectionLost)

    def test_rstWhileClosing(self) -> None:
        """An RST is noticed while C{loseConnection} waits for a paused producer."""
        peer, server = self.blocked(HalfCloseable)
        server.transport.registerProducer(server.transport, True)
        server.transport.loseConnection()
        self.reset(peer)
        self.assertEqual(self.lost(server), ConnectionLost)

    def test_bothHalvesClosed(self) -> None:
        """After both sides have sent a FIN, unread data can still be read."""
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
        """C{abortConnection} drops unsent data, and the peer sees an RST."""
        peer, server = self.blocked()
        server.transport.abortConnection()
        self.assertEqual(self.lost(server), ConnectionAborted)
        self.turns()
        with self.assertRaises(ConnectionResetError):
            while peer.recv(65536):
                pass

    def test_stop(self) -> None:
        """C{disconnectAll} ends open connections immediately, on both sides."""
        peer, server = self.connected()
        self.reactor.disconnectAll()
        self.assertEqual(peer.recv(1), b"")
        self.assertEqual(self.lost(server), ConnectionLost)


class Client(Protocol):
    """A client that records the reason of its end."""

    ended: type[BaseException] | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason.type


class Replying(Client):
    """A client that writes after it has received data."""

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.reactor.callLater(0, transport.write, b"x")


class Port(DatagramProtocol):
    """A UDP protocol that records datagrams and refusals."""

    transport: Any

    def __init__(self) -> None:
        self.events: list[Any] = []

    def datagramReceived(self, data: bytes, addr: object) -> None:
        self.events.append(data)

    def connectionRefused(self) -> None:
        self.events.append("refused")


class StockTransportTests(UvloopTestCase):
    """Transports of Twisted itself, such as clients, notice every error too."""

    def test_resetOfAClient(self) -> None:
        """A client that receives data before an RST notices the RST."""
        self.assertNoticesReset(Client())

    def test_writesAfterTheReset(self) -> None:
        """A client that writes before it has read all data before the RST notices the RST."""
        self.assertNoticesReset(Replying())

    def assertNoticesReset(self, client: Client) -> None:
        """Check that the client's connection is lost when the peer sends data and an RST."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            factory = ClientFactory.forProtocol(lambda: client)
            self.reactor.connectTCP("127.0.0.1", listening.getsockname()[1], factory)
            self.until(lambda: client.connected)
            peer, _ = listening.accept()
            # One doRead does not read all of it: the RST comes after the rest.
            peer.sendall(b"x" * 200_000)
            self.reset(peer)
            self.until(lambda: client.ended)
        self.assertEqual(client.ended, ConnectionLost)

    def test_refusedDatagram(self) -> None:
        """After a refused datagram, a UDP port still receives."""
        port = Port()
        listening = self.reactor.listenUDP(0, port, interface="127.0.0.1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            unused = peer.getsockname()
        port.transport.connect(*unused)
        port.transport.write(b"hello")
        self.until(lambda: port.events == ["refused"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(unused)
            peer.sendto(b"here", ("127.0.0.1", listening.getHost().port))
            self.until(lambda: port.events == ["refused", b"here"])


class WithoutUvloopTests(SynchronousTestCase):
    """The package where uvloop is not installed."""

    def test_hint(self) -> None:
        """The import error contains the command that installs uvloop."""
        modules = {name: sys.modules.pop(name) for name in list(sys.modules) if "uvreactor" in name}
        uvloop = sys.modules["uvloop"]
        sys.modules["uvloop"] = None  # type: ignore[assignment] # makes the import fail
        try:
            with self.assertRaises(ImportError) as caught:
                __import__("echoserver.uvreactor")
        finally:
            sys.modules.update(modules, uvloop=uvloop)
        self.assertIn("type 'pip install uvloop'", str(caught.exception))
