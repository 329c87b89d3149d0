"""What FleetIQ does, stated once: a TestCase for whatever claims to be a FleetIQ."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from twisted.trial.unittest import TestCase

from tests.groupcontract import GroupFacts

Fact = TypeVar("Fact", bound=Callable[..., Any])
Reply = dict[str, Any]
STRANGER = "i-00000000000000000"
ACTION = "REPLACE_INSTANCE_TYPES"


class Refused(Exception):
    """The call was answered with an error."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Door(Protocol):
    """A way into one FleetIQ with one game server group and at least two instances, all empty."""

    group: str
    instances: Sequence[str]

    async def call(self, operation: str, request: dict[str, Any]) -> Reply:
        """Carry out one operation; raises L{Refused} where FleetIQ refuses it."""
        ...

    def advance(self, seconds: float) -> None:
        """Let this much time pass on FleetIQ's clock; nobody can in AWS."""
        ...


def movesTheClock(fact: Fact) -> Fact:
    """Mark a fact that only a FleetIQ whose clock can be moved is asked for."""
    fact.movesTheClock = True  # type: ignore[attr-defined] # a mark
    return fact


def fleetIQContract(
    openDoor: Callable[[TestCase], Coroutine[Any, Any, Door]], live: bool = False
) -> type[TestCase]:
    """
    The contract as a base class of tests.

    @param openDoor: opens a fresh FleetIQ for one test, and cleans it up with the test.
    @param live: whether it is AWS's: without the facts that move the clock, and without those that
        make groups, which take a role, a launch template, minutes, and money.
    """

    class FleetIQContract(TestCase if live else GroupFacts):  # type: ignore[misc] # a computed base
        """What any FleetIQ does."""

        door: Door

        # setUp may only return a Deferred or a coroutine that trial waits for.
        async def setUp(self) -> None:
            self.door = await openDoor(self)

        async def call(self, operation: str, **request: Any) -> Reply:
            return await self.door.call(
                operation, {"GameServerGroupName": self.door.group, **request}
            )

        async def refusal(self, operation: str, **request: Any) -> str:
            """The error code of a call that must fail."""
            return await self.bareRefusal(
                operation, {"GameServerGroupName": self.door.group, **request}
            )

        async def bareRefusal(self, operation: str, request: dict[str, Any]) -> str:
            try:
                reply = await self.door.call(operation, request)
            except Refused as refused:
                return refused.code
            raise self.failureException(f"{operation} was not refused: {reply}")

        async def register(self, gameServerId: str, instance: int = 0, **more: Any) -> Reply:
            reply: Reply = await self.call(
                "RegisterGameServer",
                GameServerId=gameServerId,
                InstanceId=self.door.instances[instance],
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
            """A registration is AVAILABLE, unclaimed, and counts as the first health report."""
            server = await self.register("srv-1", ConnectionInfo="host:1", GameServerData="map")
            self.assertEqual("AVAILABLE", server["UtilizationStatus"])
            self.assertEqual(server["RegistrationTime"], server["LastHealthCheckTime"])
            self.assertEqual("host:1", server["ConnectionInfo"])
            self.assertEqual("map", server["GameServerData"])
            self.assertNotEqual("CLAIMED", server.get("ClaimStatus"))
            self.assertFalse(server.get("LastClaimTime"))

        async def test_registerTwiceConflicts(self) -> None:
            """An id that is registered is refused, whatever the instance."""
            await self.register("srv-1")
            code = await self.refusal(
                "RegisterGameServer", GameServerId="srv-1", InstanceId=self.door.instances[1]
            )
            self.assertEqual("ConflictException", code)

        async def test_registerAgainAfterDeregister(self) -> None:
            """A deregistered id may be registered again, and starts afresh."""
            await self.register("srv-1", GameServerData="old")
            await self.update("srv-1", UtilizationStatus="UTILIZED")
            await self.call("DeregisterGameServer", GameServerId="srv-1")
            server = await self.register("srv-1")
            self.assertEqual("AVAILABLE", server["UtilizationStatus"])
            self.assertNotIn("GameServerData", server)

        async def test_registerOnStrangeInstance(self) -> None:
            """An instance that is not of the group is refused."""
            code = await self.refusal(
                "RegisterGameServer", GameServerId="srv-1", InstanceId=STRANGER
            )
            self.assertEqual("InvalidRequestException", code)

        async def test_unknownGroup(self) -> None:
            """Every operation on a group that does not exist is NotFoundException."""
            one = {"GameServerGroupName": "no-such-group", "GameServerId": "srv-1"}
            group = {"GameServerGroupName": "no-such-group"}
            codes = {
                await self.refusal("RegisterGameServer", InstanceId=self.door.instances[0], **one),
                await self.refusal("UpdateGameServer", **one),
                await self.refusal("DeregisterGameServer", **one),
                await self.refusal("DescribeGameServer", **one),
                await self.refusal("ListGameServers", **group),
                await self.refusal("ClaimGameServer", **group),
                await self.refusal("DescribeGameServerInstances", **group),
                await self.refusal("DescribeGameServerGroup", **group),
                await self.refusal("UpdateGameServerGroup", **group),
                await self.refusal("DeleteGameServerGroup", **group),
                await self.refusal("SuspendGameServerGroup", SuspendActions=[ACTION], **group),
                await self.refusal("ResumeGameServerGroup", ResumeActions=[ACTION], **group),
            }
            self.assertEqual({"NotFoundException"}, codes)

        async def test_unknownServer(self) -> None:
            """Operations on a game server that is not registered are NotFoundException."""
            codes = {
                await self.refusal("UpdateGameServer", GameServerId="srv-1"),
                await self.refusal("DeregisterGameServer", GameServerId="srv-1"),
                await self.refusal("DescribeGameServer", GameServerId="srv-1"),
                await self.refusal("ClaimGameServer", GameServerId="srv-1"),
            }
            self.assertEqual({"NotFoundException"}, codes)

        async def test_utilizedIsForGood(self) -> None:
            """UTILIZED never becomes AVAILABLE again, and the refusal changes nothing."""
            await self.register("srv-1", GameServerData="before")
            await self.update("srv-1", UtilizationStatus="UTILIZED")
            code = await self.refusal(
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
            """To say the state a game server already has is no error."""
            await self.register("srv-1")
            available = await self.update("srv-1", UtilizationStatus="AVAILABLE")
            self.assertEqual("AVAILABLE", available["UtilizationStatus"])
            await self.update("srv-1", UtilizationStatus="UTILIZED")
            utilized = await self.update("srv-1", UtilizationStatus="UTILIZED")
            self.assertEqual("UTILIZED", utilized["UtilizationStatus"])

        @movesTheClock
        async def test_onlyHealthCheckMovesHealth(self) -> None:
            """LastHealthCheckTime moves with HealthCheck, not with other updates."""
            first = (await self.register("srv-1"))["LastHealthCheckTime"]
            self.door.advance(10)
            server = await self.update(
                "srv-1", UtilizationStatus="UTILIZED", GameServerData="other"
            )
            self.assertEqual(first, server["LastHealthCheckTime"])
            server = await self.update("srv-1", HealthCheck="HEALTHY")
            self.assertGreater(server["LastHealthCheckTime"], first)

        async def test_updateWithoutChange(self) -> None:
            """An update that says nothing changes nothing."""
            registered = await self.register("srv-1")
            self.assertEqual(registered, await self.update("srv-1"))

        async def test_claimReserves(self) -> None:
            """A claim is CLAIMED and still AVAILABLE, and nobody else gets the game server."""
            await self.register("srv-1")
            server = await self.claim(GameServerData="players")
            self.assertEqual("srv-1", server["GameServerId"])
            self.assertEqual("CLAIMED", server["ClaimStatus"])
            self.assertEqual("AVAILABLE", server["UtilizationStatus"])
            self.assertEqual("players", server["GameServerData"])
            self.assertTrue(server["LastClaimTime"])
            self.assertEqual("OutOfCapacityException", await self.refusal("ClaimGameServer"))

        @movesTheClock
        async def test_claimEndsAfterSixtySeconds(self) -> None:
            """A claim holds for 60 seconds; then the game server is free again."""
            await self.register("srv-1")
            await self.claim()
            self.door.advance(59)
            self.assertEqual("CLAIMED", (await self.describe("srv-1"))["ClaimStatus"])
            self.door.advance(1)
            server = await self.describe("srv-1")
            self.assertNotEqual("CLAIMED", server.get("ClaimStatus"))
            self.assertTrue(server["LastClaimTime"])
            self.assertEqual("srv-1", (await self.claim())["GameServerId"])

        @movesTheClock
        async def test_utilizedEndsClaim(self) -> None:
            """UTILIZED clears the claim, keeps LastClaimTime, and outlasts the claim."""
            await self.register("srv-1")
            claimed = await self.claim()
            server = await self.update("srv-1", UtilizationStatus="UTILIZED")
            self.assertNotEqual("CLAIMED", server.get("ClaimStatus"))
            self.assertEqual(claimed["LastClaimTime"], server["LastClaimTime"])
            self.door.advance(61)
            self.assertEqual("OutOfCapacityException", await self.refusal("ClaimGameServer"))

        async def test_heartbeatKeepsClaim(self) -> None:
            """A health report, with or without AVAILABLE, does not end a claim."""
            await self.register("srv-1")
            await self.claim()
            server = await self.update("srv-1", HealthCheck="HEALTHY")
            self.assertEqual("CLAIMED", server["ClaimStatus"])
            server = await self.update("srv-1", UtilizationStatus="AVAILABLE")
            self.assertEqual("CLAIMED", server["ClaimStatus"])

        async def test_targetedClaim(self) -> None:
            """A named game server is claimed; once CLAIMED or UTILIZED it is a conflict."""
            await self.register("srv-1")
            await self.register("srv-2")
            self.assertEqual("srv-2", (await self.claim(GameServerId="srv-2"))["GameServerId"])
            code = await self.refusal("ClaimGameServer", GameServerId="srv-2")
            self.assertEqual("ConflictException", code)
            await self.update("srv-2", UtilizationStatus="UTILIZED")
            code = await self.refusal("ClaimGameServer", GameServerId="srv-2")
            self.assertEqual("ConflictException", code)

        async def test_claimsPack(self) -> None:
            """Claims go to the instance that already hosts, wherever older registrations are."""
            await self.register("srv-1", instance=0)
            await self.register("srv-2", instance=1)
            await self.register("srv-3", instance=1)
            await self.update("srv-2", UtilizationStatus="UTILIZED")
            self.assertEqual("srv-3", (await self.claim())["GameServerId"])
            self.assertEqual("srv-1", (await self.claim())["GameServerId"])

        async def test_filterMustContainActive(self) -> None:
            """A filter without ACTIVE is refused; with it the claim succeeds."""
            await self.register("srv-1")
            for statuses in (["DRAINING"], []):
                code = await self.refusal(
                    "ClaimGameServer", FilterOption={"InstanceStatuses": statuses}
                )
                self.assertEqual("InvalidRequestException", code)
            server = await self.claim(FilterOption={"InstanceStatuses": ["ACTIVE"]})
            self.assertEqual("srv-1", server["GameServerId"])

        @movesTheClock
        async def test_silentServerIsDropped(self) -> None:
            """A game server that is silent for more than 180 seconds is gone, UTILIZED or not."""
            await self.register("srv-1")
            await self.register("srv-2")
            await self.update("srv-2", UtilizationStatus="UTILIZED")
            await self.register("srv-3")
            self.door.advance(100)
            await self.update("srv-3", HealthCheck="HEALTHY")
            self.door.advance(81)
            self.assertEqual(["srv-3"], await self.listed())
            code = await self.refusal("UpdateGameServer", GameServerId="srv-1")
            self.assertEqual("NotFoundException", code)

        async def test_deregisterTwice(self) -> None:
            """Deregistering has no output; the second time the game server is not found."""
            await self.register("srv-1")
            await self.claim()
            self.assertEqual({}, await self.call("DeregisterGameServer", GameServerId="srv-1"))
            code = await self.refusal("DeregisterGameServer", GameServerId="srv-1")
            self.assertEqual("NotFoundException", code)

        async def test_listInOrderAndPages(self) -> None:
            """Lists go by registration time, either way, in pages that a token continues."""
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
            """A token of another order, another list, or of nobody is refused."""
            await self.register("srv-1")
            await self.register("srv-2")
            page = await self.call("ListGameServers", SortOrder="ASCENDING", Limit=1)
            for operation, request in (
                ("ListGameServers", {"NextToken": page["NextToken"], "SortOrder": "DESCENDING"}),
                ("DescribeGameServerInstances", {"NextToken": page["NextToken"]}),
                ("ListGameServers", {"NextToken": "not a token"}),
            ):
                code = await self.refusal(operation, **request)
                self.assertEqual("InvalidRequestException", code)

        async def test_instances(self) -> None:
            """Instances are listed with their status, all or the named ones, in pages."""
            reply = await self.call("DescribeGameServerInstances")
            seen = {each["InstanceId"] for each in reply["GameServerInstances"]}
            self.assertTrue(seen.issuperset(self.door.instances))
            self.assertEqual("ACTIVE", reply["GameServerInstances"][0]["InstanceStatus"])
            one = self.door.instances[1]
            reply = await self.call("DescribeGameServerInstances", InstanceIds=[one])
            self.assertEqual([one], [each["InstanceId"] for each in reply["GameServerInstances"]])
            first = await self.call("DescribeGameServerInstances", Limit=1)
            second = await self.call(
                "DescribeGameServerInstances", Limit=1, NextToken=first["NextToken"]
            )
            self.assertNotEqual(first["GameServerInstances"], second["GameServerInstances"])

        async def test_groupByNameAndArn(self) -> None:
            """A group is described and named by its name or by its ARN."""
            byName = (await self.call("DescribeGameServerGroup"))["GameServerGroup"]
            self.assertEqual("ACTIVE", byName["Status"])
            arn = byName["GameServerGroupArn"]
            byArn = await self.call("DescribeGameServerGroup", GameServerGroupName=arn)
            self.assertEqual(byName, byArn["GameServerGroup"])
            await self.register("srv-1", GameServerGroupName=arn)
            self.assertEqual(["srv-1"], await self.listed())

        async def test_groupsAreListed(self) -> None:
            """The group is among those listed, and the operation takes no group."""
            reply = await self.door.call("ListGameServerGroups", {})
            names = [each["GameServerGroupName"] for each in reply["GameServerGroups"]]
            self.assertIn(self.door.group, names)

        async def test_inputsThatSdksDoNotCheck(self) -> None:
            """Maxima, patterns and enums are checked, and a trailing newline is not overlooked."""
            await self.register("srv-1")
            for operation, request in (
                ("UpdateGameServer", {"GameServerId": "srv-1", "UtilizationStatus": "BUSY"}),
                ("UpdateGameServer", {"GameServerId": "srv-1", "GameServerData": "x" * 1025}),
                ("UpdateGameServer", {"GameServerId": "srv-1", "GameServerData": "   "}),
                ("DescribeGameServer", {"GameServerId": "srv-1\n"}),
                ("DescribeGameServer", {"GameServerId": "srv 1"}),
                ("DescribeGameServer", {"GameServerId": "s" * 129}),
                ("ListGameServers", {"SortOrder": "UP"}),
                ("DescribeGameServerInstances", {"InstanceIds": [STRANGER] * 21}),
            ):
                code = await self.refusal(operation, **request)
                self.assertEqual("InvalidRequestException", code, request)

    if live:
        for name, fact in list(vars(FleetIQContract).items()):
            if hasattr(fact, "movesTheClock"):
                delattr(FleetIQContract, name)
    return FleetIQContract
