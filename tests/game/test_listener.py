"""When a game port accepts: real ports of Twisted, and one in memory.
Descriptors: the limit, and whether there are enough.
A player's socket: how it notices silence, and how its address reads."""

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


class Game(Factory):
    """A factory that counts whom it was asked for."""

    asked = started = 0

    def buildProtocol(self, addr: object) -> None:
        self.asked += 1

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.started -= 1


class GateTests(SynchronousTestCase):
    """A gate, and a port in memory."""

    def gate(self, rate: TokenBucket | None = None) -> AcceptLimiter:
        """A gate that guards a port which has begun to listen."""
        self.clock = Clock()
        self.used = 100
        self.changes = 0
        self.descriptors = DescriptorLimit(self.clock, 1024, lambda: self.used)
        self.port = MemoryEndpoint()
        self.game = Game()
        gate = AcceptLimiter(self.clock, self.game, rate, self.descriptors, self.count)
        gate.doStart()
        gate.attach(self.port)
        return gate

    def count(self) -> None:
        self.changes += 1

    def test_forwards(self) -> None:
        """Without limits it is the game's factory: it starts, builds, stops; so are its words."""
        gate = self.gate()
        gate.buildProtocol(PEER)
        self.assertEqual((1, 1, "Game"), (self.game.asked, self.game.started, gate.logPrefix()))
        gate.doStop()
        self.assertEqual(0, self.game.started)

    def test_inOneGo(self) -> None:
        """The port accepts so few in one go that with 20 more they stay within the reserve."""
        gate = self.gate()
        self.assertEqual(MAX_ACCEPTS_PER_CYCLE, self.port.numberAccepts)
        self.port.numberAccepts += 20
        gate.buildProtocol(PEER)
        self.assertEqual(MAX_ACCEPTS_PER_CYCLE, self.port.numberAccepts)
        self.assertLess(MAX_ACCEPTS_PER_CYCLE + 20, RESERVED_DESCRIPTORS)

    def test_oneByOne(self) -> None:
        """With few descriptors a cycle accepts one connection, and the next one too."""
        self.gate()
        descriptors = DescriptorLimit(self.clock, 64, lambda: 10)
        gate = AcceptLimiter(self.clock, self.game, None, descriptors, self.count)
        gate.attach(self.port)
        self.assertEqual(1, self.port.numberAccepts)
        gate.buildProtocol(PEER)
        self.assertEqual(0, self.port.numberAccepts)

    def test_rate(self) -> None:
        """The port pauses until there is a token, and then takes one at a time."""
        gate = self.gate(TokenBucket(4.0, 2.0))
        for _ in range(5):
            self.assertTrue(self.port.reading)
            gate.buildProtocol(PEER)
            self.assertTrue(self.port.reading)
            gate.buildProtocol(PEER)
            self.assertFalse(self.port.reading)
            self.clock.advance(0.25)
            self.assertTrue(self.port.reading)
            self.assertEqual(1, self.port.numberAccepts)
            self.clock.advance(0.25)
        self.assertEqual(0, self.changes)

    def test_descriptors(self) -> None:
        """Out of descriptors the port pauses, and that is told; so is that there are some again."""
        gate = self.gate()
        self.used = 1024
        gate.buildProtocol(PEER)
        self.assertEqual((False, False, 1), (gate.accepting, self.port.reading, self.changes))
        self.used = 100
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertEqual((True, True, 2), (gate.accepting, self.port.reading, self.changes))

    def test_both(self) -> None:
        """Out of tokens and of descriptors, it reads on once it has both again."""
        gate = self.gate(TokenBucket(0.1, 1.0))
        self.used = 1024
        gate.buildProtocol(PEER)
        self.used = 100
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertEqual((True, False), (gate.accepting, self.port.reading))
        self.clock.advance(10.0)
        self.assertTrue(self.port.reading)

    def test_stopped(self) -> None:
        """A port that has stopped is left alone; nothing is left behind."""
        gate = self.gate(TokenBucket(0.1, 1.0))
        self.used = 1024 - RESERVED_DESCRIPTORS - 16
        gate.buildProtocol(PEER)
        gate.doStop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.used = 1024
        for _ in range(16):
            self.descriptors.accepted()
        self.used = 100
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertFalse(self.port.reading)
        self.assertEqual(2, self.changes)

    def test_noPause(self) -> None:
        """A port that cannot pause is one all the same."""
        gate = self.gate(TokenBucket(0.1, 1.0))
        gate = AcceptLimiter(
            self.clock, self.game, TokenBucket(0.1, 1.0), self.descriptors, self.count
        )
        gate.attach(object())  # type: ignore[arg-type] # a port of another kind
        gate.buildProtocol(PEER)
        self.assertEqual(1, self.game.asked)


