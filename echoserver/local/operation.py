"""What FleetIQ's operations have in common: their base, the words of replies, and pages."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from txaws.server.method import Method

from echoserver.local.paging import readToken, writeToken
from echoserver.local.settings import Settings
from echoserver.local.state import FleetState
from echoserver.local.values import (
    ACCOUNT,
    REGION,
    GameServer,
    GameServerGroup,
    Instance,
    InstanceDefinition,
    Refusal,
    autoScalingGroupOf,
    groupArnOf,
)

Request = Mapping[str, Any]
Output = dict[str, Any]


class Operation(Method):  # type: ignore[misc] # txaws has no types
    """
    One operation: C{invoke} takes an input that the service model has found right.

    @ivar groups: the groups as they are now.
    """

    def __init__(self, state: FleetState, now: float) -> None:
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
        raise Refusal(
            "InvalidRequestException",
            "NextToken is not one of this list: repeat the call that gave it, with the same group "
            "and SortOrder, or leave it out to begin again.",
        ) from error


def wordPage(name: str, words: Iterable[Output], listing: str, last: int | str | None) -> Output:
    page: Output = {name: list(words)}
    if last is not None:
        page["NextToken"] = writeToken(listing, last)
    return page
