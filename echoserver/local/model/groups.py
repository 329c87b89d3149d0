"""Pure: game server groups, their instances and tags, and interruptions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import chain

from sortedcontainers import SortedList

from echoserver.local.model.values import (
    ACCOUNT,
    Event,
    FleetIQError,
    GameServerGroup,
    GroupSettings,
    Instance,
    InstanceDefinition,
    Interruption,
    autoScalingGroupOf,
    cutPage,
    instanceIdOf,
    quoted,
    some,
)

# How many seconds a group stays in a status. AWS documents none, and there it is minutes: ours are
# long enough to be seen, and short enough to wait for.
NEW_SECONDS = 1.0
ACTIVATING_SECONDS = 4.0
DELETE_SCHEDULED_SECONDS = 1.0
DELETING_SECONDS = 4.0

MOST_INSTANCES = 1000
MOST_TAGS = 200

_DELETABLE = ("ACTIVE", "ERROR")


class Groups:
    """
    The groups of one FleetIQ, named by name or ARN. It is to be swept before it is asked, which
    L{Fleet.groups<echoserver.local.model.fleet.Fleet.groups>} does. Where an operation
    refuses, nothing has changed. AWS says of no other operation than Delete that it needs a group
    in a certain status, so the others take it in any.

    @ivar instances: those of all groups.
    @ivar retained: instances that outlive their group, which was deleted with RETAIN: they run on
        in their Auto Scaling group, and FleetIQ knows nothing of them.
    """

    def __init__(
        self,
        happened: Callable[[Event], None],
        empty: Callable[[GameServerGroup, float], None],
    ) -> None:
        """
        @param happened: told every L{Event}, after the fact.
        @param empty: takes the game servers of a group that is DELETING out of it.
        """
        self.instances: dict[str, Instance] = {}
        self.retained: dict[str, Instance] = {}
        self._happened = happened
        self._empty = empty
        self._groups: dict[str, GameServerGroup] = {}
        self._names: SortedList[str] = SortedList()
        self._created = 0
        # When a group's next status is due. A group is here once at most.
        self._due: list[tuple[float, str]] = []

    def add(self, name: str, instances: int, now: float) -> None:
        """A group that is there from the start: ACTIVE at once."""
        settings = GroupSettings(
            f"arn:aws:iam::{ACCOUNT}:role/{autoScalingGroupOf(name)}",
            (InstanceDefinition("c5.large", "1"), InstanceDefinition("c5a.large", "1")),
        )
        group = GameServerGroup(name, settings, instances, name, now, now, "ACTIVE")
        self._keep(group)
        self._launch(group, now)

    def create(
        self,
        name: str,
        settings: GroupSettings,
        minSize: int,
        tags: Mapping[str, str],
        now: float,
    ) -> GameServerGroup:
        if name in self._groups:
            raise FleetIQError(
                "ConflictException",
                f"Game server group {name} exists, and is {self._groups[name].status}: take "
                "another name, or delete that one and wait until it is gone.",
            )
        self._created += 1
        # A name has no slash, so no group of the start ever has these instances.
        launch = f"{name}/{self._created}"
        group = GameServerGroup(name, settings, minSize, launch, now, now, tags=dict(tags))
        self._keep(group)
        self._wake(group, now + NEW_SECONDS)
        self._tell(group, "group-status", "is NEW", now)
        return group

    def update(
        self,
        nameOrArn: str,
        roleArn: str | None,
        instanceDefinitions: tuple[InstanceDefinition, ...] | None,
        balancingStrategy: str | None,
        gameServerProtectionPolicy: str | None,
        now: float,
    ) -> GameServerGroup:
        """C{None} leaves a thing as it is; the instance definitions are replaced as a whole."""
        group = self.group(nameOrArn)
        was = group.settings
        settings = GroupSettings(
            roleArn or was.roleArn,
            instanceDefinitions or was.instanceDefinitions,
            balancingStrategy or was.balancingStrategy,
            gameServerProtectionPolicy or was.gameServerProtectionPolicy,
        )
        if settings != was:
            group.settings, group.lastUpdatedTime = settings, now
            self._tell(group, "group-updated", "has new settings", now)
        return group

    def delete(self, nameOrArn: str, deleteOption: str, now: float) -> GameServerGroup:
        """
        All but FORCE_DELETE wait until no game server is UTILIZED. AWS also says that all are
        deregistered first: here those that are AVAILABLE, even CLAIMED, are dropped then.
        """
        group = self.group(nameOrArn)
        if group.status not in _DELETABLE:
            raise FleetIQError(
                "InvalidRequestException",
                f"Cannot delete game server group {group.name}: it is {group.status}, and must be "
                f"{' or '.join(_DELETABLE)}.",
            )
        group.deleteOption = deleteOption
        self._become(group, "DELETE_SCHEDULED", now, f" with {deleteOption}")
        self._wake(group, now + DELETE_SCHEDULED_SECONDS)
        return group

    def suspend(self, nameOrArn: str, actions: Collection[str], now: float) -> GameServerGroup:
        """To suspend what is suspended, or resume what goes on, succeeds: AWS documents neither."""
        group = self.group(nameOrArn)
        return self._setSuspended(group, {*group.suspendedActions, *actions}, now)

    def resume(self, nameOrArn: str, actions: Collection[str], now: float) -> GameServerGroup:
        group = self.group(nameOrArn)
        return self._setSuspended(group, {*group.suspendedActions}.difference(actions), now)

    def tags(self, arn: str) -> Mapping[str, str]:
        return self._tagged(arn).tags

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        group = self._tagged(arn)
        after = {**group.tags, **tags}
        if len(after) > MOST_TAGS:
            raise FleetIQError(
                "TaggingFailedException",
                f"Game server group {group.name} would have {len(after)} tags: it may have "
                f"{MOST_TAGS}.",
            )
        group.tags = after

    def untag(self, arn: str, keys: Iterable[str]) -> None:
        """Take these tags off; those that are not there are no error."""
        group = self._tagged(arn)
        for key in keys:
            group.tags.pop(key, None)

    def group(self, nameOrArn: str) -> GameServerGroup:
        name = nameOrArn.rpartition(":gameservergroup/")[2]
        if name not in self._groups:
            has = some(self._groups) or "none"
            raise FleetIQError(
                "NotFoundException",
                f"Game server group {name[:256]} does not exist. This FleetIQ has {has}.",
            )
        return self._groups[name]

    def all(self) -> Iterable[GameServerGroup]:
        return self._groups.values()

    def page(self, after: str | None, size: int) -> tuple[list[GameServerGroup], bool]:
        """A page of the groups by name, beyond a name; and whether more follow."""
        names, more = cutPage(self._names, after, size)
        return [self._groups[name] for name in names], more

    def instance(self, instanceId: str) -> Instance | None:
        """An instance that runs."""
        return self.instances.get(instanceId) or self.retained.get(instanceId)

    def firstInstance(self) -> Instance | None:
        """The one that has run longest, those of groups first; C{None} if none runs."""
        return next(chain(self.instances.values(), self.retained.values()), None)

    def addInstance(self, instanceId: str, group: GameServerGroup, now: float) -> None:
        """An instance that is of no group; one that outlived its group is of this one now."""
        self.retained.pop(instanceId, None)
        instance = Instance(instanceId, group.name, now)
        self.instances[instanceId] = instance
        group.instanceIds.append(instanceId)
        group.sortedInstanceIds.add(instanceId)
        group.placement.addInstance(instanceId, instance.status)

    def putInstance(self, instance: Instance) -> None:
        """Keep what has changed of one of L{instances}."""
        self.instances[instance.instanceId] = instance
        group = self._groups[instance.groupName]
        group.placement.setStatus(instance.instanceId, instance.status)

    def removeInstance(self, instance: Instance) -> None:
        """Forget an instance that runs, and has no game servers."""
        instanceId = instance.instanceId
        if self.retained.pop(instanceId, None) is None:
            del self.instances[instanceId]
            group = self._groups[instance.groupName]
            group.instanceIds.remove(instanceId)
            group.sortedInstanceIds.remove(instanceId)
            group.placement.removeInstance(instanceId)

    def nextDeadline(self) -> float | None:
        """The time before which no group changes of itself; C{None} if none will."""
        return self._due[0][0] if self._due else None

    def sweep(self, now: float) -> None:
        """Bring the groups to the statuses that are due."""
        while self._due and self._due[0][0] <= now:
            due, name = heappop(self._due)
            self._live(self._groups[name], due, now)

    def playEnded(self, group: GameServerGroup, now: float) -> None:
        """To be called when the last UTILIZED game server of a group has gone."""
        if group.awaitsPlay:
            group.awaitsPlay = False
            self._wake(group, now)

    def _live(self, group: GameServerGroup, due: float, now: float) -> None:
        if group.status == "NEW":
            self._become(group, "ACTIVATING", now)
            self._wake(group, due + ACTIVATING_SECONDS)
        elif group.status == "ACTIVATING":
            self._activate(group, now)
        elif group.status == "DELETE_SCHEDULED":
            if group.utilized and group.deleteOption != "FORCE_DELETE":
                group.awaitsPlay = True
                return
            self._become(group, "DELETING", now)
            self._empty(group, now)
            self._wake(group, due + DELETING_SECONDS)
        else:
            self._end(group)
            self._tell(group, "group-status", "is DELETED", now)

    def _activate(self, group: GameServerGroup, now: float) -> None:
        if group.minSize > MOST_INSTANCES:
            reason = (
                f"MinSize is {group.minSize}: this FleetIQ launches at most {MOST_INSTANCES} "
                "instances for a group."
            )
            self._become(group, "ERROR", now, f": {reason}")
            group.statusReason = reason
        else:
            self._launch(group, now)
            size = f"{group.minSize} instance{'' if group.minSize == 1 else 's'}"
            self._become(group, "ACTIVE", now, f" with {size}")

    def _launch(self, group: GameServerGroup, now: float) -> None:
        group.isScaled = True
        for index in range(group.minSize):
            self.addInstance(instanceIdOf(group.launch, index), group, now)

    def _end(self, group: GameServerGroup) -> None:
        for instanceId in group.instanceIds:
            instance = self.instances.pop(instanceId)
            if group.deleteOption == "RETAIN":
                self.retained[instanceId] = instance
        del self._groups[group.name]
        self._names.remove(group.name)

    def _keep(self, group: GameServerGroup) -> None:
        self._groups[group.name] = group
        self._names.add(group.name)

    def _setSuspended(
        self, group: GameServerGroup, actions: Collection[str], now: float
    ) -> GameServerGroup:
        suspended = tuple(sorted(actions))
        if suspended != group.suspendedActions:
            group.suspendedActions, group.lastUpdatedTime = suspended, now
            self._tell(group, "group-updated", f"has suspended {some(suspended) or 'nothing'}", now)
        return group

    def _tagged(self, arn: str) -> GameServerGroup:
        if not (arn.startswith("arn:") and ":gameservergroup/" in arn):
            raise FleetIQError(
                "NotFoundException",
                f"{arn[:100]} is not the ARN of a game server group, and only these have tags.",
            )
        return self.group(arn)

    def _become(self, group: GameServerGroup, status: str, now: float, more: str = "") -> None:
        group.status, group.statusReason = status, None
        self._tell(group, "group-status", f"is {status}{more}", now)

    def _wake(self, group: GameServerGroup, due: float) -> None:
        heappush(self._due, (due, group.name))

    def _tell(self, group: GameServerGroup, event: str, sentence: str, now: float) -> None:
        statuses = {"Status": group.status} if group.name in self._groups else {}
        self._happened(Event(now, event, group.name, None, None, sentence, statuses))


USUAL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of interruption.

    @ivar told: what the instance is told, for a sentence.
    @ivar status: the InstanceStatus it brings; C{None} leaves it.
    @ivar why: what ends the instance, for a sentence; C{None} if nothing does.
    """

    told: str
    status: str | None
    why: str | None


