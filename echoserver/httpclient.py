"""
An HTTP client that connects to IP addresses without a name lookup.

treq's own client has two problems with a URL such as C{http://169.254.169.254}. Twisted's Agent
looks up the address in a thread of the reactor's pool; the thread stays, and slows every later
system call. hyperlink, which treq uses for URLs, encodes an IPv6 address as a host name, and fails.
"""

from __future__ import annotations

from typing import Any

from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer


class BodyTooLong(Exception):
    """A response body that is longer than the limit."""


def boundedContent(response: Any, limit: int) -> Deferred[bytes]:
    """
    Read the body of a treq response.

    @param limit: the number of bytes, after decompression, from which on the rest is not kept.
    @return: fails with L{BodyTooLong}.
    """
    content = bytearray()

    def read(data: bytes) -> None:
        if len(content) + len(data) > limit:
            content.clear()
            raise BodyTooLong(f"more than {limit:,d} bytes")
        content.extend(data)

    collected: Deferred[None] = response.collect(read)
    return collected.addCallback(lambda _: bytes(content))


class Client(HTTPClient):
    """
    A treq client for URLs with an IP address or a host name.

    @param connectTimeout: seconds.
    """

    def __init__(self, reactor: Any, connectTimeout: float) -> None:
        super().__init__(Agent.usingEndpointFactory(reactor, _Endpoints(reactor, connectTimeout)))

    def request(self, method: str, url: Any, **kwargs: Any) -> Deferred[Any]:
        return super().request(method, _Encoded.from_text(url), **kwargs)


class _Encoded(EncodedURL):
    """A URL that keeps its IPv6 address instead of encoding it as a name."""

    def to_uri(self) -> EncodedURL:
        return self if isIPv6Address(self.host) else super().to_uri()


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Chooses the endpoint that an Agent connects to: an address needs no resolver."""

    def __init__(self, reactor: Any, connectTimeout: float) -> None:
        self._reactor = reactor
        self._connectTimeout = connectTimeout

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        endpointClass: Any = HostnameEndpoint
        if isIPAddress(host):
            endpointClass = TCP4ClientEndpoint
        elif isIPv6Address(host):
            endpointClass = TCP6ClientEndpoint
        endpoint: IStreamClientEndpoint = endpointClass(
            self._reactor, host, uri.port, self._connectTimeout
        )
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
        return endpoint
