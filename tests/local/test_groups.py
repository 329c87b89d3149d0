"""Operations on groups, compared with a simple model; their instances, tags and events."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.fleet import Fleet
from echoserver.local.model.groups import (
    ACTIVATING_SECONDS,
    DELETE_SCHEDULED_SECONDS,
    DELETING_SECONDS,
    MAX_INSTANCES,
    NEW_SECONDS,
    Groups,
)
from echoserver.local.model.tags import addTags, tagsOf
from echoserver.local.model.values import (
    Event,
    FleetIQError,
    GameServerGroup,
    GroupSettings,
    InstanceDefinition,
    groupArnOf,
)

START = 1_700_000_000.0
SETTINGS = GroupSettings(
    "arn:aws:iam::0:role/r", (InstanceDefinition("c5.large"), InstanceDefinition("r5.large"))
)

names = st.sampled_from(["one", "one", "two"])
ids = st.sampled_from(["srv-1", "srv-2", "srv-3"])


@dataclass
class SimpleGroup:
    """A group whose status is computed from its times."""

    created: float
    minSize: int
    force: bool = False
    scheduled: float | None = None
    deleting: float | None = None
    lastUtilized: float = 0.0
    # The instance of each game server, and whether it is UTILIZED.
    gameServers: dict[str, tuple[str, bool]] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)

    def statusAt(self, now: float) -> str | None:
        if self.deleting is not None:
            return "DELETING" if now < self.deleting + DELETING_SECONDS else None
        if self.scheduled is not None:
            return "DELETE_SCHEDULED"
        age = now - self.created
        if age < NEW_SECONDS:
            return "NEW"
        if age < NEW_SECONDS + ACTIVATING_SECONDS:
            return "ACTIVATING"
        return "ERROR" if self.minSize > MAX_INSTANCES else "ACTIVE"

    def instancesAt(self, now: float) -> int:
        lives = self.statusAt(now) in ("ACTIVE", "DELETE_SCHEDULED", "DELETING")
        ended = sum(now >= end for end in self.ends.values())
        return self.minSize - ended if lives and self.minSize <= MAX_INSTANCES else 0

    def hasUtilized(self) -> bool:
        return any(utilized for _, utilized in self.gameServers.values())

    def endInstances(self, now: float) -> None:
        for instance, end in sorted(self.ends.items(), key=lambda item: item[1]):
            for gameServerId, (where, utilized) in list(self.gameServers.items()):
                if instance == where and now >= end:
                    del self.gameServers[gameServerId]
                    if utilized and not self.force:
                        self.lastUtilized = end


class SimpleModel:
    """The groups by name."""

    def __init__(self) -> None:
        self.groups: dict[str, SimpleGroup] = {}

    def expire(self, now: float) -> None:
        for name, group in list(self.groups.items()):
            group.endInstances(now)
            if group.scheduled is not None and group.deleting is None:
                due = max(group.scheduled + DELETE_SCHEDULED_SECONDS, group.lastUtilized)
                if now >= due and (group.force or not group.hasUtilized()):
                    group.deleting = due
                    group.gameServers.clear()
            if group.statusAt(now) is None:
                del self.groups[name]

    def find(self, name: str) -> SimpleGroup:
        if name not in self.groups:
            raise FleetIQError("NotFoundException", "")
        return self.groups[name]

    def create(self, name: str, minSize: int, now: float) -> None:
        if name in self.groups:
            raise FleetIQError("ConflictException", "")
        self.groups[name] = SimpleGroup(now, minSize)

    def delete(self, name: str, force: bool, now: float) -> None:
        group = self.find(name)
        if group.statusAt(now) not in ("ACTIVE", "ERROR"):
            raise FleetIQError("InvalidRequestException", "")
        group.scheduled, group.force = now, force

    def register(self, name: str, gameServerId: str, instance: str, now: float) -> None:
        group = self.find(name)
        if group.statusAt(now) != "ACTIVE":
            raise FleetIQError("ConflictException", "")
        if instance == "i-x":
            raise FleetIQError("InvalidRequestException", "")
        if instance in group.ends or any(
            gameServerId in each.gameServers for each in self.groups.values()
        ):
            raise FleetIQError("ConflictException", "")
        group.gameServers[gameServerId] = (instance, False)

    def utilize(self, name: str, gameServerId: str) -> None:
        if gameServerId not in self.find(name).gameServers:
            raise FleetIQError("NotFoundException", "")
        instance, _ = self.groups[name].gameServers[gameServerId]
        self.groups[name].gameServers[gameServerId] = (instance, True)

    def deregister(self, name: str, gameServerId: str, now: float) -> None:
        self.utilize(name, gameServerId)
        del self.groups[name].gameServers[gameServerId]
        self.groups[name].lastUtilized = now

    def interrupt(self, name: str, instance: str, seconds: float, now: float) -> None:
        group = self.groups.get(name)
        if group is None or instance == "i-x":
            raise FleetIQError("NotFoundException", "")
        if instance in group.ends:
            raise FleetIQError("ConflictException", "")
        group.ends[instance] = now + seconds


class GroupMachine(RuleBasedStateMachine):
    """After any operations and advances, the groups and the simple model are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.model = SimpleModel()
        # No game server is dropped for missing health reports; test_fleet tests that.
        self.fleet = Fleet(lambda _event: None, healthTimeout=1e9)

    def both(self, real: object, simple: object) -> None:
        """Call both. They must return, or raise errors with the same code."""
        self.model.expire(self.now)
        outcomes: list[str | None] = []
        for function in (real, simple):
            try:
                function()  # type: ignore[operator] # a closure
                outcomes.append(None)
            except FleetIQError as error:
                outcomes.append(error.code)
        assert outcomes[0] == outcomes[1], outcomes

    def groups(self) -> Groups:
        return self.fleet.groups(self.now)

    def instanceOf(self, name: str) -> str:
        """Return the id of the group's newest instance, or one that does not exist."""
        instances = self.groups().instances.values()
        return next(
            (each.instanceId for each in reversed(instances) if each.groupName == name), "i-x"
        )

    @rule(name=names, minSize=st.sampled_from([0, 1, 1, 3, MAX_INSTANCES + 1]))
    def create(self, name: str, minSize: int) -> None:
        self.both(
            lambda: self.groups().create(name, SETTINGS, minSize, {}, self.now),
            lambda: self.model.create(name, minSize, self.now),
        )

    @rule(name=names, force=st.booleans(), option=st.sampled_from(["SAFE_DELETE", "RETAIN"]))
    def delete(self, name: str, force: bool, option: str) -> None:
        self.both(
            lambda: self.groups().delete(name, "FORCE_DELETE" if force else option, self.now),
            lambda: self.model.delete(name, force, self.now),
        )

    @rule(name=names, gameServerId=ids, utilize=st.booleans())
    def register(self, name: str, gameServerId: str, utilize: bool) -> None:
        instance = self.instanceOf(name)
        self.both(
            lambda: self.fleet.register(name, gameServerId, instance, None, None, self.now),
            lambda: self.model.register(name, gameServerId, instance, self.now),
        )
        if utilize:
            self.both(
                lambda: self.fleet.update(name, gameServerId, None, "UTILIZED", None, self.now),
                lambda: self.model.utilize(name, gameServerId),
            )

    @rule(name=names, gameServerId=ids, force=st.booleans())
    def deleteUtilized(self, name: str, gameServerId: str, force: bool) -> None:
        """Delete a group with a UTILIZED game server. Random rules rarely do so."""
        self.create(name, 1)
        self.advance(NEW_SECONDS + ACTIVATING_SECONDS)
        self.register(name, gameServerId, utilize=True)
        self.delete(name, force, "SAFE_DELETE")

    @rule(name=names, gameServerId=ids)
    def deregister(self, name: str, gameServerId: str) -> None:
        self.both(
            lambda: self.fleet.deregister(name, gameServerId, self.now),
            lambda: self.model.deregister(name, gameServerId, self.now),
        )

    @rule(name=names, seconds=st.sampled_from([0.5, 2, 30]))
    def interrupt(self, name: str, seconds: float) -> None:
        instance = self.instanceOf(name)
        self.both(
            lambda: self.fleet.interrupt(instance, "spot", seconds, self.now),
            lambda: self.model.interrupt(name, instance, seconds, self.now),
        )

    @rule(name=names, gameServerId=ids, force=st.booleans())
    def interruptDeletion(self, name: str, gameServerId: str, force: bool) -> None:
        """End the instance whose UTILIZED game server delays a deletion."""
        self.create(name, 1)
        self.advance(NEW_SECONDS + ACTIVATING_SECONDS)
        self.register(name, gameServerId, utilize=True)
        self.interrupt(name, 2)
        self.delete(name, force, "SAFE_DELETE")

    @rule(seconds=st.sampled_from([0.5, 1, 1, 4, 5, 5, 60]))
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def sameGroups(self) -> None:
        self.model.expire(self.now)
        expected = [
            (name, group.statusAt(self.now), group.instancesAt(self.now), len(group.gameServers))
            for name, group in sorted(self.model.groups.items())
        ]
        found, _ = self.groups().page(None, 100)
        assert expected == [
            (each.name, each.status, len(each.instanceIds), len(each.serials)) for each in found
        ]
        assert len(self.groups().instances) == sum(instances for _, _, instances, _ in expected)


