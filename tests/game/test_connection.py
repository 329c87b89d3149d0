"""A connection: admission, join and leave, closing, back-pressure, any protocol of a game."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ISSLTransport,
    ISystemHandle,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.wire import Echo
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from echoserver.game import Game
from echoserver.game.connection import CLOSE_TIMEOUT
from echoserver.game.factory import ADMISSION_DELAY, ConnectionFactory
from tests.doubles import PlayerTransport, RecordingListener

PEER = IPv4Address("TCP", "192.0.2.7", 4242)
FULL = b"FULL\n"
JOINED = [("joining", "192.0.2.7:4242"), ("joined", "192.0.2.7:4242")]


class ClosedByPeer:
    """A socket that Linux reports in CLOSE_WAIT."""

    family = socket.AF_INET

    def getsockopt(self, *_: int) -> bytes:
        return b"\x08"


class RecordingProtocol(Protocol):
    """A protocol that echoes, and records why it was disconnected."""

    lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        if data == b"close":
            self.transport.loseConnection()
        else:
            self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class ConnectionsTestCase(SynchronousTestCase):
    """Connections in memory, of a game whose factory is C{makeFactory()}."""

    protocol: type[Protocol] = RecordingProtocol

    def makeFactory(self) -> Factory:
        """Return the game's own factory."""
        return Factory.forProtocol(self.protocol)

    def connect(
        self,
        listener: RecordingListener | None = None,
        *,
        flushed: bool = True,
        idleTimeout: float = 0.0,
    ) -> PlayerTransport:
        """Return the server's side of a connection that has sent nothing yet."""
        self.clock = Clock()
        self.listener = listener or RecordingListener()
        self.connections = ConnectionFactory(
            self.clock, self.makeFactory(), self.listener, idleTimeout
        )
        return self.connectAnother(flushed=flushed)

    def connectAnother(self, *, flushed: bool = True) -> PlayerTransport:
        """Return one more connection to the same game."""
        connection = self.connections.buildProtocol(PEER)
        transport = PlayerTransport(connection, PEER, flushed=flushed)
        connection.makeConnection(transport)
        self.addCleanup(self.assertNothingLeft, transport)
        return transport

    def assertNothingLeft(self, transport: PlayerTransport) -> None:
        """After a connection is lost nothing of it is kept."""
        transport.lose(ConnectionDone())
        if not self.connections.open:
            self.assertEqual([], self.clock.getDelayedCalls())

    def send(self, transport: PlayerTransport, *pieces: bytes) -> bytes:
        """Deliver these pieces, and return what was written back."""
        for piece in pieces:
            transport.protocol.dataReceived(piece)
        written: bytes = transport.value()
        return written

    def closeAll(self, within: float) -> Deferred[None]:
        """Close all connections, as a game does that implements no hook."""
        game = Game(self.listener.gameServer)
        return self.connections.closeAll(lambda: game.closePlayers("the server stops"), within)