RAISE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))
from echoserver.descriptors import raiseDescriptorLimit
print(raiseDescriptorLimit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


class LimitTests(SynchronousTestCase):
    """The limit of a process of its own."""

    def test_raised(self) -> None:
        """The soft limit becomes the hard one."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        for hard in (100, 300):
            if hard <= most or most == resource.RLIM_INFINITY:
                code = RAISE.format(hard=hard)
                said = run([sys.executable, "-c", code], capture_output=True, check=True).stdout
                self.assertEqual(f"{hard} {hard} {hard}\n".encode(), said)


class DescriptorsTests(SynchronousTestCase):
    """A process with a limit of 1,024."""

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
        """With a small limit a quarter is in reserve: there are players at limits of 40 and 64."""
        for limit, used, last in ((40, 20, 29), (64, 20, 47), (128, 30, 95)):
            descriptors = DescriptorLimit(self.clock, limit, self.countDescriptors)
            self.assertEqual(1, descriptors.mostAccepts)
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

    def test_stopsAndGoesOn(self) -> None:
        """With 64 left nobody is accepted, until some more are free; each is logged once."""
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
        said, again = (str(formatEvent(event)) for event in events)
        self.assertIn("945 of 1024 descriptors are in use", said)
        self.assertIn("again", again)

    def test_countsSeldom(self) -> None:
        """They are counted again when as many were accepted as descriptors were free."""
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

    def test_noneLeft(self) -> None:
        """That there is none left even to count them is seen, too, and got over."""
        self.used = None
        self.descriptors.accepted()
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertFalse(self.descriptors.enough)
        self.used = 100
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertTrue(self.descriptors.enough)

    def test_counts(self) -> None:
        """One that is opened is one more in use."""
        used = countDescriptors()
        assert used is not None
        self.addCleanup(os.close, os.dup(0))
        self.assertEqual(used + 1, countDescriptors())


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
        """An option that a socket does not take, as one of Multipath TCP, costs it no other."""
        refused = (("TCP_KEEPCNT", 1_000_000), ("TCP_NODELAY", True))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            setSocketOptions(port(listening), refused)
            self.assertTrue(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_others(self) -> None:
        """What is not TCP is left alone, and so is what is no socket."""
        path = self.mktemp()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            setSocketOptions(port(listening))
            self.assertFalse(listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        setSocketOptions(cast(IListeningPort, object()))


class HasEndedTests(SynchronousTestCase):
    """Players who have ended their side, unheard."""

    def test_ended(self) -> None:
        """Where the kernel says so, a peer's end is seen behind what nobody has read."""
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
        """What is not TCP tells nothing: a UNIX socket says it is, but has no such state."""
        self.assertFalse(peerHasClosed(StringTransport()))
        local = TCPTransport(socket.AF_UNIX)
        self.addCleanup(local.socket.close)
        self.assertFalse(peerHasClosed(local))

    def test_resetAlready(self) -> None:
        """A socket that tells nothing any more is no fault."""
        transport = TCPTransport()
        transport.socket.close()
        self.assertFalse(peerHasClosed(transport))


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
