"""The controls: state, faults, clock, interruptions and reset."""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.controls import LONGEST_ADVANCE
from echoserver.local.model.values import instanceIdOf
from tests.groupcontract import NEW_GROUP
from tests.local.inmemory import MemoryFleetIQ, Response, callHeaders, requestBytes

SLOW = {"operation": "*", "kind": "slow", "seconds": 2}


class ControlTests(SynchronousTestCase):
    """The state and the faults of a complete local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ(groups=("a", "b"), instances=1)

    def fault(self, order: Any) -> Response:
        return self.fleetIQ.request("POST", "/_local/faults", {}, json.dumps(order).encode())

    def faults(self) -> list[Any]:
        faults: list[Any] = self.fleetIQ.state()["faults"]
        return faults

    def test_state(self) -> None:
        """The state has everything, serialized as in the API."""
        self.fleetIQ.call(
            "RegisterGameServer",
            GameServerGroupName="b",
            GameServerId="srv-1",
            InstanceId=instanceIdOf("b", 0),
        )
        state = self.fleetIQ.state()
        self.assertEqual((1_700_000_000.0, 1.0), (state["now"], state["timeScale"]))
        self.assertEqual(["a", "b"], [each["GameServerGroupName"] for each in state["groups"]])
        self.assertEqual(
            [("a", instanceIdOf("a", 0), "ACTIVE"), ("b", instanceIdOf("b", 0), "ACTIVE")],
            [
                (each["GameServerGroupName"], each["InstanceId"], each["InstanceStatus"])
                for each in state["instances"]
            ],
        )
        listed = self.fleetIQ.call("ListGameServers", GameServerGroupName="b").json
        self.assertEqual(listed["GameServers"], state["gameServers"])
        self.assertEqual({"RegisterGameServer": 1}, state["calls"])

    def test_stateIsCurrent(self) -> None:
        """The state is that of the request's time, not of the last call."""
        self.fleetIQ.call(
            "RegisterGameServer",
            GameServerGroupName="b",
            GameServerId="srv-1",
            InstanceId=instanceIdOf("b", 0),
        )
        self.fleetIQ.clock.advance(180.5)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_addAndEnd(self) -> None:
        """A fault is added, listed with its defaults, and ended by its id."""
        faultId = self.fault(SLOW).json["id"]
        listed = {**SLOW, "id": faultId, "code": None, "probability": 1.0, "count": None}
        self.assertEqual([listed], self.faults())
        self.fault(SLOW)
        response = self.fleetIQ.request("DELETE", f"/_local/faults/{faultId}")
        self.assertEqual((200, {}), (response.status, response.json))
        self.assertEqual(1, len(self.faults()))
        self.assertEqual(200, self.fleetIQ.request("DELETE", "/_local/faults").status)
        self.assertEqual([], self.faults())

    def test_unknownFault(self) -> None:
        """An unknown id is 404, and the error lists the ids in force."""
        faultId = self.fault(SLOW).json["id"]
        response = self.fleetIQ.request("DELETE", "/_local/faults/no-such")
        self.assertEqual(404, response.status)
        self.assertIn("There is no fault 'no-such'", response.json["error"])
        self.assertIn(faultId, response.json["error"])

    def test_wrongFaults(self) -> None:
        """A wrong fault is 400 with a sentence, and is not added."""
        faults: tuple[Any, ...] = ({}, [], "slow", {**SLOW, "kind": "explode"})
        for fault in faults:
            response = self.fault(fault)
            self.assertEqual(400, response.status)
            self.assertTrue(response.json["error"].endswith("."))
        response = self.fleetIQ.request("POST", "/_local/faults", {}, b"garbage")
        self.assertEqual(400, response.status)
        self.assertEqual([], self.faults())

    def test_otherRequests(self) -> None:
        """Other paths are 404, other methods 405."""
        for path in ("/_local", "/_local/", "/_local/nothing"):
            self.assertEqual(404, self.fleetIQ.request("GET", path).status, path)
        for method, path in (
            ("DELETE", "/_local/state"),
            ("GET", "/_local/faults"),
            ("HEAD", "/_local/faults"),
            ("POST", "/_local/faults/fault-1"),
        ):
            response = self.fleetIQ.request(method, path)
            self.assertEqual(405, response.status, path)
        self.assertEqual(b"The methods of this path are DELETE.\n", response.body)


