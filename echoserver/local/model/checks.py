"""Pure: the checks of requests for game servers. Each raises the error that FleetIQ returns."""

from __future__ import annotations

from collections.abc import Collection

from echoserver.local.model.settings import Settings
from echoserver.local.model.values import (
    FleetIQError,
    GameServer,
    GameServerGroup,
    Instance,
    formatNames,
)


def checkGroup(group: GameServerGroup) -> None:
    """
    Check that game servers can register in this group.

    AWS documents that registration fails in DELETE_SCHEDULED, but neither the error nor the other
    statuses. Here it fails with ConflictException in each status but ACTIVE.
    """
    if group.status != "ACTIVE":
        raise FleetIQError(
            "ConflictException",
            f"Game server group {group.name} is {group.status}: game servers can register "
            "only while it is ACTIVE.",
        )


def checkInstance(group: GameServerGroup, instanceId: str, instance: Instance | None) -> None:
    """
    Check that a game server can register on this instance.

    AWS documents that registration may fail on an instance that is about to be terminated, but not
    the error.

    @param instance: C{None} if no group has an instance of this id.
    """
    if instance is None or instance.groupName != group.name:
        raise FleetIQError(
            "InvalidRequestException",
            f"Instance {instanceId} is not in game server group {group.name}, which has "
            f"{formatNames(group.instanceIds) or 'none'}.",
        )
    if instance.end is not None:
        raise FleetIQError(
            "ConflictException",
            f"Instance {instanceId} is about to be terminated: no game server can register on it.",
        )


def checkId(gameServerId: str, registered: GameServer | None, usedIds: Collection[str]) -> None:
    """
    Check that a game server can register with this id.

    @param registered: the game server that has this id now.
    @param usedIds: the ids that cannot be registered again.
    """
    if registered is not None:
        raise FleetIQError(
            "ConflictException",
            f"Game server {gameServerId} is already registered in game server group "
            f"{registered.groupName}: use another id, or deregister that game server.",
        )
    if gameServerId in usedIds:
        raise FleetIQError(
            "ConflictException",
            f"Game server {gameServerId} was registered before, and the setting id-reuse is "
            "refuse: use another id.",
        )


def checkUpdate(server: GameServer, utilizationStatus: str | None, settings: Settings) -> None:
    """Check that this game server can get this UtilizationStatus; C{None} does not change it."""
    if server.utilized and utilizationStatus == "AVAILABLE":
        raise FleetIQError(
            settings.availableAgain,
            f"Game server {server.gameServerId} is UTILIZED and cannot become AVAILABLE again: "
            "deregister it and register a new one.",
        )
    isLate = utilizationStatus == "UTILIZED" and not (server.claimed or server.utilized)
    if isLate and settings.lateUtilized == "refuse":
        raise FleetIQError(
            "InvalidRequestException",
            f"Game server {server.gameServerId} is not claimed, and the setting late-utilized is "
            "refuse: claim it first.",
        )


def checkFilter(statuses: Collection[str] | None) -> None:
    """Check the instance statuses of a FilterOption; C{None} if the request has none."""
    if statuses is not None and "ACTIVE" not in statuses:
        raise FleetIQError(
            "InvalidRequestException",
            f"FilterOption.InstanceStatuses is {list(statuses)}: it must contain ACTIVE.",
        )


def checkTarget(
    server: GameServer, instanceStatus: str, allowed: Collection[str], settings: Settings
) -> None:
    """
    Check that this game server can be claimed by its id.

    @param allowed: the statuses that its instance may have.
    """
    code = "ConflictException"
    if server.utilized:
        reason = "is UTILIZED"
    elif server.claimed:
        reason = "is already CLAIMED"
    elif instanceStatus not in allowed:
        reason, code = f"is on an instance that is {instanceStatus}", settings.excludedTarget
    else:
        return
    raise FleetIQError(code, f"Game server {server.gameServerId} {reason}.")
