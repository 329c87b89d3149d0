"""A test case that runs a uvloop reactor with real sockets."""

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
    """Return a reactor with its own loop, which is closed after the test."""
    reactor = UvloopReactor()
    case.addCleanup(reactor.loop.close)
    case.addCleanup(asyncio.set_event_loop, None)
    return reactor


class Server(Protocol):
    """
    The server's side of a connection. It records events.

    @ivar events: the events in order. Consecutive received bytes are one event.
    """

    factory: Servers
    transport: Any

    def __init__(self) -> None:
        self.events: list[Any] = []

    def connectionMade(self) -> None:
        self.factory.servers.append(self)
        self.record("made")

    def dataReceived(self, data: bytes) -> None:
        if isinstance(self.events[-1], bytes):
            data = self.events.pop() + data
        self.record(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.record(reason.type)

    def record(self, event: Any) -> None:
        """Record an event, and have L{UvloopTestCase.until} check its condition."""
        self.events.append(event)
        self.factory.onEvent()


class Servers(Factory):
    """A factory of L{Server}s, or of another protocol that records events."""

    noisy = False

    def __init__(self, protocol: type[Server] = Server) -> None:
        self.protocol = protocol  # type: ignore[assignment] # a class is a callable too
        self.servers: list[Any] = []
        self.onEvent: Any = lambda: None
        self.tls: Any = None


class UvloopTestCase(ReactorBuilder, SynchronousTestCase):
    """A test case that runs the reactor until a condition holds, and is the peer itself."""

    reactorFactory = uvloopReactor
    timeout = 20

    def setUp(self) -> None:
        super().setUp()
        self.reactor: Any = self.buildReactor()

    def listen(self, protocol: type[Server] = Server) -> Any:
        """Listen on a free port of the loopback interface."""
        self.factory = Servers(protocol)
        self.port = self.reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        return self.port

    def connected(self, protocol: type[Server] = Server) -> tuple[socket.socket, Any]:
        """Connect a plain socket. Return it, and the server's side of the connection."""
        if not hasattr(self, "port"):
            self.listen(protocol)
        before = len(self.factory.servers)
        peer = socket.create_connection(("127.0.0.1", self.port.getHost().port), timeout=10)
        self.addCleanup(peer.close)
        self.until(lambda: len(self.factory.servers) > before)
        server = self.factory.servers[-1]
        # When the first byte arrives, uvloop has taken over the socket.
        peer.sendall(b"!")
        if server.transport.reading:
            self.until(lambda: server.events[-1] == b"!")
            del server.events[-1]
        return peer, server

    def until(self, condition: Any) -> None:
        """Run the reactor until the condition holds, or fail after 10 s."""
        done: Deferred[None] = Deferred()

        def check() -> None:
            if not done.called and condition():
                done.callback(None)
                # In the meantime uvloop takes over the connection that was just accepted.
                self.reactor.callLater(0.001, self.reactor.crash)

        def poll() -> None:
            check()
            if not done.called:
                self.reactor.callLater(0.005, poll)

        if hasattr(self, "factory"):
            self.factory.onEvent = check
        timeout = self.reactor.callLater(10, self.reactor.crash)
        self.reactor.callWhenRunning(poll)
        self.reactor.run(installSignalHandlers=False)
        if not done.called:
            seen = [server.events for server in self.factory.servers]
            self.fail(
                f"The condition did not hold within 10 s; events of the servers: {str(seen)[:500]}."
            )
        timeout.cancel()

    def turns(self) -> None:
        """Run the reactor for 0.03 s."""
        done: list[None] = []
        self.reactor.callLater(0.03, done.append, None)
        self.until(lambda: done)

    def inThread(self, work: Callable[[], T]) -> Callable[[], T]:
        """Start a function in a thread. Return a function that waits for its result."""
        pool = ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown)
        return pool.submit(work).result

    def reset(self, peer: socket.socket) -> None:
        """Close the peer's socket with an RST."""
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