class JoinTests(ConnectionsTestCase):
    """When a connection becomes a player, and when it stops being one."""

    def test_firstByte(self) -> None:
        """The first byte admits, once, before it is delivered."""
        transport = self.connect()
        self.assertEqual([], self.listener.calls)
        self.assertEqual(b"ab", self.send(transport, b"a", b"b"))
        self.clock.advance(ADMISSION_DELAY)
        self.assertEqual(JOINED, self.listener.calls)

    def test_silent(self) -> None:
        """A connection without data is admitted after half a second."""
        self.connect()
        self.clock.advance(ADMISSION_DELAY)
        self.assertEqual(JOINED, self.listener.calls)

    def test_portScan(self) -> None:
        """A connection that closes without data never joins, and has no game protocol."""
        transport = self.connect()
        transport.protocol.readConnectionLost()
        self.clock.advance(ADMISSION_DELAY)
        transport.lose(ConnectionDone())
        self.assertEqual([], self.listener.calls)
        self.assertIsNone(transport.protocol.protocol)

    def test_reasons(self) -> None:
        """FIN, RST and a clean end have different reasons; bytes are counted."""
        for ends, reason in (
            (lambda t: t.protocol.readConnectionLost(), "closed the connection"),
            (lambda t: t.lose(ConnectionDone()), "closed the connection"),
            (lambda t: t.lose(ConnectionLost("Connection reset by peer")), "vanished ("),
            (lambda t: t.protocol.abortConnection(), "aborted by the server"),
            (lambda t: t.protocol.loseConnection(), "closed by the server"),
        ):
            transport = self.connect()
            self.send(transport, b"four")
            ends(transport)
            what, _, why, received = self.listener.calls[-1]
            self.assertEqual(("left", "4"), (what, received))
            self.assertTrue(why.startswith(reason), why)

    def test_rejected(self) -> None:
        """A rejected connection gets the message, and never a game protocol."""
        transport = self.connect(RecordingListener(FULL))
        self.assertEqual(FULL, self.send(transport, b"hello", b"hello"))
        self.assertTrue(transport.ended)
        self.assertIsNone(transport.protocol.protocol)
        transport.lose(ConnectionDone())
        self.assertEqual([], self.listener.calls)

    def test_pending(self) -> None:
        """While the decision is open, the connection is not read."""
        decision: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingListener(decision))
        self.assertEqual(b"", self.send(transport, b"hel", b"lo\n"))
        self.assertEqual("paused", transport.producerState)
        self.clock.advance(ADMISSION_DELAY)
        self.assertEqual([], self.listener.calls)

    def test_pendingThenAdmitted(self) -> None:
        """After the admission buffered data is delivered in order."""
        decision: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingListener(decision))
        self.send(transport, b"hel", b"lo\n")
        decision.callback(None)
        self.assertEqual("producing", transport.producerState)
        self.assertEqual(JOINED, self.listener.calls)
        self.assertEqual(b"hello\nmore", self.send(transport, b"more"))

    def test_pendingThenClosed(self) -> None:
        """If buffered data closes the connection, the rest of it is not delivered."""
        decision: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingListener(decision))
        self.send(transport, b"hello", b"close", b"never")
        decision.callback(None)
        self.assertEqual(b"hello", transport.value())
        self.assertTrue(transport.ended)

    def test_pendingSilent(self) -> None:
        """A connection without data can be admitted late, too."""
        decision: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingListener(decision))
        self.clock.advance(ADMISSION_DELAY)
        self.assertEqual("paused", transport.producerState)
        decision.callback(None)
        self.assertEqual(JOINED, self.listener.calls)
        self.assertEqual(b"hello", self.send(transport, b"hello"))

    def test_pendingThenRejected(self) -> None:
        """A late rejection sends the message, and none of the buffered data is delivered."""
        decision: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingListener(decision))
        self.send(transport, b"hello")
        decision.callback(FULL)
        self.assertEqual(FULL, self.send(transport, b"more"))
        self.assertTrue(transport.ended)
        self.assertEqual("producing", transport.producerState)
        self.assertEqual([], self.listener.calls)

    def test_decidedTooLate(self) -> None:
        """A decision after the end of the connection changes nothing."""
        for ends in (lambda t: t.lose(ConnectionDone()), lambda t: t.protocol.close("the end")):
            decision: Deferred[bytes | None] = Deferred()
            transport = self.connect(RecordingListener(decision))
            self.send(transport, b"hello")
            ends(transport)
            decision.callback(None)
            self.assertEqual((b"", []), (transport.value(), self.listener.calls))

    def test_decisionFails(self) -> None:
        """A decision that fails is logged, and admits."""
        decision: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingListener(decision))
        self.send(transport, b"hello")
        decision.errback(ValueError("an internal error"))
        self.assertEqual(b"hello", transport.value())
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_admissionRaises(self) -> None:
        """An exception in the admission is logged, and admits."""
        transport = self.connect(RecordingListener(failing=True))
        self.assertEqual(b"hello", self.send(transport, b"hello"))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))


