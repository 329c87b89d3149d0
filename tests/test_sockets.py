"""A player's socket: how it notices silence, and how its address reads."""

import socket
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IListeningPort,
    IReadDescriptor,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from echoserver.players import sockets
from echoserver.players.sockets import describe, hasEnded, hostOf, keepAlive


def port(listening: socket.socket) -> Any:
    """A listening socket, as Twisted's ports have it."""
    port = SimpleNamespace(fileno=listening.fileno)
    directlyProvides(port, IReadDescriptor)
    return port


class TCPTransport(StringTransport):
    """A TCP transport with a real socket."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        super().__init__()
        directlyProvides(self, ITCPTransport, ISystemHandle)
        self.socket = socket.socket(family)

    def getHandle(self) -> socket.socket:
        return self.socket


class KeepAliveTests(SynchronousTestCase):
    """Players who vanish silently."""

    def test_options(self) -> None:
        """The kernel probes after 60 s, three times in 30 s, and waits 60 s for unsent bytes."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            keepAlive(port(listening))
            with socket.create_connection(listening.getsockname()):
                player, _ = listening.accept()
        self.addCleanup(player.close)
        get = player.getsockopt
        self.assertTrue(get(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        self.assertTrue(get(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        for name, value in (
            ("TCP_KEEPIDLE", 60),
            ("TCP_KEEPINTVL", 10),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", 60_000),
        ):
            if hasattr(socket, name):
                self.assertEqual(value, get(socket.IPPROTO_TCP, getattr(socket, name)), name)

    def test_refused(self) -> None:
        """An option that a socket does not take, as one of Multipath TCP, costs it no other."""
        self.patch(sockets, "_OPTIONS", (("TCP_KEEPCNT", 1_000_000), ("TCP_NODELAY", True)))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            keepAlive(port(listening))
            self.assertTrue(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_others(self) -> None:
        """What is not TCP is left alone, and so is what is no socket."""
        path = self.mktemp()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            keepAlive(port(listening))
            self.assertFalse(listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        keepAlive(cast(IListeningPort, object()))


class HasEndedTests(SynchronousTestCase):
    """Players who have ended their side, unheard."""

    def test_ended(self) -> None:
        """Where the kernel says so, a peer's end is seen behind what nobody has read."""
        transport = TCPTransport()
        self.addCleanup(transport.socket.close)
        wrapper: ProtocolWrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        wrapper.transport = transport
        self.assertFalse(hasEnded(wrapper))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            transport.socket.connect(listening.getsockname())
            peer, _ = listening.accept()
            with peer:
                peer.sendall(b"unread")
                self.assertFalse(hasEnded(wrapper))
                peer.shutdown(socket.SHUT_WR)
                self.assertEqual(hasattr(socket, "TCP_INFO"), hasEnded(wrapper))

    def test_others(self) -> None:
        """What is not TCP tells nothing: a UNIX socket says it is, but has no such state."""
        self.assertFalse(hasEnded(StringTransport()))
        local = TCPTransport(socket.AF_UNIX)
        self.addCleanup(local.socket.close)
        self.assertFalse(hasEnded(local))

    def test_resetAlready(self) -> None:
        """A socket that tells nothing any more is no fault."""
        transport = TCPTransport()
        transport.socket.close()
        self.assertFalse(hasEnded(transport))


class DescribeTests(SynchronousTestCase):
    """Addresses as people write them."""

    def test_forms(self) -> None:
        """IPv6 stands in brackets; what has no port is said as it is."""
        self.assertEqual("192.0.2.7:4242", describe(IPv4Address("TCP", "192.0.2.7", 4242)))
        self.assertEqual("[2001:db8::1]:80", describe(IPv6Address("TCP", "2001:db8::1", 80)))
        self.assertIn("/run/game", describe(UNIXAddress("/run/game")))

    def test_hostile(self) -> None:
        """What somebody put into a PROXY header for an address reaches no terminal unescaped."""
        for host in ("\x1b[2J", "1.1.1.1\n2026-11-23 all is well", "\u202e4.3.2.1"):
            said = describe(IPv4Address("TCP", host, 1))
            self.assertTrue(said.isascii() and said.isprintable(), said)

    def test_host(self) -> None:
        """A host is what has a port; a UNIX socket has none."""
        self.assertEqual("2001:db8::1", hostOf(IPv6Address("TCP", "2001:db8::1", 80)))
        self.assertIsNone(hostOf(UNIXAddress("/run/game")))