START = 1_700_000_000.0
ONE = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
INSTANCE = instanceIdOf("local", 0)
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


class ClockControlTests(SynchronousTestCase):
    """The clock of a complete local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def move(self, **move: float) -> Any:
        response = self.fleetIQ.control("clock", move)
        self.assertEqual(200, response.status, response.body)
        return response.json

    def register(self) -> None:
        self.fleetIQ.call("RegisterGameServer", InstanceId=INSTANCE, **ONE)

    def server(self) -> Any:
        return self.fleetIQ.call("DescribeGameServer", **ONE).json["GameServer"]

    def test_advance(self) -> None:
        """An advance takes effect at once: what is due by then expires without a call."""
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
        """With a scale, claims, health, groups and metadata tokens expire faster."""
        self.register()
        self.assertEqual({"now": START, "timeScale": 60.0}, self.move(scale=60))
        token = self.fleetIQ.request("PUT", "/latest/api/token", {TTL: "60"}).body.decode()
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        self.fleetIQ.call("CreateGameServerGroup", **NEW_GROUP)
        self.fleetIQ.clock.advance(0.5)
        self.assertEqual("CLAIMED", self.server()["ClaimStatus"])
        response = self.fleetIQ.request("GET", "/latest/meta-data/instance-id", {TOKEN: token})
        self.assertEqual("30", response.headers[TTL.lower()])
        self.fleetIQ.clock.advance(0.5)
        self.assertNotIn("ClaimStatus", self.server())
        response = self.fleetIQ.request("GET", "/latest/meta-data/instance-id", {TOKEN: token})
        self.assertEqual(401, response.status)
        self.assertEqual("ACTIVE", self.fleetIQ.state()["groups"][1]["Status"])
        self.fleetIQ.clock.advance(2.1)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_bothAtOnce(self) -> None:
        """One request may advance the clock and change its scale."""
        self.assertEqual({"now": START + 5, "timeScale": 0.5}, self.move(advance=5, scale=0.5))
        self.fleetIQ.clock.advance(2)
        self.assertEqual(START + 6, self.fleetIQ.state()["now"])

    def test_lastYear(self) -> None:
        """An advance beyond the last year is an error, and changes nothing."""
        response = self.fleetIQ.control("clock", {"advance": LONGEST_ADVANCE})
        while response.status == 200:
            before = response.json["now"]
            response = self.fleetIQ.control("clock", {"advance": LONGEST_ADVANCE})
        self.assertEqual(400, response.status)
        self.assertIn("cannot pass the year 9000", response.json["error"])
        self.assertEqual(before, self.fleetIQ.state()["now"])
        self.assertEqual(200, self.fleetIQ.request("GET", "/latest/meta-data/").status)

    def test_dates(self) -> None:
        """Each response has the local clock's date: API, metadata, controls and errors."""
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
            response = self.fleetIQ.request(method, path, headers)
            self.assertEqual(date, response.headers["date"], path)

    def test_slowFaultsAreReal(self) -> None:
        """The delay of a slow fault is in real seconds, at any scale."""
        self.move(scale=60)
        self.fleetIQ.control("faults", {"operation": "*", "kind": "slow", "seconds": 2})
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
        """A wrong request is an error with a sentence, and changes nothing."""
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
            response = self.fleetIQ.control("clock", move)
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

    def test_heartbeatsTooSlow(self) -> None:
        """A scale is logged as a warning if the heartbeats seen are too slow for it."""
        line = "the local clock now runs 60 s in a second: 3 s without a health report, and a game "
        self.assertEqual((LogLevel.info, line + "server is dropped"), self.scaleLog(60))
        self.scaleLog(2)
        self.register()
        self.fleetIQ.clock.advance(50)
        self.heartbeat()
        # An advance of the clock is not counted as time between heartbeats.
        self.move(advance=170)
        self.heartbeat()
        self.assertEqual(LogLevel.info, self.scaleLog(3.6)[0])
        level, line = self.scaleLog(4)
        self.assertEqual(LogLevel.warn, level)
        self.assertIn(": 45 s without a health report", line)
        self.assertTrue(line.endswith("; up to 50 s were seen between two"))

    def test_resetForgetsHeartbeats(self) -> None:
        """A reset forgets the heartbeats seen."""
        self.register()
        self.fleetIQ.clock.advance(50)
        self.heartbeat()
        self.assertEqual(LogLevel.warn, self.scaleLog(4)[0])
        self.fleetIQ.request("POST", "/_local/reset")
        self.assertEqual(LogLevel.info, self.scaleLog(4)[0])

    def test_scaleFromTheStart(self) -> None:
        """The clock may have a scale from the start."""
        fleetIQ = MemoryFleetIQ(timeScale=10)
        fleetIQ.clock.advance(3)
        state = fleetIQ.state()
        self.assertEqual((START + 30, 10.0), (state["now"], state["timeScale"]))


