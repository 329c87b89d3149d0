"""The settings for behavior that AWS does not document, with each value."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.settings import DEFAULTS, applySetting
from echoserver.local.model.values import instanceIdOf
from tests.local.inmemory import MemoryFleetIQ, Response

FIRST, SECOND = (instanceIdOf("local", index) for index in range(2))
UNKNOWN_INSTANCE = "i-00000000000000000"


class ApplySettingTests(SynchronousTestCase):
    """Assignments NAME=VALUE."""

    def test_applySetting(self) -> None:
        """An assignment changes one setting, named with hyphens."""
        settings = applySetting(applySetting(DEFAULTS, "unclaimed=blank"), "longest-page=7")
        self.assertEqual(
            ("blank", 7, 100),
            tuple(getattr(settings, each) for each in ("unclaimed", "longestPage", "defaultPage")),
        )
        settings = applySetting(applySetting(settings, "unclaimed=absent"), "longest-page=1000")
        self.assertEqual(DEFAULTS, settings)

    def test_wrong(self) -> None:
        """The error of a wrong assignment lists the allowed names or values."""
        for assignment, sentence in (
            ("", "'': it must be NAME=VALUE. The names are unknown-group, available-again, "),
            ("unknownGroup=NotFoundException", "it must be NAME=VALUE"),
            ("unclaimed", "'unclaimed': the value must be one of absent, blank."),
            ("unclaimed=", "the value must be one of absent, blank."),
            ("longest-page=0", "the value must be a whole number from 1 to 1000000."),
            ("default-page=x", "the value must be a whole number from 1 to 1000000."),
        ):
            error = self.assertRaises(ValueError, applySetting, DEFAULTS, assignment)
            self.assertIn(sentence, str(error))


class SettingsTests(SynchronousTestCase):
    """A local FleetIQ in memory, with one setting and one game server."""

    def start(self, *assignments: str, **options: Any) -> None:
        settings = DEFAULTS
        for each in assignments:
            settings = applySetting(settings, each)
        self.fleetIQ = MemoryFleetIQ(settings=settings, **options)
        self.call("RegisterGameServer", InstanceId=FIRST)

    def call(self, operation: str, **request: Any) -> Response:
        one = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
        return self.fleetIQ.call(operation, **{**one, **request})

    def errorOf(self, operation: str, **request: Any) -> str | None:
        """Return the error code of a call; C{None} if it succeeds."""
        code: str | None = self.call(operation, **request).json.get("__type")
        return code

    def list_(self, **request: Any) -> Any:
        return self.fleetIQ.call(
            "ListGameServers", **{"GameServerGroupName": "local", **request}
        ).json

    def test_unknownGroup(self) -> None:
        """It decides the error of operations whose model has no NotFoundException."""
        for assignments, code in (
            ((), "NotFoundException"),
            (("unknown-group=InvalidRequestException",), "InvalidRequestException"),
        ):
            self.start(*assignments, quotas=True)
            group = {"GameServerGroupName": "no-such"}
            registered = self.errorOf("RegisterGameServer", InstanceId=FIRST, **group)
            self.assertEqual(code, registered)
            self.assertEqual(code, self.list_(**group)["__type"])
            self.assertEqual("NotFoundException", self.errorOf("DescribeGameServer", **group))

    def test_availableAgain(self) -> None:
        """An update from UTILIZED to AVAILABLE fails with the configured code."""
        for assignments, code in (
            ((), "InvalidRequestException"),
            (("available-again=ConflictException",), "ConflictException"),
        ):
            self.start(*assignments)
            self.call("UpdateGameServer", UtilizationStatus="UTILIZED")
            again = self.errorOf("UpdateGameServer", UtilizationStatus="AVAILABLE")
            self.assertEqual(code, again)

    def test_excludedTarget(self) -> None:
        """It decides the error for the instance; a CLAIMED target is always a conflict."""
        self.start("excluded-target=OutOfCapacityException")
        self.assertIsNone(self.errorOf("ClaimGameServer"))
        self.assertEqual("ConflictException", self.errorOf("ClaimGameServer"))
        self.fleetIQ.clock.advance(60)
        self.fleetIQ.control("interrupt", {"InstanceId": FIRST})
        self.assertEqual("OutOfCapacityException", self.errorOf("ClaimGameServer"))

    def test_unclaimed(self) -> None:
        """Without a claim, ClaimStatus is omitted or an empty string."""
        self.start()
        self.assertNotIn("ClaimStatus", self.call("DescribeGameServer").json["GameServer"])
        self.start("unclaimed=blank")
        server = self.call("DescribeGameServer").json["GameServer"]
        self.assertEqual("", server["ClaimStatus"])
        self.assertEqual([server], self.list_()["GameServers"])
        self.assertEqual([server], self.fleetIQ.state()["gameServers"])
        server = self.call("ClaimGameServer").json["GameServer"]
        self.assertEqual("CLAIMED", server["ClaimStatus"])

    def test_availableClaimed(self) -> None:
        """AVAILABLE keeps a claim, or ends it; the next claim lasts 60 seconds."""
        for assignments, status in (((), "CLAIMED"), (("available-claimed=end",), None)):
            self.start(*assignments)
            self.call("ClaimGameServer")
            self.fleetIQ.clock.advance(20)
            self.call("UpdateGameServer", HealthCheck="HEALTHY")
            server = self.call("UpdateGameServer", UtilizationStatus="AVAILABLE").json["GameServer"]
            self.assertEqual(status, server.get("ClaimStatus"))
        self.assertIsNone(self.errorOf("ClaimGameServer"))
        for _ in range(2):
            server = self.call("DescribeGameServer").json["GameServer"]
            self.assertEqual("CLAIMED", server["ClaimStatus"])
            self.fleetIQ.clock.advance(59)
        server = self.call("DescribeGameServer").json["GameServer"]
        self.assertNotIn("ClaimStatus", server)

    def test_claimData(self) -> None:
        """The data of an expired claim stays, or is reverted if it was not updated since."""
        for assignments, since, data in (
            ((), None, "claim"),
            (("claim-data=revert",), None, "server"),
            (("claim-data=revert",), "since", "since"),
        ):
            self.start(*assignments)
            self.call("UpdateGameServer", GameServerData="server")
            self.call("ClaimGameServer", GameServerData="claim")
            if since:
                self.call("UpdateGameServer", GameServerData=since)
            self.fleetIQ.clock.advance(60)
            server = self.call("DescribeGameServer").json["GameServer"]
            self.assertEqual(data, server["GameServerData"])

    def test_lateUtilized(self) -> None:
        """UTILIZED without a claim succeeds or fails; with a claim it always succeeds."""
        self.start()
        self.assertIsNone(self.errorOf("UpdateGameServer", UtilizationStatus="UTILIZED"))
        self.start("late-utilized=refuse")
        late = self.errorOf("UpdateGameServer", UtilizationStatus="UTILIZED")
        self.assertEqual("InvalidRequestException", late)
        self.call("ClaimGameServer")
        for _ in range(2):
            self.assertIsNone(self.errorOf("UpdateGameServer", UtilizationStatus="UTILIZED"))

    def test_idReuse(self) -> None:
        """An id can be registered again, or only after a reset."""
        for assignments, code in (((), None), (("id-reuse=refuse",), "ConflictException")):
            self.start(*assignments)
            self.call("DeregisterGameServer")
            again = self.errorOf("RegisterGameServer", InstanceId=FIRST)
            self.assertEqual(code, again)
        self.fleetIQ.request("POST", "/_local/reset")
        self.assertIsNone(self.errorOf("RegisterGameServer", InstanceId=FIRST))

    def test_strangeInstance(self) -> None:
        """Registration on an instance of no group fails, or adds the instance to the group."""
        self.start()
        other = {"GameServerId": "srv-2", "InstanceId": UNKNOWN_INSTANCE}
        self.assertEqual("InvalidRequestException", self.errorOf("RegisterGameServer", **other))
        self.start("strange-instance=add")
        self.assertEqual(
            "ConflictException", self.errorOf("RegisterGameServer", InstanceId=UNKNOWN_INSTANCE)
        )
        self.assertEqual(2, len(self.fleetIQ.state()["instances"]))
        self.assertIsNone(self.errorOf("RegisterGameServer", **other))
        self.assertEqual(UNKNOWN_INSTANCE, self.fleetIQ.state()["instances"][-1]["InstanceId"])
        path = f"/instances/{UNKNOWN_INSTANCE}/latest/meta-data/instance-id"
        self.assertEqual(UNKNOWN_INSTANCE.encode(), self.fleetIQ.request("GET", path).body)
        self.fleetIQ.control("interrupt", {"InstanceId": UNKNOWN_INSTANCE})
        self.fleetIQ.clock.advance(120)
        self.assertEqual(2, len(self.fleetIQ.state()["instances"]))

    def test_retainedInstance(self) -> None:
        """A retained instance can be added to a group, without its earlier interruption."""
        self.start("strange-instance=add", groups=("local", "other"))
        self.fleetIQ.control("interrupt", {"InstanceId": FIRST})
        self.fleetIQ.call(
            "DeleteGameServerGroup", GameServerGroupName="local", DeleteOption="RETAIN"
        )
        self.fleetIQ.clock.pump([1] * 5)
        again = {"GameServerGroupName": "other", "InstanceId": FIRST}
        self.assertIsNone(self.errorOf("RegisterGameServer", **again))
        self.fleetIQ.clock.advance(120)
        self.assertIsNone(self.errorOf("DescribeGameServer", GameServerGroupName="other"))
        self.fleetIQ.control("interrupt", {"InstanceId": FIRST})
        self.fleetIQ.clock.advance(120)
        here = [each["InstanceId"] for each in self.fleetIQ.state()["instances"]]
        self.assertEqual([instanceIdOf("other", index) for index in range(2)], here)

    def test_pages(self) -> None:
        """The default size of a page, and the largest."""
        self.start("default-page=2", "longest-page=3")
        for number in range(2, 6):
            self.call("RegisterGameServer", GameServerId=f"srv-{number}", InstanceId=SECOND)
        self.assertEqual(2, len(self.list_()["GameServers"]))
        self.assertEqual(1, len(self.list_(Limit=1)["GameServers"]))
        self.assertEqual(3, len(self.list_(Limit=100)["GameServers"]))
        self.assertEqual((100, 1000), (DEFAULTS.pageSize(None), DEFAULTS.pageSize(5000)))

    def test_throttling(self) -> None:
        """A throttle fault and the quotas return the same error."""
        self.start("throttling=TooManyRequestsException", quotas=True)
        codes = [self.list_().get("__type") for _ in range(31)]
        self.assertEqual([None, "TooManyRequestsException"], codes[-2:])
        self.fleetIQ.control("faults", {"operation": "*", "kind": "throttle"})
        self.assertEqual("TooManyRequestsException", self.errorOf("DescribeGameServer"))
