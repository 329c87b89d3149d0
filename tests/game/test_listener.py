"""The game port: accept rate, descriptor limit, socket options, addresses."""

from __future__ import annotations

import os
import resource
import socket
import sys
from subprocess import run
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
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from echoserver.descriptors import (
    MAX_ACCEPTS_PER_CYCLE,
    RECOUNT_INTERVAL,
    RESERVED_DESCRIPTORS,
    DescriptorLimit,
    countDescriptors,
)
from echoserver.game.listener import (
    AcceptLimiter,
    describe,
    hostOf,
    peerHasClosed,
    setSocketOptions,
)
from echoserver.ratelimit import TokenBucket
from tests.doubles import MemoryEndpoint

PEER = IPv4Address("TCP", "192.0.2.7", 4242)


class CountingFactory(Factory):
    """A factory that counts its calls."""

    built = started = 0

    def buildProtocol(self, addr: object) -> None:
        self.built += 1

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.started -= 1


class AcceptLimiterTests(SynchronousTestCase):
    """L{AcceptLimiter} with a port in memory."""

    def limiter(self, rate: TokenBucket | None = None) -> AcceptLimiter:
        """Return a limiter of a port that listens."""
        self.clock = Clock()
        self.used = 100
        self.changes = 0
        self.descriptors = DescriptorLimit(self.clock, 1024, lambda: self.used)
        self.port = MemoryEndpoint()
        self.factory = CountingFactory()
        limiter = AcceptLimiter(self.clock, self.factory, rate, self.descriptors, self.count)
        limiter.doStart()
        limiter.attach(self.port)
        return limiter

    def count(self) -> None:
        self.changes += 1

    def test_forwards(self) -> None:
        """All calls are forwarded to the game's factory, which also has the log prefix."""
        limiter = self.limiter()
        limiter.buildProtocol(PEER)
        self.assertEqual((1, 1), (self.factory.built, self.factory.started))
        self.assertEqual("CountingFactory", limiter.logPrefix())
        limiter.doStop()
        self.assertEqual(0, self.factory.started)

    def test_acceptsPerCycle(self) -> None:
        """The connections that Twisted accepts in one cycle fit into the reserved descriptors."""
        limiter = self.limiter()
        self.assertEqual(MAX_ACCEPTS_PER_CYCLE, self.port.numberAccepts)
        self.port.numberAccepts += 20
        limiter.buildProtocol(PEER)
        self.assertEqual(MAX_ACCEPTS_PER_CYCLE, self.port.numberAccepts)
        self.assertLess(MAX_ACCEPTS_PER_CYCLE + 20, RESERVED_DESCRIPTORS)

    def test_fewDescriptors(self) -> None:
        """With a low limit of descriptors, each cycle accepts one connection."""
        self.limiter()
        descriptors = DescriptorLimit(self.clock, 64, lambda: 10)
        limiter = AcceptLimiter(self.clock, self.factory, None, descriptors, self.count)
        limiter.attach(self.port)
        self.assertEqual(1, self.port.numberAccepts)
        limiter.buildProtocol(PEER)
        self.assertEqual(0, self.port.numberAccepts)

    def test_rate(self) -> None:
        """The port pauses until a token is available, and then accepts one connection a cycle."""
        limiter = self.limiter(TokenBucket(4.0, 2.0))
        for _ in range(5):
            self.assertTrue(self.port.reading)
            limiter.buildProtocol(PEER)
            self.assertTrue(self.port.reading)
            limiter.buildProtocol(PEER)
            self.assertFalse(self.port.reading)
            self.clock.advance(0.25)
            self.assertTrue(self.port.reading)
            self.assertEqual(1, self.port.numberAccepts)
            self.clock.advance(0.25)
        self.assertEqual(0, self.changes)

    def test_descriptors(self) -> None:
        """Without free descriptors the port pauses. The callback is called at each change."""
        limiter = self.limiter()
        self.used = 1024
        limiter.buildProtocol(PEER)
        self.assertEqual((False, False, 1), (limiter.accepting, self.port.reading, self.changes))
        self.used = 100
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertEqual((True, True, 2), (limiter.accepting, self.port.reading, self.changes))

    def test_both(self) -> None:
        """Without tokens and descriptors, the port pauses until both are available."""
        limiter = self.limiter(TokenBucket(0.1, 1.0))
        self.used = 1024
        limiter.buildProtocol(PEER)
        self.used = 100
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertEqual((True, False), (limiter.accepting, self.port.reading))
        self.clock.advance(10.0)
        self.assertTrue(self.port.reading)

    def test_stopped(self) -> None:
        """A port that has stopped is not resumed, and no timer is left."""
        limiter = self.limiter(TokenBucket(0.1, 1.0))
        self.used = 1024 - RESERVED_DESCRIPTORS - 16
        limiter.buildProtocol(PEER)
        limiter.doStop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.used = 1024
        for _ in range(16):
            self.descriptors.accepted()
        self.used = 100
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertFalse(self.port.reading)
        self.assertEqual(2, self.changes)

    def test_noPause(self) -> None:
        """A port that cannot pause accepts all connections."""
        self.limiter(TokenBucket(0.1, 1.0))
        limiter = AcceptLimiter(
            self.clock, self.factory, TokenBucket(0.1, 1.0), self.descriptors, self.count
        )
        limiter.attach(object())  # type: ignore[arg-type] # a port of another kind
        limiter.buildProtocol(PEER)
        self.assertEqual(1, self.factory.built)


