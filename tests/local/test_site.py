"""The HTTP server: which requests are accepted, the limit for bodies, how connections end."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.site import CLOSING_SECONDS, IDLE_SECONDS
from echoserver.local.model.values import instanceIdOf
from echoserver.webaccess import LONGEST_BODY
from tests.local.inmemory import (
    CBOR_HEADERS,
    MemoryFleetIQ,
    callHeaders,
    requestBytes,
    rpcPath,
)

INSTANCE_PATH = f"/instances/{instanceIdOf('local', 0)}/latest/meta-data/instance-id"
PATHS = (
    ("GET", "/"),
    ("POST", "/"),
    ("POST", rpcPath("ListGameServerGroups")),
    ("POST", "/any/prefix" + rpcPath("ListGameServerGroups")),
    ("GET", "/latest/meta-data/instance-id"),
    ("GET", INSTANCE_PATH),
    ("GET", "/_local/state"),
    ("POST", "/_local/faults"),
    ("GET", "/nowhere"),
)


class AccessTests(SynchronousTestCase):
    """Requests that a page of another site may cause in a browser are rejected."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def status(self, method: str, path: str, **headers: str) -> int:
        return self.fleetIQ.request(method, path, headers).status

    def test_foreignOrigin(self) -> None:
        """Another origin is rejected on every path, with any host."""
        for origin in (
            "null",
            "http://evil.example",
            "https://127.0.0.1:4570",
            "http://127.0.0.1:8080",
            "http://localhost:4570",
            "",
            "\xff",
        ):
            for method, path in PATHS:
                self.assertEqual(403, self.status(method, path, Origin=origin), (origin, path))

    def test_reboundName(self) -> None:
        """A foreign host name that resolves to this machine is not an own origin."""
        headers = {"Origin": "http://evil.example:4570", "Host": "evil.example:4570"}
        for method, path in PATHS:
            self.assertEqual(403, self.status(method, path, **headers), path)

    def test_ownOrigin(self) -> None:
        """A page that this port serves has access."""
        for host in ("127.0.0.1:4570", "localhost:4570", "[::1]:4570"):
            headers = {"Origin": f"http://{host}", "Host": host}
            self.assertEqual(200, self.status("GET", "/_local/state", **headers), host)

    def test_foreignHost(self) -> None:
        """The controls require a host of this machine; API and metadata accept any."""
        for host in ("evil.example", "127.0.0.1.evil.example", "1.2.3.4", "", "[", "\xff"):
            self.assertEqual(403, self.status("GET", "/", Host=host), host)
            self.assertEqual(403, self.status("GET", "/_local/state", Host=host), host)
            for version in ("latest", "2021-03-23"):
                metadata = self.status("GET", f"/{version}/meta-data/instance-id", Host=host)
                self.assertEqual(200, metadata, host)
            self.assertEqual(200, self.status("GET", INSTANCE_PATH, Host=host), host)
            headers = {"Host": host, **callHeaders("ListGameServerGroups")}
            self.assertEqual(200, self.status("POST", "/", **headers), host)
            for prefix in ("", "/v1", "/_local/faults"):
                path = prefix + rpcPath("ListGameServerGroups")
                headers = {"Host": host, **CBOR_HEADERS}
                self.assertEqual(200, self.status("POST", path, **headers), host)

    def test_foreignHostElsewhere(self) -> None:
        """A path that only resembles the API's requires a host of this machine."""
        path = rpcPath("ListGameServerGroups")
        for method, wrong in (("GET", path), ("DELETE", path), ("POST", path + "/"), *PATHS[-2:]):
            headers = {"Host": "evil.example", **CBOR_HEADERS}
            self.assertEqual(403, self.status(method, wrong, **headers), (method, wrong))

    def test_listeningAddress(self) -> None:
        """The address to which the connection was made is accepted as host."""
        connection = self.fleetIQ.connect()
        connection.transport.hostAddr = IPv4Address("TCP", "192.0.2.7", 4570)
        connection.send(requestBytes("GET", "/_local/state", {"Host": "192.0.2.7:4570"}, b""))
        response = connection.response()
        self.assertEqual(200, response and response.status)

    def test_credentialsAreNotShown(self) -> None:
        """The key of a signature appears neither in the controls nor in the log."""
        fleetIQ = MemoryFleetIQ()
        scope = "Credential=AKIAHIDDEN/20260101/us-east-1/gamelift/aws4_request"
        signed = {
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=hidden",
            "X-Amz-Security-Token": "hidden",
        }
        fleetIQ.request("POST", "/_local/faults", {}, b'{"operation": "*", "kind": "throttle"}')
        with capturedLogs() as events:
            for operation in ("ListGameServerGroups", "NoSuchOperation"):
                fleetIQ.request("POST", "/", {**callHeaders(operation), **signed}, b"{}")
        controls = [fleetIQ.request("GET", f"/_local/{path}").body for path in ("state", "journal")]
        text = f"{controls} {[dict(event) for event in events]}"
        self.assertIn("ListGameServerGroups", text)
        self.assertNotIn("hidden", text.lower())

    def test_missing(self) -> None:
        """The response to an unknown path names the paths that exist."""
        response = self.fleetIQ.request("GET", "/nowhere/at/all")
        self.assertEqual(404, response.status)
        self.assertIn(b"/_local/state", response.body)

    def test_root(self) -> None:
        """The response of the root describes the server in a sentence."""
        response = self.fleetIQ.request("GET", "/?from=browser")
        self.assertEqual(200, response.status)
        self.assertIn(b"A FleetIQ for this machine", response.body)

    def test_formsAreNotParsed(self) -> None:
        """The content types of forms are rejected like any other wrong content type."""
        for contentType in ("application/x-www-form-urlencoded", "multipart/form-data"):
            response = self.fleetIQ.request("POST", "/", {"Content-Type": contentType}, b"a=1")
            self.assertEqual("SerializationException", response.json["__type"])


