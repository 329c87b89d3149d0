"""
An HTTP client that connects to IP addresses without a name lookup.

treq's own client has two problems with a URL such as C{http://169.254.169.254}. Twisted's Agent
looks up the address in a thread of the reactor's pool; the thread stays, and slows every later
system call. hyperlink, which treq uses for URLs, encodes an IPv6 address as a host name, and fails.

Twisted's client has no limit for headers: a server that never ends them would fill the memory.
"""

from __future__ import annotations

import re
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
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

# In bytes, of the headers of a response and of the 1xx responses before it. Twisted's server has
# the same limit.
MAX_HEADERS = 16_384
_END = re.compile(rb"\n\r?\n")
# After any of these but 101, another status line follows.
_INTERIM = re.compile(rb"HTTP/[0-9.]+ +1(?!01)")


class HeadersTooLong(Exception):
    """A response with more than L{MAX_HEADERS} bytes of headers."""


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
        return _LimitedEndpoint(endpoint)


@implementer(IStreamClientEndpoint)
class _LimitedEndpoint:
    """An endpoint whose connections have L{_HeaderLimit}."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return self._endpoint.connect(_LimitedFactory(protocolFactory))


class _LimitedFactory(Factory):
    """Limits the headers that the protocols of another factory receive."""

    noisy = False

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def buildProtocol(self, addr: Any) -> Any:
        protocol = self._factory.buildProtocol(addr)
        _HeaderLimit(protocol)
        return protocol


class _HeaderLimit:
    """
    Aborts a connection that receives more than L{MAX_HEADERS} bytes before the body of its first
    response. The request then fails with C{ResponseFailed} of L{HeadersTooLong}.

    @param protocol: Twisted's protocol. The Agent needs this object itself, not one around it, so
        two methods of the instance are replaced.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._receive, self._lose = protocol.dataReceived, protocol.connectionLost
        protocol.dataReceived, protocol.connectionLost = self._received, self._lost
        self._left = MAX_HEADERS
        self._headers = b""
        self._tooLong = False

    def _received(self, data: bytes) -> None:
        if self._tooLong:
            return
        self._headers += data
        while end := _END.search(self._headers):
            if not _INTERIM.match(self._headers):
                del self._protocol.dataReceived
                break
            self._left -= end.end()
            self._headers = self._headers[end.end() :]
        else:
            self._tooLong = len(self._headers) > self._left
        if self._tooLong:
            self._protocol.transport.abortConnection()
        else:
            self._receive(data)

    def _lost(self, reason: Failure) -> None:
        tooLong = Failure(HeadersTooLong(f"more than {MAX_HEADERS:,d} bytes of headers"))
        self._lose(tooLong if self._tooLong else reason)