FIRST, SECOND = (instanceIdOf("local", index) for index in range(2))
GROUP = {"GameServerGroupName": "local"}


class MetadataControlTests(SynchronousTestCase):
    """The control for values of metadata, and the list of groups."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ(seed=1)

    def value(self, instanceId: str, path: str) -> bytes | None:
        response = self.fleetIQ.request("GET", f"/instances/{instanceId}/latest/{path}")
        return response.body if response.status == 200 else None

    def test_oneInstance(self) -> None:
        """A value of one instance is not that of another, and a reset removes it."""
        order = {"InstanceId": SECOND, "values": {"tags/instance/Name": "one"}, "userData": "섬"}
        self.assertEqual({}, self.fleetIQ.control("metadata", order).json)
        for path, expected in (
            ("meta-data/tags/instance/Name", b"one"),
            ("user-data", "섬".encode()),
        ):
            self.assertEqual(expected, self.value(SECOND, path))
            self.assertIsNone(self.value(FIRST, path))
        self.fleetIQ.control("reset", {})
        self.assertIsNone(self.value(SECOND, "user-data"))

    def test_allInstances(self) -> None:
        """Without InstanceId the values are those of all instances; null removes one."""
        self.fleetIQ.control("metadata", {"values": {"public-ipv4": None, "ami-id": "ami-1"}})
        for instanceId in (FIRST, SECOND):
            self.assertIsNone(self.value(instanceId, "meta-data/public-ipv4"))
            self.assertEqual(b"ami-1", self.value(instanceId, "meta-data/ami-id"))

    def test_wrong(self) -> None:
        """A wrong order has a status and a sentence."""
        for body, status, sentence in (
            ({"InstanceId": "i-0", "values": {"a": "b"}}, 404, "There is no instance 'i-0'."),
            ({"values": {"a/": "b"}}, 400, "'a/' is not a path of metadata"),
            ([], 400, ""),
        ):
            response = self.fleetIQ.control("metadata", body)
            self.assertEqual(status, response.status)
            self.assertIn(sentence, response.json["error"])

    def test_groups(self) -> None:
        """The groups are listed with their statuses, also while all calls fail."""
        self.fleetIQ.control("faults", {"operation": "*", "kind": "drop"})
        [group] = self.fleetIQ.request("GET", "/_local/groups").json["groups"]
        self.assertEqual(("local", "ACTIVE"), (group["GameServerGroupName"], group["Status"]))
        state = self.fleetIQ.state()
        self.assertEqual(({}, 1), (state["calls"], len(state["faults"])))


class InterruptControlTests(SynchronousTestCase):
    """Interruptions of two instances with a game server each."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()
        self.register("srv-1", FIRST)
        self.register("srv-2", SECOND)

    def register(self, gameServerId: str, instanceId: str) -> Response:
        return self.fleetIQ.call(
            "RegisterGameServer", GameServerId=gameServerId, InstanceId=instanceId, **GROUP
        )

    def interrupt(self, instanceId: Any = FIRST, **more: Any) -> Response:
        return self.fleetIQ.control("interrupt", {"InstanceId": instanceId, **more})

    def claim(self, **more: Any) -> Any:
        response = self.fleetIQ.call("ClaimGameServer", **GROUP, **more).json
        return response["GameServer"]["GameServerId"] if "GameServer" in response else response

    def statuses(self) -> dict[str, str]:
        reply = self.fleetIQ.call("DescribeGameServerInstances", **GROUP).json
        return {each["InstanceId"]: each["InstanceStatus"] for each in reply["GameServerInstances"]}

    def servers(self) -> list[str]:
        reply = self.fleetIQ.call("ListGameServers", **GROUP).json
        return [each["GameServerId"] for each in reply["GameServers"]]

    def test_spot(self) -> None:
        """Spot is the default: no claims or registrations, and the instance ends after 120 s."""
        notice = f"{FIRST} has a spot interruption notice"
        with capturedLogs() as events:
            response = self.interrupt()
            self.assertEqual(
                {
                    "InstanceId": FIRST,
                    "InstanceStatus": "SPOT_TERMINATING",
                    "kind": "spot",
                    "end": START + 120,
                },
                response.json,
            )
            self.assertEqual({FIRST: "SPOT_TERMINATING", SECOND: "ACTIVE"}, self.statuses())
            self.assertEqual("srv-2", self.claim())
            self.assertEqual("OutOfCapacityException", self.claim()["__type"])
            rejected = self.register("srv-3", FIRST)
            self.assertEqual("ConflictException", rejected.json["__type"])
            self.assertIn("is about to be terminated", rejected.json["Message"])
            self.fleetIQ.clock.advance(59)
            self.fleetIQ.clock.advance(61)
        self.assertEqual(
            [
                f"{notice}: it is SPOT_TERMINATING, and ends in 120 s",
                "srv-2 CLAIMED for 60 s",
                "srv-2 claim expired: not UTILIZED within 60 s, free again",
                "srv-1 dropped: its instance was terminated (spot interruption)",
                f"{FIRST} was terminated (spot interruption)",
            ],
            [formatEvent(event) for event in events],
        )
        self.assertEqual({SECOND: "ACTIVE"}, self.statuses())
        self.assertEqual(["srv-2"], self.servers())
        self.assertEqual("InvalidRequestException", self.register("srv-1", FIRST).json["__type"])

    def test_autoscaling(self) -> None:
        """An instance that Auto Scaling ends is DRAINING, and ends also with a session on it."""
        one = {"GameServerId": "srv-1", **GROUP}
        self.fleetIQ.call("UpdateGameServer", UtilizationStatus="UTILIZED", **one)
        self.assertEqual(START + 30, self.interrupt(kind="autoscaling", seconds=30).json["end"])
        self.assertEqual({FIRST: "DRAINING", SECOND: "ACTIVE"}, self.statuses())
        self.fleetIQ.clock.advance(29)
        self.assertEqual(["srv-1", "srv-2"], self.servers())
        with capturedLogs() as events:
            self.fleetIQ.clock.advance(1)
        self.assertEqual(f"{FIRST} was terminated (Auto Scaling)", formatEvent(events[-1]))
        self.assertEqual(["srv-2"], self.servers())

    def test_endsOnTime(self) -> None:
        """An instance ends on time without a call."""
        self.interrupt(seconds=5)
        with capturedLogs() as events:
            self.fleetIQ.clock.advance(5)
        self.assertEqual(2, len(events))

    def test_draining(self) -> None:
        """A DRAINING instance is claimed last, or not at all with a filter, and never ends."""
        self.assertIsNone(self.interrupt(kind="draining").json["end"])
        self.fleetIQ.clock.advance(100)
        self.assertEqual("srv-2", self.claim())
        only = {"FilterOption": {"InstanceStatuses": ["ACTIVE"]}}
        self.assertEqual("OutOfCapacityException", self.claim(**only)["__type"])
        self.assertEqual("srv-1", self.claim())
        self.assertEqual(200, self.register("srv-3", FIRST).status)
        self.fleetIQ.clock.advance(86400)
        self.assertEqual({FIRST: "DRAINING", SECOND: "ACTIVE"}, self.statuses())

    def test_rebalance(self) -> None:
        """A rebalance recommendation changes nothing in FleetIQ."""
        self.assertEqual("ACTIVE", self.interrupt(kind="rebalance").json["InstanceStatus"])
        self.assertEqual("srv-1", self.claim(GameServerId="srv-1"))

    def test_oneAfterTheOther(self) -> None:
        """Notices without an end may precede one with an end."""
        self.interrupt(kind="rebalance")
        self.interrupt(kind="draining")
        response = self.interrupt(kind="spot")
        self.assertEqual("SPOT_TERMINATING", response.json["InstanceStatus"])

    def test_errors(self) -> None:
        """A wrong interruption is an error with a sentence, and changes nothing."""
        self.interrupt(SECOND, kind="spot")
        self.fleetIQ.clock.advance(20)
        self.interrupt(kind="draining")
        ends = f"Instance {SECOND} already ends in 100 s: it cannot be interrupted."
        for order, status, sentence in (
            ({"InstanceId": SECOND}, 409, ends),
            ({"InstanceId": SECOND, "kind": "rebalance"}, 409, ends),
            (
                {"InstanceId": FIRST, "kind": "draining"},
                409,
                f"Instance {FIRST} already is drained by FleetIQ.",
            ),
            (
                {"InstanceId": "i-0"},
                404,
                f"does not run in a game server group. This FleetIQ has {FIRST}, {SECOND}.",
            ),
            ({}, 404, "Instance '' does not run"),
            (
                {"InstanceId": FIRST, "kind": "flood"},
                400,
                (
                    "kind is 'flood': it must be one of spot, rebalance, autoscaling, draining, "
                    "instance-stop, instance-retirement, instance-reboot, system-reboot, "
                    "system-maintenance."
                ),
            ),
            ({"InstanceId": [FIRST]}, 400, "InstanceId is a list: it must be a string."),
            ({"InstanceId": FIRST, "kind": {}}, 400, "kind is an object"),
            (
                {"InstanceId": FIRST, "kind": "rebalance", "seconds": 9},
                400,
                "seconds is 9.0: rebalance does not end the instance, so omit seconds.",
            ),
            ({"InstanceId": FIRST, "seconds": -1}, 400, "seconds is -1: it must be a number"),
            ({"instance": FIRST}, 400, "'instance' is not a field of an interruption"),
        ):
            response = self.fleetIQ.control("interrupt", order)
            self.assertEqual(status, response.status, order)
            self.assertIn(sentence, response.json["error"])
        self.assertEqual({FIRST: "DRAINING", SECOND: "SPOT_TERMINATING"}, self.statuses())

    def test_groupDeletedFirst(self) -> None:
        """An instance that was deleted with its group has no later end."""
        self.interrupt()
        self.fleetIQ.call("DeleteGameServerGroup", **GROUP)
        self.fleetIQ.clock.pump([1] * 5)
        with capturedLogs() as events:
            self.fleetIQ.clock.advance(120)
        self.assertEqual([], events)

    def test_retained(self) -> None:
        """An instance that outlives its group still ends on time."""
        self.interrupt()
        self.fleetIQ.call("DeleteGameServerGroup", DeleteOption="RETAIN", **GROUP)
        self.fleetIQ.clock.pump([1] * 5)
        path = f"/instances/{FIRST}/latest/meta-data/spot/termination-time"
        self.assertEqual(200, self.fleetIQ.request("GET", path).status)
        self.assertEqual(404, self.interrupt(SECOND).status)
        self.fleetIQ.clock.advance(120)
        self.assertEqual(404, self.fleetIQ.request("GET", path).status)

    def test_onTheLocalClock(self) -> None:
        """An advance of the local clock ends instances that are due by then."""
        self.interrupt()
        self.fleetIQ.control("clock", {"advance": 120})
        self.assertEqual({SECOND: "ACTIVE"}, self.statuses())


