"""Pure: game servers and claims, and the rules of their operations. Time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from echoserver.local.model.checks import (
    checkFilter,
    checkGroup,
    checkId,
    checkInstance,
    checkTarget,
    checkUpdate,
)
from echoserver.local.model.expiry import CLAIM_SECONDS, GameServerExpiry
from echoserver.local.model.gameserverindex import GameServerIndex
from echoserver.local.model.groups import Groups
from echoserver.local.model.interruptions import Interruptions
from echoserver.local.model.placement import CLAIMABLE_STATUSES
from echoserver.local.model.settings import DEFAULTS, MAX_NUMBER, Settings
from echoserver.local.model.values import (
    Event,
    FleetIQError,
    GameServer,
    GameServerGroup,
    Instance,
)


class Fleet:
    """
    The state of one local FleetIQ.

    Each method that takes the current time, C{now}, first expires what is due by then. Groups are
    identified by name or ARN. A method that raises L{FleetIQError} has changed nothing else.

    @ivar healthTimeout: seconds without a health report after which a game server is dropped.
    """

    def __init__(
        self,
        onEvent: Callable[[Event], None],
        healthTimeout: float = 180.0,
        settings: Settings = DEFAULTS,
    ) -> None:
        """
        @param onEvent: called after each event.
        """
        self._onEvent = onEvent
        self.healthTimeout = healthTimeout
        self.settings = settings
        self.clear()

    def clear(self) -> None:
        """Remove all groups, and restore the state after the construction."""
        self._groups = Groups(self._onEvent, self._dropInGroup)
        self._index = GameServerIndex(self._groups)
        self._interruptions = Interruptions(self._groups, self._onEvent, self._dropOnInstance)
        self._expiry = GameServerExpiry(
            self._index, self.healthTimeout, self.settings, self._report, self._drop
        )
        self._lastSerial = 0
        # Only ids that cannot be registered again.
        self._usedIds: set[str] = set()
        self._measuredFrom = 0.0
        self._longestSilence = 0.0

    def groups(self, now: float) -> Groups:
        """Return the groups at this time."""
        self.expire(now)
        return self._groups

    def addGroup(self, name: str, instances: int, now: float) -> None:
        """See L{Groups.add}."""
        self._groups.add(name, instances, now)

    def interrupt(self, instanceId: str, kind: str, seconds: float | None, now: float) -> Instance:
        """See L{Interruptions.begin}."""
        self.expire(now)
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
        """
        Register a game server, and return it. It counts as a health report.

        @raise FleetIQError: if a check of L{echoserver.local.model.checks} fails.
        """
        group = self.groups(now).group(groupName)
        instance = self._groups.instances.get(instanceId)
        isNew = instance is None and self.settings.strangeInstance == "add"
        checkGroup(group)
        if not isNew:
            checkInstance(group, instanceId, instance)
        checkId(gameServerId, self._index.byId(gameServerId), self._usedIds)
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
        self._index.add(server)
        if self.settings.idReuse == "refuse":
            self._usedIds.add(gameServerId)
        self._expiry.addHealth(server)
        self._report(server, now, "registered", f"registered on {instanceId}, AVAILABLE")
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
        """
        Update a game server, and return it. C{None} does not change a member.

        @param healthCheck: any text is a health report.
        @raise FleetIQError: if the game server does not exist, or cannot get this status.
        """
        self.expire(now)
        before = self._index.find(groupName, gameServerId)
        utilize = utilizationStatus == "UTILIZED"
        checkUpdate(before, utilizationStatus, self.settings)
        isReleased = utilizationStatus == "AVAILABLE" and self.settings.availableClaimed == "end"
        after = replace(
            before,
            utilized=before.utilized or utilize,
            claimed=before.claimed and not (utilize or isReleased),
            lastHealthCheckTime=before.lastHealthCheckTime if healthCheck is None else now,
            gameServerData=before.gameServerData if gameServerData is None else gameServerData,
            dataBeforeClaim=before.dataBeforeClaim if gameServerData is None else gameServerData,
        )
        self._index.replace(before, after)
        if healthCheck is not None and before.lastHealthCheckTime >= self._measuredFrom:
            self._longestSilence = max(self._longestSilence, now - before.lastHealthCheckTime)
        if after.utilized and not before.utilized:
            self._report(after, now, "utilized", "UTILIZED")
        elif before.claimed and not after.claimed:
            self._report(after, now, "released", "claim ended by an update to AVAILABLE")
        return after

    def deregister(self, groupName: str, gameServerId: str, now: float) -> None:
        """
        @raise FleetIQError: if the game server does not exist.
        """
        self.expire(now)
        server = self._index.find(groupName, gameServerId)
        self._index.remove(server, now)
        age = now - server.registrationTime
        self._report(server, now, "deregistered", f"deregistered after {age:.0f} s")

    def claim(
        self,
        groupName: str,
        gameServerId: str | None,
        gameServerData: str | None,
        statuses: Collection[str] | None,
        now: float,
    ) -> GameServer:
        """
        Claim a game server, and return it.

        AWS does not document that a group in DELETE_SCHEDULED rejects claims, so it accepts them. A
        group in DELETING has no game servers.

        @param gameServerId: C{None} for the game server that L{Placement} chooses.
        @param gameServerData: C{None} does not change it.
        @param statuses: the allowed statuses of the instance; C{None} for ACTIVE and DRAINING.
        @raise FleetIQError: if no such game server can be claimed.
        """
        group = self.groups(now).group(groupName)
        checkFilter(statuses)
        allowed = CLAIMABLE_STATUSES if statuses is None else statuses
        if gameServerId is None:
            before = self._nextFree(group, allowed)
        else:
            before = self._index.find(groupName, gameServerId)
            status = self._groups.instances[before.instanceId].status
            checkTarget(before, status, allowed, self.settings)
        after = replace(
            before,
            claimed=True,
            lastClaimTime=now,
            dataBeforeClaim=before.gameServerData,
            gameServerData=before.gameServerData if gameServerData is None else gameServerData,
        )
        self._index.replace(before, after)
        self._expiry.addClaim(after)
        self._report(after, now, "claimed", f"CLAIMED for {CLAIM_SECONDS:.0f} s")
        return after

    def gameServer(self, groupName: str, gameServerId: str, now: float) -> GameServer:
        """
        @raise FleetIQError: if the game server does not exist.
        """
        self.expire(now)
        return self._index.find(groupName, gameServerId)

    def gameServers(
        self,
        groupName: str,
        now: float,
        after: int | None = None,
        size: int = MAX_NUMBER,
        descending: bool = False,
    ) -> tuple[list[GameServer], bool]:
        """
        Return a page of a group's game servers in the order of registration, and whether more
        follow.

        @param after: the serial of the last game server of the page before.
        @raise FleetIQError: if the group does not exist.
        """
        group = self.groups(now).group(groupName)
        return self._index.page(group, after, size, descending)

    def allGameServers(self, now: float) -> Iterable[GameServer]:
        """Return the game servers of all groups, oldest first."""
        self.expire(now)
        return self._index.all()

    def measureSilence(self, now: float) -> float:
        """
        Return the longest time between two health reports of one game server. Only reports since
        the last call of this method count; without any, it is 0.
        """
        longest, self._longestSilence, self._measuredFrom = self._longestSilence, 0.0, now
        return longest

    def nextDeadline(self) -> float | None:
        """Return the earliest time at which something can expire; C{None} if nothing can."""
        parts = (self._expiry, self._interruptions, self._groups)
        deadlines = [each.nextDeadline() for each in parts]
        return min((each for each in deadlines if each is not None), default=None)

    def expire(self, now: float) -> None:
        """Expire the claims, game servers and instances that are due, and advance the groups."""
        # End one instance at a time, so that each drop is reported with its own reason.
        while (end := self._interruptions.nextDeadline()) is not None and end <= now:
            self._expireGameServers(end)
            self._interruptions.expire(end)
        self._expireGameServers(now)

    def _expireGameServers(self, now: float) -> None:
        self._expiry.expire(now)
        self._groups.expire(now)

    def _dropInGroup(self, group: GameServerGroup, now: float) -> None:
        for server in self._index.inGroup(group):
            self._drop(server, f"its group is {group.status}", now)

    def _dropOnInstance(self, instance: Instance, reason: str, now: float) -> None:
        for server in self._index.inGroup(self._groups.group(instance.groupName)):
            if server.instanceId == instance.instanceId:
                self._drop(server, reason, now)

    def _drop(self, server: GameServer, reason: str, now: float) -> None:
        self._index.remove(server, now)
        self._report(server, now, "dropped", f"dropped: {reason}")

    def _nextFree(self, group: GameServerGroup, allowed: Collection[str]) -> GameServer:
        serial = group.placement.best(allowed)
        server = None if serial is None else self._index.get(serial)
        if server is None:
            raise FleetIQError(
                "OutOfCapacityException",
                f"No game server of group {group.name} is free to claim, "
                f"of {len(group.serials)} registered.",
            )
        return server

    def _report(self, server: GameServer, now: float, event: str, sentence: str) -> None:
        statuses = {}
        after = self._index.get(server.serial)
        if after is not None:
            statuses["UtilizationStatus"] = "UTILIZED" if after.utilized else "AVAILABLE"
            if after.claimed:
                statuses["ClaimStatus"] = "CLAIMED"
        groupName, instanceId = server.groupName, server.instanceId
        self._onEvent(
            Event(now, event, groupName, instanceId, server.gameServerId, sentence, statuses)
        )
