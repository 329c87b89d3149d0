"""The contract of FleetIQ: tests that run against any implementation of its API."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from twisted.trial.unittest import TestCase

from tests.groupcontract import GroupContract

Test = TypeVar("Test", bound=Callable[..., Any])
Reply = dict[str, Any]
UNKNOWN_INSTANCE = "i-00000000000000000"
ACTION = "REPLACE_INSTANCE_TYPES"


class CallFailed(Exception):
    """
    FleetIQ returned an error.

    @ivar code: the error code.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class FleetIQAccess(Protocol):
    """
    Access to one FleetIQ, with one game server group and at least two instances. It has no game
    servers.
    """

    group: str
    instances: Sequence[str]

    async def call(self, operation: str, request: dict[str, Any]) -> Reply:
        """
        Call an operation, and return its output.

        @raise CallFailed: FleetIQ returned an error.
        """
        ...

    def advance(self, seconds: float) -> None:
        """Advance the clock of FleetIQ. AWS cannot do this."""
        ...


def advancesClock(test: Test) -> Test:
    """Mark a test that advances the clock. It does not run against AWS."""
    test.advancesClock = True  # type: ignore[attr-defined] # a mark
    return test


def fleetIQContract(
    openAccess: Callable[[TestCase], Coroutine[Any, Any, FleetIQAccess]], live: bool = False
) -> type[TestCase]:
    """
    Return the contract as a base class of tests.

    @param openAccess: returns access to a FleetIQ for one test, and adds its cleanup to the test.
    @param live: whether it is AWS. Then the tests that advance the clock do not run, and neither do
        those that create groups: they need a role, a launch template, minutes, and money.
    """

    class FleetIQContract(TestCase if live else GroupContract):  # type: ignore[misc] # a computed base
        """The behavior of game servers and claims."""

        access: FleetIQAccess

        # setUp may only return a Deferred or a coroutine that trial waits for.
        async def setUp(self) -> None:
            self.access = await openAccess(self)

        async def call(self, operation: str, **request: Any) -> Reply:
            return await self.access.call(
                operation, {"GameServerGroupName": self.access.group, **request}
            )

        async def groupErrorOf(self, operation: str, **request: Any) -> str:
            """Return the error code of a call on the group. The call must fail."""
            return await self.errorOf(
                operation, {"GameServerGroupName": self.access.group, **request}
            )

        async def errorOf(self, operation: str, request: dict[str, Any]) -> str:
            """Return the error code of a call. The call must fail."""
            try:
                reply = await self.access.call(operation, request)
            except CallFailed as failed:
                return failed.code
            raise self.failureException(f"{operation} did not fail: {reply}")

        async def register(self, gameServerId: str, instance: int = 0, **more: Any) -> Reply:
            reply: Reply = await self.call(
                "RegisterGameServer",
                GameServerId=gameServerId,
                InstanceId=self.access.instances[instance],
                **more,
            )
            return reply["GameServer"]  # type: ignore[no-any-return] # a reply's values are Any

        async def update(self, gameServerId: str, **changes: Any) -> Reply:
            reply = await self.call("UpdateGameServer", GameServerId=gameServerId, **changes)
            return reply["GameServer"]  # type: ignore[no-any-return] # as above

        async def describe(self, gameServerId: str) -> Reply:
            reply = await self.call("DescribeGameServer", GameServerId=gameServerId)
            return reply["GameServer"]  # type: ignore[no-any-return] # as above

        async def claim(self, **request: Any) -> Reply:
            reply = await self.call("ClaimGameServer", **request)
            return reply["GameServer"]  # type: ignore[no-any-return] # as above

        async def listed(self, **request: Any) -> list[str]:
            reply = await self.call("ListGameServers", **request)
            return [server["GameServerId"] for server in reply["GameServers"]]

        async def test_registerIsAvailableAndHealthy(self) -> None:
            """A new game server is AVAILABLE and not claimed; registration is a health report."""
            server = await self.register("srv-1", ConnectionInfo="host:1", GameServerData="map")
            self.assertEqual("AVAILABLE", server["UtilizationStatus"])
            self.assertEqual(server["RegistrationTime"], server["LastHealthCheckTime"])
            self.assertEqual("host:1", server["ConnectionInfo"])
            self.assertEqual("map", server["GameServerData"])
            self.assertNotEqual("CLAIMED", server.get("ClaimStatus"))
            self.assertFalse(server.get("LastClaimTime"))

        async def test_registerTwiceConflicts(self) -> None:
            """Registration of a registered id fails, on any instance."""
            await self.register("srv-1")
            code = await self.groupErrorOf(
                "RegisterGameServer", GameServerId="srv-1", InstanceId=self.access.instances[1]
            )
            self.assertEqual("ConflictException", code)

        async def test_registerAgainAfterDeregister(self) -> None:
            """A deregistered id can be registered again, without its earlier state."""
            await self.register("srv-1", GameServerData="old")
            await self.update("srv-1", UtilizationStatus="UTILIZED")
            await self.call("DeregisterGameServer", GameServerId="srv-1")
            server = await self.register("srv-1")
            self.assertEqual("AVAILABLE", server["UtilizationStatus"])
            self.assertNotIn("GameServerData", server)

        async def test_registerOnUnknownInstance(self) -> None:
            """Registration on an instance of no group fails."""
            code = await self.groupErrorOf(
                "RegisterGameServer", GameServerId="srv-1", InstanceId=UNKNOWN_INSTANCE
            )
            self.assertEqual("InvalidRequestException", code)

        async def test_unknownGroup(self) -> None:
            """Every operation on a group that does not exist is NotFoundException."""
            one = {"GameServerGroupName": "no-such-group", "GameServerId": "srv-1"}
            group = {"GameServerGroupName": "no-such-group"}
            codes = {
                await self.groupErrorOf(
                    "RegisterGameServer", InstanceId=self.access.instances[0], **one
                ),
                await self.groupErrorOf("UpdateGameServer", **one),
                await self.groupErrorOf("DeregisterGameServer", **one),
                await self.groupErrorOf("DescribeGameServer", **one),
                await self.groupErrorOf("ListGameServers", **group),
                await self.groupErrorOf("ClaimGameServer", **group),
                await self.groupErrorOf("DescribeGameServerInstances", **group),
                await self.groupErrorOf("DescribeGameServerGroup", **group),
                await self.groupErrorOf("UpdateGameServerGroup", **group),
                await self.groupErrorOf("DeleteGameServerGroup", **group),
                await self.groupErrorOf("SuspendGameServerGroup", SuspendActions=[ACTION], **group),
                await self.groupErrorOf("ResumeGameServerGroup", ResumeActions=[ACTION], **group),
            }
            self.assertEqual({"NotFoundException"}, codes)

        async def test_unknownServer(self) -> None:
            """Operations on a game server that is not registered are NotFoundException."""
            codes = {
                await self.groupErrorOf("UpdateGameServer", GameServerId="srv-1"),
                await self.groupErrorOf("DeregisterGameServer", GameServerId="srv-1"),
                await self.groupErrorOf("DescribeGameServer", GameServerId="srv-1"),
                await self.groupErrorOf("ClaimGameServer", GameServerId="srv-1"),
            }
            self.assertEqual({"NotFoundException"}, codes)

        async def test_utilizedIsFinal(self) -> None:
            """An update from UTILIZED to AVAILABLE fails, and changes nothing."""
            await self.register("srv-1", GameServerData="before")
            await self.update("srv-1", UtilizationStatus="UTILIZED")
            code = await self.groupErrorOf(
                "UpdateGameServer",
                GameServerId="srv-1",
                UtilizationStatus="AVAILABLE",
                GameServerData="after",
            )
            self.assertEqual("InvalidRequestException", code)
            server = await self.describe("srv-1")
            self.assertEqual("UTILIZED", server["UtilizationStatus"])
            self.assertEqual("before", server["GameServerData"])

        async def test_sameStateSucceeds(self) -> None:
            """An update to the current status succeeds."""
            await self.register("srv-1")
            available = await self.update("srv-1", UtilizationStatus="AVAILABLE")
            self.assertEqual("AVAILABLE", available["UtilizationStatus"])
            await self.update("srv-1", UtilizationStatus="UTILIZED")
            utilized = await self.update("srv-1", UtilizationStatus="UTILIZED")
            self.assertEqual("UTILIZED", utilized["UtilizationStatus"])

        @advancesClock
        async def test_onlyHealthCheckIsHealthReport(self) -> None:
            """Only an update with HealthCheck changes LastHealthCheckTime."""
            first = (await self.register("srv-1"))["LastHealthCheckTime"]
            self.access.advance(10)
            server = await self.update(
                "srv-1", UtilizationStatus="UTILIZED", GameServerData="other"
            )
            self.assertEqual(first, server["LastHealthCheckTime"])
            server = await self.update("srv-1", HealthCheck="HEALTHY")
            self.assertGreater(server["LastHealthCheckTime"], first)

        async def test_updateWithoutChange(self) -> None:
            """An update without members changes nothing."""
            registered = await self.register("srv-1")
            self.assertEqual(registered, await self.update("srv-1"))

        async def test_claimReserves(self) -> None:
            """A claimed game server is CLAIMED and AVAILABLE, and cannot be claimed again."""
            await self.register("srv-1")
            server = await self.claim(GameServerData="players")
            self.assertEqual("srv-1", server["GameServerId"])
            self.assertEqual("CLAIMED", server["ClaimStatus"])
            self.assertEqual("AVAILABLE", server["UtilizationStatus"])
            self.assertEqual("players", server["GameServerData"])
            self.assertTrue(server["LastClaimTime"])
            self.assertEqual("OutOfCapacityException", await self.groupErrorOf("ClaimGameServer"))

        @advancesClock
        async def test_claimEndsAfterSixtySeconds(self) -> None:
            """A claim expires after 60 seconds; then the game server can be claimed again."""
            await self.register("srv-1")
            await self.claim()
            self.access.advance(59)
            self.assertEqual("CLAIMED", (await self.describe("srv-1"))["ClaimStatus"])
            self.access.advance(1)
            server = await self.describe("srv-1")
            self.assertNotEqual("CLAIMED", server.get("ClaimStatus"))
            self.assertTrue(server["LastClaimTime"])
            self.assertEqual("srv-1", (await self.claim())["GameServerId"])

        @advancesClock
        async def test_utilizedEndsClaim(self) -> None:
            """UTILIZED ends the claim, keeps LastClaimTime, and does not expire."""
            await self.register("srv-1")
            claimed = await self.claim()
            server = await self.update("srv-1", UtilizationStatus="UTILIZED")
            self.assertNotEqual("CLAIMED", server.get("ClaimStatus"))
            self.assertEqual(claimed["LastClaimTime"], server["LastClaimTime"])
            self.access.advance(61)
            self.assertEqual("OutOfCapacityException", await self.groupErrorOf("ClaimGameServer"))

        async def test_heartbeatKeepsClaim(self) -> None:
            """A health report, with or without AVAILABLE, does not end a claim."""
            await self.register("srv-1")
            await self.claim()
            server = await self.update("srv-1", HealthCheck="HEALTHY")
            self.assertEqual("CLAIMED", server["ClaimStatus"])
            server = await self.update("srv-1", UtilizationStatus="AVAILABLE")
            self.assertEqual("CLAIMED", server["ClaimStatus"])

        async def test_targetedClaim(self) -> None:
            """A claim by id succeeds; if the game server is CLAIMED or UTILIZED, it fails."""
            await self.register("srv-1")
            await self.register("srv-2")
            self.assertEqual("srv-2", (await self.claim(GameServerId="srv-2"))["GameServerId"])
            code = await self.groupErrorOf("ClaimGameServer", GameServerId="srv-2")
            self.assertEqual("ConflictException", code)
            await self.update("srv-2", UtilizationStatus="UTILIZED")
            code = await self.groupErrorOf("ClaimGameServer", GameServerId="srv-2")
            self.assertEqual("ConflictException", code)

        async def test_claimsPack(self) -> None:
            """Claims prefer the instance with most CLAIMED or UTILIZED game servers."""
            await self.register("srv-1", instance=0)
            await self.register("srv-2", instance=1)
            await self.register("srv-3", instance=1)
            await self.update("srv-2", UtilizationStatus="UTILIZED")
            self.assertEqual("srv-3", (await self.claim())["GameServerId"])
            self.assertEqual("srv-1", (await self.claim())["GameServerId"])

        async def test_filterMustContainActive(self) -> None:
            """A claim with a filter fails if the filter does not contain ACTIVE."""
            await self.register("srv-1")
            for statuses in (["DRAINING"], []):
                code = await self.groupErrorOf(
                    "ClaimGameServer", FilterOption={"InstanceStatuses": statuses}
                )
                self.assertEqual("InvalidRequestException", code)
            server = await self.claim(FilterOption={"InstanceStatuses": ["ACTIVE"]})
            self.assertEqual("srv-1", server["GameServerId"])

        @advancesClock
        async def test_healthTimeout(self) -> None:
            """A game server without a health report for more than 180 seconds is dropped."""
            await self.register("srv-1")
            await self.register("srv-2")
            await self.update("srv-2", UtilizationStatus="UTILIZED")
            await self.register("srv-3")
            self.access.advance(100)
            await self.update("srv-3", HealthCheck="HEALTHY")
            self.access.advance(81)
            self.assertEqual(["srv-3"], await self.listed())
            code = await self.groupErrorOf("UpdateGameServer", GameServerId="srv-1")
            self.assertEqual("NotFoundException", code)

        async def test_deregisterTwice(self) -> None:
            """Deregistration has no output; a second one is NotFoundException."""
            await self.register("srv-1")
            await self.claim()
            self.assertEqual({}, await self.call("DeregisterGameServer", GameServerId="srv-1"))
            code = await self.groupErrorOf("DeregisterGameServer", GameServerId="srv-1")
            self.assertEqual("NotFoundException", code)

        async def test_listInOrderAndPages(self) -> None:
            """Lists are ordered by registration time, in both directions, in pages."""
            for number in range(5):
                await self.register(f"srv-{number}", instance=number % 2)
            ascending = ["srv-0", "srv-1", "srv-2", "srv-3", "srv-4"]
            self.assertEqual(ascending, await self.listed(SortOrder="ASCENDING"))
            self.assertEqual(ascending[::-1], await self.listed(SortOrder="DESCENDING"))
            first = await self.call("ListGameServers", SortOrder="ASCENDING", Limit=2)
            self.assertEqual(2, len(first["GameServers"]))
            await self.call("DeregisterGameServer", GameServerId="srv-1")
            token = first["NextToken"]
            rest = await self.call("ListGameServers", SortOrder="ASCENDING", NextToken=token)
            self.assertEqual(
                ["srv-2", "srv-3", "srv-4"], [each["GameServerId"] for each in rest["GameServers"]]
            )
            self.assertNotIn("NextToken", rest)

        async def test_foreignTokens(self) -> None:
            """A token of another order or list fails, and so does any other text."""
            await self.register("srv-1")
            await self.register("srv-2")
            page = await self.call("ListGameServers", SortOrder="ASCENDING", Limit=1)
            for operation, request in (
                ("ListGameServers", {"NextToken": page["NextToken"], "SortOrder": "DESCENDING"}),
                ("DescribeGameServerInstances", {"NextToken": page["NextToken"]}),
                ("ListGameServers", {"NextToken": "not a token"}),
            ):
                code = await self.groupErrorOf(operation, **request)
                self.assertEqual("InvalidRequestException", code)

        async def test_instances(self) -> None:
            """Instances are listed with their status, all or those with given ids, in pages."""
            reply = await self.call("DescribeGameServerInstances")
            seen = {each["InstanceId"] for each in reply["GameServerInstances"]}
            self.assertTrue(seen.issuperset(self.access.instances))
            self.assertEqual("ACTIVE", reply["GameServerInstances"][0]["InstanceStatus"])
            one = self.access.instances[1]
            reply = await self.call("DescribeGameServerInstances", InstanceIds=[one])
            self.assertEqual([one], [each["InstanceId"] for each in reply["GameServerInstances"]])
            first = await self.call("DescribeGameServerInstances", Limit=1)
            second = await self.call(
                "DescribeGameServerInstances", Limit=1, NextToken=first["NextToken"]
            )
            self.assertNotEqual(first["GameServerInstances"], second["GameServerInstances"])

        async def test_groupByNameAndArn(self) -> None:
            """Operations accept the name or the ARN of a group."""
            byName = (await self.call("DescribeGameServerGroup"))["GameServerGroup"]
            self.assertEqual("ACTIVE", byName["Status"])
            arn = byName["GameServerGroupArn"]
            byArn = await self.call("DescribeGameServerGroup", GameServerGroupName=arn)
            self.assertEqual(byName, byArn["GameServerGroup"])
            await self.register("srv-1", GameServerGroupName=arn)
            self.assertEqual(["srv-1"], await self.listed())

        async def test_groupsAreListed(self) -> None:
            """ListGameServerGroups lists the group."""
            reply = await self.access.call("ListGameServerGroups", {})
            names = [each["GameServerGroupName"] for each in reply["GameServerGroups"]]
            self.assertIn(self.access.group, names)

        async def test_inputsThatSdksDoNotCheck(self) -> None:
            """Lengths, patterns and enumerations are checked; a trailing newline is wrong."""
            await self.register("srv-1")
            for operation, request in (
                ("UpdateGameServer", {"GameServerId": "srv-1", "UtilizationStatus": "BUSY"}),
                ("UpdateGameServer", {"GameServerId": "srv-1", "GameServerData": "x" * 1025}),
                ("UpdateGameServer", {"GameServerId": "srv-1", "GameServerData": "   "}),
                ("DescribeGameServer", {"GameServerId": "srv-1\n"}),
                ("DescribeGameServer", {"GameServerId": "srv 1"}),
                ("DescribeGameServer", {"GameServerId": "s" * 129}),
                ("ListGameServers", {"SortOrder": "UP"}),
                ("DescribeGameServerInstances", {"InstanceIds": [UNKNOWN_INSTANCE] * 21}),
            ):
                code = await self.groupErrorOf(operation, **request)
                self.assertEqual("InvalidRequestException", code, request)

    if live:
        for name, test in list(vars(FleetIQContract).items()):
            if hasattr(test, "advancesClock"):
                delattr(FleetIQContract, name)
    return FleetIQContract
