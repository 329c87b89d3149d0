"""The 17 operations of FleetIQ, one class each, and the registry that dispatches calls to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from sortedcontainers import SortedList
from txaws.server.exception import APIError
from txaws.server.method import Method
from txaws.server.registry import Registry

from echoserver.local.http.responses import (
    Output,
    Request,
    pageStart,
    serializeGameServer,
    serializeGroup,
    serializeInstance,
    serializePage,
)
from echoserver.local.http.validation import gameLift
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.pages import cutPage
from echoserver.local.model.quotas import Quotas
from echoserver.local.model.tags import addTags, removeTags, tagsOf
from echoserver.local.model.values import (
    FleetIQError,
    GameServer,
    GroupSettings,
    InstanceDefinition,
    ScalingPolicy,
)


class Operation(Method):  # type: ignore[misc] # txaws has no types
    """
    One call of an operation.

    @ivar groups: the groups at the time of the call.
    @ivar now: the time of the call on the local clock.
    """

    def __init__(self, fleet: Fleet, now: float) -> None:
        self.fleet = fleet
        self.groups = fleet.groups(now)
        self.now = now

    def pageSize(self, request: Request) -> int:
        """Return how many items a page of a list has at most."""
        return self.fleet.settings.pageSize(request.get("Limit"))

    def serialize(self, server: GameServer) -> Output:
        return serializeGameServer(server, self.fleet.settings)

    def invoke(self, request: Request) -> Output | None:
        """
        Carry out the operation, and return its output; C{None} if it has none.

        @param request: the input, which is valid by the service model.
        @raise FleetIQError: The operation fails, and nothing has changed.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement invoke.")


class RegisterGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.fleet.register(
            request["GameServerGroupName"],
            request["GameServerId"],
            request["InstanceId"],
            request.get("ConnectionInfo"),
            request.get("GameServerData"),
            self.now,
        )
        return {"GameServer": self.serialize(server)}


class UpdateGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.fleet.update(
            request["GameServerGroupName"],
            request["GameServerId"],
            request.get("GameServerData"),
            request.get("UtilizationStatus"),
            request.get("HealthCheck"),
            self.now,
        )
        return {"GameServer": self.serialize(server)}


class DeregisterGameServer(Operation):
    def invoke(self, request: Request) -> None:
        self.fleet.deregister(request["GameServerGroupName"], request["GameServerId"], self.now)


class DescribeGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.fleet.gameServer(
            request["GameServerGroupName"], request["GameServerId"], self.now
        )
        return {"GameServer": self.serialize(server)}


