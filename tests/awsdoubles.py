"""Doubles of AWS: an endpoint, a client, a session, calls, and the instance metadata service."""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from threading import Event, Thread, get_ident
from typing import Any, TypeVar, cast

from treq.testing import StubTreq
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from echoserver.gamelift.client import Client, EndpointConfig, GameLift, Session, openSession

T = TypeVar("T")

ONE = {"GameServerGroupName": "group", "GameServerId": "server"}
METADATA = "http://169.254.169.254"
INSTANCE_ID = "i-0123456789abcdef0"
REGISTER = {
    "GameServerGroupName": "group",
    "GameServerId": "server",
    "InstanceId": INSTANCE_ID,
    "GameServerData": "secret",
}


def inThisThread(function: Callable[[], T], /) -> Deferred[T]:
    """Run the function now: an C{InThread} without a thread."""
    return execute(function)


def logLines(events: Sequence[LogEvent]) -> list[str]:
    """Return the log lines of the events."""
    return [formatEvent(event) for event in events]


class RecordedCalls:
    """Records each call, and returns C{reply}."""

    def __init__(self, reply: dict[str, Any] | None = None) -> None:
        self.reply = reply or {}
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def call(self, operation: str, **request: Any) -> Deferred[dict[str, Any]]:
        self.requests.append((operation, request))
        return succeed(self.reply)


class LoopbackEndpoint:
    """
    An HTTP endpoint in its own thread. It sends the same response to each request.

    @ivar response: the bytes of the response.
    @ivar gameServer: if it is not None, the response has this game server with the requested id.
    @ivar endless: sent after the response again and again, until the client closes.
    @ivar endlessBytes: the number of bytes of it that were sent.
    @ivar resets: if True, the connection is reset after the response.
    @ivar silent: if True, no response is sent until L{close}.
    @ivar requests: the heads of all requests.
    """

    def __init__(self) -> None:
        self.response = b""
        self.gameServer: dict[str, Any] | None = None
        self.endless = b""
        self.endlessBytes = 0
        self.resets = False
        self.silent = False
        self.requests: list[bytes] = []
        self._closing = Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def setResponse(self, status: int, body: bytes | dict[str, Any], *, short: int = 0) -> None:
        """Set the response. Its Content-Length is C{short} bytes more than the body has."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.response = (
            f"HTTP/1.1 {status} Status\r\nx-amzn-RequestId: an-id\r\nConnection: close\r\n"
            f"Content-Length: {len(data) + short}\r\n\r\n"
        ).encode() + data

    def setError(self, status: int, code: str, message: str = "so it is") -> None:
        """Set an error of AWS as the response."""
        self.gameServer = None
        self.setResponse(status, {"__type": code, "message": message})

    def close(self) -> None:
        self._closing.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            with suppress(OSError):
                connection, _ = self._socket.accept()
                with connection:
                    self._one(connection)

    def _one(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        head = body = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(65536)
            if not more:
                return
            head += more
        head, _, body = head.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536)
        self.requests.append(head)
        if self.gameServer is not None:
            requested = json.loads(body)["GameServerId"]
            self.setResponse(200, {"GameServer": {**self.gameServer, "GameServerId": requested}})
        if self.silent:
            self._closing.wait(5)
        connection.sendall(self.response)
        while self.endless and not self._closing.is_set():
            connection.sendall(self.endless)
            self.endlessBytes += len(self.endless)
        if self.resets:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


class MetadataService(Resource):
    """
    An instance metadata service, version 2. An item is a value, a status, or None for no response.

    @ivar tokens: the number of tokens that were issued.
    @ivar token: the text of each token, before its number.
    @ivar asked: the method and path of each request.
    @ivar refusing: the number of GET requests that are now rejected with 401.
    @ivar tokenStatus: the status of the response to a request for a token.
    @ivar date: the C{Date} of each response; empty for none.
    """

    isLeaf = True

    def __init__(self, items: Mapping[str, str | int | None], *, below: str = "") -> None:
        super().__init__()
        self.items = dict(items)
        self.date = "Mon, 18 Sep 2017 08:20:00 GMT"
        self.below = below
        self.tokens = 0
        self.token = "token-"
        self.asked: list[tuple[str, str]] = []
        self.refusing = 0
        self.tokenStatus = 200

    @property
    def got(self) -> list[str]:
        """The requested items, in order."""
        mark = "/latest/meta-data/"
        return [path.partition(mark)[2] for method, path in self.asked if method == "GET"]

    def http(self) -> Any:
        """Return an HTTP client of this service."""
        return StubTreq(self)

    def render(self, request: Request) -> Any:
        method, path = request.method.decode(), request.path.decode()
        self.asked.append((method, path))
        request.responseHeaders.removeHeader(b"date")
        if self.date:
            request.setHeader(b"date", self.date.encode())
        if not path.startswith(f"{self.below}/latest/"):
            return self._page(request, 404)
        path = path.removeprefix(f"{self.below}/latest/")
        if method == "PUT" and path == "api/token":
            ttl = request.getHeader("X-aws-ec2-metadata-token-ttl-seconds")
            if self.tokenStatus != 200 or not (ttl or "").isdecimal():
                return self._page(request, 400 if self.tokenStatus == 200 else self.tokenStatus)
            self.tokens += 1
            return f"{self.token}{self.tokens}".encode()
        given = request.getHeader("X-aws-ec2-metadata-token")
        if given != f"{self.token}{self.tokens}" or self.refusing:
            self.refusing = max(0, self.refusing - 1)
            return self._page(request, 401)
        item = self.items.get(path.removeprefix("meta-data/"), 404)
        if item is None:
            return NOT_DONE_YET
        return self._page(request, item) if isinstance(item, int) else item.encode()

    def _page(self, request: Request, status: int) -> bytes:
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", b"text/html")
        return f"<html><title>{status}</title></html>".encode()


class FakeClient:
    """A boto3 client that records each call and its thread, and returns C{reply}."""

    def __init__(self, reply: dict[str, Any] | None = None) -> None:
        self.reply = reply or {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.threads: set[int] = set()

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def method(**members: Any) -> dict[str, Any]:
            self.threads.add(get_ident())
            self.calls.append((name, members))
            return self.reply

        return method


class FakeSession:
    """A boto3 session that records the threads in which it is used."""

    def __init__(self, client: FakeClient) -> None:
        self._client = client
        self.threads = {get_ident()}

    @property
    def region_name(self) -> str:
        self.threads.add(get_ident())
        return "eu-west-3"

    def client(self, service: str, **settings: Any) -> Client:
        self.threads.add(get_ident())
        return self._client


def gameLiftWith(client: object) -> GameLift:
    """Return an open L{GameLift} that calls this client without a thread."""
    session = cast(Session, FakeSession(FakeClient()))
    gameLift = GameLift(
        Clock(),
        inThisThread,
        EndpointConfig(),
        session=lambda _: session,
        client=lambda *_: cast(Client, client),
    )
    gameLift.region()
    gameLift.open("us-east-1")
    return gameLift


@cache
def localSession() -> Session:
    """Return a session for many tests, which has read GameLift's model once."""
    return openSession(EndpointConfig(local=True))