class BodyTests(SynchronousTestCase):
    """Bodies over 1 MiB."""

    def setUp(self) -> None:
        self.connection = MemoryFleetIQ().connect()

    def head(self, **headers: str) -> bytes:
        return requestBytes("POST", "/", {**callHeaders("ListGameServerGroups"), **headers}, b"")

    def assertTooLarge(self) -> None:
        response = self.connection.response()
        assert response is not None
        self.assertEqual(413, response.status)
        self.assertEqual("RequestEntityTooLargeException", response.json["__type"])
        self.assertEqual("close", response.headers["connection"])

    def test_announced(self) -> None:
        """A Content-Length over the limit is rejected before the body, without a 100 response."""
        size = LONGEST_BODY + 1
        self.connection.send(self.head(**{"Content-Length": str(size), "Expect": "100-continue"}))
        self.assertTooLarge()
        self.connection.send(b"x" * size)
        self.assertFalse(self.connection.transport.connected)

    def test_announcedInCbor(self) -> None:
        """A call in CBOR is rejected in CBOR."""
        headers = {**CBOR_HEADERS, "Content-Length": str(LONGEST_BODY + 1)}
        self.connection.send(requestBytes("POST", rpcPath("ListGameServers"), headers, b""))
        response = self.connection.response()
        assert response is not None
        self.assertEqual(413, response.status)
        shape = "com.amazonaws.gamelift#RequestEntityTooLargeException"
        self.assertEqual(shape, response.cbor["__type"])

    def test_chunked(self) -> None:
        """A body without a length is rejected when it becomes too large."""
        head = self.head(**{"Transfer-Encoding": "chunked"})
        self.connection.send(head.replace(b"Content-Length: 0\r\n", b""))
        for _ in range(16):
            self.connection.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            self.assertIsNone(self.connection.response())
        self.connection.send(b"1\r\nx\r\n")
        self.assertTooLarge()
        self.connection.send(b"0\r\n\r\n")
        self.assertFalse(self.connection.transport.connected)

    def test_endless(self) -> None:
        """If a client continues to send after the rejection, its connection is aborted."""
        self.connection.send(self.head(**{"Content-Length": str(2**40)}))
        for _ in range(17):
            self.connection.send(b"x" * LONGEST_BODY)
        self.assertTrue(self.connection.transport.disconnected)

    def test_largestBody(self) -> None:
        """A body of exactly 1 MiB is accepted."""
        self.connection.send(self.head(**{"Content-Length": str(LONGEST_BODY)}))
        self.connection.send(b"{}" + b" " * (LONGEST_BODY - 2))
        response = self.connection.response()
        self.assertEqual(200, response and response.status)


