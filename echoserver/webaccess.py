"""
HTTP servers for this machine: no access log, a limit for bodies, and the check of Host and Origin.

A browser can be made to send requests to a local server in two ways. A page of another site sends
them itself (CSRF): then the browser adds that page's Origin. Or the site's host name resolves to an
address of this machine (DNS rebinding): then Host has that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Request, Site

LONGEST_BODY = 1024 * 1024
# A client may send this much before it reads the rejection. Then its connection is aborted.
_LONGEST_REJECTED_BODY = 16 * LONGEST_BODY

PLAIN_TEXT = ((b"Content-Type", b"text/plain; charset=utf-8"),)


class QuietSite(Site):
    """A site without an access log, and without the timer that an access log needs."""

    noisy = False
    displayTracebacks = False

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
        """Return whether this host, without its port, can be no other site's."""
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
