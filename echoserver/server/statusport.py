"""The status port: /healthz, /readyz, /status and /metrics of a running process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.web.resource import Resource
from twisted.web.server import Request

from echoserver.clock import WallClock
from echoserver.server.metrics import Metrics
from echoserver.server.status import GameServerStatus, stateName
from echoserver.webaccess import PLAIN_TEXT, LocalOnlyRequest, QuietSite

IDLE_SECONDS = 60.0
_PAGES = ("healthz", "readyz", "status", "metrics")


class StatusPort:
    """
    Serves the status to health checks, operators and Prometheus. Runs on the reactor thread.

    @ivar metrics: the metrics of this process.
    """

    def __init__(
        self,
        clock: IReactorTime,
        statuses: Callable[[], Sequence[GameServerStatus]],
        process: Callable[[], Mapping[str, str | None]],
        degradedSince: Callable[[], float | None],
        wallClock: WallClock,
        maxConnections: int = QuietSite.maxConnections,
    ) -> None:
        """
        @param statuses: returns the current status of each game server.
        @param process: returns the members of C{/status} that describe the process.
        @param degradedSince: returns since when the process is degraded, in seconds of C{clock};
            C{None} if it is not.
        @param maxConnections: connections at most; beyond them idle ones are closed.
        """
        self._maxConnections = maxConnections
        self._clock = clock
        self._wallClock = wallClock
        self._statuses = statuses
        self._process = process
        self._degradedSince = degradedSince
        self._port: IListeningPort | None = None
        self.metrics = Metrics(clock.seconds, statuses)

    def listen(self, endpoint: IStreamServerEndpoint) -> Deferred[IListeningPort]:
        """
        Start to listen.

        @return: fires with the port. Fails with C{CannotListenError}.
        """

        def listening(port: IListeningPort) -> IListeningPort:
            self._port = port
            return port

        site = QuietSite(_Root(self), _StatusRequest, timeout=IDLE_SECONDS, reactor=self._clock)
        site.maxConnections = self._maxConnections
        return endpoint.listen(site).addCallback(listening)

    def stop(self) -> Deferred[Any]:
        """Close the port."""
        return maybeDeferred(lambda: self._port and self._port.stopListening())

    def healthz(self, request: Request) -> bytes:
        """Return 200: if the reactor did not run, there would be no response."""
        return _text(request, 200, "The reactor is running.")

    def readyz(self, request: Request) -> bytes:
        """Return 200 if every game server can take players, else 503 and the first reason."""
        reasons = (each.notReadyReason() for each in self._statuses())
        first = next((reason for reason in reasons if reason), None)
        return _text(request, 200 if first is None else 503, first or "Every game server is ready.")

    def status(self, request: Request) -> bytes:
        """Return the status as JSON, without anything that players or client services sent."""
        request.setHeader(b"Content-Type", b"application/json")
        document = {
            **self._process(),
            "degradedSince": self._date(self._degradedSince()),
            "gameServers": [self._serialize(each) for each in self._statuses()],
        }
        return json.dumps(document).encode() + b"\n"

    def prometheus(self, request: Request) -> bytes:
        """Return the metrics in Prometheus's text format."""
        request.setHeader(b"Content-Type", b"text/plain; version=0.0.4; charset=utf-8")
        return self.metrics.text()

    def _date(self, when: float | None) -> str | None:
        return None if when is None else self._wallClock.format(when)

    def _serialize(self, each: GameServerStatus) -> dict[str, Any]:
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


class _Root(Resource):
    def __init__(self, status: StatusPort) -> None:
        super().__init__()
        for name, page in (
            ("healthz", status.healthz),
            ("readyz", status.readyz),
            ("status", status.status),
            ("metrics", status.prometheus),
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

    def render_HEAD(self, request: Request) -> bytes:
        request.setHeader(b"Content-Length", b"%d" % len(self.render_GET(request)))
        return b""

    def render_OPTIONS(self, request: Request) -> bytes:
        """Return the status of GET without its body: some load balancers check with OPTIONS."""
        self.render_GET(request)
        if request.path in (b"/", b"*"):
            request.setResponseCode(200)
        request.setHeader(b"Allow", b"GET, HEAD, OPTIONS")
        return b""


class _StatusRequest(LocalOnlyRequest):
    """
    A request to the status port. Host may be any IP address, because health checks come from other
    machines. A host name is rejected, because any site can let its name resolve to this machine.
    """

    ownHosts = "localhost or an address"

    def isOwnHost(self, name: str) -> bool:
        try:
            return name in ("", "localhost") or bool(ip_address(name))
        except ValueError:
            return False

    def rejectBody(self) -> None:
        headers = (*PLAIN_TEXT, (b"Connection", b"close"))
        self.writeResponse(413, headers, b"No path here takes a body.\n")
        self.transport.loseConnection()


def _text(request: Request, code: int, sentence: str) -> bytes:
    request.setResponseCode(code)
    for name, value in PLAIN_TEXT:
        request.setHeader(name, value)
    return f"{sentence}\n".encode()


def _missing(request: Request) -> bytes:
    return _text(request, 404, "The paths are /" + ", /".join(_PAGES) + ".")
