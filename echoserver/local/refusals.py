"""Pure: what FleetIQ refuses about game servers, and with which words."""

from collections.abc import Collection

from echoserver.local.settings import Settings
from echoserver.local.values import GameServer, GameServerGroup, Instance, Refusal, some


def checkGroup(group: GameServerGroup) -> None:
    """
    That DELETE_SCHEDULED blocks registrations is AWS's word, with which error, and what the other
    statuses do, is our choice: ConflictException, all.
    """
    if group.status != "ACTIVE":
        raise Refusal(
            "ConflictException",
            f"Game server group {group.name} is {group.status}: game servers can register "
            "only while it is ACTIVE.",
        )


def checkInstance(group: GameServerGroup, instanceId: str, instance: Instance | None) -> None:
    """That a registration may fail on an instance that shuts down is AWS's word, not how."""
    if instance is None or instance.groupName != group.name:
        raise Refusal(
            "InvalidRequestException",
            f"Instance {instanceId} is not in game server group {group.name}, which has "
            f"{some(group.instanceIds) or 'none'}.",
        )
    if instance.end is not None:
        raise Refusal(
            "ConflictException",
            f"Instance {instanceId} is about to be terminated: no game server can register on it.",
        )


def checkId(gameServerId: str, known: GameServer | None, used: Collection[str]) -> None:
    """
    @param known: who has this id now.
    @param used: the ids that may not come back.
    """
    if known is not None:
        raise Refusal(
            "ConflictException",
            f"Game server {gameServerId} is already registered in game server group "
            f"{known.groupName}: take another id, or deregister that one.",
        )
    if gameServerId in used:
        raise Refusal(
            "ConflictException",
            f"Game server {gameServerId} was registered before, and the setting id-reuse is "
            "refuse: take another id.",
        )


def checkUpdate(server: GameServer, utilizationStatus: str | None, settings: Settings) -> None:
    if server.utilized and utilizationStatus == "AVAILABLE":
        raise Refusal(
            settings.availableAgain,
            f"Game server {server.gameServerId} is UTILIZED and cannot become AVAILABLE again: "
            "deregister it and register a new one.",
        )
    isLate = utilizationStatus == "UTILIZED" and not (server.claimed or server.utilized)
    if isLate and settings.lateUtilized == "refuse":
        raise Refusal(
            "InvalidRequestException",
            f"Game server {server.gameServerId} is not claimed, and the setting late-utilized is "
            "refuse: claim it first.",
        )


def checkFilter(statuses: Collection[str] | None) -> None:
    if statuses is not None and "ACTIVE" not in statuses:
        raise Refusal(
            "InvalidRequestException",
            f"FilterOption.InstanceStatuses is {list(statuses)}: it must contain ACTIVE.",
        )


def checkTarget(
    server: GameServer, instanceStatus: str, allowed: Collection[str], settings: Settings
) -> None:
    """
    @param allowed: the statuses of instances that may be claimed from.
    """
    code = "ConflictException"
    if server.utilized:
        why = "is UTILIZED"
    elif server.claimed:
        why = "is already CLAIMED"
    elif instanceStatus not in allowed:
        why, code = f"is on an instance that is {instanceStatus}", settings.excludedTarget
    else:
        return
    raise Refusal(code, f"Game server {server.gameServerId} {why}.")
