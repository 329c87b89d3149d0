"""Tests on a uvloop reactor of their own, with real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echoserver.uvreactor import UvloopReactor

T = TypeVar("T")


def uvloopReactor(case: Any) -> UvloopReactor:
    """A reactor with a loop of its own, which is closed when the test is over."""
    reactor = UvloopReactor()
    case.addCleanup(reactor.loop.close)
    case.addCleanup(asyncio.set_event_loop, None)
    return reactor


class Server(Protocol):
    """
    A server's side of a connection, that writes down what happens to it.

    @ivar events: in order; bytes that come one after another are one event.
    """

    factory: Servers
    transport: Any

    def __init__(self) -> None:
        self.events: list[Any] = []

    def connectionMade(self) -> None:
        self.factory.servers.append(self)
        self.happened("made")

    def dataReceived(self, data: bytes) -> None:
        if isinstance(self.events[-1], bytes):
            data = self.events.pop() + data
        self.happened(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.happened(reason.type)

    def happened(self, event: Any) -> None:
        """Record it, and check what is waited for."""
        self.events.append(event)
        self.factory.look()


class Servers(Factory):
    """Makes L{Server}s, or what else it is told to."""

    noisy = False

    def __init__(self, protocol: type[Server] = Server) -> None:
        self.protocol = protocol  # type: ignore[assignment] # a class is a callable too
        self.servers: list[Any] = []
        self.look: Any = lambda: None
        self.tls: Any = None


class UvloopTestCase(ReactorBuilder, SynchronousTestCase):
    """Runs a reactor until what is waited for has happened, and plays the other side itself."""

    reactorFactory = uvloopReactor
    timeout = 20

    def setUp(self) -> None:
        super().setUp()
        self.reactor: Any = self.buildReactor()

    def listen(self, protocol: type[Server] = Server) -> Any:
        """Listen on any port of the loopback."""
        self.factory = Servers(protocol)
        self.port = self.reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        return self.port

    def connected(self, protocol: type[Server] = Server) -> tuple[socket.socket, Any]:
        """Return a client as a plain socket, and the server's side of its connection."""
        if not hasattr(self, "port"):
            self.listen(protocol)
        there = len(self.factory.servers)
        peer = socket.create_connection(("127.0.0.1", self.port.getHost().port), timeout=10)
        self.addCleanup(peer.close)
        self.until(lambda: len(self.factory.servers) > there)
        server = self.factory.servers[-1]
        # uvloop has taken over once something has come.
        peer.sendall(b"!")
        if server.transport.reading:
            self.until(lambda: server.events[-1] == b"!")
            del server.events[-1]
        return peer, server

    def until(self, happened: Any) -> None:
        """Run the reactor until this is so; each event of a server, and each turn, has it asked."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if not done.called and happened():
                done.callback(None)
                # uvloop takes over meanwhile whom the port has just accepted.
                self.reactor.callLater(0.001, self.reactor.crash)

        def often() -> None:
            look()
            if not done.called:
                self.reactor.callLater(0.005, often)

        if hasattr(self, "factory"):
            self.factory.look = look
        tooLate = self.reactor.callLater(10, self.reactor.crash)
        self.reactor.callWhenRunning(often)
        self.reactor.run(installSignalHandlers=False)
        if not done.called:
            seen = [server.events for server in self.factory.servers]
            self.fail(f"It did not happen in 10 s; the servers saw {str(seen)[:500]}.")
        tooLate.cancel()

    def turns(self) -> None:
        """Run the reactor for a while in which nothing has to happen."""
        over: list[None] = []
        self.reactor.callLater(0.03, over.append, None)
        self.until(lambda: over)

    def inThread(self, work: Callable[[], T]) -> Callable[[], T]:
        """Begin this while the reactor runs; what comes back waits for what it brings."""
        pool = ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown)
        return pool.submit(work).result

    def reset(self, peer: socket.socket) -> None:
        """Vanish with an RST."""
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
