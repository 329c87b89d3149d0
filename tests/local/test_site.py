"""The HTTP front: who is let in, how much is read, how it stops."""

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


class GuardTests(SynchronousTestCase):
    """What a browser's page of another site may do: nothing."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def status(self, method: str, path: str, **headers: str) -> int:
        return self.fleetIQ.ask(method, path, headers).status

    def test_foreignOrigin(self) -> None:
        """Another origin is refused everywhere, whatever the host."""
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
        """A stranger's name that leads to this machine is no origin of ours."""
        headers = {"Origin": "http://evil.example:4570", "Host": "evil.example:4570"}
        for method, path in PATHS:
            self.assertEqual(403, self.status(method, path, **headers), path)

    def test_ownOrigin(self) -> None:
        """The page that this port serves is let in."""
        for host in ("127.0.0.1:4570", "localhost:4570", "[::1]:4570"):
            headers = {"Origin": f"http://{host}", "Host": host}
            self.assertEqual(200, self.status("GET", "/_local/state", **headers), host)

    def test_foreignHost(self) -> None:
        """Page and controls want this machine's names; API and metadata take any."""
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
        """What only looks like a path of the API is for this machine's names."""
        path = rpcPath("ListGameServerGroups")
        for method, wrong in (("GET", path), ("DELETE", path), ("POST", path + "/"), *PATHS[-2:]):
            headers = {"Host": "evil.example", **CBOR_HEADERS}
            self.assertEqual(403, self.status(method, wrong, **headers), (method, wrong))

    def test_listeningAddress(self) -> None:
        """The address that a connection came to is this machine's as well."""
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
        fleetIQ.ask("POST", "/_local/faults", {}, b'{"operation": "*", "kind": "throttle"}')
        with capturedLogs() as events:
            for operation in ("ListGameServerGroups", "NoSuchOperation"):
                fleetIQ.ask("POST", "/", {**callHeaders(operation), **signed}, b"{}")
        controls = [fleetIQ.ask("GET", f"/_local/{path}").body for path in ("state", "journal")]
        shown = f"{controls} {[dict(event) for event in events]}"
        self.assertIn("ListGameServerGroups", shown)
        self.assertNotIn("hidden", shown.lower())

    def test_nothingHere(self) -> None:
        """A path that leads nowhere says where something is."""
        response = self.fleetIQ.ask("GET", "/nowhere/at/all")
        self.assertEqual(404, response.status)
        self.assertIn(b"/_local/state", response.body)

    def test_root(self) -> None:
        """The root says in a sentence what this is."""
        response = self.fleetIQ.ask("GET", "/?from=browser")
        self.assertEqual(200, response.status)
        self.assertIn(b"A FleetIQ for this machine", response.body)

    def test_formsAreNotParsed(self) -> None:
        """A form, or what says it is one, is as wrong as any other content type."""
        for contentType in ("application/x-www-form-urlencoded", "multipart/form-data"):
            response = self.fleetIQ.ask("POST", "/", {"Content-Type": contentType}, b"a=1")
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
        """A length that is too large is refused before a byte of the body, and no 100 is sent."""
        size = LONGEST_BODY + 1
        self.connection.send(self.head(**{"Content-Length": str(size), "Expect": "100-continue"}))
        self.assertTooLarge()
        self.connection.send(b"x" * size)
        self.assertFalse(self.connection.transport.connected)

    def test_announcedInCbor(self) -> None:
        """A call in CBOR is refused in CBOR, even this early."""
        headers = {**CBOR_HEADERS, "Content-Length": str(LONGEST_BODY + 1)}
        self.connection.send(requestBytes("POST", rpcPath("ListGameServers"), headers, b""))
        response = self.connection.response()
        assert response is not None
        self.assertEqual(413, response.status)
        shape = "com.amazonaws.gamelift#RequestEntityTooLargeException"
        self.assertEqual(shape, response.cbor["__type"])

    def test_chunked(self) -> None:
        """A body without a length is refused when it has become too large, and not kept."""
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
        """Who goes on sending after the refusal is cut off."""
        self.connection.send(self.head(**{"Content-Length": str(2**40)}))
        for _ in range(17):
            self.connection.send(b"x" * LONGEST_BODY)
        self.assertTrue(self.connection.transport.disconnected)

    def test_largestBody(self) -> None:
        """A body of exactly 1 MiB is read."""
        self.connection.send(self.head(**{"Content-Length": str(LONGEST_BODY)}))
        self.connection.send(b"{}" + b" " * (LONGEST_BODY - 2))
        response = self.connection.response()
        self.assertEqual(200, response and response.status)


