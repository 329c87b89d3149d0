"""The control of the local clock, and all that lives by it."""

from typing import Any

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.clockcontrol import LONGEST_ADVANCE
from echoserver.local.values import instanceIdOf
from tests.groupcontract import NEW_GROUP
from tests.local.inmemory import MemoryFleetIQ, callHeaders

START = 1_700_000_000.0
ONE = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
INSTANCE = instanceIdOf("local", 0)
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


class ClockControlTests(SynchronousTestCase):
    """A whole local FleetIQ in memory, whose clock is moved."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def move(self, **move: float) -> Any:
        response = self.fleetIQ.tell("clock", move)
        self.assertEqual(200, response.status, response.body)
        return response.json

    def register(self) -> None:
        self.fleetIQ.call("RegisterGameServer", InstanceId=INSTANCE, **ONE)

    def server(self) -> Any:
        return self.fleetIQ.call("DescribeGameServer", **ONE).json["GameServer"]

    def test_advance(self) -> None:
        """An advance is now for the state, and ends what is due by then, without a call."""
        self.register()
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        with capturedLogs() as events:
            self.assertEqual({"now": START + 60, "timeScale": 1.0}, self.move(advance=60))
        self.assertEqual(
            [
                "the local clock is moved 60 s ahead",
                "srv-1 claim expired: not UTILIZED within 60 s, free again",
            ],
            [formatEvent(event) for event in events],
        )
        self.assertEqual(START + 60, self.fleetIQ.state()["now"])
        self.assertNotIn("ClaimStatus", self.server())

    def test_scale(self) -> None:
        """At a scale all goes faster: claims, health, groups and metadata tokens."""
        self.register()
        self.assertEqual({"now": START, "timeScale": 60.0}, self.move(scale=60))
        token = self.fleetIQ.ask("PUT", "/latest/api/token", {TTL: "60"}).body.decode()
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        self.fleetIQ.call("CreateGameServerGroup", **NEW_GROUP)
        self.fleetIQ.clock.advance(0.5)
        self.assertEqual("CLAIMED", self.server()["ClaimStatus"])
        response = self.fleetIQ.ask("GET", "/latest/meta-data/instance-id", {TOKEN: token})
        self.assertEqual("30", response.headers[TTL.lower()])
        self.fleetIQ.clock.advance(0.5)
        self.assertNotIn("ClaimStatus", self.server())
        response = self.fleetIQ.ask("GET", "/latest/meta-data/instance-id", {TOKEN: token})
        self.assertEqual(401, response.status)
        self.assertEqual("ACTIVE", self.fleetIQ.state()["groups"][1]["Status"])
        self.fleetIQ.clock.advance(2.1)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_bothAtOnce(self) -> None:
        """One order may move the clock and give it a scale."""
        self.assertEqual({"now": START + 5, "timeScale": 0.5}, self.move(advance=5, scale=0.5))
        self.fleetIQ.clock.advance(2)
        self.assertEqual(START + 6, self.fleetIQ.state()["now"])

    def test_lastYear(self) -> None:
        """Where dates end the clock goes no further, and is as it was."""
        response = self.fleetIQ.tell("clock", {"advance": LONGEST_ADVANCE})
        while response.status == 200:
            before = response.json["now"]
            response = self.fleetIQ.tell("clock", {"advance": LONGEST_ADVANCE})
        self.assertEqual(400, response.status)
        self.assertIn("no further than the year 9000", response.json["error"])
        self.assertEqual(before, self.fleetIQ.state()["now"])
        self.assertEqual(200, self.fleetIQ.ask("GET", "/latest/meta-data/").status)

    def test_dates(self) -> None:
        """Each reply has the local clock's date: API, metadata, controls, refusals."""
        self.move(advance=86400)
        date = "wed, 15 nov 2023 22:13:20 gmt"
        for method, path, headers in (
            ("GET", "/latest/meta-data/", {}),
            ("GET", "/latest/meta-data/nothing", {}),
            ("POST", "/", callHeaders("ListGameServerGroups")),
            ("GET", "/_local/state", {}),
            ("GET", "/", {"Host": "evil.example"}),
            ("PUT", "/", {}),
            ("POST", "/", {"Content-Length": "9999999"}),
        ):
            response = self.fleetIQ.ask(method, path, headers)
            self.assertEqual(date, response.headers["date"], path)

    def test_slowFaultsAreReal(self) -> None:
        """An ordered wait is in real seconds, at whatever scale."""
        self.move(scale=60)
        self.fleetIQ.tell("faults", {"operation": "*", "kind": "slow", "seconds": 2})
        connection = self.fleetIQ.connect()
        connection.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n")
        for name, value in callHeaders("ListGameServerGroups").items():
            connection.send(f"{name}: {value}\r\n".encode())
        connection.send(b"\r\n{}")
        self.fleetIQ.clock.advance(1.9)
        self.assertIsNone(connection.response())
        self.fleetIQ.clock.advance(0.1)
        self.assertIsNotNone(connection.response())

    def test_wrongMoves(self) -> None:
        """What is no move is refused in a sentence, and moves nothing."""
        for move, sentence in (
            ({"advance": -1}, "advance is -1: it must be a number above 0, at most 31622400."),
            ({"scale": 0}, "scale is 0: it must be a number above 0, at most 3600."),
            ({"scale": 3601, "advance": 1}, "scale is 3601"),
            ({"scale": True}, "scale is true"),
            ({"scale": float("nan")}, "NaN is not JSON"),
            ({"advance": float("inf")}, "Infinity is not JSON"),
            ({}, "A move of the clock needs advance, the seconds that pass at once, or scale"),
            ({"speed": 2}, "'speed' is not a field of a move of the clock"),
            ([], "The body must be a JSON object."),
        ):
            response = self.fleetIQ.tell("clock", move)
            self.assertEqual(400, response.status)
            self.assertIn(sentence, response.json["error"])
        state = self.fleetIQ.state()
        self.assertEqual((START, 1.0), (state["now"], state["timeScale"]))

    def heartbeat(self) -> None:
        self.fleetIQ.call("UpdateGameServer", HealthCheck="HEALTHY", **ONE)

    def scaleLog(self, scale: float) -> tuple[Any, str]:
        with capturedLogs() as events:
            self.move(scale=scale)
        return events[0]["log_level"], formatEvent(events[0])

    def test_outrunHeartbeats(self) -> None:
        """A scale at which the heartbeats seen come too late is a warning, another is not."""
        told = "the local clock now runs 60 s in a second: 3 s without a health report, and a game "
        self.assertEqual((LogLevel.info, told + "server is dropped"), self.scaleLog(60))
        self.scaleLog(2)
        self.register()
        self.fleetIQ.clock.advance(50)
        self.heartbeat()
        # The silence that a move makes is no game server's.
        self.move(advance=170)
        self.heartbeat()
        self.assertEqual(LogLevel.info, self.scaleLog(3.6)[0])
        level, told = self.scaleLog(4)
        self.assertEqual(LogLevel.warn, level)
        self.assertIn(": 45 s without a health report", told)
        self.assertTrue(told.endswith("; up to 50 s were seen between two"))

    def test_resetForgetsHeartbeats(self) -> None:
        """After a reset nothing was seen that a scale could outrun."""
        self.register()
        self.fleetIQ.clock.advance(50)
        self.heartbeat()
        self.assertEqual(LogLevel.warn, self.scaleLog(4)[0])
        self.fleetIQ.ask("POST", "/_local/reset")
        self.assertEqual(LogLevel.info, self.scaleLog(4)[0])

    def test_scaleFromTheStart(self) -> None:
        """The clock may run fast from the start."""
        fleetIQ = MemoryFleetIQ(timeScale=10)
        fleetIQ.clock.advance(3)
        state = fleetIQ.state()
        self.assertEqual((START + 30, 10.0), (state["now"], state["timeScale"]))
