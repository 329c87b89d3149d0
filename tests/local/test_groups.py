"""The life of groups against a naive model; their instances, tags and sentences."""

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
class NaiveGroup:
    """A group's status is what its dates say."""

    created: float
    minSize: int
    force: bool = False
    scheduled: float | None = None
    deleting: float | None = None
    lastPlay: float = 0.0
    # By the id of a game server its instance, and whether it is UTILIZED.
    playing: dict[str, tuple[str, bool]] = field(default_factory=dict)
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

    def isPlayed(self) -> bool:
        return any(utilized for _, utilized in self.playing.values())

    def endInstances(self, now: float) -> None:
        for instance, end in sorted(self.ends.items(), key=lambda item: item[1]):
            for gameServerId, (where, utilized) in list(self.playing.items()):
                if instance == where and now >= end:
                    del self.playing[gameServerId]
                    if utilized and not self.force:
                        self.lastPlay = end


class NaiveModel:
    """The groups by name, and in each its game servers."""

    def __init__(self) -> None:
        self.groups: dict[str, NaiveGroup] = {}

    def pass_(self, now: float) -> None:
        for name, group in list(self.groups.items()):
            group.endInstances(now)
            if group.scheduled is not None and group.deleting is None:
                due = max(group.scheduled + DELETE_SCHEDULED_SECONDS, group.lastPlay)
                if now >= due and (group.force or not group.isPlayed()):
                    group.deleting = due
                    group.playing.clear()
            if group.statusAt(now) is None:
                del self.groups[name]

    def find(self, name: str) -> NaiveGroup:
        if name not in self.groups:
            raise FleetIQError("NotFoundException", "")
        return self.groups[name]

    def create(self, name: str, minSize: int, now: float) -> None:
        if name in self.groups:
            raise FleetIQError("ConflictException", "")
        self.groups[name] = NaiveGroup(now, minSize)

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
            gameServerId in each.playing for each in self.groups.values()
        ):
            raise FleetIQError("ConflictException", "")
        group.playing[gameServerId] = (instance, False)

    def utilize(self, name: str, gameServerId: str) -> None:
        if gameServerId not in self.find(name).playing:
            raise FleetIQError("NotFoundException", "")
        instance, _ = self.groups[name].playing[gameServerId]
        self.groups[name].playing[gameServerId] = (instance, True)

    def deregister(self, name: str, gameServerId: str, now: float) -> None:
        self.utilize(name, gameServerId)
        del self.groups[name].playing[gameServerId]
        self.groups[name].lastPlay = now

    def interrupt(self, name: str, instance: str, seconds: float, now: float) -> None:
        group = self.groups.get(name)
        if group is None or instance == "i-x":
            raise FleetIQError("NotFoundException", "")
        if instance in group.ends:
            raise FleetIQError("ConflictException", "")
        group.ends[instance] = now + seconds


