"""The page at C{/}: its files, and the headers that keep other content out of it."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.http.site import LocalRequest, Missing
from echoserver.webaccess import PLAIN_TEXT

# 'self' in connect-src includes the WebSocket of the same origin.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"Content-Security-Policy", POLICY),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Cache-Control", b"no-cache"),
)
_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "json": b"application/json",
    "svg": b"image/svg+xml",
}
_NAME = re.compile(r"[a-z]+\.(html|css|js|json|svg)")
_DESCRIPTION = (
    b"A FleetIQ for this machine: the GameLift API is POST /, the instance metadata "
    b"/latest/meta-data/, the state /_local/state. A browser shows a page here.\n"
)


class PageFile(Resource):
    """One file of the page. A browser revalidates it by its ETag."""

    isLeaf = True

    def __init__(self, path: Path, contentType: bytes) -> None:
        super().__init__()
        self._path = path
        self._contentType = contentType

    def render_GET(self, request: LocalRequest) -> int:
        content = self._path.read_bytes()
        tag = b'"' + sha256(content).hexdigest()[:32].encode("ascii") + b'"'
        headers = (*_HEADERS, (b"Content-Type", self._contentType), (b"ETag", tag))
        if request.getHeader(b"if-none-match") == tag:
            request.respond(304, headers, b"")
        else:
            request.respond(200, headers, content)
        return NOT_DONE_YET


class PageFiles(Resource):
    """C{/dashboard}: the files of the page."""

    def __init__(self) -> None:
        super().__init__()
        # importlib.resources would take 3 ms of each start to import.
        self._folder = Path(__file__).parents[1] / "dashboard"

    def getChild(self, path: bytes, _request: LocalRequest) -> IResource:
        name = _NAME.fullmatch(path.decode("latin-1"))
        if name is None or not (self._folder / name[0]).is_file():
            return Missing()
        return PageFile(self._folder / name[0], _TYPES[name[1]])

    def render(self, request: LocalRequest) -> int:
        return Missing().render(request)

    def renderIndex(self, request: LocalRequest) -> int:
        """Write the page if the client accepts HTML, and one line about this server if not."""
        request.setHeader(b"Vary", b"Accept")
        if "text/html" in (request.header("accept") or ""):
            return PageFile(self._folder / "index.html", _TYPES["html"]).render_GET(request)
        request.respond(200, PLAIN_TEXT, _DESCRIPTION)
        return NOT_DONE_YET
