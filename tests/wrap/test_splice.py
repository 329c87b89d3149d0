"""Tests of L{echoserver.wrap.splice}: the PROXY protocol. Real connections: see tests.endtoend."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.trial.unittest import SynchronousTestCase

from echoserver.wrap.splice import proxyHeader

PLAYER, SERVER = IPv4Address("TCP", "192.0.2.1", 40000), IPv4Address("TCP", "10.0.0.1", 7777)
PLAYER6, SERVER6 = (IPv6Address("TCP", f"2001:db8:1:2:3:4:5:{last}", 40000) for last in (6, 7))
UNIX = UNIXAddress(b"/tmp/socket")


class ProxyHeaderTests(SynchronousTestCase):
    """The header that the child receives."""

    def test_off(self) -> None:
        """By default there is none."""
        self.assertEqual(b"", proxyHeader("off", PLAYER, SERVER))

    def test_v1(self) -> None:
        """Version 1 is a line of text. Twisted's own parser reads it."""
        header = proxyHeader("v1", PLAYER, SERVER)
        self.assertEqual(b"PROXY TCP4 192.0.2.1 10.0.0.1 40000 7777\r\n", header)
        for player, server in ((PLAYER, SERVER), (PLAYER6, SERVER6)):
            header = proxyHeader("v1", player, server)
            info, rest = V1Parser().feed(header + b"hello")
            assert info is not None
            self.assertEqual((player, server, b"hello"), (info.source, info.destination, rest))

    def test_v2(self) -> None:
        """Version 2 is binary. Twisted's own parser reads it."""
        for player, server in ((PLAYER, SERVER), (PLAYER6, SERVER6)):
            header = proxyHeader("v2", player, server)
            info, rest = V2Parser().feed(header + b"hello")
            assert info is not None
            self.assertEqual((player, server, b"hello"), (info.source, info.destination, rest))

    def test_unknown(self) -> None:
        """Connections without IP addresses have a header of the kind UNKNOWN or LOCAL."""
        self.assertEqual(b"PROXY UNKNOWN\r\n", proxyHeader("v1", UNIX, UNIX))
        header = proxyHeader("v2", UNIX, UNIX)
        self.assertEqual(b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", header)
