"""Pure: game servers, claims and their rules; time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from heapq import heappop, heappush

from echoserver.local.model.groups import Groups, Interruptions
from echoserver.local.model.placement import CLAIMABLE_STATUSES, Standing
from echoserver.local.model.settings import DEFAULTS, MOST, Settings
from echoserver.local.model.values import (
    Event,
    FleetIQError,
    GameServer,
    GameServerGroup,
    Instance,
    cutPage,
    some,
)


def checkGroup(group: GameServerGroup) -> None:
    """
    That DELETE_SCHEDULED blocks registrations is AWS's word, with which error, and what the other
    statuses do, is our choice: ConflictException, all.
    """
    if group.status != "ACTIVE":
        raise FleetIQError(
            "ConflictException",
            f"Game server group {group.name} is {group.status}: game servers can register "
            "only while it is ACTIVE.",
        )


def checkInstance(group: GameServerGroup, instanceId: str, instance: Instance | None) -> None:
    """That a registration may fail on an instance that shuts down is AWS's word, not how."""
    if instance is None or instance.groupName != group.name:
        raise FleetIQError(
            "InvalidRequestException",
            f"Instance {instanceId} is not in game server group {group.name}, which has "
            f"{some(group.instanceIds) or 'none'}.",
        )
    if instance.end is not None:
        raise FleetIQError(
            "ConflictException",
            f"Instance {instanceId} is about to be terminated: no game server can register on it.",
        )


def checkId(gameServerId: str, known: GameServer | None, used: Collection[str]) -> None:
    """
    @param known: who has this id now.
    @param used: the ids that may not come back.
    """
    if known is not None:
        raise FleetIQError(
            "ConflictException",
            f"Game server {gameServerId} is already registered in game server group "
            f"{known.groupName}: take another id, or deregister that one.",
        )
    if gameServerId in used:
        raise FleetIQError(
            "ConflictException",
            f"Game server {gameServerId} was registered before, and the setting id-reuse is "
            "refuse: take another id.",
        )


