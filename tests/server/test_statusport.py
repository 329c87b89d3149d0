"""The status port: its pages, who has access, and what it never shows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel

from echoserver.clock import WallClock
from echoserver.gamelift.lifecycle import Available, Conflict, Unknown, Utilized, UtilizedExternally
from echoserver.server.status import GameServerStatus
from echoserver.server.statusport import IDLE_SECONDS, StatusPort
from echoserver.webaccess import LONGEST_BODY
from tests.doubles import MemoryEndpoint

HOST = "127.0.0.1:8080"
READY = GameServerStatus(
    port=5000,
    players=0,
    session=0,
    receivedBytes=0,
    refused=0,
    accepting=True,
    draining=False,
    gameServerId="gs-1",
    connectionInfo="localhost:5000",
    known=Available(),
    wanted=Available(),
    lastReport=40.0,
    nextReportDue=98.0,
)


class StatusTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100.0)
        self.statuses = [READY]
        self.since: float | None = None
        self.status = StatusPort(
            self.clock,
            lambda: self.statuses,
            lambda: {"fleet": "local", "group": "group"},
            lambda: self.since,
            WallClock(self.clock, lambda: datetime.fromtimestamp(self.clock.seconds(), UTC)),
        )
        self.endpoint = MemoryEndpoint()
        self.successResultOf(self.status.listen(self.endpoint))

    def send(self, request: bytes) -> tuple[int, bytes]:
        """Return the status and the body of the response to these bytes."""
        factory: Any = self.endpoint.factory
        channel: HTTPChannel = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40_000))
        transport = StringTransport()
        self.addCleanup(channel.connectionLost, Failure(ConnectionDone()))
        channel.makeConnection(transport)
        channel.dataReceived(request)
        self.transport = transport
        head, _, body = transport.value().partition(b"\r\n\r\n")
        self.head = head.decode()
        return int(head.split(b" ")[1]), body

    def get(self, path: str, host: str = HOST, **headers: str) -> tuple[int, str]:
        """Return the status and the body of the response to a GET request."""
        lines = [f"GET {path} HTTP/1.0", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        status, body = self.send("\r\n".join([*lines, "", ""]).encode())
        return status, body.decode()


class ProbeTests(StatusTestCase):
    """/healthz and /readyz."""

    def test_healthz(self) -> None:
        """The response is 200 while the reactor runs, whatever the state of the game servers."""
        self.statuses = []
        self.assertEqual(self.get("/healthz"), (200, "The reactor is running.\n"))
        self.assertIn("Cache-Control: no-store", self.head)

    def test_ready(self) -> None:
        """Every game server is registered; UTILIZED counts, also if set externally."""
        for known in (Available(), Utilized(3), UtilizedExternally(0.0)):
            self.statuses = [READY, _readyBut(known=known)]
            self.assertEqual(self.get("/readyz"), (200, "Every game server is ready.\n"))

    def test_notReady(self) -> None:
        """The response names the first game server that is not ready, and the reason."""
        for members, sentence in (
            ({"draining": True}, "is draining."),
            ({"accepting": False}, "does not accept players."),
            ({"known": None}, "is not registered."),
            ({"known": Unknown(None)}, "is not registered."),
            ({"known": None, "lastError": "No.", "degradedSince": 1.0}, "is not registered: No."),
            ({"known": Conflict(), "lastError": "Long ago."}, "is not registered."),
        ):
            self.statuses = [
                READY,
                _readyBut(port=5001, **members),
                _readyBut(port=5002, known=None),
            ]
            self.assertEqual(
                self.get("/readyz"), (503, f"The game server on port 5001 {sentence}\n")
            )


class StatusTests(StatusTestCase):
    """/status"""

    def test_document(self) -> None:
        """The document describes the process and each of its game servers."""
        self.since = 70.0
        self.statuses = [
            _readyBut(
                known=Utilized(2),
                wanted=None,
                players=3,
                session=2,
                receivedBytes=7,
                refused=3,
                lastError="No.",
                lastErrorTime=71.5,
                degradedSince=70.0,
            )
        ]
        code, body = self.get("/status")
        self.assertEqual(code, 200)
        self.assertIn("Content-Type: application/json", self.head)
        self.assertEqual(
            json.loads(body),
            {
                "fleet": "local",
                "group": "group",
                "degradedSince": "1970-01-01T00:01:10+00:00",
                "gameServers": [
                    {
                        "port": 5000,
                        "gameServerId": "gs-1",
                        "connectionInfo": "localhost:5000",
                        "known": "UTILIZED",
                        "wanted": "ABSENT",
                        "players": 3,
                        "session": 2,
                        "receivedBytes": 7,
                        "refused": 3,
                        "lastHeartbeat": "1970-01-01T00:00:40+00:00",
                        "nextHeartbeat": "1970-01-01T00:01:38+00:00",
                        "lastError": {
                            "time": "1970-01-01T00:01:11+00:00",
                            "sentence": "No.",
                        },
                        "degradedSince": "1970-01-01T00:01:10+00:00",
                        "accepting": True,
                        "draining": False,
                    }
                ],
            },
        )

    def test_beforeRegistration(self) -> None:
        """Before the first call to FleetIQ the state is ABSENT, without an error."""
        self.statuses = [GameServerStatus(5000, 0, 0, 0, 0, accepting=True, draining=False)]
        [server] = json.loads(self.get("/status")[1])["gameServers"]
        self.assertEqual((server["known"], server["lastError"]), ("ABSENT", None))


class MetricsTests(StatusTestCase):
    """/metrics"""

    def test_gameServers(self) -> None:
        """Each game server has its own samples, labeled by its port."""
        self.statuses = [
            _readyBut(players=3, session=2, receivedBytes=7, refused=4, known=Utilized(2)),
            _readyBut(port=5001, lastReport=None, known=None, draining=True, degradedSince=1.0),
        ]
        code, body = self.get("/metrics")
        self.assertEqual(code, 200)
        self.assertIn("Content-Type: text/plain; version=0.0.4", self.head)
        for line in (
            'fleetiq_game_server_players{port="5000"} 3.0',
            'fleetiq_game_server_sessions_total{port="5000"} 2.0',
            'fleetiq_game_server_received_bytes_total{port="5000"} 7.0',
            'fleetiq_game_server_refused_total{port="5000"} 4.0',
            'fleetiq_game_server_heartbeat_age_seconds{port="5000"} 60.0',
            "fleetiq_game_servers_ready 1.0",
            "fleetiq_game_servers_draining 1.0",
            "fleetiq_game_servers_degraded 1.0",
            'fleetiq_game_servers{state="UTILIZED"} 1.0',
            'fleetiq_game_servers{state="ABSENT"} 1.0',
            'fleetiq_game_servers{state="AVAILABLE"} 0.0',
        ):
            self.assertIn(line, body.splitlines())
        self.assertNotIn('age_seconds{port="5001"}', body)

    def test_calls(self) -> None:
        """The histogram of calls has their operation, outcome and duration."""
        self.status.metrics.ended("UpdateGameServer", "ok", 0.02)
        self.status.metrics.ended("UpdateGameServer", "ok", 2.0)
        self.status.metrics.ended("UpdateGameServer", "ThrottlingException", 0.02)
        name, ok = "fleetiq_api_call_seconds", 'operation="UpdateGameServer",outcome="ok"'
        lines = self.get("/metrics")[1].splitlines()
        for line in (
            f"{name}_count{{{ok}}} 2.0",
            f"{name}_sum{{{ok}}} 2.02",
            f'{name}_bucket{{le="0.025",{ok}}} 1.0',
            f'{name}_count{{operation="UpdateGameServer",outcome="ThrottlingException"}} 1.0',
        ):
            self.assertIn(line, lines)


class AccessTests(StatusTestCase):
    """Which requests are accepted."""

    def test_hosts(self) -> None:
        """Host must be localhost or an IP address: another name can be resolved to this machine."""
        for host in (HOST, "localhost", "localhost:8080", "10.0.0.7:8080", "[::1]:8080", ""):
            self.assertEqual(self.get("/healthz", host)[0], 200, host)
        for host in ("evil.example", "localhost.evil.example:8080", "[::1", "127.0.0.1.nip.io"):
            status, body = self.get("/status", host)
            self.assertEqual(status, 403)
            self.assertIn("it must be localhost or an address", body)
            self.assertNotIn("gs-1", body)

    def test_origins(self) -> None:
        """A page of another origin has no access, nor has one without an origin."""
        self.assertEqual(self.get("/status", Origin=f"http://{HOST}")[0], 200)
        for origin in ("http://evil.example", "null", "", "http://127.0.0.1:8081"):
            status, body = self.get("/status", Origin=origin)
            self.assertEqual(status, 403, origin)
            self.assertNotIn("gs-1", body)

    def test_noAccessLog(self) -> None:
        """Requests are not logged: health checks send one every few seconds."""
        factory: Any = self.endpoint.factory
        with capturedLogs() as events:
            factory.doStart()
            self.get("/readyz")
            factory.doStop()
        self.assertEqual(events, [])

    def test_otherPaths(self) -> None:
        """Another path is 404, and the response names the paths that exist."""
        for path in ("/", "/nothing", "/status/more", "/healthz/"):
            status, body = self.get(path)
            self.assertEqual((status, body[:15]), (404, "The paths are /"), path)

    def test_otherMethods(self) -> None:
        """A method other than GET is 405."""
        request = f"POST /status HTTP/1.0\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\nabc"
        self.assertEqual(self.send(request.encode())[0], 405)

    def test_largeBody(self) -> None:
        """A body over 1 MiB is rejected, with or without a Content-Length."""
        head = f"POST /status HTTP/1.1\r\nHost: {HOST}\r\n"
        announced = f"{head}Content-Length: {LONGEST_BODY + 1}\r\n\r\n"
        self.assertEqual(self.send(announced.encode())[0], 413)
        self.assertTrue(self.transport.disconnecting)
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 17
        self.assertEqual(self.send(chunked)[0], 413)
        self.assertTrue(self.transport.disconnecting)

    def test_headAndOptions(self) -> None:
        """HEAD and OPTIONS have the status of GET, no body, and are not logged."""
        self.statuses = [_readyBut(draining=True)]
        for path, expected in (
            ("/healthz", 200),
            ("/readyz", 503),
            ("/status", 200),
            ("/metrics", 200),
            ("/nothing", 404),
        ):
            for method in ("HEAD", "OPTIONS"):
                with capturedLogs() as events:
                    request = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
                    self.assertEqual(self.send(request.encode()), (expected, b""), path)
                self.assertEqual(events, [])
                self.assertEqual(method == "OPTIONS", "Allow: GET, HEAD, OPTIONS" in self.head)
        for path in ("/", "*"):
            self.assertEqual(self.send(f"OPTIONS {path} HTTP/1.0\r\n\r\n".encode()), (200, b""))

    def test_longLength(self) -> None:
        """A Content-Length of thousands of digits is too large, and logs no traceback."""
        for length in ("9" * 19, "9" * 5000):
            request = f"POST /status HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n"
            self.assertEqual(self.send(request.encode())[0], 413)
        bad = f"POST /status HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {'-' * 5000}\r\n\r\n"
        self.assertEqual(self.send(bad.encode())[0], 400)

    def test_stop(self) -> None:
        """After a stop the port is closed."""
        self.assertTrue(self.endpoint.listening)
        self.successResultOf(self.status.stop())
        self.assertFalse(self.endpoint.listening)


def aborted(transport: Any) -> bool:
    """Return whether the connection was aborted."""
    return bool(transport.disconnecting)


class ConnectionsTests(StatusTestCase):
    """How many connections there are, and for how long."""

    def connect(self) -> tuple[Any, StringTransport]:
        factory: Any = self.endpoint.factory
        channel = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40_000))
        transport = StringTransport()
        channel.makeConnection(transport)
        self.addCleanup(channel.connectionLost, Failure(ConnectionDone()))
        return channel, transport

    def test_full(self) -> None:
        """The connection whose last request is longest ago is closed for a new one."""
        factory: Any = self.endpoint.factory
        made = [self.connect() for _ in range(factory.maxConnections)]
        made[0][0].dataReceived(f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        with capturedLogs() as events:
            self.connect()
            self.connect()
        self.assertEqual(
            [aborted(transport) for _, transport in made[:4]], [False, True, True, False]
        )
        self.assertEqual(len(factory.channels), factory.maxConnections)
        [event] = events
        self.assertIn("HTTP connections are open", event["log_format"])

    def test_busy(self) -> None:
        """If every connection is busy, a new one is refused."""
        factory: Any = self.endpoint.factory
        for _ in range(factory.maxConnections):
            self.connect()[0].timeOut = None
        _, transport = self.connect()
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 503 "))
        self.assertTrue(transport.disconnecting)

    def test_slowRequest(self) -> None:
        """A request that has not arrived in time is aborted, although its bytes keep coming."""
        factory: Any = self.endpoint.factory
        channel, transport = self.connect()
        for _ in range(int(factory.requestSeconds)):
            self.assertFalse(aborted(transport))
            channel.dataReceived(b"X")
            self.clock.advance(1.0)
        self.assertTrue(aborted(transport))

    def test_idle(self) -> None:
        """An idle connection is closed after a minute."""
        channel, transport = self.connect()
        channel.dataReceived(f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        self.clock.advance(IDLE_SECONDS - 1.0)
        self.assertEqual((aborted(transport), transport.disconnecting), (False, False))
        self.clock.advance(1.0)
        self.assertTrue(transport.disconnecting)


def _readyBut(**members: Any) -> GameServerStatus:
    """Return the status of a game server that is ready except for these members."""
    return replace(READY, **members)