class CloseTests(ConnectionsTestCase):
    """How connections close."""

    def test_readsOn(self) -> None:
        """After the server has closed its side, data is read and dropped until the peer closes."""
        transport = self.connect()
        self.send(transport, b"hello")
        transport.pauseProducing()
        self.send(transport, b"close")
        self.assertEqual(b"hello", self.send(transport, b"more", b"still more"))
        self.assertEqual("producing", transport.producerState)
        transport.protocol.readConnectionLost()
        self.assertTrue(transport.closed)
        self.assertFalse(transport.aborted)

    def test_leavesAtOnce(self) -> None:
        """The player leaves when all is written: the session does not wait for the socket."""
        transport = self.connect()
        self.send(transport, b"hello", b"close")
        self.assertEqual("left", self.listener.calls[-1][0])
        self.assertTrue(transport.protocol.protocol.lost.check(ConnectionDone))
        self.assertFalse(transport.closed)

    def test_unread(self) -> None:
        """A peer that does not read the rest within 10 s is aborted, and leaves only then."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello", b"close")
        self.clock.advance(CLOSE_TIMEOUT - 0.1)
        self.assertEqual(JOINED, self.listener.calls)
        self.clock.advance(0.1)
        self.assertTrue(transport.aborted)
        left = ("left", "192.0.2.7:4242", "closed by the server", "10")
        self.assertEqual(left, self.listener.calls[-1])

    def test_finDelivers(self) -> None:
        """After FIN all that was written is sent, or the connection is aborted after 10 s."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello")
        transport.protocol.readConnectionLost()
        self.assertTrue(transport.disconnecting)
        self.assertIsNone(transport.producer)
        self.assertFalse(transport.closed)
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertTrue(transport.aborted)

    def test_finAfterClose(self) -> None:
        """A FIN after the close does not extend the timeout."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello", b"close")
        self.clock.advance(CLOSE_TIMEOUT - 1.0)
        transport.protocol.readConnectionLost()
        self.clock.advance(1.0)
        self.assertTrue(transport.aborted)

    def test_neverExtended(self) -> None:
        """Closing all connections does not extend the timeout of one that closes already."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello", b"close")
        self.clock.advance(CLOSE_TIMEOUT - 1.0)
        self.closeAll(CLOSE_TIMEOUT)
        self.clock.advance(1.0)
        self.assertTrue(transport.aborted)

    def test_closeAll(self) -> None:
        """All connections close; those still open in time are aborted; then it fires."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello")
        closed = self.closeAll(1.0)
        self.assertTrue(transport.ended)
        self.assertNoResult(closed)
        self.clock.advance(1.0)
        self.assertTrue(transport.aborted)
        self.successResultOf(closed)
        self.assertEqual("the server stops", self.listener.calls[-1][2])

    def test_closeAllSooner(self) -> None:
        """A second call with less time aborts sooner; both fire."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello")
        both = [self.closeAll(within) for within in (10.0, 1.0)]
        self.clock.advance(1.0)
        self.assertTrue(transport.aborted)
        for closed in both:
            self.successResultOf(closed)

    def test_closeAllPending(self) -> None:
        """A connection that is not admitted yet is closed as well."""
        transport = self.connect()
        closed = self.closeAll(1.0)
        self.assertTrue(transport.ended)
        transport.lose(ConnectionDone())
        self.successResultOf(closed)
        self.assertEqual([], self.listener.calls)

    def test_closeAllGameFails(self) -> None:
        """If the game closes none, because its hook raises, all are aborted in time."""
        transport = self.connect()
        self.send(transport, b"hello")

        def fail() -> None:
            raise ValueError("a hook that fails")

        closed = self.connections.closeAll(fail, 1.0)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertNoResult(closed)
        self.clock.advance(1.0)
        self.assertTrue(transport.aborted)
        self.successResultOf(closed)

    def test_closeNone(self) -> None:
        """Without connections it fires at once."""
        self.connect().lose(ConnectionDone())
        self.successResultOf(self.closeAll(1.0))

    def test_idle(self) -> None:
        """A player that sends nothing is closed; one that sends, or closes already, is not."""
        silent = self.connect(flushed=False, idleTimeout=60.0)
        sending, closing = (self.connectAnother(flushed=False) for _ in range(2))
        silent.protocol.dataReceived(b"hello")
        closing.protocol.dataReceived(b"hello")
        closing.protocol.close("the end", 100.0)
        for _ in range(12):
            self.clock.advance(6.0)
            sending.protocol.dataReceived(b"here")
        self.assertTrue(silent.ended)
        self.assertEqual([False] * 3, [sending.ended, silent.aborted, closing.aborted])
        silent.lose(ConnectionDone())
        self.assertEqual("sent nothing for 60 s", self.listener.calls[-1][2])
        for transport in (sending, closing):
            transport.lose(ConnectionDone())
        self.assertEqual("the end", self.listener.calls[-1][2])

    def test_wrapped(self) -> None:
        """
        TLS and PROXY wrappers cannot close one side: the whole connection closes after the rest,
        and is read until then, because TLS closes with the peer's reply.
        """
        self.connect()
        wrapping: WrappingFactory[Any] = WrappingFactory(self.connections)
        wrapper = wrapping.buildProtocol(PEER)
        assert isinstance(wrapper, ProtocolWrapper)
        transport = PlayerTransport(wrapper, PEER)
        wrapper.makeConnection(transport)
        transport.flushed = False
        transport.pauseProducing()
        wrapper.dataReceived(b"hello\n")
        wrapper.dataReceived(b"close")
        self.assertEqual("producing", transport.producerState)
        self.assertTrue(transport.disconnecting)
        transport.lose(ConnectionDone())
        self.assertEqual(b"hello\n", transport.value())
        self.assertTrue(transport.closed)
        self.assertFalse(transport.ended)