RAISE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))
from echoserver.descriptors import raiseDescriptorLimit
print(raiseDescriptorLimit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


class RaiseDescriptorLimitTests(SynchronousTestCase):
    """L{raiseDescriptorLimit}, in a child process."""

    def test_raised(self) -> None:
        """The soft limit is raised to the hard limit."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        for hard in (100, 300):
            if hard <= most or most == resource.RLIM_INFINITY:
                code = RAISE.format(hard=hard)
                output = run([sys.executable, "-c", code], capture_output=True, check=True).stdout
                self.assertEqual(f"{hard} {hard} {hard}\n".encode(), output)


class DescriptorLimitTests(SynchronousTestCase):
    """L{DescriptorLimit}, with a limit of 1,024 descriptors."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.used: int | None = 100
        self.counted = 0
        self.changes: list[bool] = []
        self.descriptors = DescriptorLimit(self.clock, 1024, self.countDescriptors)
        self.descriptors.onChange(lambda: self.changes.append(self.descriptors.enough))

    def countDescriptors(self) -> int | None:
        self.counted += 1
        return self.used

    def test_smallLimits(self) -> None:
        """With a small limit a quarter is reserved, so that players connect even with 40 or 64."""
        for limit, used, last in ((40, 20, 29), (64, 20, 47), (128, 30, 95)):
            descriptors = DescriptorLimit(self.clock, limit, self.countDescriptors)
            self.assertEqual(1, descriptors.maxAccepts)
            accepted = 0
            self.used = used
            while descriptors.enough and accepted < limit:
                accepted += 1
                self.used += 1
                descriptors.accepted()
            self.assertEqual(last + 1, self.used, limit)
            self.used = used
            self.clock.advance(RECOUNT_INTERVAL)
            self.assertTrue(descriptors.enough)

    def test_httpConnections(self) -> None:
        """The status port and an embedded FleetIQ leave most of a small limit to players."""
        for limit, status, fleetIQ in (
            (40, 5, 10),
            (64, 8, 16),
            (256, 32, 64),
            (1024, 32, 256),
            (65_536, 32, 256),
        ):
            descriptors = DescriptorLimit(self.clock, limit, self.countDescriptors)
            self.assertEqual(
                (status, fleetIQ), (descriptors.statusConnections, descriptors.fleetIQConnections)
            )

    def test_stopsAndResumes(self) -> None:
        """While only 64 are free, no connection is accepted. The stop and the end are logged."""
        self.used = 1024 - RESERVED_DESCRIPTORS - 15
        with capturedLogs() as events:
            for _ in range(3):
                self.descriptors.accepted()
            self.clock.advance(RECOUNT_INTERVAL)
            self.used -= 16
            self.clock.advance(RECOUNT_INTERVAL)
            self.assertEqual([False], self.changes)
            self.used -= 1
            self.clock.advance(RECOUNT_INTERVAL)
        self.assertEqual([False, True], self.changes)
        self.assertEqual([], self.clock.getDelayedCalls())
        stopped, resumed = (str(formatEvent(event)) for event in events)
        self.assertIn("945 of 1024 descriptors are in use", stopped)
        self.assertIn("again", resumed)

    def test_recount(self) -> None:
        """Descriptors are counted again only after as many accepted connections as were free."""
        for _ in range(1 + 1024 - RESERVED_DESCRIPTORS - 100 - 1):
            self.descriptors.accepted()
        self.assertEqual(1, self.counted)
        self.used = 1024 - RESERVED_DESCRIPTORS
        self.descriptors.accepted()
        self.assertEqual((2, [False]), (self.counted, self.changes))
        self.used = 1024 - RESERVED_DESCRIPTORS - 32
        self.clock.advance(RECOUNT_INTERVAL)
        for _ in range(31):
            self.descriptors.accepted()
        self.assertEqual((3, [False, True]), (self.counted, self.changes))
        self.used += 31
        self.descriptors.accepted()
        self.assertEqual([False, True, False], self.changes)

    def test_noneFree(self) -> None:
        """If no descriptor is free to count the others, accepting stops, and resumes later."""
        self.used = None
        self.descriptors.accepted()
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertFalse(self.descriptors.enough)
        self.used = 100
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertTrue(self.descriptors.enough)

    def test_countDescriptors(self) -> None:
        """A descriptor that is opened is counted."""
        used = countDescriptors()
        assert used is not None
        self.addCleanup(os.close, os.dup(0))
        self.assertEqual(used + 1, countDescriptors())


def port(listening: socket.socket) -> Any:
    """Return a port of a listening socket, as far as the socket options need it."""
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


class SetSocketOptionsTests(SynchronousTestCase):
    """L{setSocketOptions}."""

    def test_options(self) -> None:
        """The kernel probes after 60 s, three times in 30 s, and waits 60 s for unsent bytes."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            setSocketOptions(port(listening))
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
        """If the kernel rejects an option, for example with Multipath TCP, the others are set."""
        options = (("TCP_KEEPCNT", 1_000_000), ("TCP_NODELAY", True))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            setSocketOptions(port(listening), options)
            self.assertTrue(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_others(self) -> None:
        """A UNIX socket, and a port without a descriptor, are not changed."""
        path = self.mktemp()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            setSocketOptions(port(listening))
            self.assertFalse(listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        setSocketOptions(cast(IListeningPort, object()))


class PeerHasClosedTests(SynchronousTestCase):
    """L{peerHasClosed}."""

    def test_finBehindUnreadData(self) -> None:
        """On Linux, a FIN is seen even if the data before it is not read."""
        transport = TCPTransport()
        self.addCleanup(transport.socket.close)
        wrapper: ProtocolWrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        wrapper.transport = transport
        self.assertFalse(peerHasClosed(wrapper))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            transport.socket.connect(listening.getsockname())
            peer, _ = listening.accept()
            with peer:
                peer.sendall(b"unread")
                self.assertFalse(peerHasClosed(wrapper))
                peer.shutdown(socket.SHUT_WR)
                self.assertEqual(hasattr(socket, "TCP_INFO"), peerHasClosed(wrapper))

    def test_others(self) -> None:
        """A transport without a TCP socket has no FIN, even if it provides ITCPTransport."""
        self.assertFalse(peerHasClosed(StringTransport()))
        local = TCPTransport(socket.AF_UNIX)
        self.addCleanup(local.socket.close)
        self.assertFalse(peerHasClosed(local))

    def test_closedSocket(self) -> None:
        """For a closed socket, the result is False."""
        transport = TCPTransport()
        transport.socket.close()
        self.assertFalse(peerHasClosed(transport))


class DescribeTests(SynchronousTestCase):
    """L{describe} and L{hostOf}."""

    def test_forms(self) -> None:
        """IPv6 addresses have brackets. An address without a port is formatted as it is."""
        self.assertEqual("192.0.2.7:4242", describe(IPv4Address("TCP", "192.0.2.7", 4242)))
        self.assertEqual("[2001:db8::1]:80", describe(IPv6Address("TCP", "2001:db8::1", 80)))
        self.assertIn("/run/game", describe(UNIXAddress("/run/game")))

    def test_hostile(self) -> None:
        """Characters that a PROXY header has in place of an address are escaped."""
        for host in ("\x1b[2J", "1.1.1.1\n2026-11-23 all is well", "\u202e4.3.2.1"):
            text = describe(IPv4Address("TCP", host, 1))
            self.assertTrue(text.isascii() and text.isprintable(), text)

    def test_host(self) -> None:
        """A UNIX socket has no host."""
        self.assertEqual("2001:db8::1", hostOf(IPv6Address("TCP", "2001:db8::1", 80)))
        self.assertIsNone(hostOf(UNIXAddress("/run/game")))