class GroupMachine(RuleBasedStateMachine):
    """Any operations and clock moves: the groups and the naive model are the same."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.model = NaiveModel()
        # Health is another machine's matter.
        self.state = Fleet(lambda _event: None, healthTimeout=1e9)

    def both(self, real: object, naive: object) -> None:
        """Run both; they must succeed, or refuse with the same code."""
        self.model.pass_(self.now)
        outcomes: list[str | None] = []
        for act in (real, naive):
            try:
                act()  # type: ignore[operator] # two closures
                outcomes.append(None)
            except FleetIQError as refusal:
                outcomes.append(refusal.code)
        assert outcomes[0] == outcomes[1], outcomes

    def groups(self) -> Groups:
        return self.state.groups(self.now)

    def instanceOf(self, name: str) -> str:
        """The last of those that run, if any does."""
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
            lambda: self.state.register(name, gameServerId, instance, None, None, self.now),
            lambda: self.model.register(name, gameServerId, instance, self.now),
        )
        if utilize:
            self.both(
                lambda: self.state.update(name, gameServerId, None, "UTILIZED", None, self.now),
                lambda: self.model.utilize(name, gameServerId),
            )

    @rule(name=names, gameServerId=ids, force=st.booleans())
    def deleteInPlay(self, name: str, gameServerId: str, force: bool) -> None:
        """Rarely would chance alone lead as far as here."""
        self.create(name, 1)
        self.advance(NEW_SECONDS + ACTIVATING_SECONDS)
        self.register(name, gameServerId, utilize=True)
        self.delete(name, force, "SAFE_DELETE")

    @rule(name=names, gameServerId=ids)
    def deregister(self, name: str, gameServerId: str) -> None:
        self.both(
            lambda: self.state.deregister(name, gameServerId, self.now),
            lambda: self.model.deregister(name, gameServerId, self.now),
        )

    @rule(name=names, seconds=st.sampled_from([0.5, 2, 30]))
    def interrupt(self, name: str, seconds: float) -> None:
        instance = self.instanceOf(name)
        self.both(
            lambda: self.state.interrupt(instance, "spot", seconds, self.now),
            lambda: self.model.interrupt(name, instance, seconds, self.now),
        )

    @rule(name=names, gameServerId=ids, force=st.booleans())
    def interruptDeletion(self, name: str, gameServerId: str, force: bool) -> None:
        """A deletion that waits for what is played on an instance which ends."""
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
        self.model.pass_(self.now)
        expected = [
            (name, group.statusAt(self.now), group.instancesAt(self.now), len(group.playing))
            for name, group in sorted(self.model.groups.items())
        ]
        found, _ = self.groups().page(None, 100)
        assert expected == [
            (each.name, each.status, len(each.instanceIds), len(each.serials)) for each in found
        ]
        assert len(self.groups().instances) == sum(instances for _, _, instances, _ in expected)


class GroupMachineTests(SynchronousTestCase):
    """The state machine, as trial finds it."""

    def test_sameGroupsAsTheModel(self) -> None:
        """Any sequence of operations and clock moves has the groups of the naive model."""
        run_state_machine_as_test(
            GroupMachine, settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
        )


class GroupTests(SynchronousTestCase):
    """One group and its instances, tags and sentences."""

    def setUp(self) -> None:
        self.events: list[Event] = []
        self.state = Fleet(self.events.append)
        self.now = START

    def groups(self, seconds: float = 0.0) -> Groups:
        """The groups, so many seconds later."""
        self.now += seconds
        return self.state.groups(self.now)

    def create(self, minSize: int = 2) -> GameServerGroup:
        group = self.groups().create("one", SETTINGS, minSize, {}, self.now)
        self.groups(NEW_SECONDS + ACTIVATING_SECONDS)
        return group

    def delete(self, option: str) -> None:
        self.groups().delete("one", option, self.now)
        self.groups(DELETE_SCHEDULED_SECONDS + DELETING_SECONDS)

    def told(self) -> list[str]:
        return [f"{each.gameServerId or each.groupName} {each.sentence}" for each in self.events]

    def test_life(self) -> None:
        """Each step of a group's life is told, and what becomes of its game servers."""
        group = self.create()
        instance = group.instanceIds[1]
        self.state.register("one", "srv-1", instance, None, None, self.now)
        self.state.register("one", "srv-2", instance, None, None, self.now)
        self.state.update("one", "srv-2", None, "UTILIZED", None, self.now)
        self.groups().delete("one", "SAFE_DELETE", self.now)
        self.groups(30)
        self.state.deregister("one", "srv-2", self.now)
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
            self.told(),
        )

    def test_dropEndsTheWait(self) -> None:
        """A UTILIZED game server that falls silent does not keep its group for ever."""
        group = self.create()
        self.state.register("one", "srv-1", group.instanceIds[0], None, None, self.now)
        self.state.update("one", "srv-1", None, "UTILIZED", None, self.now)
        self.groups().delete("one", "SAFE_DELETE", self.now)
        self.groups(180)
        self.assertEqual("DELETE_SCHEDULED", group.status)
        self.groups(1)
        self.assertEqual("DELETING", group.status)

    def test_claimsWhileDeletionWaits(self) -> None:
        """While a deletion waits for play, game servers can be claimed; a name is not free."""
        group = self.create()
        for gameServerId in ("srv-1", "srv-2"):
            self.state.register("one", gameServerId, group.instanceIds[0], None, None, self.now)
        self.state.update("one", "srv-1", None, "UTILIZED", None, self.now)
        self.groups().delete("one", "RETAIN", self.now)
        self.groups(30)
        claimed = self.state.claim("one", None, None, None, self.now)
        self.assertEqual("srv-2", claimed.gameServerId)
        refusal = self.assertRaises(FleetIQError, self.create)
        self.assertIn(
            "one already exists, and is DELETE_SCHEDULED: use another name", refusal.message
        )

    def test_tooLarge(self) -> None:
        """A group of more instances than this FleetIQ launches is an ERROR, and can be deleted."""
        group = self.create(MAX_INSTANCES + 1)
        self.assertEqual("ERROR", group.status)
        self.assertIn(f"MinSize is {MAX_INSTANCES + 1}: this", group.statusReason or "")
        self.assertFalse(group.isScaled)
        refusal = self.assertRaises(
            FleetIQError, self.state.register, "one", "srv-1", "i-x", None, None, self.now
        )
        self.assertEqual("ConflictException", refusal.code)
        self.delete("SAFE_DELETE")
        self.assertEqual([], list(self.groups().all()))

    def test_cannotDelete(self) -> None:
        """The refusal begins as AWS's does, which Terraform reads."""
        self.groups().create("one", SETTINGS, 1, {}, self.now)
        refusal = self.assertRaises(FleetIQError, self.groups().delete, "one", "RETAIN", self.now)
        self.assertEqual(
            "Cannot delete game server group one: it is NEW, and must be ACTIVE or ERROR.",
            refusal.message,
        )

    def test_instancesDoNotComeBack(self) -> None:
        """A group of the same name has other instances."""
        first = self.create().instanceIds
        self.delete("SAFE_DELETE")
        self.assertEqual({}, self.groups().instances)
        self.assertIsNone(self.groups().firstInstance())
        second = self.create().instanceIds
        self.assertFalse(set(first).intersection(second))
        self.state.addGroup("two", 2, self.now)
        self.assertEqual(4, len(self.groups().instances))

    def test_retain(self) -> None:
        """With RETAIN the instances run on, and are no group's, not of a new one either."""
        first = self.create().instanceIds
        self.delete("RETAIN")
        groups = self.groups()
        self.assertEqual({}, groups.instances)
        self.assertEqual(first[1], groups.instance(first[1]) and first[1])
        running = groups.firstInstance()
        self.assertEqual(first[0], running and running.instanceId)
        self.create()
        refusal = self.assertRaises(
            FleetIQError, self.state.register, "one", "srv-1", first[0], None, None, self.now
        )
        self.assertEqual("InvalidRequestException", refusal.code)

    def test_noInstances(self) -> None:
        """A group may have none, which a registration is told."""
        self.create(0)
        refusal = self.assertRaises(
            FleetIQError, self.state.register, "one", "srv-1", "i-x", None, None, self.now
        )
        self.assertIn("group one, which has none.", refusal.message)

    def test_noGroups(self) -> None:
        """Where there is no group, the refusal says so."""
        refusal = self.assertRaises(FleetIQError, self.groups().group, "one")
        self.assertEqual(
            "Game server group one does not exist. This FleetIQ has none.", refusal.message
        )

    def test_nothingChanges(self) -> None:
        """An update of nothing, or to what is, changes no date and tells nothing."""
        group = self.create()
        told = len(self.events)
        self.groups(10).update("one", None, None, None, None, self.now)
        self.groups().update(
            "one", SETTINGS.roleArn, None, "SPOT_PREFERRED", "NO_PROTECTION", self.now
        )
        self.groups().resume("one", ["REPLACE_INSTANCE_TYPES"], self.now)
        self.assertEqual((START, told), (group.lastUpdatedTime, len(self.events)))

    def test_changesAreTold(self) -> None:
        """New settings, and what is suspended, are told and dated."""
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
            self.told()[-3:],
        )

    def test_mostTags(self) -> None:
        """A group has 200 tags at most, however they came; too many leave those it had."""
        self.create()
        arn = groupArnOf("one")
        addTags(self.groups(), arn, {str(number): "a" for number in range(200)})
        addTags(self.groups(), arn, {"0": "b"})
        refusal = self.assertRaises(
            FleetIQError, addTags, self.groups(), arn, {"200": "c", "0": "c"}
        )
        self.assertEqual("TaggingFailedException", refusal.code)
        self.assertIn("would have 201 tags: it may have at most 200.", refusal.message)
        self.assertEqual(
            (200, "b"), (len(tagsOf(self.groups(), arn)), tagsOf(self.groups(), arn)["0"])
        )