class GroupMachineTests(SynchronousTestCase):
    """Runs the state machine."""

    def test_equalsModel(self) -> None:
        """Any operations and advances have the groups of the simple model."""
        run_state_machine_as_test(
            GroupMachine, settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
        )


class GroupTests(SynchronousTestCase):
    """One group, with its instances, tags and events."""

    def setUp(self) -> None:
        self.events: list[Event] = []
        self.fleet = Fleet(self.events.append)
        self.now = START

    def groups(self, seconds: float = 0.0) -> Groups:
        """Return the groups after this many seconds."""
        self.now += seconds
        return self.fleet.groups(self.now)

    def create(self, minSize: int = 2) -> GameServerGroup:
        group = self.groups().create("one", SETTINGS, minSize, {}, self.now)
        self.groups(NEW_SECONDS + ACTIVATING_SECONDS)
        return group

    def delete(self, option: str) -> None:
        self.groups().delete("one", option, self.now)
        self.groups(DELETE_SCHEDULED_SECONDS + DELETING_SECONDS)

    def reported(self) -> list[str]:
        return [f"{each.gameServerId or each.groupName} {each.sentence}" for each in self.events]

    def test_life(self) -> None:
        """Each status of a group is reported, and so are the drops of its game servers."""
        group = self.create()
        instance = group.instanceIds[1]
        self.fleet.register("one", "srv-1", instance, None, None, self.now)
        self.fleet.register("one", "srv-2", instance, None, None, self.now)
        self.fleet.update("one", "srv-2", None, "UTILIZED", None, self.now)
        self.groups().delete("one", "SAFE_DELETE", self.now)
        self.groups(30)
        self.fleet.deregister("one", "srv-2", self.now)
        self.groups(1)
        self.groups(DELETING_SECONDS)
        self.assertEqual(
            [
                "one is NEW",
                "one is ACTIVATING",
                "one is ACTIVE with 2 instances",
                f"srv-1 registered on {instance}, AVAILABLE",
                f"srv-2 registered on {instance}, AVAILABLE",
                "srv-2 UTILIZED",
                "one is DELETE_SCHEDULED with SAFE_DELETE",
                "srv-2 deregistered after 30 s",
                "one is DELETING",
                "srv-1 dropped: its group is DELETING",
                "one is DELETED",
            ],
            self.reported(),
        )

    def test_dropContinuesDeletion(self) -> None:
        """A deletion continues when its last UTILIZED game server is dropped."""
        group = self.create()
        self.fleet.register("one", "srv-1", group.instanceIds[0], None, None, self.now)
        self.fleet.update("one", "srv-1", None, "UTILIZED", None, self.now)
        self.groups().delete("one", "SAFE_DELETE", self.now)
        self.groups(180)
        self.assertEqual("DELETE_SCHEDULED", group.status)
        self.groups(1)
        self.assertEqual("DELETING", group.status)

    def test_claimsWhileDeletionWaits(self) -> None:
        """While a deletion waits, claims succeed, and the name cannot be used."""
        group = self.create()
        for gameServerId in ("srv-1", "srv-2"):
            self.fleet.register("one", gameServerId, group.instanceIds[0], None, None, self.now)
        self.fleet.update("one", "srv-1", None, "UTILIZED", None, self.now)
        self.groups().delete("one", "RETAIN", self.now)
        self.groups(30)
        claimed = self.fleet.claim("one", None, None, None, self.now)
        self.assertEqual("srv-2", claimed.gameServerId)
        error = self.assertRaises(FleetIQError, self.create)
        self.assertIn(
            "one already exists, and is DELETE_SCHEDULED: use another name", error.message
        )

    def test_tooLarge(self) -> None:
        """A group with too many instances gets the status ERROR, and can be deleted."""
        group = self.create(MAX_INSTANCES + 1)
        self.assertEqual("ERROR", group.status)
        self.assertIn(f"MinSize is {MAX_INSTANCES + 1}: this", group.statusReason or "")
        self.assertFalse(group.isScaled)
        error = self.assertRaises(
            FleetIQError, self.fleet.register, "one", "srv-1", "i-x", None, None, self.now
        )
        self.assertEqual("ConflictException", error.code)
        self.delete("SAFE_DELETE")
        self.assertEqual([], list(self.groups().all()))

    def test_cannotDelete(self) -> None:
        """The message begins as AWS's message does: Terraform parses it."""
        self.groups().create("one", SETTINGS, 1, {}, self.now)
        error = self.assertRaises(FleetIQError, self.groups().delete, "one", "RETAIN", self.now)
        self.assertEqual(
            "Cannot delete game server group one: it is NEW, and must be ACTIVE or ERROR.",
            error.message,
        )

    def test_newInstanceIds(self) -> None:
        """A new group of the same name has other instance ids."""
        first = self.create().instanceIds
        self.delete("SAFE_DELETE")
        self.assertEqual({}, self.groups().instances)
        self.assertIsNone(self.groups().firstInstance())
        second = self.create().instanceIds
        self.assertFalse(set(first).intersection(second))
        self.fleet.addGroup("two", 2, self.now)
        self.assertEqual(4, len(self.groups().instances))

    def test_retain(self) -> None:
        """With RETAIN the instances still run, but are in no group, even one of the same name."""
        first = self.create().instanceIds
        self.delete("RETAIN")
        groups = self.groups()
        self.assertEqual({}, groups.instances)
        self.assertEqual(first[1], groups.instance(first[1]) and first[1])
        running = groups.firstInstance()
        self.assertEqual(first[0], running and running.instanceId)
        self.create()
        error = self.assertRaises(
            FleetIQError, self.fleet.register, "one", "srv-1", first[0], None, None, self.now
        )
        self.assertEqual("InvalidRequestException", error.code)

    def test_noInstances(self) -> None:
        """In a group without instances, registration fails with a message that says so."""
        self.create(0)
        error = self.assertRaises(
            FleetIQError, self.fleet.register, "one", "srv-1", "i-x", None, None, self.now
        )
        self.assertIn("group one, which has none.", error.message)

    def test_noGroups(self) -> None:
        """Without groups, the message says so."""
        error = self.assertRaises(FleetIQError, self.groups().group, "one")
        self.assertEqual(
            "Game server group one does not exist. This FleetIQ has none.", error.message
        )

    def test_noChange(self) -> None:
        """An update without a change changes no time and reports nothing."""
        group = self.create()
        events = len(self.events)
        self.groups(10).update("one", None, None, None, None, self.now)
        self.groups().update(
            "one", SETTINGS.roleArn, None, "SPOT_PREFERRED", "NO_PROTECTION", self.now
        )
        self.groups().resume("one", ["REPLACE_INSTANCE_TYPES"], self.now)
        self.assertEqual((START, events), (group.lastUpdatedTime, len(self.events)))

    def test_changes(self) -> None:
        """New settings and suspended actions are reported, and change LastUpdatedTime."""
        group = self.create()
        self.groups().update("one", "arn:aws:iam::0:role/s", None, None, None, self.now)
        self.groups(1).suspend("one", ["REPLACE_INSTANCE_TYPES"], self.now)
        self.assertEqual(self.now, group.lastUpdatedTime)
        self.groups(1).resume("one", ["REPLACE_INSTANCE_TYPES"], self.now)
        self.assertEqual(
            [
                "one has new settings",
                "one has suspended REPLACE_INSTANCE_TYPES",
                "one has suspended no actions",
            ],
            self.reported()[-3:],
        )

    def test_maximumOfTags(self) -> None:
        """A group has at most 200 tags. An error leaves its tags unchanged."""
        self.create()
        arn = groupArnOf("one")
        addTags(self.groups(), arn, {str(number): "a" for number in range(200)})
        addTags(self.groups(), arn, {"0": "b"})
        error = self.assertRaises(FleetIQError, addTags, self.groups(), arn, {"200": "c", "0": "c"})
        self.assertEqual("TaggingFailedException", error.code)
        self.assertIn("would have 201 tags: it may have at most 200.", error.message)
        self.assertEqual(
            (200, "b"), (len(tagsOf(self.groups(), arn)), tagsOf(self.groups(), arn)["0"])
        )
