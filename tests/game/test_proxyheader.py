"""The header of the PROXY protocol: in pieces, malformed, without addresses."""

from __future__ import annotations

import contextlib
from socket import inet_aton
from struct import pack

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.game.factory import ADMISSION_DELAY, HANDSHAKE_TIMEOUT
from echoserver.game.proxyheader import (
    V2_MAX,
    ProxyHeaderFactory,
    hasHandshake,
    headerLength,
    parseHeader,
)
from tests.doubles import PlayerTransport
from tests.game.test_connection import PEER, ConnectionsTestCase

TCP4 = b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 5000\r\n"
PLAYER = IPv4Address("TCP", "203.0.113.9", 1111)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int, family: int, addresses: bytes, extra: bytes = b"") -> bytes:
    """Return a header of version 2."""
    return SIGNATURE + pack(">BBH", command, family, len(addresses + extra)) + addresses + extra


V2_TCP4 = inet_aton("203.0.113.9") + inet_aton("198.51.100.1") + pack(">HH", 1111, 5000)
VALID = {
    TCP4: PLAYER,
    b"PROXY TCP6 2001:db8::9 2001:db8::1 1111 5000\r\n": IPv6Address("TCP", "2001:db8::9", 1111),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n": None,
    v2(0x21, 0x11, V2_TCP4): PLAYER,
    v2(0x21, 0x11, V2_TCP4, b"\x03\x00\x04abcd" * 100): PLAYER,
    v2(0x20, 0x00, b""): None,
    v2(0x21, 0x00, b"", b"xyz"): None,
}
MALFORMED = (
    b"PROXY TCP4 203.0.113.9 198.51.100.1 abc 5000\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 abc\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 65536\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 -1 5000\r\n",
    b"PROXY TCP4 \xff\xfe 198.51.100.1 1111 5000\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1\r\n",
    b"PROXY TCP5 203.0.113.9 198.51.100.1 1111 5000\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWNS\r\n",
    v2(0x31, 0x11, V2_TCP4),
    v2(0x2F, 0x11, V2_TCP4),
    v2(0x21, 0x13, V2_TCP4),
    v2(0x21, 0x41, V2_TCP4),
    v2(0x21, 0x11, V2_TCP4[:-1]),
)
NO_HEADER = (
    b"hello\n",
    b"GET / HTTP/1.1\r\n",
    b"PROXYTCP4",
    b"PROXY " + b"x" * 101,
    b"\r\n\r\n\x00\r\nQUIT\r",
    SIGNATURE + pack(">BBH", 0x21, 0x11, V2_MAX),
)


class HeaderTests(SynchronousTestCase):
    """The pure functions."""

    def test_valid(self) -> None:
        """A header has its length and its addresses, whatever follows."""
        for header, player in VALID.items():
            self.assertEqual(headerLength(header + b"more\r\n"), len(header))
            self.assertEqual(parseHeader(header)[0], player)

    def test_notWhole(self) -> None:
        """A part of a header is no error, and has no length yet."""
        for header in VALID:
            for end in range(len(header)):
                self.assertIsNone(headerLength(header[:end]))

    def test_malformed(self) -> None:
        """A header whose values are wrong raises L{ValueError}."""
        for header in MALFORMED:
            self.assertEqual(headerLength(header), len(header))
            with self.assertRaises(ValueError, msg=header):
                parseHeader(header)

    def test_noHeader(self) -> None:
        """Other bytes, and a header that is too long, raise L{ValueError}."""
        for data in NO_HEADER:
            with self.assertRaises(ValueError, msg=data):
                headerLength(data)

    @given(st.binary(max_size=300) | st.binary(max_size=40).map(b"PROXY TCP4 ".__add__))
    def test_anyBytes(self, data: bytes) -> None:
        """Any bytes are a header, a part of one, or raise L{ValueError}, and nothing else."""
        with contextlib.suppress(ValueError):
            length = headerLength(data)
            if length is not None:
                parseHeader(data[:length])

    @given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300))
    def test_anyFields(self, command: int, family: int, addresses: bytes) -> None:
        """Any fields of version 2 have addresses, or raise L{ValueError}."""
        header = v2(command, family, addresses)
        self.assertEqual(headerLength(header), len(header))
        with contextlib.suppress(ValueError):
            parseHeader(header)


