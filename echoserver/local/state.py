"""Pure: groups, instances, game servers, claims, and their rules; time is an argument."""

from bisect import insort
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from heapq import heappop, heappush

from echoserver.local.paging import cutPage
from echoserver.local.placement import CLAIMABLE_STATUSES, Standing, discard
from echoserver.local.values import (
    Event,
    GameServer,
    GameServerGroup,
    Instance,
    Refusal,
    instanceIdOf,
)

CLAIM_SECONDS = 60.0


def _standingOf(server: GameServer) -> Standing:
    return Standing.BUSY if server.claimed or server.utilized else Standing.FREE


class FleetState:
    """
    All there is in one local FleetIQ. Every operation takes C{now} and first lets happen what is
    due by then. Groups are named by name or ARN. Where an operation refuses, nothing has changed.

    @ivar happened: told every L{Event}, after the fact.
    @ivar healthTimeout: seconds after the last health report past which a game server is dropped.
    """

    def __init__(self, happened: Callable[[Event], None], healthTimeout: float = 180.0) -> None:
        self.happened = happened
        self.healthTimeout = healthTimeout
        self.instances: dict[str, Instance] = {}
        self._groups: dict[str, GameServerGroup] = {}
        self._servers: dict[int, GameServer] = {}
        self._serialOf: dict[str, int] = {}
        self._lastSerial = 0
        # What is due when, by serial. Entries that later changes made void are passed over then.
        self._claimEnds: list[tuple[float, int]] = []
        self._lapses: list[tuple[float, int]] = []

    def addGroup(self, name: str, instances: int, now: float) -> None:
        group = self._groups[name] = GameServerGroup(name, now)
        for index in range(instances):
            instance = Instance(instanceIdOf(name, index), name)
            self.instances[instance.instanceId] = instance
            group.instanceIds.append(instance.instanceId)
            insort(group.sortedInstanceIds, instance.instanceId)
            group.placement.addInstance(instance.instanceId, instance.status)

    def setInstanceStatus(self, instanceId: str, status: str, now: float) -> None:
        instance = self.instances[instanceId] = replace(self.instances[instanceId], status=status)
        self._groups[instance.groupName].placement.setStatus(instanceId, status)
        self.happened(
            Event(now, "instance-status", instance.groupName, instanceId, None, f"is {status}")
        )

    def register(
        self,
        groupName: str,
        gameServerId: str,
        instanceId: str,
        connectionInfo: str | None,
        gameServerData: str | None,
        now: float,
    ) -> GameServer:
        self.sweep(now)
        group = self.group(groupName)
        if instanceId not in self.instances or self.instances[instanceId].groupName != group.name:
            raise Refusal(
                "InvalidRequestException",
                f"Instance {instanceId} is not in game server group {group.name}, which has "
                f"{_some(group.instanceIds)}.",
            )
        if gameServerId in self._serialOf:
            known = self._servers[self._serialOf[gameServerId]]
            raise Refusal(
                "ConflictException",
                f"Game server {gameServerId} is already registered in game server group "
                f"{known.groupName}: take another id, or deregister that one.",
            )
        self._lastSerial += 1
        server = GameServer(
            self._lastSerial,
            group.name,
            gameServerId,
            instanceId,
            connectionInfo,
            gameServerData,
            registrationTime=now,
            lastHealthCheckTime=now,
        )
        self._servers[server.serial] = server
        self._serialOf[gameServerId] = server.serial
        group.serials.append(server.serial)
        group.placement.move(instanceId, server.serial, Standing.ABSENT, Standing.FREE)
        heappush(self._lapses, (now + self.healthTimeout, server.serial))
        self._tell(server, now, "registered", f"registered on {instanceId}, AVAILABLE")
        return server

    def update(
        self,
        groupName: str,
        gameServerId: str,
        gameServerData: str | None,
        utilizationStatus: str | None,
        healthCheck: str | None,
        now: float,
    ) -> GameServer:
        """C{None} leaves a thing as it is. AVAILABLE keeps a claim, for heartbeats may carry it."""
        self.sweep(now)
        before = self._find(groupName, gameServerId)
        if before.utilized and utilizationStatus == "AVAILABLE":
            raise Refusal(
                "InvalidRequestException",
                f"Game server {gameServerId} is UTILIZED and cannot become AVAILABLE again: "
                "deregister it and register a new one.",
            )
        utilize = utilizationStatus == "UTILIZED"
        after = replace(
            before,
            utilized=before.utilized or utilize,
            claimed=before.claimed and not utilize,
            lastHealthCheckTime=before.lastHealthCheckTime if healthCheck is None else now,
            gameServerData=before.gameServerData if gameServerData is None else gameServerData,
        )
        self._replace(before, after)
        if after.utilized and not before.utilized:
            self._tell(after, now, "utilized", "UTILIZED")
        return after

    def deregister(self, groupName: str, gameServerId: str, now: float) -> None:
        self.sweep(now)
        server = self._find(groupName, gameServerId)
        self._remove(server)
        age = now - server.registrationTime
        self._tell(server, now, "deregistered", f"deregistered after {age:.0f} s")

    def claim(
        self,
        groupName: str,
        gameServerId: str | None,
        gameServerData: str | None,
        statuses: Collection[str] | None,
        now: float,
    ) -> GameServer:
        """Claim this game server or, with C{None}, the one that placement prefers."""
        self.sweep(now)
        group = self.group(groupName)
        if statuses is not None and "ACTIVE" not in statuses:
            raise Refusal(
                "InvalidRequestException",
                f"FilterOption.InstanceStatuses is {list(statuses)}: it must contain ACTIVE.",
            )
        allowed = CLAIMABLE_STATUSES if statuses is None else statuses
        if gameServerId is None:
            before = self._nextFree(group, allowed)
        else:
            before = self._find(groupName, gameServerId)
            self._checkClaimable(before, allowed)
        after = replace(
            before,
            claimed=True,
            lastClaimTime=now,
            gameServerData=before.gameServerData if gameServerData is None else gameServerData,
        )
        self._replace(before, after)
        heappush(self._claimEnds, (now + CLAIM_SECONDS, after.serial))
        self._tell(after, now, "claimed", f"CLAIMED for {CLAIM_SECONDS:.0f} s")
        return after

    def gameServer(self, groupName: str, gameServerId: str, now: float) -> GameServer:
        self.sweep(now)
        return self._find(groupName, gameServerId)

    def gameServers(
        self,
        groupName: str,
        now: float,
        after: int | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> tuple[list[GameServer], bool]:
        """A page of a group's game servers by age, beyond a serial; and whether more follow."""
        self.sweep(now)
        serials, more = cutPage(self.group(groupName).serials, after, limit, descending)
        return [self._servers[serial] for serial in serials], more

    def allGameServers(self, now: float) -> Iterable[GameServer]:
        self.sweep(now)
        return self._servers.values()

    def group(self, nameOrArn: str) -> GameServerGroup:
        name = nameOrArn.rpartition(":gameservergroup/")[2]
        if name not in self._groups:
            raise Refusal(
                "NotFoundException",
                f"Game server group {name} does not exist. This FleetIQ has {_some(self._groups)}.",
            )
        return self._groups[name]

    def groups(self) -> Iterable[GameServerGroup]:
        return self._groups.values()

    def nextDeadline(self) -> float | None:
        """The time before which nothing can happen of itself; C{None} if nothing will."""
        heads = [heap[0][0] for heap in (self._claimEnds, self._lapses) if heap]
        return min(heads, default=None)

    def sweep(self, now: float) -> None:
        """End the claims and drop the game servers that are due."""
        while self._claimEnds and self._claimEnds[0][0] <= now:
            claimant = self._servers.get(heappop(self._claimEnds)[1])
            if claimant is not None and claimant.claimed:
                self._endClaim(claimant, now)
        while self._lapses and self._lapses[0][0] < now:
            silent = self._servers.get(heappop(self._lapses)[1])
            if silent is not None:
                self._dropOrWait(silent, now)

    def _endClaim(self, server: GameServer, now: float) -> None:
        # UTILIZED is for good, so an end that is due never belongs to a later claim.
        self._replace(server, replace(server, claimed=False))
        self._tell(
            server,
            now,
            "claim-expired",
            f"claim expired: not UTILIZED within {CLAIM_SECONDS:.0f} s, free again",
        )

    def _dropOrWait(self, server: GameServer, now: float) -> None:
        lapse = server.lastHealthCheckTime + self.healthTimeout
        if lapse >= now:
            heappush(self._lapses, (lapse, server.serial))
            return
        self._remove(server)
        silence = now - server.lastHealthCheckTime
        self._tell(server, now, "dropped", f"dropped: last health report {silence:.0f} s ago")

    def _nextFree(self, group: GameServerGroup, allowed: Collection[str]) -> GameServer:
        serial = group.placement.best(allowed)
        if serial is None:
            raise Refusal(
                "OutOfCapacityException",
                f"No game server of group {group.name} is free to claim, "
                f"of {len(group.serials)} registered.",
            )
        return self._servers[serial]

    def _checkClaimable(self, server: GameServer, allowed: Collection[str]) -> None:
        status = self.instances[server.instanceId].status
        if server.utilized:
            why = "is UTILIZED"
        elif server.claimed:
            why = "is already CLAIMED"
        elif status not in allowed:
            why = f"is on an instance that is {status}"
        else:
            return
        raise Refusal("ConflictException", f"Game server {server.gameServerId} {why}.")

    def _find(self, groupName: str, gameServerId: str) -> GameServer:
        group = self.group(groupName)
        serial = self._serialOf.get(gameServerId)
        if serial is None or self._servers[serial].groupName != group.name:
            raise Refusal(
                "NotFoundException",
                f"Game server {gameServerId} is not registered in game server group {group.name}.",
            )
        return self._servers[serial]

    def _replace(self, before: GameServer, after: GameServer) -> None:
        self._servers[after.serial] = after
        placement = self._groups[after.groupName].placement
        placement.move(after.instanceId, after.serial, _standingOf(before), _standingOf(after))

    def _remove(self, server: GameServer) -> None:
        del self._servers[server.serial]
        del self._serialOf[server.gameServerId]
        group = self._groups[server.groupName]
        discard(group.serials, server.serial)
        group.placement.move(server.instanceId, server.serial, _standingOf(server), Standing.ABSENT)

    def _tell(self, server: GameServer, now: float, event: str, sentence: str) -> None:
        self.happened(
            Event(now, event, server.groupName, server.instanceId, server.gameServerId, sentence)
        )


def _some(names: Collection[str]) -> str:
    shown = list(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
