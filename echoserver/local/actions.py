"""FleetIQ's operations: one class each, registered by its name with txAWS's server registry."""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from txaws.server.exception import APIError
from txaws.server.method import Method, method
from txaws.server.registry import Registry

from echoserver.local.paging import cutPage, readToken, writeToken
from echoserver.local.state import FleetState
from echoserver.local.validation import gameLift
from echoserver.local.values import (
    ACCOUNT,
    REGION,
    GameServer,
    GameServerGroup,
    Instance,
    Refusal,
    groupArnOf,
)

Request = Mapping[str, Any]
Output = dict[str, Any]


class Actions:
    """
    The operations that are served, on one state and one clock.

    @ivar operations: their names.
    """

    def __init__(self, state: FleetState, seconds: Callable[[], float]) -> None:
        self._state = state
        self._seconds = seconds
        self._registry = Registry()
        self._registry.scan(sys.modules[__name__])
        self.operations: Collection[str] = frozenset(self._registry.get_actions())

    def check(self, operation: str) -> None:
        """
        @raise Refusal: This operation is not served.
        """
        try:
            self._registry.check(operation)
        except APIError as error:
            whose = (
                "is an operation of GameLift that the local FleetIQ does not serve"
                if operation in gameLift().operations
                else "is not an operation of GameLift"
            )
            raise Refusal(
                "UnknownOperationException",
                f"{operation[:100]} {whose}. Served are {', '.join(sorted(self.operations))}.",
            ) from error

    def perform(self, operation: str, request: Request) -> Output | None:
        """
        Carry out a served operation; C{None} is the result of one that has no output.

        @raise Refusal: FleetIQ refuses it, and nothing has changed.
        """
        problem = gameLift().problem(operation, request)
        if problem is not None:
            raise Refusal("InvalidRequestException", problem)
        action: Action = self._registry.get(operation)(self._state, self._seconds())
        return action.invoke(request)


class Action(Method):  # type: ignore[misc] # txaws has no types
    """One operation: C{invoke} takes an input that L{gameLift}'s model has found right."""

    def __init__(self, state: FleetState, now: float) -> None:
        self.state = state
        self.now = now

    def invoke(self, request: Request) -> Output | None:
        raise NotImplementedError(f"{type(self).__name__} must say what it does.")


@method
class RegisterGameServer(Action):
    def invoke(self, request: Request) -> Output:
        server = self.state.register(
            request["GameServerGroupName"],
            request["GameServerId"],
            request["InstanceId"],
            request.get("ConnectionInfo"),
            request.get("GameServerData"),
            self.now,
        )
        return {"GameServer": wordGameServer(server)}


@method
class UpdateGameServer(Action):
    def invoke(self, request: Request) -> Output:
        server = self.state.update(
            request["GameServerGroupName"],
            request["GameServerId"],
            request.get("GameServerData"),
            request.get("UtilizationStatus"),
            request.get("HealthCheck"),
            self.now,
        )
        return {"GameServer": wordGameServer(server)}


@method
class DeregisterGameServer(Action):
    def invoke(self, request: Request) -> None:
        self.state.deregister(request["GameServerGroupName"], request["GameServerId"], self.now)


@method
class DescribeGameServer(Action):
    def invoke(self, request: Request) -> Output:
        server = self.state.gameServer(
            request["GameServerGroupName"], request["GameServerId"], self.now
        )
        return {"GameServer": wordGameServer(server)}


@method
class ListGameServers(Action):
    def invoke(self, request: Request) -> Output:
        group = self.state.group(request["GameServerGroupName"])
        descending = request.get("SortOrder") == "DESCENDING"
        listing = f"servers/{group.name}/{'descending' if descending else 'ascending'}"
        servers, more = self.state.gameServers(
            group.name, self.now, _after(request, listing, int), request.get("Limit"), descending
        )
        words = map(wordGameServer, servers)
        return _page("GameServers", words, listing, servers[-1].serial if more else None)


@method
class ClaimGameServer(Action):
    def invoke(self, request: Request) -> Output:
        server = self.state.claim(
            request["GameServerGroupName"],
            request.get("GameServerId"),
            request.get("GameServerData"),
            (request.get("FilterOption") or {}).get("InstanceStatuses"),
            self.now,
        )
        return {"GameServer": wordGameServer(server)}


@method
class DescribeGameServerInstances(Action):
    def invoke(self, request: Request) -> Output:
        group = self.state.group(request["GameServerGroupName"])
        listing = f"instances/{group.name}"
        keys = group.sortedInstanceIds
        if request.get("InstanceIds") is not None:
            # Ids that are not in the group are left out: AWS does not say what they do.
            named = [self.state.instances.get(each) for each in set(request["InstanceIds"])]
            keys = sorted(
                each.instanceId for each in named if each and each.groupName == group.name
            )
        ids, more = cutPage(keys, _after(request, listing, str), request.get("Limit"))
        words = (wordInstance(self.state.instances[instanceId]) for instanceId in ids)
        return _page("GameServerInstances", words, listing, ids[-1] if more else None)


@method
class DescribeGameServerGroup(Action):
    def invoke(self, request: Request) -> Output:
        return {"GameServerGroup": wordGroup(self.state.group(request["GameServerGroupName"]))}


@method
class ListGameServerGroups(Action):
    def invoke(self, request: Request) -> Output:
        groups = {group.name: group for group in self.state.groups()}
        names, more = cutPage(sorted(groups), _after(request, "groups", str), request.get("Limit"))
        words = (wordGroup(groups[name]) for name in names)
        return _page("GameServerGroups", words, "groups", names[-1] if more else None)


def wordGameServer(server: GameServer) -> Output:
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
    if server.claimed:
        words["ClaimStatus"] = "CLAIMED"
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
    scalingGroup = f"gamelift-gameservergroup-{group.name}"
    return {
        "GameServerGroupName": group.name,
        "GameServerGroupArn": groupArnOf(group.name),
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{scalingGroup}",
        "InstanceDefinitions": [
            {"InstanceType": "c5.large", "WeightedCapacity": "1"},
            {"InstanceType": "c5a.large", "WeightedCapacity": "1"},
        ],
        "BalancingStrategy": "SPOT_PREFERRED",
        "GameServerProtectionPolicy": "NO_PROTECTION",
        "AutoScalingGroupArn": (
            f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:"
            f"00000000-0000-0000-0000-000000000000:autoScalingGroupName/{scalingGroup}"
        ),
        "Status": "ACTIVE",
        "SuspendedActions": [],
        "CreationTime": round(group.creationTime, 3),
        "LastUpdatedTime": round(group.creationTime, 3),
    }


def _after(request: Request, listing: str, read: Callable[[str], Any]) -> Any:
    """The key behind which the page begins that a request asks for; C{None} for the first page."""
    token = request.get("NextToken")
    if token is None:
        return None
    try:
        return read(readToken(listing, token))
    except ValueError as error:
        raise Refusal(
            "InvalidRequestException",
            "NextToken is not one of this list: repeat the call that gave it, with the same group "
            "and SortOrder, or leave it out to begin again.",
        ) from error


def _page(name: str, words: Iterable[Output], listing: str, last: int | str | None) -> Output:
    page: Output = {name: list(words)}
    if last is not None:
        page["NextToken"] = writeToken(listing, last)
    return page