class ResetControlTests(SynchronousTestCase):
    """A reset restores the state at the start."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ(seed=1, timeScale=2.0)
        self.start = self.fleetIQ.state()

    def reset(self) -> None:
        self.assertEqual(200, self.fleetIQ.request("POST", "/_local/reset").status)

    def register(self) -> int:
        return self.fleetIQ.call(
            "RegisterGameServer", GameServerId="srv-1", InstanceId=FIRST, **GROUP
        ).status

    def change(self) -> None:
        self.register()
        self.fleetIQ.call("CreateGameServerGroup", **NEW_GROUP)
        self.fleetIQ.call("ClaimGameServer", **GROUP)
        self.fleetIQ.control("interrupt", {"InstanceId": FIRST})
        self.fleetIQ.control("clock", {"advance": 130, "scale": 60})
        self.fleetIQ.control("faults", {"operation": "*", "kind": "throttle"})
        self.fleetIQ.call("DeleteGameServerGroup", **GROUP)

    def test_asAtTheStart(self) -> None:
        """Groups, instances, game servers, faults, calls and clock are those at the start."""
        self.change()
        self.reset()
        self.assertEqual(self.start, self.fleetIQ.state())
        self.assertEqual([], self.fleetIQ.clock.getDelayedCalls())

    def test_independentOfTheTimeBefore(self) -> None:
        """Timers from before the reset do not affect what is done after it."""
        for _ in range(2):
            self.assertEqual(200, self.register())
            self.assertEqual(200, self.fleetIQ.control("interrupt", {"InstanceId": FIRST}).status)
            self.fleetIQ.clock.advance(30)
            self.reset()
        self.register()
        with capturedLogs() as events:
            self.fleetIQ.clock.advance(89)
        self.assertEqual([], events)
        with capturedLogs() as events:
            self.fleetIQ.clock.pump([1, 1])
        self.assertEqual(
            ["srv-1 dropped: last health report 182 s ago"],
            [formatEvent(event) for event in events],
        )

    def test_tokensEnd(self) -> None:
        """Tokens become invalid, also with a seed, because the clock may go back."""
        token = self.fleetIQ.request("PUT", "/latest/api/token", {TTL: "60"}).body.decode()
        path = "/latest/meta-data/instance-id"
        self.assertEqual(200, self.fleetIQ.request("GET", path, {TOKEN: token}).status)
        self.reset()
        self.assertEqual(401, self.fleetIQ.request("GET", path, {TOKEN: token}).status)
        token = self.fleetIQ.request("PUT", "/latest/api/token", {TTL: "60"}).body.decode()
        self.assertEqual(200, self.fleetIQ.request("GET", path, {TOKEN: token}).status)

    def test_faultsRepeat(self) -> None:
        """With a seed, faults apply to the same calls again."""
        statuses = []
        for _ in range(2):
            order = {"operation": "*", "kind": "error", "code": "E", "probability": 0.5}
            self.fleetIQ.control("faults", order)
            statuses.append([self.fleetIQ.call("ListGameServerGroups").status for _ in range(20)])
            self.reset()
        self.assertEqual(statuses[0], statuses[1])
        self.assertEqual({200, 400}, {*statuses[0]})

    def test_quotas(self) -> None:
        """The full burst of calls that the quotas allow is available again."""
        self.fleetIQ = MemoryFleetIQ(quotas=True)
        for _ in range(2):
            calls = [self.fleetIQ.call("ListGameServerGroups").status for _ in range(31)]
            self.assertEqual([200] * 30 + [400], calls)
            self.reset()

    def test_delayedCallsAreCanceled(self) -> None:
        """A delayed call takes no effect, and its connection closes."""
        self.fleetIQ.control("faults", {"operation": "*", "kind": "slow", "seconds": 2})
        call = {"GameServerId": "srv-1", "InstanceId": FIRST, **GROUP}
        request = requestBytes(
            "POST", "/", callHeaders("RegisterGameServer"), json.dumps(call).encode()
        )
        patient, gone = self.fleetIQ.connect(), self.fleetIQ.connect()
        for each in (patient, gone):
            each.send(request)
        gone.disconnect()
        self.reset()
        self.assertFalse(patient.transport.connected)
        self.fleetIQ.clock.advance(3)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_journal(self) -> None:
        """The journal starts again with the entry of the reset, which is also logged."""
        self.change()
        with capturedLogs() as events:
            self.reset()
        self.assertEqual(["reset: all is as at the start"], [formatEvent(each) for each in events])
        [entry] = self.fleetIQ.request("GET", "/_local/journal").json["entries"]
        self.assertEqual(("reset", 1_700_000_000.0), (entry["event"], entry["time"]))