class KeepAliveTests(SynchronousTestCase):
    """How long a connection stays open that its client keeps open or half-closes."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()
        self.connection = self.fleetIQ.connect()

    def request(self) -> bytes:
        return requestBytes("POST", "/", callHeaders("ListGameServerGroups"), b"{}")

    def assertResponse(self) -> None:
        response = self.connection.response()
        self.assertEqual(200, response and response.status)

    def halfClose(self) -> None:
        self.assertTrue(IHalfCloseableProtocol.providedBy(self.connection.protocol))
        self.connection.protocol.readConnectionLost()

    def makeSlow(self) -> None:
        order = b'{"operation": "*", "kind": "slow", "seconds": 2}'
        self.fleetIQ.request("POST", "/_local/faults", {}, order)

    def test_idleLimit(self) -> None:
        """A connection stays open between two heartbeats, and closes after the idle timeout."""
        for _ in range(3):
            self.connection.send(self.request())
            self.assertResponse()
            self.fleetIQ.clock.advance(61)
            self.assertTrue(self.connection.transport.connected)
        self.fleetIQ.clock.advance(IDLE_SECONDS)
        self.assertFalse(self.connection.transport.connected)
        self.assertEqual([], self.fleetIQ.clock.getDelayedCalls())

    def test_halfClosed(self) -> None:
        """A client that half-closes after its calls receives each response before the close."""
        self.makeSlow()
        self.connection.send(self.request() * 2)
        self.halfClose()
        for _ in range(2):
            self.assertTrue(self.connection.transport.connected)
            self.fleetIQ.clock.advance(2)
            self.assertResponse()
        self.assertFalse(self.connection.transport.connected)

    def test_halfClosedIdle(self) -> None:
        """A half-close without a complete call in progress closes the connection."""
        for sent in (b"", self.request(), self.request()[:-1]):
            self.connection = self.fleetIQ.connect()
            self.connection.send(sent)
            self.halfClose()
            self.assertFalse(self.connection.transport.connected)

    def test_halfClosedDuringCall(self) -> None:
        """An incomplete call behind another one does not keep a half-closed connection open."""
        self.makeSlow()
        self.connection.send(self.request() + self.request()[:-1])
        self.halfClose()
        self.fleetIQ.clock.advance(2)
        self.assertResponse()
        self.assertFalse(self.connection.transport.connected)


class StubbornTransport(StringTransportWithDisconnection):
    """A connection whose peer never closes its side."""

    def loseConnection(self) -> None:
        """Stay open."""

    def abortConnection(self) -> None:
        super().loseConnection()


class ConnectionsTests(SynchronousTestCase):
    """The limit of connections."""

    def test_full(self) -> None:
        """At the limit, the connection that is idle for longest is closed for a new one."""
        fleetIQ = MemoryFleetIQ(maxConnections=2)
        first, second = fleetIQ.connect(), fleetIQ.connect()
        first.send(requestBytes("GET", "/_local/state", {}, b""))
        with capturedLogs() as events:
            third = fleetIQ.connect()
        self.assertEqual([first.closed, second.closed, third.closed], [False, True, False])
        [event] = events
        self.assertIn("HTTP connections are open", event["log_format"])

    def test_longLength(self) -> None:
        """A Content-Length of thousands of digits is too large, and logs no traceback."""
        connection = MemoryFleetIQ().connect()
        with capturedLogs() as events:
            connection.send(requestBytes("POST", "/", {"Content-Length": "9" * 5000}, b""))
        response = connection.response()
        self.assertEqual((413, []), (response and response.status, events))


class StopTests(SynchronousTestCase):
    """Connections that are open when the service stops."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def timers(self) -> Sequence[Any]:
        return self.fleetIQ.clock.getDelayedCalls()

    def test_idleConnections(self) -> None:
        """Stopping closes idle connections at once and leaves no timer."""
        connections = [self.fleetIQ.connect() for _ in range(3)]
        connections[0].disconnect()
        self.successResultOf(self.fleetIQ.service.stopService())
        self.assertEqual([False] * 3, [each.transport.connected for each in connections])
        self.assertEqual([], self.timers())

    def test_stubbornConnection(self) -> None:
        """A connection that does not close is aborted after a second; stopping waits for it."""
        connection = self.fleetIQ.connect()
        connection.transport.__class__ = StubbornTransport
        stopped = self.fleetIQ.service.stopService()
        self.assertNoResult(stopped)
        self.fleetIQ.clock.advance(CLOSING_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual([], self.timers())

    def test_idleCostsNothing(self) -> None:
        """Without connections and game servers no timer runs."""
        self.assertEqual([], self.timers())
