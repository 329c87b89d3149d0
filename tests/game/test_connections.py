"""A player's bytes: the echo, the goodbye, who joins and who leaves."""

from __future__ import annotations

import socket
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from echoserver.game.connections import JOIN_AFTER, LAST_BYTES, EchoFactory
from echoserver.game.game import FULL, Player
from tests.doubles import PlayerTransport, RecordingHooks
from tests.test_echo import CUTS, NEAR_GOODBYE, cut, lines

PEER = IPv4Address("TCP", "192.0.2.7", 4242)


class ClosedByPeer:
    """A socket that Linux says is in CLOSE_WAIT."""

    family = socket.AF_INET

    def getsockopt(self, *_: int) -> bytes:
        return b"\x08"


class EchoTests(SynchronousTestCase):
    """What a player sends, and gets."""

    def connect(
        self,
        hooks: RecordingHooks | None = None,
        *,
        flushed: bool = True,
        peer: IAddress = PEER,
        watched: bool = True,
    ) -> PlayerTransport:
        """A player who has connected and not sent anything; C{watched} as --show-bytes does."""
        self.clock = Clock()
        self.hooks = hooks or RecordingHooks()
        self.seen: list[bytes] = []
        self.factory = EchoFactory(self.clock, self.hooks, self.see if watched else None)
        echo = self.factory.buildProtocol(peer)
        assert echo is not None
        transport = PlayerTransport(echo, peer, flushed=flushed)
        echo.makeConnection(transport)
        self.addCleanup(self.assertNothingLeft, transport)
        return transport

    def see(self, player: Player, data: bytes) -> None:
        """Stands in for --show-bytes."""
        self.seen.append(data)

    def assertNothingLeft(self, transport: PlayerTransport) -> None:
        """Once the connection is gone, so is everything kept of it."""
        transport.lose(ConnectionDone())
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(set(), self.factory.connections)

    def send(self, transport: PlayerTransport, *pieces: bytes) -> bytes:
        """What comes back for these pieces."""
        for piece in pieces:
            transport.protocol.dataReceived(piece)
        came: bytes = transport.value()
        return came

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=200) | NEAR_GOODBYE, CUTS, st.booleans())
    def test_anyBytesComeBack(self, data: bytes, places: list[int], watched: bool) -> None:
        """Any bytes without a goodbye, cut anywhere, come back in order, none lost."""
        data = b"\n" + data
        if lines(data) >= 0:
            return
        transport = self.connect(watched=watched)
        self.assertEqual(data, self.send(transport, *cut(data, places)))
        self.assertFalse(transport.ended)
        self.doCleanups()

    @settings(deadline=None, max_examples=300)
    @given(
        NEAR_GOODBYE,
        st.sampled_from([b"q\n", b"Q\r\n"]),
        st.binary(max_size=20),
        CUTS,
        st.booleans(),
    )
    def test_goodbye(
        self, before: bytes, goodbye: bytes, rest: bytes, places: list[int], watched: bool
    ) -> None:
        """All before the goodbye is echoed, of itself at most its beginning, nothing after it."""
        data = b"\n" + before + b"\n" + goodbye + rest
        transport = self.connect(watched=watched)
        came = self.send(transport, *cut(data, places))
        at = lines(data)
        self.assertEqual(data[: len(came)], came)
        self.assertIn(len(came) - at, range(3))
        self.assertTrue(transport.ended)
        self.doCleanups()

    def test_nothingIsHeldBack(self) -> None:
        """A piece that may become a goodbye is echoed all the same."""
        transport = self.connect()
        self.assertEqual(b"hello\nq", self.send(transport, b"hello\nq"))
        self.assertEqual(b"hello\nqx", self.send(transport, b"x"))

    def test_endOfALine(self) -> None:
        """A line that ends with q, however it is cut, is no goodbye; a q after it is one."""
        for watched in (True, False):
            for beginning in (b"abc", b"\r", b"a\nb"):
                transport = self.connect(watched=watched)
                self.send(transport, b"hello\n", beginning, b"q\n", beginning, b"Q\r\n")
                self.assertFalse(transport.ended)
                self.send(transport, b"bye\n", b"q\n")
                self.assertTrue(transport.ended)

    def test_workshopsClient(self) -> None:
        """From a player who never ends a line, a chunk of q or Q alone is a goodbye."""
        for goodbye in (b"q", b"Q"):
            for watched in (True, False):
                transport = self.connect(watched=watched)
                self.assertEqual(b"hello", self.send(transport, b"hello", goodbye))
                self.assertTrue(transport.ended)

    def test_onlyWithoutLineEnds(self) -> None:
        """From a player who has ended a line, a chunk of q alone is only the begin of one."""
        for watched in (True, False):
            transport = self.connect(watched=watched)
            self.assertEqual(b"abbc\nq", self.send(transport, b"a", b"bb", b"c\n", b"q"))
            self.assertFalse(transport.ended)

    def test_lineOfPieces(self) -> None:
        """A line that came in pieces is over with its end: the next one may be a goodbye."""
        for watched in (True, False):
            transport = self.connect(watched=watched)
            self.assertEqual(b"abbc\n", self.send(transport, b"a", b"bb", b"c\n", b"q\n"))
            self.assertTrue(transport.ended)

    def test_goodbyeReadsOn(self) -> None:
        """After a goodbye what comes is read and dropped, until the player ends his side."""
        transport = self.connect(watched=False)
        self.send(transport, b"hello")
        transport.pauseProducing()
        self.send(transport, b"q")
        self.assertEqual(b"hello", self.send(transport, b"more", b"still more"))
        self.assertEqual("producing", transport.producerState)
        transport.protocol.readConnectionLost()
        self.assertTrue(transport.closed)
        self.assertFalse(transport.aborted)

    def test_goodbyeTellsAtOnce(self) -> None:
        """The session need not wait for the player's socket: once all is written he has left."""
        self.connect().protocol.dataReceived(b"q")
        self.assertEqual("left", self.hooks.told[-1][0])

    def test_goodbyeUnread(self) -> None:
        """Who does not read the rest within 10 s is aborted, and leaves but then."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello", b"q")
        self.clock.advance(LAST_BYTES - 0.1)
        self.assertEqual([("joined", "192.0.2.7:4242")], self.hooks.told)
        self.clock.advance(0.1)
        self.assertTrue(transport.aborted)
        self.assertEqual(("left", "192.0.2.7:4242", "goodbye", "6"), self.hooks.told[-1])

    def test_halfCloseable(self) -> None:
        """Only who is known to care for one side's end is told of it, and not cut."""
        verifyObject(IHalfCloseableProtocol, self.connect().protocol)

    def test_finDelivers(self) -> None:
        """FIN means no more to say: the server closes once all is written, or aborts after 10 s."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello")
        transport.protocol.readConnectionLost()
        self.assertTrue(transport.disconnecting)
        self.assertIsNone(transport.producer)
        self.assertFalse(transport.closed)
        self.clock.advance(LAST_BYTES)
        self.assertTrue(transport.aborted)

    def test_backPressure(self) -> None:
        """Who does not read stops being read, until he does."""
        transport = self.connect()
        verifyObject(IPushProducer, transport.protocol)
        self.assertIs(transport.protocol, transport.producer)
        self.assertTrue(transport.streaming)
        transport.protocol.pauseProducing()
        self.assertEqual("paused", transport.producerState)
        transport.protocol.resumeProducing()
        self.assertEqual("producing", transport.producerState)
        self.clock.advance(LAST_BYTES)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_finBehindUnread(self) -> None:
        """Who is held back, and has ended his side meanwhile, has 10 s from then on, too."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello")
        directlyProvides(transport, ITCPTransport, ISystemHandle)
        transport.getHandle = ClosedByPeer  # type: ignore[attr-defined] # as one with a socket
        transport.protocol.pauseProducing()
        self.clock.advance(1.0)
        self.clock.advance(LAST_BYTES - 1.1)
        self.assertFalse(transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(transport.aborted)

    def test_goneWhileUnread(self) -> None:
        """Nobody looks on after one who was held back and is gone."""
        transport = self.connect()
        echo = self.factory.buildProtocol(PEER)
        assert echo is not None
        other = PlayerTransport(echo, PEER)
        echo.makeConnection(other)
        transport.protocol.pauseProducing()
        transport.lose(ConnectionDone())
        self.clock.advance(1.0)
        self.assertEqual([], self.clock.getDelayedCalls())
        other.lose(ConnectionDone())

    def test_goodbyeThenFin(self) -> None:
        """A FIN after the goodbye does not give the player more time."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello", b"q")
        self.clock.advance(LAST_BYTES - 1.0)
        transport.protocol.readConnectionLost()
        self.clock.advance(1.0)
        self.assertTrue(transport.aborted)

    def test_neverLonger(self) -> None:
        """Who was already to be gone by then is not given more time by whoever closes all."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello", b"q")
        self.clock.advance(LAST_BYTES - 1.0)
        self.factory.closeAll("the server stops", LAST_BYTES)
        self.clock.advance(1.0)
        self.assertTrue(transport.aborted)

    def test_noProducerWhenLeaving(self) -> None:
        """The producer goes before the end: with one, paused connections never close."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello", b"q")
        self.assertIsNone(transport.producer)

    def test_joinsWithFirstByte(self) -> None:
        """The first byte joins, before it is echoed, and once."""
        transport = self.connect()
        self.assertEqual([], self.hooks.told)
        self.send(transport, b"a", b"b")
        self.clock.advance(JOIN_AFTER)
        self.assertEqual([("joined", "192.0.2.7:4242")], self.hooks.told)

    def test_joinsSilently(self) -> None:
        """Who is there for half a second has joined."""
        self.connect()
        self.clock.advance(JOIN_AFTER)
        self.assertEqual([("joined", "192.0.2.7:4242")], self.hooks.told)

    def test_scanCostsNothing(self) -> None:
        """Who connects and closes was never there."""
        transport = self.connect()
        transport.protocol.readConnectionLost()
        self.clock.advance(JOIN_AFTER)
        transport.lose(ConnectionDone())
        self.assertEqual([], self.hooks.told)

    def test_reasons(self) -> None:
        """FIN, RST and a clean end each have their words; bytes are counted."""
        for ends, reason in (
            (lambda t: t.protocol.readConnectionLost(), "closed the connection"),
            (lambda t: t.lose(ConnectionDone()), "closed the connection"),
            (lambda t: t.lose(ConnectionLost("Connection reset by peer")), "vanished ("),
        ):
            transport = self.connect()
            self.send(transport, b"four")
            ends(transport)
            what, _, why, received = self.hooks.told[-1]
            self.assertEqual(("left", "4"), (what, received))
            self.assertTrue(why.startswith(reason), why)

    def test_refused(self) -> None:
        """A player too many is told FULL, is not echoed, and fires no hook."""
        transport = self.connect(RecordingHooks(FULL))
        self.assertEqual(FULL, self.send(transport, b"hello", b"hello"))
        self.assertTrue(transport.ended)
        transport.lose(ConnectionDone())
        self.assertEqual([], self.hooks.told)

    def test_waits(self) -> None:
        """While nobody knows whether he may come in, he is not read, and nothing is echoed."""
        answer: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingHooks(answer))
        self.assertEqual(b"", self.send(transport, b"hel", b"lo\n", b"q"))
        self.assertEqual("paused", transport.producerState)
        self.clock.advance(JOIN_AFTER)
        self.assertEqual([], self.hooks.told)
        self.assertEqual(0, transport.protocol.received)

    def test_waitedAndCameIn(self) -> None:
        """Once he may come in he is read on, and what he sent meanwhile is echoed in order."""
        answer: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingHooks(answer))
        self.send(transport, b"hel", b"lo\n")
        answer.callback(None)
        self.assertEqual("producing", transport.producerState)
        self.assertEqual([("joined", "192.0.2.7:4242")], self.hooks.told)
        self.assertEqual(b"hello\nmore", self.send(transport, b"more"))
        self.assertEqual([b"hel", b"lo\n", b"more"], self.seen)

    def test_waitedAndSaidGoodbye(self) -> None:
        """A goodbye that waited with the rest is one; nothing comes back after it."""
        answer: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingHooks(answer))
        self.send(transport, b"hello\n", b"q\n", b"never")
        answer.callback(None)
        self.assertEqual(b"hello\n", transport.value())
        self.assertTrue(transport.ended)

    def test_waitedSilently(self) -> None:
        """Nor need a byte have come."""
        answer: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingHooks(answer))
        self.clock.advance(JOIN_AFTER)
        self.assertEqual("paused", transport.producerState)
        answer.callback(None)
        self.assertEqual([("joined", "192.0.2.7:4242")], self.hooks.told)
        self.assertEqual(b"hello", self.send(transport, b"hello"))

    def test_waitedAndRefused(self) -> None:
        """He is told why, gets nothing of what he sent, and is read on until his end."""
        answer: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingHooks(answer))
        self.send(transport, b"hello")
        answer.callback(FULL)
        self.assertEqual(FULL, self.send(transport, b"more"))
        self.assertTrue(transport.ended)
        self.assertEqual("producing", transport.producerState)
        self.assertEqual([], self.hooks.told)

    def test_waitedAndLeft(self) -> None:
        """An answer that comes too late, for one who has gone or was let go, is nobody's."""
        for goes in (lambda t: t.lose(ConnectionDone()), lambda t: t.protocol.leave("the end")):
            answer: Deferred[bytes | None] = Deferred()
            transport = self.connect(RecordingHooks(answer))
            self.send(transport, b"hello")
            goes(transport)
            answer.callback(None)
            self.assertEqual((b"", []), (transport.value(), self.hooks.told))

    def test_waitedForAFault(self) -> None:
        """An answer that fails is logged, and changes nothing for the player."""
        answer: Deferred[bytes | None] = Deferred()
        transport = self.connect(RecordingHooks(answer))
        self.send(transport, b"hello")
        answer.errback(ValueError("a fault"))
        self.assertEqual(b"hello", transport.value())
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_failingHooks(self) -> None:
        """A hook that raises is logged, and changes nothing for the player."""
        transport = self.connect(RecordingHooks(failing=True))
        self.assertEqual(b"hello", self.send(transport, b"hello", b"q"))
        self.assertTrue(transport.ended)
        self.assertEqual(3, len(self.flushLoggedErrors(ValueError)))

    def test_seen(self) -> None:
        """Who wants to see the bytes sees each piece, the goodbye among them."""
        self.send(self.connect(), b"hello", b"q")
        self.assertEqual([b"hello", b"q"], self.seen)

    def test_closeAll(self) -> None:
        """Everybody is let go; who has not gone in time is aborted, and then it fires."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello")
        gone: Deferred[None] = self.factory.closeAll("the server stops", 1.0)
        self.assertTrue(transport.ended)
        self.assertNoResult(gone)
        self.clock.advance(1.0)
        self.assertTrue(transport.aborted)
        self.successResultOf(gone)
        self.assertEqual("the server stops", self.hooks.told[-1][2])

    def test_closeAllSooner(self) -> None:
        """Asked again it may be sooner; both are told."""
        transport = self.connect(flushed=False)
        self.send(transport, b"hello")
        both = [self.factory.closeAll("the server stops", within) for within in (10.0, 1.0)]
        self.clock.advance(1.0)
        self.assertTrue(transport.aborted)
        for gone in both:
            self.successResultOf(gone)

    def test_closeNobody(self) -> None:
        """With nobody there it fires at once."""
        factory = EchoFactory(Clock(), RecordingHooks())
        self.successResultOf(factory.closeAll("the server stops", 1.0))

    def test_idle(self) -> None:
        """Who sends nothing is let go, with a reason; who sends, or leaves already, is not."""
        self.connect()
        self.factory = EchoFactory(self.clock, self.hooks, idleTimeout=60.0)
        transports = []
        for _ in range(3):
            echo = self.factory.buildProtocol(PEER)
            assert echo is not None
            transports.append(PlayerTransport(echo, PEER, flushed=False))
            echo.makeConnection(transports[-1])
        silent, sends, leaves = transports
        silent.protocol.dataReceived(b"hello")
        leaves.protocol.dataReceived(b"hello")
        leaves.protocol.leave("the end", 100.0)
        for _ in range(12):
            self.clock.advance(6.0)
            sends.protocol.dataReceived(b"here")
        self.assertTrue(silent.ended)
        self.assertEqual([False] * 3, [sends.ended, silent.aborted, leaves.aborted])
        silent.lose(ConnectionDone())
        self.assertEqual("sent nothing for 60 s", self.hooks.told[-1][2])
        for transport in (sends, leaves):
            transport.lose(ConnectionDone())
        self.assertEqual("the end", self.hooks.told[-1][2])

    def test_wrapped(self) -> None:
        """
        TLS and PROXY wrappers have no half-close: the connection is closed after the rest, and
        read until then, for TLS closes with the player's answer.
        """
        self.connect()
        wrapping: WrappingFactory[Any] = WrappingFactory(self.factory)
        wrapper = wrapping.buildProtocol(PEER)
        assert isinstance(wrapper, ProtocolWrapper)
        transport = PlayerTransport(wrapper, PEER)
        wrapper.makeConnection(transport)
        transport.flushed = False
        transport.pauseProducing()
        wrapper.dataReceived(b"hello\nq\n")
        self.assertEqual("producing", transport.producerState)
        self.assertTrue(transport.disconnecting)
        transport.lose(ConnectionDone())
        self.assertEqual(b"hello\n", transport.value())
        self.assertTrue(transport.closed)
        self.assertFalse(transport.ended)