class BackPressureTests(ConnectionsTestCase):
    """A peer that does not read is not read."""

    def test_ownProducer(self) -> None:
        """The connection is the transport's producer, while the protocol registers none."""
        transport = self.connect()
        self.send(transport, b"hello")
        verifyObject(IPushProducer, transport.protocol)
        self.assertIs(transport.protocol, transport.producer)
        self.assertTrue(transport.streaming)
        transport.protocol.pauseProducing()
        self.assertEqual("paused", transport.producerState)
        transport.protocol.resumeProducing()
        self.assertEqual("producing", transport.producerState)
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_protocolsProducer(self) -> None:
        """A producer of the protocol replaces the connection, until it is unregistered."""
        transport = self.connect()
        self.send(transport, b"hello")
        connection, producer = transport.protocol, object()
        connection.registerProducer(producer, True)
        self.assertIs(producer, transport.producer)
        connection.unregisterProducer()
        self.assertIs(connection, transport.producer)

    def test_finBehindUnread(self) -> None:
        """A paused connection whose peer has sent FIN has 10 s from then on, too."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello")
        directlyProvides(transport, ITCPTransport, ISystemHandle)
        transport.getHandle = ClosedByPeer  # type: ignore[attr-defined] # as one with a socket
        transport.protocol.pauseProducing()
        self.clock.advance(1.0)
        self.clock.advance(CLOSE_TIMEOUT - 1.1)
        self.assertFalse(transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(transport.aborted)

    def test_lostWhilePaused(self) -> None:
        """A connection that is lost while paused is not checked any more."""
        transport = self.connect()
        other = self.connectAnother()
        for each in (transport, other):
            self.send(each, b"hello")
        transport.protocol.pauseProducing()
        transport.lose(ConnectionDone())
        self.clock.advance(1.0)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_noProducerWhenClosing(self) -> None:
        """The producer is unregistered before the close, so that a paused connection closes."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello", b"close")
        self.assertIsNone(transport.producer)

    def test_pausedByTheProtocol(self) -> None:
        """If the protocol pauses when it is connected, buffered data waits until it resumes."""

        class Paused(RecordingProtocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.pauseProducing()  # type: ignore[attr-defined] # TCP has it

        self.protocol = Paused
        transport = self.connect()
        self.assertEqual(b"", self.send(transport, b"hello"))
        transport.protocol.protocol.transport.resumeProducing()
        self.assertEqual(b"hello", transport.value())


@implementer(IHalfCloseableProtocol)
class HalfCloseable(RecordingProtocol):
    """A protocol that continues to write after the peer's FIN."""

    ended = ""

    def readConnectionLost(self) -> None:
        self.ended += "read "

    def writeConnectionLost(self) -> None:
        self.ended += "write "


class AnyProtocolTests(ConnectionsTestCase):
    """Protocols that know nothing of game servers."""

    def test_wireEcho(self) -> None:
        """Twisted's Echo echoes."""
        self.protocol = Echo
        self.assertEqual(b"hello", self.send(self.connect(), b"hel", b"lo"))

    def test_lineReceiver(self) -> None:
        """After loseConnection in a line, a LineReceiver gets no further line."""
        received = []

        class Lines(LineReceiver):
            delimiter = b"\n"

            def lineReceived(self, line: bytes) -> None:
                received.append(line)
                self.sendLine(b"got " + line)
                if line == b"bye":
                    assert self.transport is not None
                    self.transport.loseConnection()

        self.protocol = Lines
        transport = self.connect()
        self.assertEqual(b"got a\ngot bye\n", self.send(transport, b"a\nbye\nb\n", b"c\n"))
        self.assertEqual([b"a", b"bye"], received)
        self.assertTrue(transport.ended)

    def test_transport(self) -> None:
        """The protocol's transport has the interfaces and attributes of the real one."""
        transport = self.connect()
        directlyProvides(transport, ITCPTransport)
        self.send(transport, b"hello")
        seen = transport.protocol.protocol.transport
        for interface in (ITransport, ITCPTransport, IConsumer, IPushProducer):
            provided = interface.providedBy(transport) or interface is IPushProducer
            self.assertEqual(provided, interface.providedBy(seen), interface)
        self.assertEqual(PEER, seen.getPeer())
        self.assertEqual(transport.getHost(), seen.getHost())
        self.assertRaises(AttributeError, lambda: seen.startTLS)
        seen.writeSequence([b"a", b"b"])
        self.assertEqual(b"helloab", transport.value())

    def test_halfCloseable(self) -> None:
        """An IHalfCloseableProtocol is notified of the FIN, and closes the connection itself."""
        self.protocol = HalfCloseable
        transport = self.connect()
        self.send(transport, b"hello")
        transport.protocol.readConnectionLost()
        self.assertFalse(transport.disconnecting)
        protocol = transport.protocol.protocol
        protocol.transport.write(b" after FIN")
        protocol.transport.loseWriteConnection()
        self.assertEqual(("read write ", b"hello after FIN"), (protocol.ended, transport.value()))
        transport.lose(ConnectionDone())
        self.assertEqual("closed the connection", self.listener.calls[-1][2])

    def test_factoryRejects(self) -> None:
        """A factory that makes no protocol rejects the player."""

        class NoProtocol(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        self.makeFactory = NoProtocol  # type: ignore[method-assign] # this test's own
        transport = self.connect()
        self.send(transport, b"hello")
        self.assertTrue(transport.ended)
        self.assertEqual(["joining", "left"], [call[0] for call in self.listener.calls])

    def test_connectionMadeRaises(self) -> None:
        """If connectionMade raises, this connection is aborted."""

        class Failing(RecordingProtocol):
            def connectionMade(self) -> None:
                raise ValueError("a protocol that fails")

        self.protocol = Failing
        transport = self.connect()
        self.send(transport, b"hello")
        self.assertTrue(transport.aborted)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual("left", self.listener.calls[-1][0])

    def test_connectionLostRaises(self) -> None:
        """If connectionLost raises, the player has left nevertheless."""

        class Failing(RecordingProtocol):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                raise ValueError("a protocol that fails")

        self.protocol = Failing
        transport = self.connect()
        self.send(transport, b"hello")
        transport.lose(ConnectionDone())
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual("left", self.listener.calls[-1][0])

    def test_logPrefix(self) -> None:
        """Log lines name the game's protocol and factory."""
        transport = self.connect()
        self.assertEqual("Connection", transport.protocol.logPrefix())
        self.send(transport, b"hello")
        self.assertEqual("RecordingProtocol", transport.protocol.logPrefix())
        self.assertEqual("Factory", self.connections.logPrefix())


class CountingTransport(PlayerTransport):
    """A transport that counts what arrives and has a write without checks, as on uvloop."""

    bytesReceived = 0

    def writeBytes(self, data: bytes) -> None:
        self.write(data)


class CountingTests(ConnectionsTestCase):
    """The bytes of a player are counted by its transport, or by the connection."""

    def join(self, transportClass: type[PlayerTransport]) -> Any:
        """Return a player's transport."""
        self.connect()
        protocol: Any = self.connections.buildProtocol(PEER)
        transport = transportClass(protocol, PEER)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"hello")
        return transport

    def test_connection(self) -> None:
        """By default the connection counts."""
        transport = self.join(PlayerTransport)
        transport.protocol.dataReceived(b"hello")
        self.assertEqual(10, transport.protocol.bytesReceived)
        self.assertEqual(transport.write, transport.protocol.writeBytes)

    def test_transport(self) -> None:
        """If the transport counts, the connection does not, and no call of it is on the way."""
        transport = self.join(CountingTransport)
        connection = transport.protocol
        transport.bytesReceived = 7
        self.assertEqual(7, connection.bytesReceived)
        self.assertEqual(connection.protocol.dataReceived, connection.dataReceived)
        self.assertEqual(transport.writeBytes, connection.writeBytes)

    def test_startTLS(self) -> None:
        """After STARTTLS the transport counts what is encrypted: the connection counts the rest."""
        transport = self.join(CountingTransport)
        transport.bytesReceived = 7
        connection = transport.protocol
        directlyProvides(transport, ISSLTransport)
        connection.transportChanged()
        connection.dataReceived(b"secret")
        self.assertEqual(7 + 6, connection.bytesReceived)

    def test_wrapped(self) -> None:
        """A wrapper forwards attributes of the transport inside. They do not count."""
        self.connect()
        protocol: Any = self.connections.buildProtocol(PEER)
        wrapper: Any = ProtocolWrapper(WrappingFactory(Factory()), protocol)
        wrapper.makeConnection(CountingTransport(wrapper, PEER))
        wrapper.dataReceived(b"hello")
        self.assertEqual(5, protocol.bytesReceived)
        self.assertEqual(wrapper.write, protocol.writeBytes)