class ProxyConnectionTests(ConnectionsTestCase):
    """Connections behind a proxy, in memory."""

    def connectProxy(self) -> PlayerTransport:
        """Return the server's side of a connection of a proxy."""
        self.connect().lose(ConnectionError())
        return self.connectAnother()

    def connectAnother(self, *, flushed: bool = True) -> PlayerTransport:
        protocol = ProxyHeaderFactory(self.connections).buildProtocol(PEER)
        transport = PlayerTransport(protocol, PEER, flushed=flushed)
        protocol.makeConnection(transport)
        self.addCleanup(self.assertNothingLeft, transport)
        self.assertTrue(hasHandshake(protocol))
        self.assertFalse(hasHandshake(transport))
        return transport

    def test_pieces(self) -> None:
        """A header that arrives byte by byte is accepted, and only what follows is delivered."""
        for header, player in VALID.items():
            transport = self.connectProxy()
            pieces = [header[i : i + 1] for i in range(len(header))]
            self.assertEqual(self.send(transport, *pieces), b"")
            self.assertEqual(self.listener.calls, [])
            self.assertEqual(self.send(transport, b"a", b"b"), b"ab")
            address = PEER if player is None else player
            host = f"[{address.host}]" if ":" in address.host else address.host
            self.assertEqual(self.listener.calls[0], ("joining", f"{host}:{address.port}"))

    def test_together(self) -> None:
        """Data that arrives with the header is delivered."""
        transport = self.connectProxy()
        self.assertEqual(self.send(transport, TCP4 + b"hello", b" again"), b"hello again")
        self.assertEqual(self.listener.calls[0], ("joining", "203.0.113.9:1111"))

    def test_silentAfterHeader(self) -> None:
        """After the header, a connection without data is admitted after half a second."""
        transport = self.connectProxy()
        self.clock.advance(HANDSHAKE_TIMEOUT - 1)
        self.send(transport, TCP4)
        self.clock.advance(ADMISSION_DELAY - 0.1)
        self.assertEqual(self.listener.calls, [])
        self.clock.advance(0.1)
        self.assertEqual(self.listener.calls[0], ("joining", "203.0.113.9:1111"))
        self.clock.advance(HANDSHAKE_TIMEOUT)
        self.assertFalse(transport.closed)

    def test_noWholeHeader(self) -> None:
        """Without a whole header in time a connection is aborted, and was never a player."""
        for sent in (b"", b"PROXY TCP4 203.0.113.9", SIGNATURE):
            transport = self.connectProxy()
            another = self.connectAnother()
            self.send(transport, sent)
            self.clock.advance(HANDSHAKE_TIMEOUT - 0.1)
            self.send(transport, b"")
            self.assertFalse(transport.closed)
            with capturedLogs() as events:
                self.clock.advance(0.1)
            self.assertTrue(transport.aborted and another.aborted)
            self.assertEqual(self.listener.calls, [])
            [line] = [event["count"] for event in events if "count" in event]
            self.assertEqual(line, 2)

    def test_closedAtOnce(self) -> None:
        """Anything but a header closes the connection, without a player and without an error."""
        for data in (*MALFORMED, *NO_HEADER):
            transport = self.connectProxy()
            with capturedLogs() as events:
                self.send(transport, data, b"hello")
            self.assertTrue(transport.closed)
            self.assertEqual(self.listener.calls, [])
            self.assertFalse([event for event in events if "log_failure" in event])
            [reason] = [str(event["reason"]) for event in events if "reason" in event]
            self.assertTrue(reason.isascii() and reason.isprintable(), reason)
            self.clock.advance(HANDSHAKE_TIMEOUT)

    def test_logged(self) -> None:
        """The number of lines grows with the logarithm of the connections that are closed."""
        self.connect()
        factory = ProxyHeaderFactory(self.connections)
        with capturedLogs() as events:
            for _ in range(100):
                factory.closed(ValueError("wrong"))
        self.assertEqual([1, 2, 4, 8, 16, 32, 64], [event["count"] for event in events])

    def test_closedInHeader(self) -> None:
        """A peer that closes inside the header leaves nothing."""
        transport = self.connectProxy()
        self.send(transport, TCP4[:9])
        transport.lose(ConnectionError())
        self.assertEqual((self.listener.calls, self.clock.getDelayedCalls()), ([], []))
