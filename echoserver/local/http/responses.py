"""The output of operations: game servers, instances, groups and pages as GameLift returns them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from echoserver.local.model.pages import readToken, writeToken
from echoserver.local.model.settings import Settings
from echoserver.local.model.values import (
    ACCOUNT,
    REGION,
    FleetIQError,
    GameServer,
    GameServerGroup,
    Instance,
    InstanceDefinition,
    autoScalingGroupOf,
    groupArnOf,
)

Request = Mapping[str, Any]
Output = dict[str, Any]


def serializeGameServer(server: GameServer, settings: Settings) -> Output:
    """Return a GameServer, without members that were never set, and without an expired claim."""
    output: Output = {
        "GameServerGroupName": server.groupName,
        "GameServerGroupArn": groupArnOf(server.groupName),
        "GameServerId": server.gameServerId,
        "InstanceId": server.instanceId,
        "UtilizationStatus": "UTILIZED" if server.utilized else "AVAILABLE",
        "RegistrationTime": round(server.registrationTime, 3),
        "LastHealthCheckTime": round(server.lastHealthCheckTime, 3),
    }
    if server.connectionInfo is not None:
        output["ConnectionInfo"] = server.connectionInfo
    if server.gameServerData is not None:
        output["GameServerData"] = server.gameServerData
    if server.claimed or settings.unclaimed == "blank":
        output["ClaimStatus"] = "CLAIMED" if server.claimed else ""
    if server.lastClaimTime is not None:
        output["LastClaimTime"] = round(server.lastClaimTime, 3)
    return output


def serializeInstance(instance: Instance) -> Output:
    """Return a GameServerInstance."""
    return {
        "GameServerGroupName": instance.groupName,
        "GameServerGroupArn": groupArnOf(instance.groupName),
        "InstanceId": instance.instanceId,
        "InstanceStatus": instance.status,
    }


def serializeGroup(group: GameServerGroup) -> Output:
    """
    Return a GameServerGroup. As in AWS, it lacks what belongs to its Auto Scaling group, such as
    the sizes and the launch template.
    """
    output: Output = {
        "GameServerGroupName": group.name,
        "GameServerGroupArn": groupArnOf(group.name),
        "RoleArn": group.settings.roleArn,
        "InstanceDefinitions": list(map(_serializeDefinition, group.settings.instanceDefinitions)),
        "BalancingStrategy": group.settings.balancingStrategy,
        "GameServerProtectionPolicy": group.settings.gameServerProtectionPolicy,
        "Status": group.status,
        "SuspendedActions": list(group.suspendedActions),
        "CreationTime": round(group.creationTime, 3),
        "LastUpdatedTime": round(group.lastUpdatedTime, 3),
    }
    if group.isScaled:
        output["AutoScalingGroupArn"] = (
            f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:"
            "00000000-0000-0000-0000-000000000000:autoScalingGroupName/"
            + autoScalingGroupOf(group.name)
        )
    if group.statusReason is not None:
        output["StatusReason"] = group.statusReason
    return output


def _serializeDefinition(definition: InstanceDefinition) -> Output:
    # AWS does not return a weight that was not set: Terraform's tests rely on it.
    output: Output = {"InstanceType": definition.instanceType}
    if definition.weightedCapacity is not None:
        output["WeightedCapacity"] = definition.weightedCapacity
    return output


def serializePage(
    name: str, items: Iterable[Output], listing: str, last: int | str | None
) -> Output:
    """
    Return one page of a list.

    @param name: the member that contains the items.
    @param listing: identifies the list, for L{pageStart}.
    @param last: the key of the last item; C{None} if no page follows.
    """
    page: Output = {name: list(items)}
    if last is not None:
        page["NextToken"] = writeToken(listing, last)
    return page


def pageStart(request: Request, listing: str, parse: Callable[[str], Any]) -> Any:
    """
    Return the key after which the requested page starts; C{None} for the first page.

    @param parse: converts the key from text.
    @raise FleetIQError: The request's NextToken is not from this list.
    """
    token = request.get("NextToken")
    if token is None:
        return None
    try:
        return parse(readToken(listing, token))
    except ValueError as error:
        raise FleetIQError(
            "InvalidRequestException",
            "NextToken is not one of this list: repeat the call that returned it, with the same "
            "group and SortOrder, or omit it to start again.",
        ) from error
