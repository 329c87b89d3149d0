"""What stands in for AWS: its endpoint, its client, its calls, the instance metadata, a thread."""

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


def atOnce(function: Callable[[], T], /) -> Deferred[T]:
    """An C{InThread} that needs no thread."""
    return execute(function)


def told(events: Sequence[LogEvent]) -> list[str]:
    """Log events as a person reads them."""
    return [formatEvent(event) for event in events]


class RecordedCalls:
    """Where calls are made: each is written down, and answered with C{reply}."""

    def __init__(self, reply: dict[str, Any] | None = None) -> None:
        self.reply = reply or {}
        self.made: list[tuple[str, dict[str, Any]]] = []

    def call(self, operation: str, **request: Any) -> Deferred[dict[str, Any]]:
        self.made.append((operation, request))
        return succeed(self.reply)


class LoopbackEndpoint:
    """
    An HTTP endpoint with a thread of its own, that answers every request as it is told.

    @ivar answer: the bytes.
    @ivar resets: whether a reset follows the answer, instead of an orderly end.
    @ivar silent: whether nothing is answered at all, until L{close}.
    @ivar requests: the heads of the requests seen.
    """

    def __init__(self) -> None:
        self.answer = b""
        self.resets = False
        self.silent = False
        self.requests: list[bytes] = []
        self._closing = Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def says(self, status: int, body: bytes | dict[str, Any], *, short: int = 0) -> None:
        """Answer so; the body lacks the last C{short} bytes of what is announced."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = (
            f"HTTP/1.1 {status} Said\r\nx-amzn-RequestId: an-id\r\nConnection: close\r\n"
            f"Content-Length: {len(data) + short}\r\n\r\n"
        ).encode() + data

    def refuses(self, status: int, code: str, message: str = "so it is") -> None:
        """Answer with one of AWS's errors."""
        self.says(status, {"__type": code, "message": message})

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
        if self.silent:
            self._closing.wait(5)
        connection.sendall(self.answer)
        if self.resets:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


class MetadataService(Resource):
    """
    Version 2 of the instance metadata. An item may be a value, a status, or None, which is silence.

    @ivar tokens: how many were given out.
    @ivar asked: the method and path of each request.
    @ivar refusing: how many of the next GETs are told that their token is not known.
    @ivar tokenStatus: the status of the answer to who asks for a token.
    @ivar date: what its clock says, as HTTP words it; empty for nothing.
    """

    isLeaf = True

    def __init__(self, items: Mapping[str, str | int | None], *, below: str = "") -> None:
        super().__init__()
        self.items = dict(items)
        self.date = "Mon, 18 Sep 2017 08:20:00 GMT"
        self.below = below
        self.tokens = 0
        self.asked: list[tuple[str, str]] = []
        self.refusing = 0
        self.tokenStatus = 200

    @property
    def got(self) -> list[str]:
        """The items asked for, in order."""
        mark = "/latest/meta-data/"
        return [path.partition(mark)[2] for method, path in self.asked if method == "GET"]

    def http(self) -> Any:
        """A client of this service alone."""
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
            return f"token-{self.tokens}".encode()
        given = request.getHeader("X-aws-ec2-metadata-token")
        if given != f"token-{self.tokens}" or self.refusing:
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
    """A client that writes down each call and its thread, and answers with C{reply}."""

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
    """A session whose every use is written down by its thread."""

    def __init__(self, client: FakeClient) -> None:
        self.made = client
        self.threads = {get_ident()}

    @property
    def region_name(self) -> str:
        self.threads.add(get_ident())
        return "eu-west-3"

    def client(self, service: str, **settings: Any) -> Client:
        self.threads.add(get_ident())
        return self.made


def gameLiftWith(client: object) -> GameLift:
    """An open GameLift that calls this client, at once."""
    session = cast(Session, FakeSession(FakeClient()))
    gameLift = GameLift(
        Clock(),
        atOnce,
        EndpointConfig(),
        session=lambda _: session,
        client=lambda *_: cast(Client, client),
    )
    gameLift.region()
    gameLift.open("us-east-1")
    return gameLift


@cache
def localSession() -> Session:
    """One for many tests: it keeps what it has read of GameLift's model."""
    return openSession(EndpointConfig(local=True))
