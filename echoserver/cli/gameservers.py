"""The subcommands that are one operation of FleetIQ on game servers: claim, list, register, ..."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from twisted.python import usage

from echoserver.cli.command import Command
from echoserver.cli.console import Refused, table
from echoserver.cli.paging import everyPage
from echoserver.cli.where import Fleet
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import FleetIQ, GameServerDescription

_DATA = ["data", None, None, "GameServerData: a string of at most 1024 characters."]


async def _ask(fleet: Fleet, operation: str, **members: str | None) -> None:
    given = {name: value for name, value in members.items() if value is not None}
    request = {"GameServerGroupName": fleet.group, **given}
    fleet.console.showOperation(operation, request)
    reply = await fleet.calls.call(operation, **request)
    fleet.console.showReply(request, reply)


class _OfOneServer(Command):
    """A subcommand that takes the id of one game server."""

    synopsis = "[options] ID"

    def parseArgs(self, *ids: str) -> None:
        """Take the id."""
        if len(ids) != 1:
            raise usage.UsageError(f"name one game server id, not {len(ids)}.")
        self.gameServerId = ids[0]


class Claim(Command):
    """C{claim [ID]}"""

    synopsis = "[options] [ID]"
    longdesc = "Reserves a free game server, or the one named, for 60 seconds."
    optParameters = (_DATA,)
    gameServerId: str | None = None

    def parseArgs(self, *ids: str) -> None:
        """Take the id, if any."""
        if len(ids) > 1:
            raise usage.UsageError(f"name one game server id or none, not {len(ids)}.")
        self.gameServerId = ids[0] if ids else None

    async def run(self, fleet: Fleet) -> int:
        """Call it once: repeated, it may reserve a second server."""
        await _ask(
            fleet, "ClaimGameServer", GameServerId=self.gameServerId, GameServerData=self["data"]
        )
        return 0


class List(Command):
    """C{list}"""

    synopsis = ""
    longdesc = "Lists the game servers of the group, to the last page."

    async def run(self, fleet: Fleet) -> int:
        """One line each."""
        request = {"GameServerGroupName": fleet.group}
        fleet.console.showOperation("ListGameServers", request)
        replies = await everyPage(fleet.calls, "ListGameServers", "GameServers", **request)
        if fleet.console.json:
            for reply in replies:
                fleet.console.showLine(reply)
        else:
            servers = [GameServerDescription.fromReply(reply) for reply in replies]
            fleet.console.show(serverTable(servers, fleet.clock.seconds()))
        return 0


class Describe(_OfOneServer):
    """C{describe ID}"""

    longdesc = "Shows what FleetIQ knows of a game server."

    async def run(self, fleet: Fleet) -> int:
        """Call it once."""
        await _ask(fleet, "DescribeGameServer", GameServerId=self.gameServerId)
        return 0


class Register(_OfOneServer):
    """C{register ID}"""

    longdesc = "Registers a game server by hand: AVAILABLE, until its health reports fail to come."
    optParameters = (
        ["instance", None, None, "The instance it runs on: i- and 17 characters."],
        ["connection", None, None, "ConnectionInfo: what players connect to, HOST:PORT."],
        _DATA,
    )

    def postOptions(self) -> None:
        """Refuse a registration that nobody could use."""
        for name in ("instance", "connection"):
            if self[name] is None:
                raise usage.UsageError(f"--{name} is missing.")

    async def run(self, fleet: Fleet) -> int:
        """Call it once."""
        await _ask(
            fleet,
            "RegisterGameServer",
            GameServerId=self.gameServerId,
            InstanceId=self["instance"],
            ConnectionInfo=self["connection"],
            GameServerData=self["data"],
        )
        return 0


class Update(_OfOneServer):
    """C{update ID}"""

    longdesc = "Reports for a game server. UTILIZED never goes back to AVAILABLE: deregister it."
    optFlags = (
        ["utilized", None, "It has players."],
        ["available", None, "It has none, and never had any."],
        ["healthy", None, "It is well: a heartbeat."],
    )
    optParameters = (_DATA,)

    def postOptions(self) -> None:
        """Refuse to say nothing, and to say two things at once."""
        if self["utilized"] and self["available"]:
            raise usage.UsageError("--utilized and --available contradict each other.")
        if not (self["utilized"] or self["available"] or self["healthy"] or self["data"]):
            raise usage.UsageError("add --utilized, --available, --healthy or --data.")

    async def run(self, fleet: Fleet) -> int:
        """Call it once."""
        status = "UTILIZED" if self["utilized"] else "AVAILABLE" if self["available"] else None
        await _ask(
            fleet,
            "UpdateGameServer",
            GameServerId=self.gameServerId,
            UtilizationStatus=status,
            HealthCheck="HEALTHY" if self["healthy"] else None,
            GameServerData=self["data"],
        )
        return 0


class Deregister(Command):
    """C{deregister ID ...}"""

    synopsis = "[options] ID ... | --instance INSTANCE"
    longdesc = "Deregister game servers. Their players stay connected."
    optFlags = (["yes", None, "Deregister game servers in play, too."],)
    optParameters = (["instance", None, None, "All of this instance: what a crash left there."],)

    def parseArgs(self, *ids: str) -> None:
        """Take the ids."""
        self.gameServerIds = ids

    def postOptions(self) -> None:
        """Refuse to guess which ones are meant."""
        if bool(self.gameServerIds) == bool(self["instance"]):
            raise usage.UsageError("name at least one game server id, or else --instance.")

    async def run(self, fleet: Fleet) -> int:
        """One after the other; one that is refused does not stop the rest."""
        status = 0
        for gameServerId in self.gameServerIds or await self._ofInstance(fleet):
            try:
                await self._deregister(fleet, gameServerId)
            except (CallFailed, Refused) as reason:
                fleet.console.say(f"{gameServerId}: {reason}")
                status = 1
        return status

    async def _ofInstance(self, fleet: Fleet) -> list[str]:
        request = {"GameServerGroupName": fleet.group}
        fleet.console.showOperation("ListGameServers", request)
        servers = await everyPage(fleet.calls, "ListGameServers", "GameServers", **request)
        found = [
            server.gameServerId
            for server in map(GameServerDescription.fromReply, servers)
            if server.instanceId == self["instance"]
        ]
        if not found:
            fleet.console.say(f"No game server of {self['instance']} is registered.")
        return found

    async def _deregister(self, fleet: Fleet, gameServerId: str) -> None:
        if not self["yes"]:
            server = await FleetIQ(fleet.calls, fleet.group).describe(gameServerId)
            if server.utilized:
                raise Refused(
                    "It is UTILIZED, and the session played on it would lose its registration. "
                    "Add --yes if it should."
                )
        await _ask(fleet, "DeregisterGameServer", GameServerId=gameServerId)


def stateOf(server: GameServerDescription) -> str:
    """AVAILABLE, CLAIMED or UTILIZED, which FleetIQ tells in two members."""
    if server.utilized:
        return "UTILIZED"
    return "CLAIMED" if server.claimed else "AVAILABLE"


_TITLES = ("ID", "STATE", "CONNECTION", "INSTANCE", "REGISTERED", "HEALTHY", "CLAIMED")


def serverTable(servers: Sequence[GameServerDescription], now: float) -> str:
    """One line each; C{now} is in epoch seconds."""
    if not servers:
        return "No game server is registered.\n"
    return table([_TITLES, *(_row(server, now) for server in servers)])


def _row(server: GameServerDescription, now: float) -> tuple[str | None, ...]:
    return (
        server.gameServerId,
        stateOf(server),
        server.connectionInfo or None,
        server.instanceId,
        _age(server.registered, now),
        _age(server.lastHealthReport, now),
        _age(server.lastClaim, now),
    )


def _age(date: datetime | None, now: float) -> str | None:
    if date is None:
        return None
    # A local FleetIQ's clock may run ahead of ours.
    seconds = max(0, int(now - date.timestamp()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit} ago"
    return f"{seconds}s ago"
