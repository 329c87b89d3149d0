"""Tests of echoserver.httpclient: IP addresses, host names, and TLS."""

from __future__ import annotations

from typing import cast

from twisted.internet.interfaces import IHostnameResolver, IProtocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from echoserver.httpclient import Client


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
