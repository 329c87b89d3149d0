"""Pure: the game servers that are registered, found by id and by age, and where each stands."""

from collections.abc import Iterable

from echoserver.local.groups import Groups
from echoserver.local.placement import Standing
from echoserver.local.values import GameServer, GameServerGroup, Refusal


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
            raise Refusal(
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
        serials, more = group.serials.page(after, size, descending)
        return [self._servers[serial] for serial in serials], more

    def add(self, server: GameServer) -> None:
        """Of the greatest serial so far."""
        self._servers[server.serial] = server
        self._serialOf[server.gameServerId] = server.serial
        group = self._groups.group(server.groupName)
        group.serials.append(server.serial)
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