# What Auto Scaling's and a rebalance recommendation make of the status AWS does not say.
KINDS = {
    "spot": Kind("has a spot interruption notice", "SPOT_TERMINATING", "spot interruption"),
    "rebalance": Kind("has a rebalance recommendation", None, None),
    "autoscaling": Kind("is taken away by Auto Scaling", "DRAINING", "Auto Scaling"),
    "draining": Kind("is drained by FleetIQ", "DRAINING", None),
}


class Interruptions:
    """
    Those of all instances. Nothing takes the place of an instance that ended: there is no Auto
    Scaling here. It is to be swept before it is asked.
    """

    def __init__(
        self,
        groups: Groups,
        happened: Callable[[Event], None],
        empty: Callable[[Instance, str, float], None],
    ) -> None:
        """
        @param happened: told every L{Event}, after the fact.
        @param empty: takes the game servers of an instance off it, and tells why.
        """
        self._groups = groups
        self._happened = happened
        self._empty = empty
        self._ends: list[tuple[float, str]] = []

    def begin(self, instanceId: str, kind: str, seconds: float | None, now: float) -> Instance:
        """
        Tell an instance to go, in C{seconds}; C{None} is 120 for the kinds that have an end, and
        all there is for those that have none. Each kind comes once, and after an end none comes.
        """
        if kind not in KINDS:
            raise FleetIQError(
                "InvalidRequestException",
                f"kind is {quoted(kind)}: it must be one of {', '.join(KINDS)}.",
            )
        instance = self._groups.instances.get(instanceId)
        if instance is None:
            has = some(self._groups.instances) or "none"
            raise FleetIQError(
                "NotFoundException",
                f"Instance {quoted(instanceId)} does not run in a game server group. "
                f"This FleetIQ has {has}.",
            )
        if instance.end is not None:
            raise FleetIQError(
                "ConflictException",
                f"Instance {instanceId} {_endOf(instance, now)} already: it cannot be interrupted.",
            )
        if any(each.kind == kind for each in instance.interruptions):
            raise FleetIQError(
                "ConflictException", f"Instance {instanceId} {KINDS[kind].told} already."
            )
        if KINDS[kind].why is None and seconds is not None:
            raise FleetIQError(
                "InvalidRequestException",
                f"seconds is {quoted(seconds)}: {kind} has no end, so leave seconds out.",
            )
        return self._begin(instance, kind, seconds or USUAL_SECONDS, now)

    def nextDeadline(self) -> float | None:
        """The time before which no instance ends; C{None} if none will."""
        return self._ends[0][0] if self._ends else None

    def sweep(self, now: float) -> None:
        """End the instances that are due."""
        while self._ends and self._ends[0][0] <= now:
            instanceId = heappop(self._ends)[1]
            instance = self._groups.instance(instanceId)
            # It may have gone with its group, and even have come back.
            if instance is not None and instance.end is not None and instance.end <= now:
                self._end(instance, now)

    def _begin(self, instance: Instance, kind: str, seconds: float, now: float) -> Instance:
        interruption = Interruption(kind, now, now + seconds if KINDS[kind].why else None)
        after = replace(
            instance,
            status=KINDS[kind].status or instance.status,
            interruptions=(*instance.interruptions, interruption),
        )
        self._groups.putInstance(after)
        if interruption.end is not None:
            heappush(self._ends, (interruption.end, after.instanceId))
        end = "" if after.end is None else f", and {_endOf(after, now)}"
        self._tell(after, "interrupted", f"{KINDS[kind].told}: it is {after.status}{end}", now)
        return after

    def _end(self, instance: Instance, now: float) -> None:
        why = KINDS[instance.interruptions[-1].kind].why
        if instance.instanceId in self._groups.instances:
            self._empty(instance, f"its instance was terminated ({why})", now)
        self._groups.removeInstance(instance)
        self._tell(instance, "terminated", f"was terminated ({why})", now)

    def _tell(self, instance: Instance, event: str, sentence: str, now: float) -> None:
        groupName, instanceId = instance.groupName, instance.instanceId
        statuses = (
            {"InstanceStatus": instance.status} if instanceId in self._groups.instances else {}
        )
        self._happened(Event(now, event, groupName, instanceId, None, sentence, statuses))


def _endOf(instance: Instance, now: float) -> str:
    return f"ends in {(instance.end or now) - now:.0f} s"
