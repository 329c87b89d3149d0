"""The part of the contract of FleetIQ about groups and their tags."""

from typing import Any

from twisted.trial.unittest import TestCase

Reply = dict[str, Any]

NAME = "fleetiq-contract"
ROLE = "arn:aws:iam::000000000000:role/FleetIQ"
DEFINITIONS = [{"InstanceType": "c5.large"}, {"InstanceType": "c5a.large", "WeightedCapacity": "2"}]
NEW_GROUP: Reply = {
    "GameServerGroupName": NAME,
    "RoleArn": ROLE,
    "MinSize": 1,
    "MaxSize": 2,
    "LaunchTemplate": {"LaunchTemplateName": "game", "Version": "$Default"},
    "InstanceDefinitions": DEFINITIONS,
}
DELETED = "NotFoundException"
# Seconds. No group needs longer for its next status.
MAX_WAIT = 1800


class GroupContract(TestCase):
    """
    The behavior of groups and tags.

    @ivar access: see L{tests.contract.FleetIQAccess}.
    """

    access: Any

    async def call(self, operation: str, **request: Any) -> Reply:
        raise NotImplementedError("fleetIQContract implements this.")

    async def groupErrorOf(self, operation: str, **request: Any) -> str:
        raise NotImplementedError("fleetIQContract implements this.")

    async def errorOf(self, operation: str, request: Reply) -> str:
        """See L{tests.contract.fleetIQContract}."""
        raise NotImplementedError("fleetIQContract implements this.")

    async def create(self, **changes: Any) -> Reply:
        reply = await self.call("CreateGameServerGroup", **{**NEW_GROUP, **changes})
        return reply["GameServerGroup"]  # type: ignore[no-any-return] # a reply's values are Any

    async def groupCall(self, operation: str, **request: Any) -> Reply:
        """Call an operation on the group of L{create}, and return the group in its output."""
        reply = await self.call(operation, GameServerGroupName=NAME, **request)
        return reply["GameServerGroup"]  # type: ignore[no-any-return] # as above

    async def statusesUntil(self, *ends: str) -> list[str]:
        """
        Return the statuses of that group, in order, until it has one of these. L{DELETED} stands
        for a group that does not exist.
        """
        seen: list[str] = []
        for _ in range(MAX_WAIT):
            groups = (await self.access.call("ListGameServerGroups", {}))["GameServerGroups"]
            status = {each["GameServerGroupName"]: each["Status"] for each in groups}
            seen.append(status.get(NAME, DELETED))
            if seen[-1] in ends:
                return list(dict.fromkeys(seen))
            self.access.advance(1)
        raise self.failureException(
            f"The group had the statuses {list(dict.fromkeys(seen))}, but none of {ends}."
        )

    async def createActive(self) -> str:
        """Create the group, wait until it is ACTIVE, and return the id of its first instance."""
        await self.create()
        await self.statusesUntil("ACTIVE")
        reply = await self.call("DescribeGameServerInstances", GameServerGroupName=NAME)
        instanceId: str = reply["GameServerInstances"][0]["InstanceId"]
        return instanceId

    async def registerIn(self, instanceId: str, gameServerId: str) -> str | None:
        """Register a game server in that group. Return the error code, or C{None}."""
        server = {
            "GameServerGroupName": NAME,
            "GameServerId": gameServerId,
            "InstanceId": instanceId,
        }
        before = await self.call("DescribeGameServerGroup", GameServerGroupName=NAME)
        if before["GameServerGroup"]["Status"] == "ACTIVE":
            await self.call("RegisterGameServer", **server)
            return None
        return await self.groupErrorOf("RegisterGameServer", **server)

    async def test_createdGroup(self) -> None:
        """A new group is NEW, and has the members of the request that describe a group."""
        group = await self.create(GameServerProtectionPolicy="FULL_PROTECTION")
        self.assertEqual("NEW", group["Status"])
        self.assertEqual(NAME, group["GameServerGroupName"])
        self.assertEqual(ROLE, group["RoleArn"])
        self.assertEqual(DEFINITIONS, group["InstanceDefinitions"])
        self.assertEqual("SPOT_PREFERRED", group["BalancingStrategy"])
        self.assertEqual("FULL_PROTECTION", group["GameServerProtectionPolicy"])
        self.assertEqual([], group.get("SuspendedActions", []))
        self.assertEqual(group["CreationTime"], group["LastUpdatedTime"])
        self.assertFalse(group.get("AutoScalingGroupArn"))
        self.assertFalse({"MinSize", "MaxSize", "LaunchTemplate", "Tags"}.intersection(group))

    async def test_groupBecomesActive(self) -> None:
        """A new group becomes ACTIVE; then it has an Auto Scaling group and MinSize instances."""
        await self.create()
        reply = await self.call("DescribeGameServerInstances", GameServerGroupName=NAME)
        self.assertEqual([], reply["GameServerInstances"])
        self.assertEqual(["NEW", "ACTIVATING", "ACTIVE"], await self.statusesUntil("ACTIVE"))
        group = await self.groupCall("DescribeGameServerGroup")
        self.assertIn(f"/gamelift-gameservergroup-{NAME}", group["AutoScalingGroupArn"])
        reply = await self.call("DescribeGameServerInstances", GameServerGroupName=NAME)
        [instance] = reply["GameServerInstances"]
        self.assertEqual("ACTIVE", instance["InstanceStatus"])
        self.assertIsNone(await self.registerIn(instance["InstanceId"], "srv-of-group"))

    async def test_registerNeedsActiveGroup(self) -> None:
        """Registration in a group that is not ACTIVE fails."""
        await self.create()
        code = await self.registerIn(self.access.instances[0], "srv-of-group")
        self.assertEqual("ConflictException", code)

    async def test_groupsInPages(self) -> None:
        """If groups are created between pages, the other groups are still listed exactly once."""
        for name in ("a", "b", "d"):
            await self.create(GameServerGroupName=f"{NAME}-{name}")
        seen: list[str] = []
        token: dict[str, str] = {}
        while token or not seen:
            page = await self.access.call("ListGameServerGroups", {"Limit": 1, **token})
            [group] = page["GameServerGroups"]
            seen.append(group["GameServerGroupName"])
            token = {key: page[key] for key in ("NextToken",) if key in page}
            if len(seen) == 1:
                await self.create(GameServerGroupName=f"{NAME}-c")
        for name in (self.access.group, f"{NAME}-a", f"{NAME}-b", f"{NAME}-d"):
            self.assertEqual(1, seen.count(name), seen)

    async def test_createTwiceConflicts(self) -> None:
        """Creation of a group fails if a group has its name."""
        code = await self.groupErrorOf(
            "CreateGameServerGroup", **{**NEW_GROUP, "GameServerGroupName": self.access.group}
        )
        self.assertEqual("ConflictException", code)

    async def test_wrongGroups(self) -> None:
        """A request that is invalid or contradicts itself creates no group."""
        wrong: tuple[Reply, ...] = (
            {"GameServerGroupName": "under_score"},
            {"GameServerGroupName": "arn:aws:gamelift:us-east-1:1:gameservergroup/name"},
            {"RoleArn": "arn:aws:iam::000000000000:user/FleetIQ"},
            {"RoleArn": ROLE + "\n"},
            {"MinSize": 3, "MaxSize": 2},
            {"LaunchTemplate": {}},
            {"LaunchTemplate": {"LaunchTemplateName": "game", "LaunchTemplateId": "lt-1"}},
            {"LaunchTemplate": {"LaunchTemplateName": "game", "Version": "\x01"}},
            {"InstanceDefinitions": DEFINITIONS * 11},
            {"InstanceDefinitions": DEFINITIONS[:1] * 2},
            {"InstanceDefinitions": [{"InstanceType": "abacus"}, *DEFINITIONS]},
            {"InstanceDefinitions": [{**DEFINITIONS[0], "WeightedCapacity": "0"}, *DEFINITIONS]},
            {"BalancingStrategy": "SPOT"},
            {"VpcSubnets": ["subnet-UPPERCASE"]},
            {"Tags": [{"Key": "k" * 129, "Value": ""}]},
        )
        for changes in wrong:
            code = await self.groupErrorOf("CreateGameServerGroup", **{**NEW_GROUP, **changes})
            self.assertEqual("InvalidRequestException", code, changes)
        self.assertEqual([DELETED], await self.statusesUntil(DELETED))

    async def test_updateGroup(self) -> None:
        """An update replaces its members, the definitions as a whole, and LastUpdatedTime."""
        created = await self.create()
        self.access.advance(10)
        definitions = [{"InstanceType": "r5.large"}, {"InstanceType": "m5.large"}]
        group = await self.groupCall(
            "UpdateGameServerGroup",
            InstanceDefinitions=definitions,
            BalancingStrategy="ON_DEMAND_ONLY",
        )
        self.assertEqual(definitions, group["InstanceDefinitions"])
        self.assertEqual("ON_DEMAND_ONLY", group["BalancingStrategy"])
        self.assertEqual(created["RoleArn"], group["RoleArn"])
        self.assertGreater(group["LastUpdatedTime"], created["LastUpdatedTime"])
        role = ROLE + ".other"
        await self.groupCall("UpdateGameServerGroup", RoleArn=role)
        group = await self.groupCall(
            "UpdateGameServerGroup", GameServerProtectionPolicy="FULL_PROTECTION"
        )
        self.assertEqual((role, definitions), (group["RoleArn"], group["InstanceDefinitions"]))
        self.assertEqual(group, await self.groupCall("DescribeGameServerGroup"))

    async def test_suspendAndResume(self) -> None:
        """Suspended actions are listed until they are resumed; a second call succeeds."""
        await self.create()
        actions = ["REPLACE_INSTANCE_TYPES"]
        for _ in range(2):
            group = await self.groupCall("SuspendGameServerGroup", SuspendActions=actions)
            self.assertEqual(actions, group["SuspendedActions"])
        self.assertEqual(group, await self.groupCall("DescribeGameServerGroup"))
        for _ in range(2):
            group = await self.groupCall("ResumeGameServerGroup", ResumeActions=actions)
            self.assertEqual([], group.get("SuspendedActions", []))
        code = await self.groupErrorOf(
            "SuspendGameServerGroup", GameServerGroupName=NAME, SuspendActions=["NAP"]
        )
        self.assertEqual("InvalidRequestException", code)

    async def test_deleteGroup(self) -> None:
        """A group without game servers is deleted, and its name can be used again."""
        await self.createActive()
        group = await self.groupCall("DeleteGameServerGroup")
        self.assertEqual("DELETE_SCHEDULED", group["Status"])
        statuses = await self.statusesUntil(DELETED)
        self.assertEqual(["DELETE_SCHEDULED", "DELETING", DELETED], statuses)
        code = await self.groupErrorOf("DescribeGameServerGroup", GameServerGroupName=NAME)
        self.assertEqual(DELETED, code)
        self.assertEqual("NEW", (await self.create())["Status"])

    async def test_deleteNeedsActiveGroup(self) -> None:
        """Deletion fails before a group is ACTIVE, and while it is being deleted."""
        await self.create()
        code = await self.groupErrorOf("DeleteGameServerGroup", GameServerGroupName=NAME)
        self.assertEqual("InvalidRequestException", code)
        await self.statusesUntil("ACTIVE")
        await self.groupCall("DeleteGameServerGroup")
        code = await self.groupErrorOf(
            "DeleteGameServerGroup", GameServerGroupName=NAME, DeleteOption="FORCE_DELETE"
        )
        self.assertEqual("InvalidRequestException", code)

    async def test_safeDeleteWaits(self) -> None:
        """SAFE_DELETE waits until no game server is UTILIZED; registration fails meanwhile."""
        instanceId = await self.createActive()
        server = {"GameServerGroupName": NAME, "GameServerId": "srv-of-group"}
        await self.registerIn(instanceId, "srv-of-group")
        await self.call("UpdateGameServer", UtilizationStatus="UTILIZED", **server)
        await self.groupCall("DeleteGameServerGroup", DeleteOption="SAFE_DELETE")
        self.access.advance(60)
        self.assertEqual(["DELETE_SCHEDULED"], await self.statusesUntil("DELETE_SCHEDULED"))
        self.assertEqual("ConflictException", await self.registerIn(instanceId, "srv-2"))
        await self.call("UpdateGameServer", HealthCheck="HEALTHY", **server)
        await self.call("DeregisterGameServer", **server)
        self.assertEqual(DELETED, (await self.statusesUntil(DELETED))[-1])

    async def test_forceDelete(self) -> None:
        """FORCE_DELETE does not wait, and drops the game servers."""
        instanceId = await self.createActive()
        server = {"GameServerGroupName": NAME, "GameServerId": "srv-of-group"}
        await self.registerIn(instanceId, "srv-of-group")
        await self.call("UpdateGameServer", UtilizationStatus="UTILIZED", **server)
        await self.groupCall("DeleteGameServerGroup", DeleteOption="FORCE_DELETE")
        await self.statusesUntil("DELETING", DELETED)
        self.assertEqual(DELETED, await self.groupErrorOf("DescribeGameServer", **server))

    async def tagsOf(self, arn: str) -> dict[str, str]:
        reply = await self.access.call("ListTagsForResource", {"ResourceARN": arn})
        return {each["Key"]: each["Value"] for each in reply["Tags"]}

    async def test_tags(self) -> None:
        """Tags are added, replaced and removed by key."""
        group = await self.create(Tags=[{"Key": "game", "Value": "echo"}])
        arn = group["GameServerGroupArn"]
        self.assertEqual({"game": "echo"}, await self.tagsOf(arn))
        reply = await self.access.call(
            "TagResource",
            {
                "ResourceARN": arn,
                "Tags": [{"Key": "game", "Value": "chess"}, {"Key": "team", "Value": ""}],
            },
        )
        self.assertEqual({}, reply)
        self.assertEqual({"game": "chess", "team": ""}, await self.tagsOf(arn))
        reply = await self.access.call(
            "UntagResource", {"ResourceARN": arn, "TagKeys": ["game", "no-such-tag"]}
        )
        self.assertEqual({}, reply)
        self.assertEqual({"team": ""}, await self.tagsOf(arn))

    async def test_tagsNeedArn(self) -> None:
        """The tag operations fail without the ARN of a group."""
        group = (await self.call("DescribeGameServerGroup"))["GameServerGroup"]
        arn = group["GameServerGroupArn"]
        operations: tuple[tuple[str, Reply], ...] = (
            ("ListTagsForResource", {}),
            ("TagResource", {"Tags": []}),
            ("UntagResource", {"TagKeys": []}),
        )
        for wrong in (arn + "-other", arn.replace("gameservergroup/", "fleet/"), self.access.group):
            for operation, request in operations:
                code = await self.errorOf(operation, {"ResourceARN": wrong, **request})
                self.assertEqual(DELETED, code, (operation, wrong))