class KeepingTests(SynchronousTestCase):
    """How long a connection is kept that its client does not close, or closes on its side."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()
        self.connection = self.fleetIQ.connect()

    def request(self) -> bytes:
        return requestBytes("POST", "/", callHeaders("ListGameServerGroups"), b"{}")

    def assertAnswered(self) -> None:
        response = self.connection.response()
        self.assertEqual(200, response and response.status)

    def halfClose(self) -> None:
        self.assertTrue(IHalfCloseableProtocol.providedBy(self.connection.protocol))
        self.connection.protocol.readConnectionLost()

    def makeSlow(self) -> None:
        order = b'{"operation": "*", "kind": "slow", "seconds": 2}'
        self.fleetIQ.ask("POST", "/_local/faults", {}, order)

    def test_idleLimit(self) -> None:
        """A kept connection outlives the minute between two heartbeats, and ends some time."""
        for _ in range(3):
            self.connection.send(self.request())
            self.assertAnswered()
            self.fleetIQ.clock.advance(61)
            self.assertTrue(self.connection.transport.connected)
        self.fleetIQ.clock.advance(IDLE_SECONDS)
        self.assertFalse(self.connection.transport.connected)
        self.assertEqual([], self.fleetIQ.clock.getDelayedCalls())

    def test_halfClosed(self) -> None:
        """Who closes its side after its calls is answered each, and the connection ends then."""
        self.makeSlow()
        self.connection.send(self.request() * 2)
        self.halfClose()
        for _ in range(2):
            self.assertTrue(self.connection.transport.connected)
            self.fleetIQ.clock.advance(2)
            self.assertAnswered()
        self.assertFalse(self.connection.transport.connected)

    def test_halfClosedIdle(self) -> None:
        """Who closes its side when nothing is under way, or half a call, gets nothing more."""
        for sent in (b"", self.request(), self.request()[:-1]):
            self.connection = self.fleetIQ.connect()
            self.connection.send(sent)
            self.halfClose()
            self.assertFalse(self.connection.transport.connected)

    def test_halfClosedMeanwhile(self) -> None:
        """What was begun behind a call that is answered will never be whole: the end as well."""
        self.makeSlow()
        self.connection.send(self.request() + self.request()[:-1])
        self.halfClose()
        self.fleetIQ.clock.advance(2)
        self.assertAnswered()
        self.assertFalse(self.connection.transport.connected)


class StubbornTransport(StringTransportWithDisconnection):
    """A connection whose peer does not let it close."""

    def loseConnection(self) -> None:
        """Asked, but not done."""

    def abortConnection(self) -> None:
        super().loseConnection()


class StoppingTests(SynchronousTestCase):
    """Connections that clients keep open."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def timers(self) -> Sequence[Any]:
        return self.fleetIQ.clock.getDelayedCalls()

    def test_idleConnectionsEnd(self) -> None:
        """Stopping closes kept connections at once and leaves no timer."""
        connections = [self.fleetIQ.connect() for _ in range(3)]
        connections[0].hangUp()
        self.successResultOf(self.fleetIQ.service.stopService())
        self.assertEqual([False] * 3, [each.transport.connected for each in connections])
        self.assertEqual([], self.timers())

    def test_stubbornConnection(self) -> None:
        """A connection that does not close is cut after a second, and stopping waits for it."""
        connection = self.fleetIQ.connect()
        connection.transport.__class__ = StubbornTransport
        stopped = self.fleetIQ.service.stopService()
        self.assertNoResult(stopped)
        self.fleetIQ.clock.advance(CLOSING_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual([], self.timers())

    def test_idleCostsNothing(self) -> None:
        """Nobody connected and nothing registered: no timer runs."""
        self.assertEqual([], self.timers())
