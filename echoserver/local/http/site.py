"""The HTTP server of the local FleetIQ: access to its paths, and how connections end."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTime
from twisted.web.error import UnsupportedMethod
from twisted.web.http import Request as HTTPRequest
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from echoserver.local.http.wire import isCall, protocolOf
from echoserver.local.model.metadatatree import METADATA_VERSIONS
from echoserver.local.model.values import FleetIQError
from echoserver.webaccess import (
    LONGEST_BODY,
    PLAIN_TEXT,
    LimitedChannel,
    LocalOnlyRequest,
    QuietSite,
)

# Longer than the time between two heartbeats, so that a game server can reuse its connection.
IDLE_SECONDS = 300.0
CLOSING_SECONDS = 1.0
MAX_CONNECTIONS = 256
# SDKs request these paths with the host name that they are configured with, whichever it is.
_ANY_HOST_PATHS = (b"/instances", *(b"/" + each.encode("ascii") for each in METADATA_VERSIONS))


class LocalRequest(LocalOnlyRequest):
    """A request to the local FleetIQ. The API and the instance metadata accept any Host."""

    ownHosts = "localhost or the address listened on"
    postpath: list[bytes]

    def isOwnHost(self, name: str) -> bool:
        if name == "localhost":
            return True
        try:
            isLoopback = ip_address(name).is_loopback
        except ValueError:
            return False
        address = self.getHost()
        return isLoopback or (
            isinstance(address, IPv4Address | IPv6Address) and name == address.host
        )

    def acceptsAnyHost(self) -> bool:
        return isCall(self.method, self.path) or self.path.startswith(_ANY_HOST_PATHS)

    def rejectBody(self) -> None:
        error = FleetIQError(
            "RequestEntityTooLargeException", f"The body has more than {LONGEST_BODY} bytes."
        )
        reply = protocolOf(self.header).serializeError(error, str(uuid4()))
        headers = (*reply.headers, (b"Connection", b"close"))
        self.writeResponse(reply.status, headers, reply.body)

    def write(self, data: bytes) -> None:
        """Write as Twisted does, with the date of the local clock."""
        if not self.startedWriting and not self._disconnected:
            self.setHeader(b"Date", datetimeToString(self.channel.site.seconds()))
        super().write(data)

    def render(self, resource: IResource) -> None:
        """Render a resource, which writes the response itself."""
        try:
            resource.render(self)
        except UnsupportedMethod as error:
            allowed = b", ".join(error.allowedMethods)
            headers = (*PLAIN_TEXT, (b"Allow", allowed))
            self.respond(405, headers, b"The methods of this path are " + allowed + b".\n")


class Missing(Resource):
    """A path with nothing. The response names the paths that exist."""

    isLeaf = True

    def render(self, request: LocalRequest) -> int:
        sentence = (
            b"There is nothing at this path. POST / is the API in AWS JSON, and in CBOR POST "
            b"/service/GameLift/operation/<name>; /latest/meta-data/ is the instance metadata, "
            b"/_local/state the state.\n"
        )
        request.respond(404, PLAIN_TEXT, sentence)
        return NOT_DONE_YET


@implementer(IHalfCloseableProtocol)
class LocalChannel(LimitedChannel):
    """
    A connection that its site can close. If the client closes its side after its requests, it still
    receives the responses.
    """

    site: LocalSite
    transport: Any

    _readEnded = False

    def readConnectionLost(self) -> None:
        self._readEnded = True
        if self.idle:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: the server never closes only its side."""

    def requestDone(self, request: HTTPRequest) -> None:
        super().requestDone(request)
        if self._readEnded:
            self.readConnectionLost()


class LocalSite(QuietSite):
    """A site that can close the connections which clients keep open."""

    protocol = LocalChannel
    requestSeconds = 60.0

    def __init__(
        self,
        root: IResource,
        reactor: IReactorTime,
        seconds: Callable[[], float],
        maxConnections: int = MAX_CONNECTIONS,
    ) -> None:
        """
        @param reactor: real time, for the idle timeout.
        @param seconds: the local clock, for the Date of responses.
        """
        super().__init__(root, LocalRequest, timeout=IDLE_SECONDS, reactor=reactor)
        self.seconds = seconds
        self.maxConnections = maxConnections
        self._allEnded: Deferred[None] | None = None

    def logPrefix(self) -> str:
        return "fleetiq-local"

    def endConnections(self) -> Deferred[None]:
        """
        Close all connections, and abort those still open after L{CLOSING_SECONDS}.

        @return: fires when no connection is left.
        """
        ended: Deferred[None] = Deferred()
        if not self.channels:
            ended.callback(None)
            return ended
        abort = self.reactor.callLater(CLOSING_SECONDS, self._abort)
        self._allEnded = ended
        for channel in list(self.channels):
            channel.loseConnection()
        return ended.addCallback(lambda _: abort.cancel() if abort.active() else None)

    def connectionEnded(self, channel: LimitedChannel) -> None:
        """Forget a connection that has closed."""
        super().connectionEnded(channel)
        if self._allEnded is not None and not self.channels:
            ended, self._allEnded = self._allEnded, None
            ended.callback(None)

    def _abort(self) -> None:
        for channel in list(self.channels):
            channel.transport.abortConnection()
