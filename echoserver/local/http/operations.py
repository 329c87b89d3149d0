"""The 17 operations of FleetIQ: input to model, model to output; a class each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from txaws.server.exception import APIError
from txaws.server.method import Method
from txaws.server.registry import Registry

from echoserver.local.http.validation import gameLift
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.quotas import Quotas
from echoserver.local.model.settings import Settings
from echoserver.local.model.values import (
    ACCOUNT,
    REGION,
    FleetIQError,
    GameServer,
    GameServerGroup,
    GroupSettings,
    Instance,
    InstanceDefinition,
    autoScalingGroupOf,
    cutPage,
    groupArnOf,
    readToken,
    writeToken,
)

Request = Mapping[str, Any]
Output = dict[str, Any]


class Operation(Method):  # type: ignore[misc] # txaws has no types
    """
    One operation: C{invoke} takes an input that the service model has found right.

    @ivar groups: the groups as they are now.
    """

    def __init__(self, state: Fleet, now: float) -> None:
        self.state = state
        self.groups = state.groups(now)
        self.now = now

    def pageSize(self, request: Request) -> int:
        return self.state.settings.pageSize(request.get("Limit"))

    def wordGameServer(self, server: GameServer) -> Output:
        return wordGameServer(server, self.state.settings)

    def invoke(self, request: Request) -> Output | None:
        """C{None} is the result of an operation that has no output."""
        raise NotImplementedError(f"{type(self).__name__} must say what it does.")


def wordGameServer(server: GameServer, settings: Settings) -> Output:
    """A GameServer as replies have it: without what was never set or, of claims, has ended."""
    words: Output = {
        "GameServerGroupName": server.groupName,
        "GameServerGroupArn": groupArnOf(server.groupName),
        "GameServerId": server.gameServerId,
        "InstanceId": server.instanceId,
        "UtilizationStatus": "UTILIZED" if server.utilized else "AVAILABLE",
        "RegistrationTime": round(server.registrationTime, 3),
        "LastHealthCheckTime": round(server.lastHealthCheckTime, 3),
    }
    if server.connectionInfo is not None:
        words["ConnectionInfo"] = server.connectionInfo
    if server.gameServerData is not None:
        words["GameServerData"] = server.gameServerData
    if server.claimed or settings.unclaimed == "blank":
        words["ClaimStatus"] = "CLAIMED" if server.claimed else ""
    if server.lastClaimTime is not None:
        words["LastClaimTime"] = round(server.lastClaimTime, 3)
    return words


def wordInstance(instance: Instance) -> Output:
    return {
        "GameServerGroupName": instance.groupName,
        "GameServerGroupArn": groupArnOf(instance.groupName),
        "InstanceId": instance.instanceId,
        "InstanceStatus": instance.status,
    }


def wordGroup(group: GameServerGroup) -> Output:
    """
    A GameServerGroup as replies have it: what belongs to its Auto Scaling group, such as sizes and
    launch template, is not in it.
    """
    words: Output = {
        "GameServerGroupName": group.name,
        "GameServerGroupArn": groupArnOf(group.name),
        "RoleArn": group.settings.roleArn,
        "InstanceDefinitions": list(map(_wordDefinition, group.settings.instanceDefinitions)),
        "BalancingStrategy": group.settings.balancingStrategy,
        "GameServerProtectionPolicy": group.settings.gameServerProtectionPolicy,
        "Status": group.status,
        "SuspendedActions": list(group.suspendedActions),
        "CreationTime": round(group.creationTime, 3),
        "LastUpdatedTime": round(group.lastUpdatedTime, 3),
    }
    if group.isScaled:
        words["AutoScalingGroupArn"] = (
            f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:"
            "00000000-0000-0000-0000-000000000000:autoScalingGroupName/"
            + autoScalingGroupOf(group.name)
        )
    if group.statusReason is not None:
        words["StatusReason"] = group.statusReason
    return words


def _wordDefinition(definition: InstanceDefinition) -> Output:
    # A weight that was not given is not echoed: Terraform's tests of AWS rely on it.
    words: Output = {"InstanceType": definition.instanceType}
    if definition.weightedCapacity is not None:
        words["WeightedCapacity"] = definition.weightedCapacity
    return words


def readAfter(request: Request, listing: str, read: Callable[[str], Any]) -> Any:
    """The key behind which the page begins that a request asks for; C{None} for the first page."""
    token = request.get("NextToken")
    if token is None:
        return None
    try:
        return read(readToken(listing, token))
    except ValueError as error:
        raise FleetIQError(
            "InvalidRequestException",
            "NextToken is not one of this list: repeat the call that gave it, with the same group "
            "and SortOrder, or leave it out to begin again.",
        ) from error


def wordPage(name: str, words: Iterable[Output], listing: str, last: int | str | None) -> Output:
    page: Output = {name: list(words)}
    if last is not None:
        page["NextToken"] = writeToken(listing, last)
    return page


class RegisterGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.state.register(
            request["GameServerGroupName"],
            request["GameServerId"],
            request["InstanceId"],
            request.get("ConnectionInfo"),
            request.get("GameServerData"),
            self.now,
        )
        return {"GameServer": self.wordGameServer(server)}


class UpdateGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.state.update(
            request["GameServerGroupName"],
            request["GameServerId"],
            request.get("GameServerData"),
            request.get("UtilizationStatus"),
            request.get("HealthCheck"),
            self.now,
        )
        return {"GameServer": self.wordGameServer(server)}


class DeregisterGameServer(Operation):
    def invoke(self, request: Request) -> None:
        self.state.deregister(request["GameServerGroupName"], request["GameServerId"], self.now)


class DescribeGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.state.gameServer(
            request["GameServerGroupName"], request["GameServerId"], self.now
        )
        return {"GameServer": self.wordGameServer(server)}


class ListGameServers(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.group(request["GameServerGroupName"])
        descending = request.get("SortOrder") == "DESCENDING"
        listing = f"servers/{group.name}/{'descending' if descending else 'ascending'}"
        servers, more = self.state.gameServers(
            group.name,
            self.now,
            readAfter(request, listing, int),
            self.pageSize(request),
            descending,
        )
        words = map(self.wordGameServer, servers)
        return wordPage("GameServers", words, listing, servers[-1].serial if more else None)


class ClaimGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.state.claim(
            request["GameServerGroupName"],
            request.get("GameServerId"),
            request.get("GameServerData"),
            (request.get("FilterOption") or {}).get("InstanceStatuses"),
            self.now,
        )
        return {"GameServer": self.wordGameServer(server)}


class DescribeGameServerInstances(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.group(request["GameServerGroupName"])
        listing = f"instances/{group.name}"
        keys = group.sortedInstanceIds
        if request.get("InstanceIds") is not None:
            # Ids that are not in the group are left out: AWS does not say what they do.
            named = [self.groups.instances.get(each) for each in set(request["InstanceIds"])]
            keys = sorted(
                each.instanceId for each in named if each and each.groupName == group.name
            )
        ids, more = cutPage(keys, readAfter(request, listing, str), self.pageSize(request))
        words = (wordInstance(self.groups.instances[instanceId]) for instanceId in ids)
        return wordPage("GameServerInstances", words, listing, ids[-1] if more else None)


class CreateGameServerGroup(Operation):
    """
    The launch template, the Auto Scaling policy, the subnets and MaxSize are checked, and have no
    effect here: there is no Auto Scaling.
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
        )
        return {"GameServerGroup": wordGroup(group)}


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
        return {"GameServerGroup": wordGroup(group)}


class DeleteGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        option = request.get("DeleteOption") or "SAFE_DELETE"
        group = self.groups.delete(request["GameServerGroupName"], option, self.now)
        return {"GameServerGroup": wordGroup(group)}


class SuspendGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.suspend(
            request["GameServerGroupName"], request["SuspendActions"], self.now
        )
        return {"GameServerGroup": wordGroup(group)}


class ResumeGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.resume(
            request["GameServerGroupName"], request["ResumeActions"], self.now
        )
        return {"GameServerGroup": wordGroup(group)}


class DescribeGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        return {"GameServerGroup": wordGroup(self.groups.group(request["GameServerGroupName"]))}


class ListGameServerGroups(Operation):
    def invoke(self, request: Request) -> Output:
        groups, more = self.groups.page(readAfter(request, "groups", str), self.pageSize(request))
        words = map(wordGroup, groups)
        return wordPage("GameServerGroups", words, "groups", groups[-1].name if more else None)


class TagResource(Operation):
    def invoke(self, request: Request) -> Output:
        self.groups.tag(request["ResourceARN"], _tagsOf(request["Tags"]))
        return {}


class UntagResource(Operation):
    def invoke(self, request: Request) -> Output:
        self.groups.untag(request["ResourceARN"], request["TagKeys"])
        return {}


