"""The HTTP front of all that one port serves: whom it lets in, how much it reads, how it stops."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.http import HTTPChannel, datetimeToString
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from echoserver.local.http.wire import Headers, isCall, protocolOf
from echoserver.local.model.values import FleetIQError

PLAIN_TEXT: Headers = ((b"Content-Type", b"text/plain; charset=utf-8"),)

LONGEST_BODY = 1024 * 1024
# A kept connection must outlast the silence between two heartbeats, or a heartbeat meets its end.
IDLE_SECONDS = 300.0
CLOSING_SECONDS = 1.0
# The versions of the instance metadata: the latest, and some of the dates that there are.
LATEST = "latest"
METADATA_DATES = (LATEST, "2009-04-04", "2018-09-24", "2020-08-24", "2021-03-23")
# What SDKs call by any host name they were given; all else answers only to this machine's names.
_FOR_ANY_HOST = (b"/instances", *(b"/" + date.encode("ascii") for date in METADATA_DATES))


class LocalRequest(Request):
    """
    A request that is refused early: a body too large before it is read, a page of another origin
    before anything is looked up. Forms are not parsed, for nothing here takes one.
    """

    content: BytesIO
    channel: Any
    transport: Any
    postpath: list[bytes]

    _refused = False
    _bodyLength = 0

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()
        if length is not None and length > LONGEST_BODY:
            self._refuseBody()

    def handleContentChunk(self, data: bytes) -> None:
        self._bodyLength += len(data)
        if self._bodyLength > 16 * LONGEST_BODY:
            self.transport.abortConnection()
        elif self._bodyLength > LONGEST_BODY and not self._refused:
            self._refuseBody()
        elif not self._refused:
            self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._refused:
            self.channel.persistent = False
            self.finish()
            return
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, path, version
        self.path = path.partition(b"?")[0]
        self.args = {}
        sentence = self._forbidden()
        if sentence is None:
            self.process()
        else:
            self.answer(403, PLAIN_TEXT, sentence.encode() + b"\n")

    def header(self, name: str) -> str | None:
        """A request header as text; unlike C{getHeader} it takes any bytes."""
        value = self.getHeader(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")

    def write(self, data: bytes) -> None:
        """As Twisted's, with the date of the local clock."""
        if not self.startedWriting and not self._disconnected:
            self.setHeader(b"Date", datetimeToString(self.channel.site.seconds()))
        super().write(data)

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Write a whole reply and finish."""
        self._begin(status, headers, body)
        self.finish()

    def render(self, resource: IResource) -> None:
        """Resources here answer by themselves; a method they do not have is a sentence too."""
        try:
            resource.render(self)
        except UnsupportedMethod as error:
            allowed = b", ".join(error.allowedMethods)
            headers = (*PLAIN_TEXT, (b"Allow", allowed))
            self.answer(405, headers, b"The methods of this path are " + allowed + b".\n")

    def _forbidden(self) -> str | None:
        """Why a page of another site may be behind this request; C{None} if none can be."""
        origin, host = self.header("origin"), self.header("host") or ""
        if origin is not None and (origin != f"http://{host}" or not self._isOurs(host)):
            return (
                f"Pages of another origin may not speak to this FleetIQ, and {origin[:100]} is one."
            )
        forAnyHost = isCall(self.method, self.path) or self.path.startswith(_FOR_ANY_HOST)
        if forAnyHost or self._isOurs(host):
            return None
        return f"Host is {host[:100]!r}: here it must be localhost or the address listened on."

    def _isOurs(self, host: str) -> bool:
        """Whether a Host header names this machine; a name that somebody else controls does not."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name == "localhost":
            return True
        try:
            isLoopback = ip_address(name or "").is_loopback
        except ValueError:
            return False
        here = self.getHost()
        return isLoopback or (isinstance(here, IPv4Address | IPv6Address) and name == here.host)

    def _refuseBody(self) -> None:
        self._refused = True
        self.clientproto = b"HTTP/1.1"
        # Else the channel would ask for the body that was just refused.
        self.requestHeaders.removeHeader(b"expect")
        refusal = FleetIQError(
            "RequestEntityTooLargeException", f"The body has more than {LONGEST_BODY} bytes."
        )
        reply = protocolOf(self.header).refuse(refusal, str(uuid4()))
        self._begin(reply.status, (*reply.headers, (b"Connection", b"close")), reply.body)

    def _begin(self, status: int, headers: Headers, body: bytes) -> None:
        self.setResponseCode(status)
        for name, value in headers:
            self.setHeader(name, value)
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(body)


class Missing(Resource):
    """Nothing is here, and a sentence says where something is."""

    isLeaf = True

    def render(self, request: LocalRequest) -> int:
        sentence = (
            b"There is nothing at this path. POST / is the API in AWS JSON, and in CBOR POST "
            b"/service/GameLift/operation/<name>; /latest/meta-data/ is the instance metadata, "
            b"/_local/state the state.\n"
        )
        request.answer(404, PLAIN_TEXT, sentence)
        return NOT_DONE_YET


@implementer(IHalfCloseableProtocol)
class LocalChannel(HTTPChannel):
    """
    A connection that its site knows of, so that stopping can end it. A client may close its side
    when it has sent its calls: they are answered.
    """

    site: LocalSite
    transport: Any

    _readEnded = False

    def connectionMade(self) -> None:
        self.site.channels.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.site.connectionEnded(self)

    def readConnectionLost(self) -> None:
        self._readEnded = True
        # Only while a call is carried out there is no limit to a connection's idling.
        if self.timeOut is not None:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """Never asked for."""

    def requestDone(self, request: HTTPRequest) -> None:
        super().requestDone(request)
        if self._readEnded:
            self.readConnectionLost()


class LocalSite(Site):
    """A site without an access log and its timer, which can end the connections clients keep."""

    protocol = LocalChannel  # type: ignore[assignment] # Site declares the wrapper that HTTP/2 needs
    noisy = False

    def __init__(
        self, root: IResource, reactor: IReactorTime, seconds: Callable[[], float]
    ) -> None:
        """
        @param reactor: real time, for connections that idle.
        @param seconds: what time it is in the replies' Date.
        """
        super().__init__(root, LocalRequest, timeout=IDLE_SECONDS, reactor=reactor)
        self.seconds = seconds
        self.channels: set[LocalChannel] = set()
        self._allEnded: Deferred[None] | None = None

    def startFactory(self) -> None:
        """Not Site's, which keeps a timer for its access log."""

    def stopFactory(self) -> None:
        """See L{startFactory}."""

    def log(self, request: HTTPRequest) -> None:
        """No access log: what calls did is told where they are carried out."""

    def logPrefix(self) -> str:
        return "fleetiq-local"

    def endConnections(self) -> Deferred[None]:
        """Close all connections, after a second by force; fires when none is left."""
        ended: Deferred[None] = Deferred()
        if not self.channels:
            ended.callback(None)
            return ended
        force = self.reactor.callLater(CLOSING_SECONDS, self._abort)
        self._allEnded = ended
        for channel in list(self.channels):
            channel.loseConnection()
        return ended.addCallback(lambda _: force.cancel() if force.active() else None)

    def connectionEnded(self, channel: LocalChannel) -> None:
        self.channels.discard(channel)
        if self._allEnded is not None and not self.channels:
            ended, self._allEnded = self._allEnded, None
            ended.callback(None)

    def _abort(self) -> None:
        for channel in list(self.channels):
            channel.transport.abortConnection()