class ListGameServers(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.group(request["GameServerGroupName"])
        descending = request.get("SortOrder") == "DESCENDING"
        listing = f"servers/{group.name}/{'descending' if descending else 'ascending'}"
        servers, more = self.fleet.gameServers(
            group.name,
            self.now,
            pageStart(request, listing, int),
            self.pageSize(request),
            descending,
        )
        items = map(self.serialize, servers)
        return serializePage("GameServers", items, listing, servers[-1].serial if more else None)


class ClaimGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.fleet.claim(
            request["GameServerGroupName"],
            request.get("GameServerId"),
            request.get("GameServerData"),
            (request.get("FilterOption") or {}).get("InstanceStatuses"),
            self.now,
        )
        return {"GameServer": self.serialize(server)}


class DescribeGameServerInstances(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.group(request["GameServerGroupName"])
        listing = f"instances/{group.name}"
        keys = group.sortedInstanceIds
        if request.get("InstanceIds") is not None:
            # Ids that are not in the group are omitted: AWS does not document what it does.
            instances = [self.groups.instances.get(each) for each in set(request["InstanceIds"])]
            keys = SortedList(
                each.instanceId for each in instances if each and each.groupName == group.name
            )
        ids, more = cutPage(keys, pageStart(request, listing, str), self.pageSize(request))
        items = (serializeInstance(self.groups.instances[instanceId]) for instanceId in ids)
        return serializePage("GameServerInstances", items, listing, ids[-1] if more else None)


class CreateGameServerGroup(Operation):
    """
    Creates a group. The launch template and the subnets are only validated. The Auto Scaling policy
    and MaxSize have an effect only with Auto Scaling.
    """

    def invoke(self, request: Request) -> Output:
        _checkSizes(request["MinSize"], request["MaxSize"])
        _checkLaunchTemplate(request["LaunchTemplate"])
        group = self.groups.create(
            request["GameServerGroupName"],
            GroupSettings(
                request["RoleArn"],
                _definitionsOf(request["InstanceDefinitions"]),
                request.get("BalancingStrategy") or "SPOT_PREFERRED",
                request.get("GameServerProtectionPolicy") or "NO_PROTECTION",
            ),
            request["MinSize"],
            _tagsOf(request.get("Tags") or ()),
            self.now,
            _scalingOf(request),
        )
        return {"GameServerGroup": serializeGroup(group)}


class UpdateGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        definitions = request.get("InstanceDefinitions")
        group = self.groups.update(
            request["GameServerGroupName"],
            request.get("RoleArn"),
            None if definitions is None else _definitionsOf(definitions),
            request.get("BalancingStrategy"),
            request.get("GameServerProtectionPolicy"),
            self.now,
        )
        return {"GameServerGroup": serializeGroup(group)}


class DeleteGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        option = request.get("DeleteOption") or "SAFE_DELETE"
        group = self.groups.delete(request["GameServerGroupName"], option, self.now)
        return {"GameServerGroup": serializeGroup(group)}


class SuspendGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.suspend(
            request["GameServerGroupName"], request["SuspendActions"], self.now
        )
        return {"GameServerGroup": serializeGroup(group)}


class ResumeGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.resume(
            request["GameServerGroupName"], request["ResumeActions"], self.now
        )
        return {"GameServerGroup": serializeGroup(group)}


class DescribeGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        return {
            "GameServerGroup": serializeGroup(self.groups.group(request["GameServerGroupName"]))
        }


class ListGameServerGroups(Operation):
    def invoke(self, request: Request) -> Output:
        groups, more = self.groups.page(pageStart(request, "groups", str), self.pageSize(request))
        items = map(serializeGroup, groups)
        last = groups[-1].name if more else None
        return serializePage("GameServerGroups", items, "groups", last)


class TagResource(Operation):
    def invoke(self, request: Request) -> Output:
        addTags(self.groups, request["ResourceARN"], _tagsOf(request["Tags"]))
        return {}


class UntagResource(Operation):
    def invoke(self, request: Request) -> Output:
        removeTags(self.groups, request["ResourceARN"], request["TagKeys"])
        return {}


class ListTagsForResource(Operation):
    def invoke(self, request: Request) -> Output:
        tags = tagsOf(self.groups, request["ResourceARN"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _scalingOf(request: Request) -> ScalingPolicy:
    policy = request.get("AutoScalingPolicy") or {}
    target = (policy.get("TargetTrackingConfiguration") or {}).get("TargetValue")
    return ScalingPolicy(request["MaxSize"], target, policy.get("EstimatedInstanceWarmup"))


def _checkSizes(minSize: int, maxSize: int) -> None:
    if minSize > maxSize:
        raise FleetIQError(
            "InvalidRequestException",
            f"MinSize is {minSize} and MaxSize {maxSize}: MinSize must not be greater.",
        )


def _checkLaunchTemplate(template: Request) -> None:
    names = ("LaunchTemplateId", "LaunchTemplateName")
    present = [name for name in names if template.get(name) is not None]
    if len(present) != 1:
        raise FleetIQError(
            "InvalidRequestException",
            f"LaunchTemplate has {' and '.join(present) or 'no name'}: it must have either "
            f"{' or '.join(names)}.",
        )


def _definitionsOf(definitions: Iterable[Request]) -> tuple[InstanceDefinition, ...]:
    parsed = tuple(
        InstanceDefinition(each["InstanceType"], each.get("WeightedCapacity"))
        for each in definitions
    )
    types = {each.instanceType for each in parsed}
    if len(types) < 2:
        raise FleetIQError(
            "InvalidRequestException",
            f"InstanceDefinitions has only {' and '.join(types)}: it must have at least two "
            "different instance types.",
        )
    return parsed


def _tagsOf(tags: Iterable[Request]) -> dict[str, str]:
    # AWS does not document what it does with repeated keys: the last tag wins.
    return {each["Key"]: each["Value"] for each in tags}


# In the service model these have no NotFoundException, which they would raise for the group.
_WITHOUT_NOT_FOUND = ("RegisterGameServer", "ListGameServers")


class Operations:
    """
    The registry of the operations, for one fleet and one clock.

    @ivar names: the names of all operations that are served.
    """

    def __init__(
        self, fleet: Fleet, seconds: Callable[[], float], quotas: Quotas | None = None
    ) -> None:
        """
        @param seconds: the local clock.
        @param quotas: C{None} for no limits.
        """
        self._fleet = fleet
        self._seconds = seconds
        self._quotas = quotas
        self._registry = Registry()
        # Registry.scan would import venusian, which adds 17 ms to the start.
        for operation in Operation.__subclasses__():
            self._registry.add(operation, operation.__name__)
        self.names: Collection[str] = frozenset(self._registry.get_actions())

    def check(self, operation: str) -> None:
        """
        Check that an operation is served.

        @raise FleetIQError: It is not.
        """
        try:
            self._registry.check(operation)
        except APIError as error:
            reason = (
                "is an operation of GameLift, but not one of FleetIQ's"
                if operation in gameLift().operations
                else "is not an operation of GameLift"
            )
            raise FleetIQError(
                "UnknownOperationException",
                f"{operation[:100]} {reason}. Served are {', '.join(sorted(self.names))}.",
            ) from error

    def perform(self, operation: str, request: Request) -> Output | None:
        """
        Carry out an operation, and return its output; C{None} if it has none.

        @raise FleetIQError: The operation fails, and nothing has changed.
        """
        try:
            return self._perform(operation, request)
        except FleetIQError as error:
            if error.code == "NotFoundException" and operation in _WITHOUT_NOT_FOUND:
                code = self._fleet.settings.unknownGroup
                raise FleetIQError(code, error.message) from error
            raise

    def _perform(self, operation: str, request: Request) -> Output | None:
        now = self._seconds()
        if self._quotas is not None:
            self._quotas.checkRate(operation, now)
        problem = gameLift().problem(operation, request)
        if problem is not None:
            raise FleetIQError("InvalidRequestException", problem)
        if self._quotas is not None:
            self._quotas.checkQuota(operation, request, self._fleet.groups(now))
        call: Operation = self._registry.get(operation)(self._fleet, now)
        return call.invoke(request)
