"""A complete local FleetIQ in memory, and HTTP requests to it without a socket."""

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
    """One HTTP response. The names of its headers are in lower case."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def cbor(self) -> Any:
        """The parsed body of a reply in CBOR, whose headers must be those of CBOR."""
        assert self.headers["smithy-protocol"] == "rpc-v2-cbor", self
        assert self.headers["content-type"] == "application/cbor", self
        return cbor2.loads(self.body)


class Connection:
    """One client's connection, which can send any bytes."""

    def __init__(self, factory: Any) -> None:
        host = IPv4Address("TCP", "127.0.0.1", 4570)
        peer = IPv4Address("TCP", "127.0.0.1", 50000)
        self.transport = StringTransportWithDisconnection(host, peer)
        self.protocol = factory.buildProtocol(peer)
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def response(self) -> Response | None:
        """Return the response received since the last call; C{None} if there is none."""
        head, found, body = self.transport.value().partition(b"\r\n\r\n")
        self.transport.clear()
        if not found:
            return None
        status, *lines = head.decode("ascii").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return Response(int(status.split(" ")[1]), headers, body)

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection."""
        return not self.transport.connected

    def disconnect(self) -> None:
        self.transport.loseConnection()


def requestBytes(method: str, path: str, headers: Headers, body: bytes) -> bytes:
    fields = {"Host": "127.0.0.1:4570", "Content-Length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class MemoryFleetIQ:
    """A started local FleetIQ with its own clock."""

    def __init__(self, **options: Any) -> None:
        self.clock = MemoryReactorClock()
        self.clock.advance(1_700_000_000)
        self.service = LocalFleetIQ(self.clock, **options)
        self.service.startService()
        self.factory = self.clock.tcpServers[0][1]

    def connect(self) -> Connection:
        return Connection(self.factory)

    def request(
        self, method: str, path: str, headers: Headers | None = None, body: bytes = b""
    ) -> Response:
        """Send a request on a new connection, and return its response."""
        connection = self.connect()
        connection.send(requestBytes(method, path, headers or {}, body))
        response = connection.response()
        assert response is not None, f"{method} {path} has no response yet"
        connection.disconnect()
        return response

    def call(self, operation: str, **request: Any) -> Response:
        """Call the API in AWS JSON."""
        return self.request("POST", "/", callHeaders(operation), json.dumps(request).encode())

    def callInCbor(self, operation: str, **request: Any) -> Response:
        """Call the API in CBOR."""
        return self.request("POST", rpcPath(operation), CBOR_HEADERS, cbor2.dumps(request))

    def control(self, control: str, body: Any) -> Response:
        """Send a POST request to a control."""
        return self.request("POST", f"/_local/{control}", {}, json.dumps(body).encode())

    def state(self) -> Any:
        return self.request("GET", "/_local/state").json


CBOR_HEADERS = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}


def rpcPath(operation: str) -> str:
    return f"/service/GameLift/operation/{operation}"


def callHeaders(operation: str) -> Headers:
    return {
        "X-Amz-Target": f"GameLift.{operation}",
        "Content-Type": "application/x-amz-json-1.1",
    }
