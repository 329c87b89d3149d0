"""Pure: game server groups with their instances."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from heapq import heappop, heappush
from itertools import chain

from sortedcontainers import SortedList

from echoserver.local.model.pages import cutPage
from echoserver.local.model.values import (
    ACCOUNT,
    Event,
    FleetIQError,
    GameServerGroup,
    GroupSettings,
    Instance,
    InstanceDefinition,
    ScalingPolicy,
    autoScalingGroupOf,
    formatNames,
    instanceIdOf,
)

# How many seconds a group stays in a status. AWS documents no times. In AWS it takes minutes.
# These are long enough to observe a status, and short enough for tests to wait.
NEW_SECONDS = 1.0
ACTIVATING_SECONDS = 4.0
DELETE_SCHEDULED_SECONDS = 1.0
DELETING_SECONDS = 4.0

MAX_INSTANCES = 1000

_DELETABLE = ("ACTIVE", "ERROR")


class Groups:
    """
    The groups of one FleetIQ, which are identified by name or ARN. Call L{expire} with the current
    time before any other method;
    L{Fleet.groups<echoserver.local.model.fleet.Fleet.groups>} does so. A method that raises
    L{FleetIQError} has changed nothing.

    AWS documents only for DeleteGameServerGroup that the group must be in a certain status. The
    other operations accept groups in any status.

    @ivar instances: the instances of all groups.
    @ivar retained: instances of groups that were deleted with RETAIN. They still run in their Auto
        Scaling group, but are in no game server group.
    """

    def __init__(
        self,
        onEvent: Callable[[Event], None],
        dropGameServers: Callable[[GameServerGroup, float], None],
    ) -> None:
        """
        @param onEvent: called after each event.
        @param dropGameServers: drops all game servers of a group that is DELETING.
        """
        self.instances: dict[str, Instance] = {}
        self.retained: dict[str, Instance] = {}
        self._onEvent = onEvent
        self._dropGameServers = dropGameServers
        self._groups: dict[str, GameServerGroup] = {}
        self._names: SortedList[str] = SortedList()
        self._created = 0
        # When the next status of a group is due. Each group has at most one entry.
        self._deadlines: list[tuple[float, str]] = []

    def add(self, name: str, instances: int, now: float) -> None:
        """Add a group that exists from the start. It is ACTIVE at once."""
        settings = GroupSettings(
            f"arn:aws:iam::{ACCOUNT}:role/{autoScalingGroupOf(name)}",
            (InstanceDefinition("c5.large", "1"), InstanceDefinition("c5a.large", "1")),
        )
        group = GameServerGroup(name, settings, instances, name, now, now, "ACTIVE")
        self._add(group)
        self._launch(group, now)

    def create(
        self,
        name: str,
        settings: GroupSettings,
        minSize: int,
        tags: Mapping[str, str],
        now: float,
        scaling: ScalingPolicy | None = None,
    ) -> GameServerGroup:
        """
        Create a group, and return it. It is NEW, and becomes ACTIVE after L{NEW_SECONDS} and
        L{ACTIVATING_SECONDS}.

        @raise FleetIQError: if a group has this name already.
        """
        if name in self._groups:
            raise FleetIQError(
                "ConflictException",
                f"Game server group {name} already exists, and is {self._groups[name].status}: use "
                "another name, or delete that group and wait until it no longer exists.",
            )
        self._created += 1
        # A name has no slash, so no group from the start has the same instance ids.
        launch = f"{name}/{self._created}"
        group = GameServerGroup(
            name, settings, minSize, launch, now, now, scaling=scaling, tags=dict(tags)
        )
        self._add(group)
        self._schedule(group, now + NEW_SECONDS)
        self._report(group, "group-status", "is NEW", now)
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
        """
        Update the settings of a group, and return it. C{None} does not change a setting. The
        instance definitions are replaced as a whole.

        @raise FleetIQError: if the group does not exist.
        """
        group = self.group(nameOrArn)
        before = group.settings
        settings = GroupSettings(
            roleArn or before.roleArn,
            instanceDefinitions or before.instanceDefinitions,
            balancingStrategy or before.balancingStrategy,
            gameServerProtectionPolicy or before.gameServerProtectionPolicy,
        )
        if settings != before:
            group.settings, group.lastUpdatedTime = settings, now
            self._report(group, "group-updated", "has new settings", now)
        return group

    def delete(self, nameOrArn: str, deleteOption: str, now: float) -> GameServerGroup:
        """
        Schedule the deletion of a group, and return it.

        Except with FORCE_DELETE, the deletion waits until no game server of the group is UTILIZED.
        AWS documents that all game servers must be deregistered first. Here the deletion drops
        those that are AVAILABLE, even if they are CLAIMED.

        @raise FleetIQError: if the group does not exist, or cannot be deleted in its status.
        """
        group = self.group(nameOrArn)
        if group.status not in _DELETABLE:
            raise FleetIQError(
                "InvalidRequestException",
                f"Cannot delete game server group {group.name}: it is {group.status}, and must be "
                f"{' or '.join(_DELETABLE)}.",
            )
        group.deleteOption = deleteOption
        self._setStatus(group, "DELETE_SCHEDULED", now, f" with {deleteOption}")
        self._schedule(group, now + DELETE_SCHEDULED_SECONDS)
        return group

    def suspend(self, nameOrArn: str, actions: Collection[str], now: float) -> GameServerGroup:
        """
        Suspend actions of a group, and return it. AWS does not document what happens if an action
        is already suspended. Here the call succeeds. So does L{resume} for an action that is not
        suspended.

        @raise FleetIQError: if the group does not exist.
        """
        group = self.group(nameOrArn)
        return self._setSuspended(group, {*group.suspendedActions, *actions}, now)

    def resume(self, nameOrArn: str, actions: Collection[str], now: float) -> GameServerGroup:
        """
        Resume actions of a group, and return it.

        @raise FleetIQError: if the group does not exist.
        """
        group = self.group(nameOrArn)
        return self._setSuspended(group, {*group.suspendedActions}.difference(actions), now)

    def group(self, nameOrArn: str) -> GameServerGroup:
        """
        @raise FleetIQError: if the group does not exist.
        """
        name = nameOrArn.rpartition(":gameservergroup/")[2]
        if name not in self._groups:
            existing = formatNames(self._groups) or "none"
            raise FleetIQError(
                "NotFoundException",
                f"Game server group {name[:256]} does not exist. This FleetIQ has {existing}.",
            )
        return self._groups[name]

    def all(self) -> Iterable[GameServerGroup]:
        """Return all groups, oldest first."""
        return self._groups.values()

    def page(self, after: str | None, size: int) -> tuple[list[GameServerGroup], bool]:
        """Return a page of the groups in the order of their names, and whether more follow."""
        names, more = cutPage(self._names, after, size)
        return [self._groups[name] for name in names], more

    def instance(self, instanceId: str) -> Instance | None:
        """Return an instance that runs; C{None} if none has this id."""
        return self.instances.get(instanceId) or self.retained.get(instanceId)

    def firstInstance(self) -> Instance | None:
        """Return the oldest instance, of a group if there is one; C{None} if none runs."""
        return next(chain(self.instances.values(), self.retained.values()), None)

    def addInstance(self, instanceId: str, group: GameServerGroup, now: float) -> None:
        """Add an instance to a group. It may be one of L{retained}, but not of a group."""
        self.retained.pop(instanceId, None)
        definitions = group.settings.instanceDefinitions
        # By the id, so that it is the same in each run.
        definition = definitions[int(instanceId[-2:].encode().hex(), 16) % len(definitions)]
        isSpot = group.settings.balancingStrategy != "ON_DEMAND_ONLY"
        lifeCycle = "spot" if isSpot else "on-demand"
        instance = Instance(instanceId, group.name, now, definition.instanceType, lifeCycle)
        self.instances[instanceId] = instance
        group.instanceIds.append(instanceId)
        group.sortedInstanceIds.add(instanceId)
        group.placement.addInstance(instanceId, instance.status)

    def replaceInstance(self, instance: Instance) -> None:
        """Replace one of L{instances} with a newer value."""
        self.instances[instance.instanceId] = instance
        group = self._groups[instance.groupName]
        group.placement.setStatus(instance.instanceId, instance.status)

    def removeInstance(self, instance: Instance) -> None:
        """Remove an instance that has no game servers."""
        instanceId = instance.instanceId
        if self.retained.pop(instanceId, None) is None:
            del self.instances[instanceId]
            group = self._groups[instance.groupName]
            group.instanceIds.remove(instanceId)
            group.sortedInstanceIds.remove(instanceId)
            group.placement.removeInstance(instanceId)

    def nextDeadline(self) -> float | None:
        """Return the time at which the next status is due; C{None} if none is."""
        return self._deadlines[0][0] if self._deadlines else None

    def expire(self, now: float) -> None:
        """Change the statuses that are due."""
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, name = heappop(self._deadlines)
            self._advance(self._groups[name], deadline, now)

    def utilizedEnded(self, group: GameServerGroup, now: float) -> None:
        """Continue a deletion. Call it when a group no longer has UTILIZED game servers."""
        if group.waitsForUtilized:
            group.waitsForUtilized = False
            self._schedule(group, now)

    def _advance(self, group: GameServerGroup, deadline: float, now: float) -> None:
        """Change the status of a group to the next one."""
        if group.status == "NEW":
            self._setStatus(group, "ACTIVATING", now)
            self._schedule(group, deadline + ACTIVATING_SECONDS)
        elif group.status == "ACTIVATING":
            self._activate(group, now)
        elif group.status == "DELETE_SCHEDULED":
            if group.utilized and group.deleteOption != "FORCE_DELETE":
                group.waitsForUtilized = True
                return
            self._setStatus(group, "DELETING", now)
            self._dropGameServers(group, now)
            self._schedule(group, deadline + DELETING_SECONDS)
        else:
            self._remove(group)
            self._report(group, "group-status", "is DELETED", now)

    def _activate(self, group: GameServerGroup, now: float) -> None:
        if group.minSize > MAX_INSTANCES:
            reason = (
                f"MinSize is {group.minSize}: this FleetIQ launches at most {MAX_INSTANCES} "
                "instances for a group."
            )
            self._setStatus(group, "ERROR", now, f": {reason}")
            group.statusReason = reason
        else:
            self._launch(group, now)
            size = f"{group.minSize} instance{'' if group.minSize == 1 else 's'}"
            self._setStatus(group, "ACTIVE", now, f" with {size}")

    def _launch(self, group: GameServerGroup, now: float) -> None:
        group.isScaled = True
        for index in range(group.minSize):
            self.addInstance(instanceIdOf(group.launch, index), group, now)

    def _remove(self, group: GameServerGroup) -> None:
        for instanceId in group.instanceIds:
            instance = self.instances.pop(instanceId)
            if group.deleteOption == "RETAIN":
                self.retained[instanceId] = instance
        del self._groups[group.name]
        self._names.remove(group.name)

    def _add(self, group: GameServerGroup) -> None:
        self._groups[group.name] = group
        self._names.add(group.name)

    def _setSuspended(
        self, group: GameServerGroup, actions: Collection[str], now: float
    ) -> GameServerGroup:
        suspended = tuple(sorted(actions))
        if suspended != group.suspendedActions:
            group.suspendedActions, group.lastUpdatedTime = suspended, now
            self._report(
                group,
                "group-updated",
                f"has suspended {formatNames(suspended) or 'no actions'}",
                now,
            )
        return group

    def _setStatus(
        self, group: GameServerGroup, status: str, now: float, details: str = ""
    ) -> None:
        group.status, group.statusReason = status, None
        self._report(group, "group-status", f"is {status}{details}", now)

    def _schedule(self, group: GameServerGroup, deadline: float) -> None:
        heappush(self._deadlines, (deadline, group.name))

    def _report(self, group: GameServerGroup, event: str, sentence: str, now: float) -> None:
        statuses = {"Status": group.status} if group.name in self._groups else {}
        self._onEvent(Event(now, event, group.name, None, None, sentence, statuses))
