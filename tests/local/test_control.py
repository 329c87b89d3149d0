"""The controls."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.values import instanceIdOf
from tests.local.inmemory import MemoryFleetIQ, Response

SLOW = {"operation": "*", "kind": "slow", "seconds": 2}


class ControlTests(SynchronousTestCase):
    """Controls of a whole local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ(groups=("a", "b"), instances=1)

    def order(self, order: Any) -> Response:
        return self.fleetIQ.ask("POST", "/_local/faults", {}, json.dumps(order).encode())

    def faults(self) -> list[Any]:
        faults: list[Any] = self.fleetIQ.state()["faults"]
        return faults

    def test_state(self) -> None:
        """The state has all there is, in the words of the API."""
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

    def test_stateSweeps(self) -> None:
        """The state tells what is true now, not at the last call."""
        self.fleetIQ.call(
            "RegisterGameServer",
            GameServerGroupName="b",
            GameServerId="srv-1",
            InstanceId=instanceIdOf("b", 0),
        )
        self.fleetIQ.clock.advance(180.5)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_orderAndEnd(self) -> None:
        """A fault is ordered, shown with what was not given, and ended by its id."""
        faultId = self.order(SLOW).json["id"]
        shown = {**SLOW, "id": faultId, "code": None, "probability": 1.0, "count": None}
        self.assertEqual([shown], self.faults())
        self.order(SLOW)
        response = self.fleetIQ.ask("DELETE", f"/_local/faults/{faultId}")
        self.assertEqual((200, {}), (response.status, response.json))
        self.assertEqual(1, len(self.faults()))
        self.assertEqual(200, self.fleetIQ.ask("DELETE", "/_local/faults").status)
        self.assertEqual([], self.faults())

    def test_unknownFault(self) -> None:
        """An id that is not in force is 404, with those that are."""
        faultId = self.order(SLOW).json["id"]
        response = self.fleetIQ.ask("DELETE", "/_local/faults/no-such")
        self.assertEqual(404, response.status)
        self.assertIn("There is no fault 'no-such'", response.json["error"])
        self.assertIn(faultId, response.json["error"])

    def test_wrongOrders(self) -> None:
        """A wrong order is 400 and a sentence, and orders nothing."""
        orders: tuple[Any, ...] = ({}, [], "slow", {**SLOW, "kind": "explode"})
        for order in orders:
            response = self.order(order)
            self.assertEqual(400, response.status)
            self.assertTrue(response.json["error"].endswith("."))
        response = self.fleetIQ.ask("POST", "/_local/faults", {}, b"garbage")
        self.assertEqual(400, response.status)
        self.assertEqual([], self.faults())

    def test_nothingElse(self) -> None:
        """Other paths are 404, other methods 405."""
        for path in ("/_local", "/_local/", "/_local/nothing"):
            self.assertEqual(404, self.fleetIQ.ask("GET", path).status, path)
        for method, path in (
            ("DELETE", "/_local/state"),
            ("GET", "/_local/faults"),
            ("HEAD", "/_local/faults"),
            ("POST", "/_local/faults/fault-1"),
        ):
            response = self.fleetIQ.ask(method, path)
            self.assertEqual(405, response.status, path)
        self.assertEqual(b"The methods of this path are DELETE.\n", response.body)
