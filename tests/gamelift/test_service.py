"""Tests of echoserver.gamelift.service: the request and the reply of each method."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import FleetIQ, GameServerDescription
from tests.awsdoubles import INSTANCE_ID, RecordedCalls

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2030, 1, 1, 13, tzinfo=UTC)
LATEST = datetime(2030, 1, 1, 14, tzinfo=UTC)
WHOLE = {
    "GameServerGroupName": "group",
    "GameServerGroupArn": "arn:aws:gamelift:us-east-1::gameservergroup/group",
    "GameServerId": "server",
    "InstanceId": INSTANCE_ID,
    "ConnectionInfo": "localhost:5000",
    "GameServerData": "secret",
    "ClaimStatus": "CLAIMED",
    "UtilizationStatus": "UTILIZED",
    "RegistrationTime": NOON,
    "LastClaimTime": LATER,
    "LastHealthCheckTime": LATEST,
}
READ = GameServerDescription(
    group="group",
    gameServerId="server",
    instanceId=INSTANCE_ID,
    connectionInfo="localhost:5000",
    gameServerData="secret",
    claimed=True,
    utilized=True,
    registered=NOON,
    lastClaim=LATER,
    lastHealthReport=LATEST,
)

Method = Callable[[FleetIQ], Deferred[Any]]


def register(fleet: FleetIQ) -> Deferred[GameServerDescription]:
    return fleet.register("server", INSTANCE_ID, "localhost:5000", "secret")


# Each method, its operation, and its members beside the name of the group.
METHODS: list[tuple[Method, str, dict[str, Any]]] = [
    (
        register,
        "RegisterGameServer",
        {
            "GameServerId": "server",
            "InstanceId": INSTANCE_ID,
            "ConnectionInfo": "localhost:5000",
            "GameServerData": "secret",
        },
    ),
    (
        lambda fleet: fleet.utilize("server"),
        "UpdateGameServer",
        {"GameServerId": "server", "UtilizationStatus": "UTILIZED", "HealthCheck": "HEALTHY"},
    ),
    (
        lambda fleet: fleet.heartbeat("server"),
        "UpdateGameServer",
        {"GameServerId": "server", "GameServerData": None, "HealthCheck": "HEALTHY"},
    ),
    (lambda fleet: fleet.describe("server"), "DescribeGameServer", {"GameServerId": "server"}),
    (lambda fleet: fleet.claim(), "ClaimGameServer", {"GameServerId": None}),
    (lambda fleet: fleet.claim("server"), "ClaimGameServer", {"GameServerId": "server"}),
]


class FleetIQTests(SynchronousTestCase):
    """Each method makes one call."""

    def test_requests(self) -> None:
        """Each method calls one operation with its members, and no others."""
        for method, operation, members in METHODS:
            calls = RecordedCalls({"GameServer": WHOLE})
            reply = self.successResultOf(method(FleetIQ(calls, "group")))
            self.assertEqual(
                calls.requests, [(operation, {"GameServerGroupName": "group", **members})]
            )
            self.assertEqual(reply, READ)

    def test_heartbeat(self) -> None:
        """A heartbeat has no UtilizationStatus, which would end a claim."""
        calls = RecordedCalls({"GameServer": WHOLE})
        FleetIQ(calls, "group").heartbeat("server")
        ((_, members),) = calls.requests
        self.assertNotIn("UtilizationStatus", members)

    def test_noData(self) -> None:
        """Without GameServerData, none is sent."""
        calls = RecordedCalls({"GameServer": WHOLE})
        FleetIQ(calls, "group").register("server", INSTANCE_ID, "localhost:5000")
        ((_, members),) = calls.requests
        self.assertIsNone(members["GameServerData"])

    def test_deregister(self) -> None:
        """The reply to Deregister is empty."""
        calls = RecordedCalls({})
        gone = FleetIQ(calls, "group").deregister("server")
        self.assertIsNone(self.successResultOf(gone))
        members = {"GameServerGroupName": "group", "GameServerId": "server"}
        self.assertEqual(calls.requests, [("DeregisterGameServer", members)])

    def test_instanceStatus(self) -> None:
        """The status of one instance is requested. If the reply does not have it, it is None."""
        calls = RecordedCalls({"GameServerInstances": [{"InstanceStatus": "DRAINING"}]})
        status = FleetIQ(calls, "group").instanceStatus(INSTANCE_ID)
        self.assertEqual(self.successResultOf(status), "DRAINING")
        members = {"GameServerGroupName": "group", "InstanceIds": [INSTANCE_ID]}
        self.assertEqual(calls.requests, [("DescribeGameServerInstances", members)])
        replies: list[dict[str, Any]] = [
            {},
            {"GameServerInstances": None},
            {"GameServerInstances": []},
            {"GameServerInstances": [{}]},
        ]
        for reply in replies:
            status = FleetIQ(RecordedCalls(reply), "group").instanceStatus(INSTANCE_ID)
            self.assertIsNone(self.successResultOf(status))

    def test_noGameServer(self) -> None:
        """A reply without a game server is an error. The call may have happened."""
        replies: list[dict[str, Any]] = [{}, {"GameServer": None}, {"GameServer": {}}]
        for reply in replies:
            for method, operation, _ in METHODS:
                result = method(FleetIQ(RecordedCalls(reply), "group"))
                error: Any = self.failureResultOf(result, CallFailed).value
                self.assertEqual((error.retry, error.mayHaveHappened), (True, True))
                self.assertEqual(
                    str(error),
                    f"{operation} returned an invalid reply: it has no GameServer.",
                )


class GameServerTests(SynchronousTestCase):
    """L{GameServerDescription}."""

    def test_nothingSet(self) -> None:
        """Members that are missing, null or empty give the same value."""
        nothing = GameServerDescription("", "", "", "", "", False, False, None, None, None)
        self.assertEqual(GameServerDescription.fromReply({}), nothing)
        self.assertEqual(GameServerDescription.fromReply(dict.fromkeys(WHOLE)), nothing)
        self.assertEqual(GameServerDescription.fromReply(dict.fromkeys(WHOLE, "")), nothing)

    def test_statuses(self) -> None:
        """Unknown statuses mean neither claimed nor utilized."""
        for claim, utilization, claimed, utilized in [
            ("CLAIMED", "AVAILABLE", True, False),
            ("", "UTILIZED", False, True),
            ("RESERVED", "BUSY", False, False),
        ]:
            read = GameServerDescription.fromReply(
                {"ClaimStatus": claim, "UtilizationStatus": utilization}
            )
            self.assertEqual((read.claimed, read.utilized), (claimed, utilized))

    def test_repr(self) -> None:
        """The GameServerData is not in the repr."""
        self.assertNotIn("secret", repr(READ))
        self.assertIn("localhost:5000", repr(READ))
