"""The status port: /healthz, /readyz, /status and /metrics of a running process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from echoserver.clock import WallClock
from echoserver.server.metrics import Metrics
from echoserver.server.status import GameServerStatus, stateName

LONGEST_BODY = 1024 * 1024
IDLE_SECONDS = 60.0
_PAGES = ("healthz", "readyz", "status", "metrics")


class StatusPort:
    """
    Answers probes, people and Prometheus, on the reactor thread.

    @param statuses: where each game server stands now.
    @param process: what C{/status} says of the process: its fleet, its instance.
    @ivar metrics: what is counted.
    """

    def __init__(
        self,
        clock: IReactorTime,
        statuses: Callable[[], Sequence[GameServerStatus]],
        process: Callable[[], Mapping[str, str | None]],
        degradedSince: Callable[[], float | None],
        wallClock: WallClock,
    ) -> None:
        self._wallClock = wallClock
        self._standings = statuses
        self._process = process
        self._degradedSince = degradedSince
        self._port: IListeningPort | None = None
        self.metrics = Metrics(clock.seconds, statuses)

    def listen(self, endpoint: IStreamServerEndpoint) -> Deferred[IListeningPort]:
        """Fires with the port. Fails with C{CannotListenError}."""

        def listening(port: IListeningPort) -> IListeningPort:
            self._port = port
            return port

        site = _Site(_Root(self), requestFactory=_Request, timeout=IDLE_SECONDS)
        site.displayTracebacks = False
        return endpoint.listen(site).addCallback(listening)

    def stop(self) -> Deferred[Any]:
        """Close the port."""
        return maybeDeferred(lambda: self._port and self._port.stopListening())

    def healthz(self, request: Request) -> bytes:
        """The reactor turns, or nobody would answer."""
        return _text(request, 200, "The reactor turns.")

    def readyz(self, request: Request) -> bytes:
        """Whether players may be sent to each of the game servers; else why not to the first."""
        sentences = (each.notReadyReason() for each in self._standings())
        first = next((sentence for sentence in sentences if sentence), None)
        return _text(request, 200 if first is None else 503, first or "Every game server is ready.")

    def status(self, request: Request) -> bytes:
        """All there is to know, but what players or clients sent."""
        servers = [self._shown(each) for each in self._standings()]
        request.setHeader(b"Content-Type", b"application/json")
        document = {
            **self._process(),
            "degradedSince": self._date(self._degradedSince()),
            "gameServers": servers,
        }
        return json.dumps(document).encode() + b"\n"

    def text(self, request: Request) -> bytes:
        """For Prometheus."""
        request.setHeader(b"Content-Type", b"text/plain; version=0.0.4; charset=utf-8")
        return self.metrics.text()

    def _date(self, when: float | None) -> str | None:
        return None if when is None else self._wallClock.format(when)

    def _shown(self, each: GameServerStatus) -> dict[str, Any]:
        return {
            "port": each.port,
            "gameServerId": each.gameServerId,
            "connectionInfo": each.connectionInfo,
            "known": stateName(each.known),
            "wanted": stateName(each.wanted),
            "players": each.players,
            "session": each.session,
            "receivedBytes": each.receivedBytes,
            "refused": each.refused,
            "lastHeartbeat": self._date(each.lastReport),
            "nextHeartbeat": self._date(each.nextReportDue),
            "lastError": each.lastError
            and {"time": self._date(each.lastErrorTime), "sentence": each.lastError},
            "degradedSince": self._date(each.degradedSince),
            "accepting": each.accepting,
            "draining": each.draining,
        }


class _Site(Site):
    """Without an access log and its timer: probes come every few seconds, and are no events."""

    noisy = False

    def startFactory(self) -> None:
        """Not Site's, which keeps the timer."""

    def stopFactory(self) -> None:
        """See L{startFactory}."""

    def log(self, request: HTTPRequest) -> None:
        """Nothing."""


class _Root(Resource):
    def __init__(self, status: StatusPort) -> None:
        super().__init__()
        for name, page in (
            ("healthz", status.healthz),
            ("readyz", status.readyz),
            ("status", status.status),
            ("metrics", status.text),
        ):
            self.putChild(name.encode(), _Page(page))

    def getChild(self, path: bytes, request: Request) -> Resource:
        return _Page(_missing)


class _Page(Resource):
    def __init__(self, page: Callable[[Request], bytes]) -> None:
        super().__init__()
        self._page = page

    def getChild(self, path: bytes, request: Request) -> Resource:
        return _Page(_missing)

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Cache-Control", b"no-store")
        return self._page(request)


class _Request(Request):
    """Refuses what a page of another site may have sent, and a body too large, unread."""

    channel: Any
    transport: Any
    _length = 0

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > LONGEST_BODY:
            self._tooLarge()
        # What comes is counted, not kept: nothing here takes a body.
        super().gotLength(0)

    def handleContentChunk(self, data: bytes) -> None:
        self._length += len(data)
        if self._length > LONGEST_BODY:
            self._tooLarge()

    def process(self) -> None:
        sentence = self._forbidden()
        if sentence is None:
            super().process()
            return
        self.write(_text(self, 403, sentence))
        self.finish()

    def _forbidden(self) -> str | None:
        origin, host = self.getHeader(b"origin"), (self.getHeader(b"host") or b"").decode("latin-1")
        if origin is not None and origin.decode("latin-1") != f"http://{host}":
            return "Pages of another origin may not look here."
        # A name may be anybody's, who lets it lead here; an address is nobody else's.
        if not _isAddress(host):
            return f"Host is {host[:100]!r}: here it must be localhost or an address."
        return None

    def _tooLarge(self) -> None:
        self.transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n")
        self.transport.loseConnection()


def _isAddress(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in ("", "localhost") or bool(ip_address(name))
    except ValueError:
        return False


def _text(request: Request, code: int, sentence: str) -> bytes:
    request.setResponseCode(code)
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    return f"{sentence}\n".encode()


def _missing(request: Request) -> bytes:
    return _text(request, 404, "Here are /" + ", /".join(_PAGES) + ".")
