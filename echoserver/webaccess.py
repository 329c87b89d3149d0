"""
HTTP servers for this machine: no access log, limits, and the check of Host and Origin.

A browser can be made to send requests to a local server in two ways. A page of another site sends
them itself (CSRF): then the browser adds that page's Origin. Or the site's host name resolves to an
address of this machine (DNS rebinding): then Host has that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Request, Site

_log = Logger(namespace="fleetiq.http")

LONGEST_BODY = 1024 * 1024
_LONGEST_LENGTH = 18
# A client may send this much before it reads the rejection. Then its connection is aborted.
_LONGEST_REJECTED_BODY = 16 * LONGEST_BODY

PLAIN_TEXT = ((b"Content-Type", b"text/plain; charset=utf-8"),)


class LimitedChannel(HTTPChannel):
    """
    A connection that is closed if a request takes too long to arrive, and may be closed if it is
    idle and its site has too many.
    """

    site: QuietSite
    transport: Any

    _requestTimer: IDelayedCall | None = None

    @property
    def idle(self) -> bool:
        """Return whether no request is processed. Only then is there an idle timeout."""
        return self.timeOut is not None

    def connectionMade(self) -> None:
        self.site.channels[self] = None
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        if self._requestTimer is None and self.idle:
            self._requestTimer = self.callLater(self.site.requestSeconds, self._requestTooSlow)
        super().dataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and len(value.strip()) > _LONGEST_LENGTH:
            # Python does not convert 4,301 digits to a number. This one is rejected as too large.
            line = name + b":" + (b"9" * _LONGEST_LENGTH if value.strip().isdigit() else b"x")
        received: bool = super().headerReceived(line)
        return received

    def allContentReceived(self) -> None:
        self._cancelRequestTimer()
        super().allContentReceived()

    def requestDone(self, request: HTTPRequest) -> None:
        if self in self.site.channels:
            del self.site.channels[self]
            self.site.channels[self] = None  # the most recent one is last
        super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancelRequestTimer()
        super().connectionLost(reason)
        self.site.connectionEnded(self)

    def _requestTooSlow(self) -> None:
        self._requestTimer = None
        self.transport.abortConnection()

    def _cancelRequestTimer(self) -> None:
        if self._requestTimer is not None:
            self._requestTimer.cancel()
            self._requestTimer = None


class _Refusal(Protocol):
    """A connection that is refused, because its site has too many and none of them is idle."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        self.transport.loseConnection()


class QuietSite(Site):
    """
    A site without an access log, and without the timer that an access log needs. It limits its
    connections: each needs a descriptor, which players and calls to FleetIQ need too.

    @ivar channels: the open connections; the one whose last request is longest ago is first.
    @ivar maxConnections: if there are as many, a new one closes the first idle one, or is refused
        with status 503.
    @ivar requestSeconds: the time in which a request must have arrived.
    """

    noisy = False
    displayTracebacks = False
    protocol = LimitedChannel  # type: ignore[assignment] # Site declares the wrapper that HTTP/2 needs
    maxConnections = 32
    requestSeconds = 10.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.channels: dict[LimitedChannel, None] = {}
        self._full = False

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if len(self.channels) >= self.maxConnections:
            if not self._full:
                _log.warn(
                    "{count} HTTP connections are open, the most that are allowed: idle ones are"
                    " closed for new ones.",
                    count=len(self.channels),
                    eventName="http.tooManyConnections",
                )
            self._full = True
            first = next((channel for channel in self.channels if channel.idle), None)
            if first is None:
                return _Refusal()
            del self.channels[first]
            first.transport.abortConnection()
        return super().buildProtocol(addr)

    def connectionEnded(self, channel: LimitedChannel) -> None:
        """Remove a connection that has closed."""
        self.channels.pop(channel, None)
        if len(self.channels) < self.maxConnections // 2:
            self._full = False

    def startFactory(self) -> None:
        """Start no timer."""

    def stopFactory(self) -> None:
        """Stop no timer."""

    def log(self, request: HTTPRequest) -> None:
        """Log nothing."""


class LocalOnlyRequest(Request):
    """
    A request that is rejected if another web site may have caused it, or if its body is larger than
    L{LONGEST_BODY}. Forms and query arguments are not parsed.

    @cvar ownHosts: describes the hosts that L{isOwnHost} accepts, for the error message.
    """

    ownHosts: str
    content: BytesIO
    channel: Any
    transport: Any

    _bodyRejected = False
    _bodyLength = 0

    def isOwnHost(self, name: str) -> bool:
        """Return whether this host, without its port, cannot be the host of another site."""
        raise NotImplementedError

    def acceptsAnyHost(self) -> bool:
        """Return whether the request is accepted with any Host if it has no Origin."""
        return False

    def rejectBody(self) -> None:
        """Write the response to a request whose body is too large."""
        raise NotImplementedError

    def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Write a whole response and finish the request."""
        self.writeResponse(status, headers, body)
        self.finish()

    def writeResponse(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Write a whole response, but leave the request unfinished."""
        self.setResponseCode(status)
        for name, value in headers:
            self.setHeader(name, value)
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(body)

    def header(self, name: str) -> str | None:
        """Return a request header as text. Unlike C{getHeader} it accepts any bytes."""
        value = self.getHeader(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()
        if length is not None and length > LONGEST_BODY:
            self._rejectBody()

    def handleContentChunk(self, data: bytes) -> None:
        self._bodyLength += len(data)
        if self._bodyLength > _LONGEST_REJECTED_BODY:
            self.transport.abortConnection()
        elif self._bodyRejected:
            return
        elif self._bodyLength > LONGEST_BODY:
            self._rejectBody()
        else:
            self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._bodyRejected:
            self.channel.persistent = False
            self.finish()
            return
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, path, version
        self.path = path.partition(b"?")[0]
        self.args = {}
        error = self._accessError()
        if error is None:
            self.process()
        else:
            self.respond(403, PLAIN_TEXT, error.encode() + b"\n")

    def _accessError(self) -> str | None:
        """Return how another web site may have caused this request; C{None} if none can have."""
        origin, host = self.header("origin"), self.header("host") or ""
        if origin is not None and (origin != f"http://{host}" or not self._hasOwnHost(host)):
            return f"Origin is {origin[:100]!r}: pages of another origin have no access."
        if self.acceptsAnyHost() or self._hasOwnHost(host):
            return None
        return f"Host is {host[:100]!r}: it must be {self.ownHosts}."

    def _hasOwnHost(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return self.isOwnHost(name)

    def _rejectBody(self) -> None:
        self._bodyRejected = True
        self.clientproto = b"HTTP/1.1"
        # With this header the channel would send "100 Continue" after the response.
        self.requestHeaders.removeHeader(b"expect")
        self.rejectBody()
