"""One order moves an instance's status and claims, and ends it."""

from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.values import instanceIdOf
from tests.local.inmemory import MemoryFleetIQ, Response

START = 1_700_000_000.0
FIRST, SECOND = (instanceIdOf("local", index) for index in range(2))
GROUP = {"GameServerGroupName": "local"}


class InterruptControlTests(SynchronousTestCase):
    """A whole local FleetIQ in memory, with a game server on each of two instances."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()
        self.register("srv-1", FIRST)
        self.register("srv-2", SECOND)

    def register(self, gameServerId: str, instanceId: str) -> Response:
        return self.fleetIQ.call(
            "RegisterGameServer", GameServerId=gameServerId, InstanceId=instanceId, **GROUP
        )

    def interrupt(self, instanceId: Any = FIRST, **more: Any) -> Response:
        return self.fleetIQ.tell("interrupt", {"InstanceId": instanceId, **more})

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
        """Spot is meant if nothing is said: nothing new there, and after 120 s nothing at all."""
        told = f"{FIRST} has a spot interruption notice"
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
            refused = self.register("srv-3", FIRST)
            self.assertEqual("ConflictException", refused.json["__type"])
            self.assertIn("is about to be terminated", refused.json["Message"])
            self.fleetIQ.clock.advance(59)
            self.fleetIQ.clock.advance(61)
        self.assertEqual(
            [
                f"{told}: it is SPOT_TERMINATING, and ends in 120 s",
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
        """What Auto Scaling takes away drains, and ends, with what is played there."""
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
        """The end comes when it is due, though nobody calls."""
        self.interrupt(seconds=5)
        with capturedLogs() as events:
            self.fleetIQ.clock.advance(5)
        self.assertEqual(2, len(events))

    def test_draining(self) -> None:
        """A DRAINING instance is claimed last of all, not at all if filtered out, for ever."""
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
        """Notices that have no end may come before one that has."""
        self.interrupt(kind="rebalance")
        self.interrupt(kind="draining")
        response = self.interrupt(kind="spot")
        self.assertEqual("SPOT_TERMINATING", response.json["InstanceStatus"])

    def test_refusals(self) -> None:
        """What cannot be is refused in a sentence, and nothing happens."""
        self.interrupt(SECOND, kind="spot")
        self.fleetIQ.clock.advance(20)
        self.interrupt(kind="draining")
        ends = f"Instance {SECOND} ends in 100 s already: it cannot be interrupted."
        for order, status, sentence in (
            ({"InstanceId": SECOND}, 409, ends),
            ({"InstanceId": SECOND, "kind": "rebalance"}, 409, ends),
            (
                {"InstanceId": FIRST, "kind": "draining"},
                409,
                f"Instance {FIRST} is drained by FleetIQ already.",
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
                "kind is 'flood': it must be one of spot, rebalance, autoscaling, draining.",
            ),
            ({"InstanceId": [FIRST]}, 400, "InstanceId is a list: it must be a string."),
            ({"InstanceId": FIRST, "kind": {}}, 400, "kind is an object"),
            (
                {"InstanceId": FIRST, "kind": "rebalance", "seconds": 9},
                400,
                "seconds is 9.0: rebalance has no end, so leave seconds out.",
            ),
            ({"InstanceId": FIRST, "seconds": -1}, 400, "seconds is -1: it must be a number"),
            ({"instance": FIRST}, 400, "'instance' is not a field of an interruption"),
        ):
            response = self.fleetIQ.tell("interrupt", order)
            self.assertEqual(status, response.status, order)
            self.assertIn(sentence, response.json["error"])
        self.assertEqual({FIRST: "DRAINING", SECOND: "SPOT_TERMINATING"}, self.statuses())

    def test_groupGoesFirst(self) -> None:
        """An instance whose group is deleted before its end has gone with it, and no end comes."""
        self.interrupt()
        self.fleetIQ.call("DeleteGameServerGroup", **GROUP)
        self.fleetIQ.clock.pump([1] * 5)
        with capturedLogs() as events:
            self.fleetIQ.clock.advance(120)
        self.assertEqual([], events)

    def test_retained(self) -> None:
        """An instance that outlives its group ends all the same."""
        self.interrupt()
        self.fleetIQ.call("DeleteGameServerGroup", DeleteOption="RETAIN", **GROUP)
        self.fleetIQ.clock.pump([1] * 5)
        path = f"/instances/{FIRST}/latest/meta-data/spot/termination-time"
        self.assertEqual(200, self.fleetIQ.ask("GET", path).status)
        self.assertEqual(404, self.interrupt(SECOND).status)
        self.fleetIQ.clock.advance(120)
        self.assertEqual(404, self.fleetIQ.ask("GET", path).status)

    def test_onTheLocalClock(self) -> None:
        """An advance of the local clock ends what is due by then."""
        self.interrupt()
        self.fleetIQ.tell("clock", {"advance": 120})
        self.assertEqual({SECOND: "ACTIVE"}, self.statuses())