def checkUpdate(server: GameServer, utilizationStatus: str | None, settings: Settings) -> None:
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
    if statuses is not None and "ACTIVE" not in statuses:
        raise FleetIQError(
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
    raise FleetIQError(code, f"Game server {server.gameServerId} {why}.")


def _standingOf(server: GameServer) -> Standing:
    return Standing.BUSY if server.claimed or server.utilized else Standing.FREE


class Roster:
    """The game servers of all groups; it keeps each group's own account of them right."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._servers: dict[int, GameServer] = {}
        self._serialOf: dict[str, int] = {}

    def get(self, serial: int) -> GameServer | None:
        return self._servers.get(serial)

    def named(self, gameServerId: str) -> GameServer | None:
        """The one of this id, in whatever group."""
        serial = self._serialOf.get(gameServerId)
        return None if serial is None else self._servers[serial]

    def find(self, groupName: str, gameServerId: str) -> GameServer:
        group = self._groups.group(groupName)
        server = self.named(gameServerId)
        if server is None or server.groupName != group.name:
            raise FleetIQError(
                "NotFoundException",
                f"Game server {gameServerId} is not registered in game server group {group.name}.",
            )
        return server

    def all(self) -> Iterable[GameServer]:
        return self._servers.values()

    def of(self, group: GameServerGroup) -> list[GameServer]:
        """All of a group, the oldest first."""
        return [self._servers[serial] for serial in group.serials]

    def page(
        self, group: GameServerGroup, after: int | None, size: int, descending: bool
    ) -> tuple[list[GameServer], bool]:
        """A page of a group's by age, beyond a serial; and whether more follow."""
        serials, more = cutPage(group.serials, after, size, descending)
        return [self._servers[serial] for serial in serials], more

    def add(self, server: GameServer) -> None:
        """Of the greatest serial so far."""
        self._servers[server.serial] = server
        self._serialOf[server.gameServerId] = server.serial
        group = self._groups.group(server.groupName)
        group.serials.add(server.serial)
        group.placement.move(server.instanceId, server.serial, Standing.ABSENT, Standing.FREE)

    def replace(self, before: GameServer, after: GameServer) -> None:
        self._servers[after.serial] = after
        group = self._groups.group(after.groupName)
        group.utilized += after.utilized - before.utilized
        group.placement.move(
            after.instanceId, after.serial, _standingOf(before), _standingOf(after)
        )

    def remove(self, server: GameServer, now: float) -> None:
        del self._servers[server.serial]
        del self._serialOf[server.gameServerId]
        group = self._groups.group(server.groupName)
        group.serials.remove(server.serial)
        group.placement.move(server.instanceId, server.serial, _standingOf(server), Standing.ABSENT)
        if server.utilized:
            group.utilized -= 1
            if not group.utilized:
                self._groups.playEnded(group, now)


CLAIM_SECONDS = 60.0


class Fleet:
    """
    All there is in one local FleetIQ. Every operation takes C{now} and first lets happen what is
    due by then. Groups are named by name or ARN. Where an operation refuses, nothing has changed.

    @ivar happened: told every L{Event}, after the fact.
    @ivar healthTimeout: seconds after the last health report past which a game server is dropped.
    """

    def __init__(
        self,
        happened: Callable[[Event], None],
        healthTimeout: float = 180.0,
        settings: Settings = DEFAULTS,
    ) -> None:
        self.happened = happened
        self.healthTimeout = healthTimeout
        self.settings = settings
        self.clear()

    def clear(self) -> None:
        """Be as new: without groups."""
        self._groups = Groups(self.happened, self._dropGroup)
        self._roster = Roster(self._groups)
        self._interruptions = Interruptions(self._groups, self.happened, self._dropInstance)
        self._lastSerial = 0
        # What is due when, by serial. Entries that later changes made void are passed over then.
        self._claimEnds: list[tuple[float, int]] = []
        self._lapses: list[tuple[float, int]] = []
        # Of those alone that may not be registered again.
        self._usedIds: set[str] = set()
        self._measuredFrom = 0.0
        self._longestSilence = 0.0

    def groups(self, now: float) -> Groups:
        """The groups as they are at this time."""
        self.sweep(now)
        return self._groups

    def addGroup(self, name: str, instances: int, now: float) -> None:
        """See L{Groups.add}."""
        self._groups.add(name, instances, now)

    def interrupt(self, instanceId: str, kind: str, seconds: float | None, now: float) -> Instance:
        """See L{Interruptions.begin}."""
        self.sweep(now)
        return self._interruptions.begin(instanceId, kind, seconds, now)

    def register(
        self,
        groupName: str,
        gameServerId: str,
        instanceId: str,
        connectionInfo: str | None,
        gameServerData: str | None,
        now: float,
    ) -> GameServer:
        """See refusals.py for what is refused."""
        group = self.groups(now).group(groupName)
        instance = self._groups.instances.get(instanceId)
        isNew = instance is None and self.settings.strangeInstance == "add"
        checkGroup(group)
        if not isNew:
            checkInstance(group, instanceId, instance)
        checkId(gameServerId, self._roster.named(gameServerId), self._usedIds)
        if isNew:
            self._groups.addInstance(instanceId, group, now)
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
        self._roster.add(server)
        if self.settings.idReuse == "refuse":
            self._usedIds.add(gameServerId)
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
        """C{None} leaves a thing as it is."""
        self.sweep(now)
        before = self._roster.find(groupName, gameServerId)
        utilize = utilizationStatus == "UTILIZED"
        checkUpdate(before, utilizationStatus, self.settings)
        isReleased = utilizationStatus == "AVAILABLE" and self.settings.availableClaimed == "end"
        after = replace(
            before,
            utilized=before.utilized or utilize,
            claimed=before.claimed and not (utilize or isReleased),
            lastHealthCheckTime=before.lastHealthCheckTime if healthCheck is None else now,
            gameServerData=before.gameServerData if gameServerData is None else gameServerData,
            dataUnclaimed=before.dataUnclaimed if gameServerData is None else gameServerData,
        )
        self._roster.replace(before, after)
        if healthCheck is not None and before.lastHealthCheckTime >= self._measuredFrom:
            self._longestSilence = max(self._longestSilence, now - before.lastHealthCheckTime)
        if after.utilized and not before.utilized:
            self._tell(after, now, "utilized", "UTILIZED")
        elif before.claimed and not after.claimed:
            self._tell(after, now, "released", "claim ended: it is AVAILABLE, by its own word")
        return after

    def deregister(self, groupName: str, gameServerId: str, now: float) -> None:
        self.sweep(now)
        server = self._roster.find(groupName, gameServerId)
        self._roster.remove(server, now)
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
        """
        Claim this game server or, with C{None}, the one that placement prefers. AWS does not say
        that DELETE_SCHEDULED blocks claims, so it does not; DELETING has nothing left to claim.
        """
        group = self.groups(now).group(groupName)
        checkFilter(statuses)
        allowed = CLAIMABLE_STATUSES if statuses is None else statuses
        if gameServerId is None:
            before = self._nextFree(group, allowed)
        else:
            before = self._roster.find(groupName, gameServerId)
            status = self._groups.instances[before.instanceId].status
            checkTarget(before, status, allowed, self.settings)
        after = replace(
            before,
            claimed=True,
            lastClaimTime=now,
            dataUnclaimed=before.gameServerData,
            gameServerData=before.gameServerData if gameServerData is None else gameServerData,
        )
        self._roster.replace(before, after)
        heappush(self._claimEnds, (_claimEnd(after), after.serial))
        self._tell(after, now, "claimed", f"CLAIMED for {CLAIM_SECONDS:.0f} s")
        return after

    def gameServer(self, groupName: str, gameServerId: str, now: float) -> GameServer:
        self.sweep(now)
        return self._roster.find(groupName, gameServerId)

    def gameServers(
        self,
        groupName: str,
        now: float,
        after: int | None = None,
        size: int = MOST,
        descending: bool = False,
    ) -> tuple[list[GameServer], bool]:
        """A page of a group's game servers by age, beyond a serial; and whether more follow."""
        group = self.groups(now).group(groupName)
        return self._roster.page(group, after, size, descending)

    def allGameServers(self, now: float) -> Iterable[GameServer]:
        self.sweep(now)
        return self._roster.all()

    def measureSilence(self, now: float) -> float:
        """
        The longest time between two health reports of one game server, of those that came since
        this was last asked; 0 if there were none.
        """
        longest, self._longestSilence, self._measuredFrom = self._longestSilence, 0.0, now
        return longest

    def nextDeadline(self) -> float | None:
        """The time before which nothing can happen of itself; C{None} if nothing will."""
        others = (self._interruptions.nextDeadline(), self._groups.nextDeadline())
        heads = [heap[0][0] for heap in (self._claimEnds, self._lapses) if heap]
        return min([*heads, *(each for each in others if each is not None)], default=None)

    def sweep(self, now: float) -> None:
        """End the claims and instances, drop the servers, and change the groups that are due."""
        # Up to each end by itself, for what had already happened then is no work of that end.
        while (end := self._interruptions.nextDeadline()) is not None and end <= now:
            self._sweepServers(end)
            self._interruptions.sweep(end)
        self._sweepServers(now)

    def _sweepServers(self, now: float) -> None:
        while self._claimEnds and self._claimEnds[0][0] <= now:
            claimant = self._roster.get(heappop(self._claimEnds)[1])
            # A claim that ended before its time may have been followed by another.
            if claimant is not None and claimant.claimed and _claimEnd(claimant) <= now:
                self._endClaim(claimant, now)
        while self._lapses and self._lapses[0][0] < now:
            silent = self._roster.get(heappop(self._lapses)[1])
            if silent is not None:
                self._dropOrWait(silent, now)
        self._groups.sweep(now)

    def _endClaim(self, server: GameServer, now: float) -> None:
        revert = self.settings.claimData == "revert"
        data = server.dataUnclaimed if revert else server.gameServerData
        self._roster.replace(server, replace(server, claimed=False, gameServerData=data))
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
        silence = now - server.lastHealthCheckTime
        self._drop(server, f"last health report {silence:.0f} s ago", now)

    def _dropGroup(self, group: GameServerGroup, now: float) -> None:
        for server in self._roster.of(group):
            self._drop(server, f"its group is {group.status}", now)

    def _dropInstance(self, instance: Instance, why: str, now: float) -> None:
        for server in self._roster.of(self._groups.group(instance.groupName)):
            if server.instanceId == instance.instanceId:
                self._drop(server, why, now)

    def _drop(self, server: GameServer, why: str, now: float) -> None:
        self._roster.remove(server, now)
        self._tell(server, now, "dropped", f"dropped: {why}")

    def _nextFree(self, group: GameServerGroup, allowed: Collection[str]) -> GameServer:
        serial = group.placement.best(allowed)
        server = None if serial is None else self._roster.get(serial)
        if server is None:
            raise FleetIQError(
                "OutOfCapacityException",
                f"No game server of group {group.name} is free to claim, "
                f"of {len(group.serials)} registered.",
            )
        return server

    def _tell(self, server: GameServer, now: float, event: str, sentence: str) -> None:
        statuses = {}
        after = self._roster.get(server.serial)
        if after is not None:
            statuses["UtilizationStatus"] = "UTILIZED" if after.utilized else "AVAILABLE"
            if after.claimed:
                statuses["ClaimStatus"] = "CLAIMED"
        groupName, instanceId = server.groupName, server.instanceId
        self.happened(
            Event(now, event, groupName, instanceId, server.gameServerId, sentence, statuses)
        )


def _claimEnd(server: GameServer) -> float:
    """When the last claim of this game server is over."""
    return (server.lastClaimTime or 0.0) + CLAIM_SECONDS
