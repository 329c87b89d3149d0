"""What FleetIQ does with groups and their tags: the part of the contract on them."""

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
GONE = "NotFoundException"
# Longer than any group needs for its next status, in seconds: at AWS it is minutes.
PATIENCE = 1800


class GroupFacts(TestCase):
    """
    What any FleetIQ does with groups.

    @ivar door: see L{tests.contract.Door}.
    """

    door: Any

    async def call(self, operation: str, **request: Any) -> Reply:
        raise NotImplementedError("The whole contract says how.")

    async def refusal(self, operation: str, **request: Any) -> str:
        raise NotImplementedError("The whole contract says how.")

    async def bareRefusal(self, operation: str, request: Reply) -> str:
        """The error code of a call that takes no group and must fail."""
        raise NotImplementedError("The whole contract says how.")

    async def create(self, **changes: Any) -> Reply:
        reply = await self.call("CreateGameServerGroup", **{**NEW_GROUP, **changes})
        return reply["GameServerGroup"]  # type: ignore[no-any-return] # a reply's values are Any

    async def groupCall(self, operation: str, **request: Any) -> Reply:
        """A call on the group that L{create} makes, and the group it answers."""
        reply = await self.call(operation, GameServerGroupName=NAME, **request)
        return reply["GameServerGroup"]  # type: ignore[no-any-return] # as above

    async def statusesUntil(self, *ends: str) -> list[str]:
        """What that group becomes, one after the other, until one of these; L{GONE} is one."""
        seen: list[str] = []
        for _ in range(PATIENCE):
            groups = (await self.door.call("ListGameServerGroups", {}))["GameServerGroups"]
            status = {each["GameServerGroupName"]: each["Status"] for each in groups}
            seen.append(status.get(NAME, GONE))
            if seen[-1] in ends:
                return list(dict.fromkeys(seen))
            self.door.advance(1)
        raise self.failureException(f"The group never became {ends}, but {dict.fromkeys(seen)}")

    async def createActive(self) -> str:
        """Create the group, wait until it is ACTIVE, and name its first instance."""
        await self.create()
        await self.statusesUntil("ACTIVE")
        reply = await self.call("DescribeGameServerInstances", GameServerGroupName=NAME)
        instanceId: str = reply["GameServerInstances"][0]["InstanceId"]
        return instanceId

    async def registerIn(self, instanceId: str, gameServerId: str) -> str | None:
        """Register in that group; the error's code, or C{None}."""
        server = {
            "GameServerGroupName": NAME,
            "GameServerId": gameServerId,
            "InstanceId": instanceId,
        }
        before = await self.call("DescribeGameServerGroup", GameServerGroupName=NAME)
        if before["GameServerGroup"]["Status"] == "ACTIVE":
            await self.call("RegisterGameServer", **server)
            return None
        return await self.refusal("RegisterGameServer", **server)

    async def test_createdGroup(self) -> None:
        """A group is NEW at first, with what it was given; its Auto Scaling group's is not told."""
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
        """A new group becomes ACTIVE; then it has its Auto Scaling group, and MinSize instances."""
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
        """Game servers cannot register in a group that is not ACTIVE yet."""
        await self.create()
        code = await self.registerIn(self.door.instances[0], "srv-of-group")
        self.assertEqual("ConflictException", code)

    async def test_groupsInPages(self) -> None:
        """Pages list each group that exists all along once, while others come and go."""
        for name in ("a", "b", "d"):
            await self.create(GameServerGroupName=f"{NAME}-{name}")
        seen: list[str] = []
        token: dict[str, str] = {}
        while token or not seen:
            page = await self.door.call("ListGameServerGroups", {"Limit": 1, **token})
            [group] = page["GameServerGroups"]
            seen.append(group["GameServerGroupName"])
            token = {key: page[key] for key in ("NextToken",) if key in page}
            if len(seen) == 1:
                await self.create(GameServerGroupName=f"{NAME}-c")
        for name in (self.door.group, f"{NAME}-a", f"{NAME}-b", f"{NAME}-d"):
            self.assertEqual(1, seen.count(name), seen)

    async def test_createTwiceConflicts(self) -> None:
        """A name that a group has is refused to another."""
        code = await self.refusal(
            "CreateGameServerGroup", **{**NEW_GROUP, "GameServerGroupName": self.door.group}
        )
        self.assertEqual("ConflictException", code)

    async def test_wrongGroups(self) -> None:
        """What the model does not allow, and what contradicts itself, creates nothing."""
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
            code = await self.refusal("CreateGameServerGroup", **{**NEW_GROUP, **changes})
            self.assertEqual("InvalidRequestException", code, changes)
        self.assertEqual([GONE], await self.statusesUntil(GONE))

    async def test_updateGroup(self) -> None:
        """An update changes what it names, the definitions as a whole, and is dated."""
        created = await self.create()
        self.door.advance(10)
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
        """What is suspended shows until it is resumed; to say either twice is no error."""
        await self.create()
        actions = ["REPLACE_INSTANCE_TYPES"]
        for _ in range(2):
            group = await self.groupCall("SuspendGameServerGroup", SuspendActions=actions)
            self.assertEqual(actions, group["SuspendedActions"])
        self.assertEqual(group, await self.groupCall("DescribeGameServerGroup"))
        for _ in range(2):
            group = await self.groupCall("ResumeGameServerGroup", ResumeActions=actions)
            self.assertEqual([], group.get("SuspendedActions", []))
        code = await self.refusal(
            "SuspendGameServerGroup", GameServerGroupName=NAME, SuspendActions=["NAP"]
        )
        self.assertEqual("InvalidRequestException", code)

    async def test_deleteGroup(self) -> None:
        """A group without game servers goes, and its name is free again."""
        await self.createActive()
        group = await self.groupCall("DeleteGameServerGroup")
        self.assertEqual("DELETE_SCHEDULED", group["Status"])
        statuses = await self.statusesUntil(GONE)
        self.assertEqual(["DELETE_SCHEDULED", "DELETING", GONE], statuses)
        code = await self.refusal("DescribeGameServerGroup", GameServerGroupName=NAME)
        self.assertEqual(GONE, code)
        self.assertEqual("NEW", (await self.create())["Status"])

    async def test_deleteNeedsActiveGroup(self) -> None:
        """A group that is not yet ACTIVE, or is being deleted, cannot be deleted."""
        await self.create()
        code = await self.refusal("DeleteGameServerGroup", GameServerGroupName=NAME)
        self.assertEqual("InvalidRequestException", code)
        await self.statusesUntil("ACTIVE")
        await self.groupCall("DeleteGameServerGroup")
        code = await self.refusal(
            "DeleteGameServerGroup", GameServerGroupName=NAME, DeleteOption="FORCE_DELETE"
        )
        self.assertEqual("InvalidRequestException", code)

    async def test_safeDeleteWaitsForPlay(self) -> None:
        """With a game server UTILIZED the group waits, takes no more, and goes when it is gone."""
        instanceId = await self.createActive()
        server = {"GameServerGroupName": NAME, "GameServerId": "srv-of-group"}
        await self.registerIn(instanceId, "srv-of-group")
        await self.call("UpdateGameServer", UtilizationStatus="UTILIZED", **server)
        await self.groupCall("DeleteGameServerGroup", DeleteOption="SAFE_DELETE")
        self.door.advance(60)
        self.assertEqual(["DELETE_SCHEDULED"], await self.statusesUntil("DELETE_SCHEDULED"))
        self.assertEqual("ConflictException", await self.registerIn(instanceId, "srv-2"))
        await self.call("UpdateGameServer", HealthCheck="HEALTHY", **server)
        await self.call("DeregisterGameServer", **server)
        self.assertEqual(GONE, (await self.statusesUntil(GONE))[-1])

    async def test_forceDelete(self) -> None:
        """A forced deletion does not wait for games, and its game servers are gone."""
        instanceId = await self.createActive()
        server = {"GameServerGroupName": NAME, "GameServerId": "srv-of-group"}
        await self.registerIn(instanceId, "srv-of-group")
        await self.call("UpdateGameServer", UtilizationStatus="UTILIZED", **server)
        await self.groupCall("DeleteGameServerGroup", DeleteOption="FORCE_DELETE")
        await self.statusesUntil("DELETING", GONE)
        self.assertEqual(GONE, await self.refusal("DescribeGameServer", **server))

    async def tagsOf(self, arn: str) -> dict[str, str]:
        reply = await self.door.call("ListTagsForResource", {"ResourceARN": arn})
        return {each["Key"]: each["Value"] for each in reply["Tags"]}

    async def test_tags(self) -> None:
        """Tags of a group add up, replace those of the same key, and go by their key."""
        group = await self.create(Tags=[{"Key": "game", "Value": "echo"}])
        arn = group["GameServerGroupArn"]
        self.assertEqual({"game": "echo"}, await self.tagsOf(arn))
        reply = await self.door.call(
            "TagResource",
            {
                "ResourceARN": arn,
                "Tags": [{"Key": "game", "Value": "chess"}, {"Key": "team", "Value": ""}],
            },
        )
        self.assertEqual({}, reply)
        self.assertEqual({"game": "chess", "team": ""}, await self.tagsOf(arn))
        reply = await self.door.call(
            "UntagResource", {"ResourceARN": arn, "TagKeys": ["game", "no-such-tag"]}
        )
        self.assertEqual({}, reply)
        self.assertEqual({"team": ""}, await self.tagsOf(arn))

    async def test_tagsOfNothing(self) -> None:
        """Only what exists can have tags, and is named by its ARN."""
        group = (await self.call("DescribeGameServerGroup"))["GameServerGroup"]
        arn = group["GameServerGroupArn"]
        operations: tuple[tuple[str, Reply], ...] = (
            ("ListTagsForResource", {}),
            ("TagResource", {"Tags": []}),
            ("UntagResource", {"TagKeys": []}),
        )
        for wrong in (arn + "-other", arn.replace("gameservergroup/", "fleet/"), self.door.group):
            for operation, request in operations:
                code = await self.bareRefusal(operation, {"ResourceARN": wrong, **request})
                self.assertEqual(GONE, code, (operation, wrong))