class ListTagsForResource(Operation):
    def invoke(self, request: Request) -> Output:
        tags = self.groups.tags(request["ResourceARN"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _checkSizes(minSize: int, maxSize: int) -> None:
    if minSize > maxSize:
        raise FleetIQError(
            "InvalidRequestException",
            f"MinSize is {minSize} and MaxSize {maxSize}: MinSize must not be greater.",
        )


def _checkLaunchTemplate(template: Request) -> None:
    names = ("LaunchTemplateId", "LaunchTemplateName")
    given = [name for name in names if template.get(name) is not None]
    if len(given) != 1:
        raise FleetIQError(
            "InvalidRequestException",
            f"LaunchTemplate has {' and '.join(given) or 'no name'}: it must have either "
            f"{' or '.join(names)}.",
        )


def _definitionsOf(words: Iterable[Request]) -> tuple[InstanceDefinition, ...]:
    definitions = tuple(
        InstanceDefinition(each["InstanceType"], each.get("WeightedCapacity")) for each in words
    )
    types = {each.instanceType for each in definitions}
    if len(types) < 2:
        raise FleetIQError(
            "InvalidRequestException",
            f"InstanceDefinitions has {' and '.join(types)} alone: it must have at least two "
            "different instance types.",
        )
    return definitions


def _tagsOf(words: Iterable[Request]) -> dict[str, str]:
    """Of tags with the same key the last one counts: AWS does not say."""
    return {each["Key"]: each["Value"] for each in words}


# What they would answer it for is the group; the model has no such error of theirs.
_NOT_FOUND_UNDOCUMENTED = ("RegisterGameServer", "ListGameServers")


class Actions:
    """
    The operations that are served, on one state and one clock.

    @ivar operations: their names.
    """

    def __init__(
        self, state: Fleet, seconds: Callable[[], float], quotas: Quotas | None = None
    ) -> None:
        """
        @param quotas: C{None} lets any number of calls make any number of things.
        """
        self._state = state
        self._seconds = seconds
        self._quotas = quotas
        self._registry = Registry()
        # Not Registry.scan: its import of venusian adds 17 ms to the start.
        for operation in Operation.__subclasses__():
            self._registry.add(operation, operation.__name__)
        self.operations: Collection[str] = frozenset(self._registry.get_actions())

    def check(self, operation: str) -> None:
        """
        @raise FleetIQError: This operation is not served.
        """
        try:
            self._registry.check(operation)
        except APIError as error:
            whose = (
                "is an operation of GameLift, but not one of FleetIQ's"
                if operation in gameLift().operations
                else "is not an operation of GameLift"
            )
            raise FleetIQError(
                "UnknownOperationException",
                f"{operation[:100]} {whose}. Served are {', '.join(sorted(self.operations))}.",
            ) from error

    def perform(self, operation: str, request: Request) -> Output | None:
        """
        Carry out a served operation; C{None} is the result of one that has no output.

        @raise FleetIQError: FleetIQ refuses it, and nothing has changed.
        """
        try:
            return self._perform(operation, request)
        except FleetIQError as refusal:
            if refusal.code == "NotFoundException" and operation in _NOT_FOUND_UNDOCUMENTED:
                code = self._state.settings.unknownGroup
                raise FleetIQError(code, refusal.message) from refusal
            raise

    def _perform(self, operation: str, request: Request) -> Output | None:
        now = self._seconds()
        if self._quotas is not None:
            self._quotas.checkRate(operation, now)
        problem = gameLift().problem(operation, request)
        if problem is not None:
            raise FleetIQError("InvalidRequestException", problem)
        if self._quotas is not None:
            self._quotas.checkRoom(operation, request, self._state.groups(now))
        action: Operation = self._registry.get(operation)(self._state, now)
        return action.invoke(request)
