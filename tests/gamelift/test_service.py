"""FleetIQ's sentences: what each asks, and what it reads of the reply."""

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

Sentence = Callable[[FleetIQ], Deferred[Any]]


def register(fleet: FleetIQ) -> Deferred[GameServerDescription]:
    return fleet.register("server", INSTANCE_ID, "localhost:5000", "secret")


# Each sentence, the operation it is, and its members beside the group's name.
DESCRIBING: list[tuple[Sentence, str, dict[str, Any]]] = [
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
    """One call a sentence."""

    def test_requests(self) -> None:
        """Each sentence is the one operation with the members of its meaning, and no other."""
        for sentence, operation, members in DESCRIBING:
            calls = RecordedCalls({"GameServer": WHOLE})
            reply = self.successResultOf(sentence(FleetIQ(calls, "group")))
            self.assertEqual(calls.made, [(operation, {"GameServerGroupName": "group", **members})])
            self.assertEqual(reply, READ)

    def test_heartbeat(self) -> None:
        """A heartbeat never says anything of utilization: that would end a claim."""
        calls = RecordedCalls({"GameServer": WHOLE})
        FleetIQ(calls, "group").heartbeat("server")
        ((_, members),) = calls.made
        self.assertNotIn("UtilizationStatus", members)

    def test_noData(self) -> None:
        """Without game server data none is registered."""
        calls = RecordedCalls({"GameServer": WHOLE})
        FleetIQ(calls, "group").register("server", INSTANCE_ID, "localhost:5000")
        ((_, members),) = calls.made
        self.assertIsNone(members["GameServerData"])

    def test_deregister(self) -> None:
        """Deregister needs nothing of its reply, which is empty."""
        calls = RecordedCalls({})
        gone = FleetIQ(calls, "group").deregister("server")
        self.assertIsNone(self.successResultOf(gone))
        members = {"GameServerGroupName": "group", "GameServerId": "server"}
        self.assertEqual(calls.made, [("DeregisterGameServer", members)])

    def test_instanceStatus(self) -> None:
        """One instance is asked about; who is not in the reply has no status."""
        calls = RecordedCalls({"GameServerInstances": [{"InstanceStatus": "DRAINING"}]})
        status = FleetIQ(calls, "group").instanceStatus(INSTANCE_ID)
        self.assertEqual(self.successResultOf(status), "DRAINING")
        members = {"GameServerGroupName": "group", "InstanceIds": [INSTANCE_ID]}
        self.assertEqual(calls.made, [("DescribeGameServerInstances", members)])
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
        """A reply without a game server is a call that may have happened."""
        replies: list[dict[str, Any]] = [{}, {"GameServer": None}, {"GameServer": {}}]
        for reply in replies:
            for sentence, operation, _ in DESCRIBING:
                asked = sentence(FleetIQ(RecordedCalls(reply), "group"))
                error: Any = self.failureResultOf(asked, CallFailed).value
                self.assertEqual((error.retry, error.mayHaveHappened), (True, True))
                self.assertEqual(
                    str(error),
                    f"{operation} returned an invalid reply: it has no GameServer.",
                )


class GameServerTests(SynchronousTestCase):
    """Reading a game server."""

    def test_nothingSet(self) -> None:
        """Missing, null and empty are the same."""
        nothing = GameServerDescription("", "", "", "", "", False, False, None, None, None)
        self.assertEqual(GameServerDescription.fromReply({}), nothing)
        self.assertEqual(GameServerDescription.fromReply(dict.fromkeys(WHOLE)), nothing)
        self.assertEqual(GameServerDescription.fromReply(dict.fromkeys(WHOLE, "")), nothing)

    def test_statuses(self) -> None:
        """Claimed and utilized are what the statuses say, whatever else AWS may invent."""
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
        """The game server data does not get into a log by way of the repr."""
        self.assertNotIn("secret", repr(READ))
        self.assertIn("localhost:5000", repr(READ))
