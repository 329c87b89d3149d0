"""Pure: the index of all game servers, by serial, by id and by group."""

from __future__ import annotations

from collections.abc import Iterable

from echoserver.local.model.groups import Groups
from echoserver.local.model.pages import cutPage
from echoserver.local.model.placement import ClaimState
from echoserver.local.model.values import FleetIQError, GameServer, GameServerGroup


class GameServerIndex:
    """
    The game servers of all groups. It also updates the data that each group has of its game
    servers: their serials, their placement, and the number of UTILIZED ones.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._servers: dict[int, GameServer] = {}
        self._serials: dict[str, int] = {}

    def get(self, serial: int) -> GameServer | None:
        return self._servers.get(serial)

    def byId(self, gameServerId: str) -> GameServer | None:
        """Return the game server with this id, in any group."""
        serial = self._serials.get(gameServerId)
        return None if serial is None else self._servers[serial]

    def find(self, groupName: str, gameServerId: str) -> GameServer:
        """
        Return a game server of a group.

        @param groupName: a name or an ARN.
        @raise FleetIQError: if the group does not exist, or has no such game server.
        """
        group = self._groups.group(groupName)
        server = self.byId(gameServerId)
        if server is None or server.groupName != group.name:
            raise FleetIQError(
                "NotFoundException",
                f"Game server {gameServerId} is not registered in game server group {group.name}.",
            )
        return server

    def all(self) -> Iterable[GameServer]:
        """Return the game servers of all groups, oldest first."""
        return self._servers.values()

    def inGroup(self, group: GameServerGroup) -> list[GameServer]:
        """Return the game servers of a group, oldest first."""
        return [self._servers[serial] for serial in group.serials]

    def page(
        self, group: GameServerGroup, after: int | None, size: int, descending: bool
    ) -> tuple[list[GameServer], bool]:
        """Return a page of a group's game servers, and whether more follow. See L{cutPage}."""
        serials, more = cutPage(group.serials, after, size, descending)
        return [self._servers[serial] for serial in serials], more

    def add(self, server: GameServer) -> None:
        self._servers[server.serial] = server
        self._serials[server.gameServerId] = server.serial
        group = self._groups.group(server.groupName)
        group.serials.add(server.serial)
        group.placement.move(
            server.instanceId, server.serial, ClaimState.UNREGISTERED, _claimStateOf(server)
        )

    def replace(self, before: GameServer, after: GameServer) -> None:
        """Replace a game server with a newer value of the same registration."""
        self._servers[after.serial] = after
        group = self._groups.group(after.groupName)
        group.utilized += after.utilized - before.utilized
        group.placement.move(
            after.instanceId, after.serial, _claimStateOf(before), _claimStateOf(after)
        )

    def remove(self, server: GameServer, now: float) -> None:
        del self._servers[server.serial]
        del self._serials[server.gameServerId]
        group = self._groups.group(server.groupName)
        group.serials.remove(server.serial)
        group.placement.move(
            server.instanceId, server.serial, _claimStateOf(server), ClaimState.UNREGISTERED
        )
        if server.utilized:
            group.utilized -= 1
            if not group.utilized:
                self._groups.utilizedEnded(group, now)


def _claimStateOf(server: GameServer) -> ClaimState:
    return ClaimState.BUSY if server.claimed or server.utilized else ClaimState.FREE
