"""
treq's HTTP client, for a service that has an address and no name.

Twisted's own Agent looks up an address as if it were a name, in a thread that stays: beside another
thread each system call of the reactor's takes longer. And hyperlink, which treq makes URLs with,
takes an IPv6 address for a name to be encoded, and fails.
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


class Client(HTTPClient):
    """
    Asks addresses, and names too.

    @param within: seconds for a connection.
    """

    def __init__(self, reactor: Any, within: float) -> None:
        super().__init__(Agent.usingEndpointFactory(reactor, _Endpoints(reactor, within)))

    def request(self, method: str, url: Any, **kwargs: Any) -> Deferred[Any]:
        return super().request(method, _Encoded.from_text(url), **kwargs)


class _Encoded(EncodedURL):
    """A URL whose IPv6 address stays as it is."""

    def to_uri(self) -> EncodedURL:
        return self if isIPv6Address(self.host) else super().to_uri()


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Where an Agent connects."""

    def __init__(self, reactor: Any, within: float) -> None:
        self._reactor = reactor
        self._within = within

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        kind: Any = HostnameEndpoint
        if isIPAddress(host):
            kind = TCP4ClientEndpoint
        elif isIPv6Address(host):
            kind = TCP6ClientEndpoint
        endpoint: IStreamClientEndpoint = kind(self._reactor, host, uri.port, self._within)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
        return endpoint
