"""A whole local FleetIQ in memory, and HTTP requests to it without a socket."""

import json
from dataclasses import dataclass
from typing import Any

import cbor2
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection

from echoserver.local.service import LocalFleetIQ

Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def cbor(self) -> Any:
        """The body of a reply in CBOR, which must say that it is one."""
        assert self.headers["smithy-protocol"] == "rpc-v2-cbor", self
        assert self.headers["content-type"] == "application/cbor", self
        return cbor2.loads(self.body)


class Connection:
    """One client's connection, which may send any bytes."""

    def __init__(self, factory: Any) -> None:
        here = IPv4Address("TCP", "127.0.0.1", 4570)
        peer = IPv4Address("TCP", "127.0.0.1", 50000)
        self.transport = StringTransportWithDisconnection(here, peer)
        self.protocol = factory.buildProtocol(peer)
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def response(self) -> Response | None:
        """The response that has arrived since the last one; C{None} if none has."""
        head, found, body = self.transport.value().partition(b"\r\n\r\n")
        self.transport.clear()
        if not found:
            return None
        status, *lines = head.decode("ascii").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return Response(int(status.split(" ")[1]), headers, body)

    @property
    def closed(self) -> bool:
        """Whether the server has closed it."""
        return not self.transport.connected

    def hangUp(self) -> None:
        self.transport.loseConnection()


def requestBytes(method: str, path: str, headers: Headers, body: bytes) -> bytes:
    given = {"Host": "127.0.0.1:4570", "Content-Length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class MemoryFleetIQ:
    """A started local FleetIQ on a clock of its own."""

    def __init__(self, **options: Any) -> None:
        self.clock = MemoryReactorClock()
        self.clock.advance(1_700_000_000)
        self.service = LocalFleetIQ(self.clock, **options)
        self.service.startService()
        self.factory = self.clock.tcpServers[0][1]

    def connect(self) -> Connection:
        return Connection(self.factory)

    def ask(
        self, method: str, path: str, headers: Headers | None = None, body: bytes = b""
    ) -> Response:
        """One request on a connection of its own, and its response."""
        connection = self.connect()
        connection.send(requestBytes(method, path, headers or {}, body))
        response = connection.response()
        assert response is not None, f"{method} {path} is not answered yet"
        connection.hangUp()
        return response

    def call(self, operation: str, **request: Any) -> Response:
        """One call of the API in AWS JSON."""
        return self.ask("POST", "/", callHeaders(operation), json.dumps(request).encode())

    def callInCbor(self, operation: str, **request: Any) -> Response:
        """One call of the API in CBOR."""
        return self.ask("POST", rpcPath(operation), CBOR_HEADERS, cbor2.dumps(request))

    def tell(self, control: str, body: Any) -> Response:
        """Give a control an order."""
        return self.ask("POST", f"/_local/{control}", {}, json.dumps(body).encode())

    def state(self) -> Any:
        return self.ask("GET", "/_local/state").json


CBOR_HEADERS = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}


def rpcPath(operation: str) -> str:
    return f"/service/GameLift/operation/{operation}"


def callHeaders(operation: str) -> Headers:
    return {
        "X-Amz-Target": f"GameLift.{operation}",
        "Content-Type": "application/x-amz-json-1.1",
    }
