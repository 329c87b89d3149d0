"""Tests of echoserver.httpclient: IP addresses, host names, and TLS."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IHostnameResolver, IProtocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed

from echoserver.httpclient import MAX_HEADERS, Client, HeadersTooLong


class Connected(StringTransport):
    """A transport in memory for an HTTP client."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        assert enabled


class ClientTests(SynchronousTestCase):
    """The address that the client connects to, and the request it sends."""

    def test_addresses(self) -> None:
        """The client connects to an IP address without a name lookup."""
        for url, host, port in (
            ("http://169.254.169.254/latest", "169.254.169.254", 80),
            ("http://[fd00:ec2::254]/latest", "fd00:ec2::254", 80),
            ("http://[::1]:4570/instances/i-1/latest", "::1", 4570),
        ):
            reactor = MemoryReactorClock()
            reactor.installNameResolver(cast(IHostnameResolver, None))
            Client(reactor, 1.0).get(url).addErrback(lambda _: None)
            ((connectedHost, connectedPort, factory, timeout, _),) = reactor.tcpClients
            self.assertEqual((host, port, 1.0), (connectedHost, connectedPort, timeout))
            transport = Connected()
            cast(IProtocol, factory.buildProtocol(None)).makeConnection(transport)
            path = url.partition("//")[2].partition("/")[2]
            self.assertEqual(f"GET /{path} HTTP/1.1", transport.value().decode().splitlines()[0])

    def test_names(self) -> None:
        """A host name is looked up with the same timeout. Its URL is encoded."""
        for url, path in (
            ("http://metadata.example/x", "x"),
            ("http://bücher.example/a b", "a%20b"),
        ):
            reactor = MemoryReactorClock()
            Client(reactor, 1.0).get(url).addErrback(lambda _: None)
            ((_, port, factory, timeout, _),) = reactor.tcpClients
            self.assertEqual((80, 1.0), (port, timeout))
            transport = Connected()
            cast(IProtocol, factory.buildProtocol(None)).makeConnection(transport)
            self.assertEqual(f"GET /{path} HTTP/1.1", transport.value().decode().splitlines()[0])

    def test_tls(self) -> None:
        """An https URL uses TLS, also with an IP address."""
        reactor = MemoryReactorClock()
        Client(reactor, 1.0).get("https://192.0.2.7").addErrback(lambda _: None)
        ((host, port, factory, _, _),) = reactor.tcpClients
        self.assertEqual(("192.0.2.7", 443), (host, port))
        transport = Connected()
        cast(IProtocol, factory.buildProtocol(None)).makeConnection(transport)
        # The start of a TLS handshake record.
        self.assertEqual(b"\x16\x03", transport.value()[:2])


class HeadersTests(SynchronousTestCase):
    """The limit of the bytes before the body of a response."""

    def setUp(self) -> None:
        self.transport = Connected()
        reactor = MemoryReactorClock()
        self.request: Deferred[Any] = Client(reactor, 1.0).get("http://192.0.2.7/")
        factory: Any = reactor.tcpClients[0][2]
        self.protocol: Any = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def receive(self, data: bytes, size: int) -> None:
        """Receive data in chunks of a size."""
        for start in range(0, len(data), size):
            self.protocol.dataReceived(data[start : start + size])

    def tooLong(self) -> None:
        """The connection is aborted, and the reason is that the headers are too long."""
        self.assertTrue(self.transport.disconnected)
        self.protocol.dataReceived(b"x" * 100)
        self.protocol.connectionLost(Failure(ConnectionAborted()))
        reasons = self.failureResultOf(self.request, ResponseFailed).value.reasons
        self.assertTrue(any(reason.check(HeadersTooLong) for reason in reasons), reasons)

    def test_endless(self) -> None:
        """Headers that never end, in lines, in one line, and in continued lines, are refused."""
        for line in (b"A: b\r\n", b"b", b" c\n"):
            self.setUp()
            self.receive(b"HTTP/1.1 200 OK\r\nA: b\r\nB:" + line * MAX_HEADERS, 1000)
            self.tooLong()

    def test_interim(self) -> None:
        """So are 1xx responses that never end."""
        self.receive(b"HTTP/1.1 103 Early\r\n\r\n" * (MAX_HEADERS // 20), 1000)
        self.tooLong()

    @settings(deadline=None, max_examples=20)
    @given(st.integers(1, 200), st.integers(0, 3))
    def test_body(self, size: int, interim: int) -> None:
        """Headers below the limit and a body above it are received, in any chunks."""
        self.setUp()
        body = b"x\n\n" * MAX_HEADERS
        head = b"HTTP/1.1 100 Continue\r\n\r\n" * interim + b"HTTP/1.1 200 OK\r\n"
        head += b"A: b\r\n" * (MAX_HEADERS // 8) + b"Content-Length: %d\r\n\r\n" % len(body)
        self.receive(head, size)
        self.protocol.dataReceived(body)
        content: Deferred[bytes] = self.successResultOf(self.request).content()
        self.assertEqual(body, self.successResultOf(content))
