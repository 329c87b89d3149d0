"""The subcommands that call one operation on game servers: claim, list, register, ..."""

from __future__ import annotations

from twisted.python import usage

from echoserver.cli import values
from echoserver.cli.command import Command
from echoserver.cli.output import CommandFailed, Console, Reply, serverTable
from echoserver.cli.target import Target, everyPage
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import FleetIQ, GameServerDescription

_DATA = [
    "data",
    None,
    None,
    "Set GameServerData: a string of at most 1024 characters.",
    values.gameServerData,
]


async def _call(target: Target, operation: str, **members: str | None) -> None:
    """Call an operation once, and write the request and the reply."""
    request = {
        "GameServerGroupName": target.group,
        **{name: value for name, value in members.items() if value is not None},
    }
    # Before the call, since it may fail.
    target.console.writeRequest(operation, request)
    reply = await target.calls.call(operation, **request)
    target.console.writeReply(request, reply)


async def _listReplies(target: Target) -> list[Reply]:
    """Write the request, and return all game servers as FleetIQ describes them."""
    request = {"GameServerGroupName": target.group}
    target.console.writeRequest("ListGameServers", request)
    return await everyPage(target.calls, "ListGameServers", "GameServers", **request)


class _ServerCommand(Command):
    """A subcommand that takes one game server id."""

    synopsis = "[options] ID"

    def parseArgs(self, *ids: str) -> None:
        """Take the id."""
        if len(ids) != 1:
            raise usage.UsageError(f"name one game server id, not {len(ids)}.")
        self.gameServerId = values.gameServerId(ids[0])


class Claim(Command):
    """C{claim [ID]}"""

    synopsis = "[options] [ID]"
    longdesc = "Reserve a free game server, or the one named, for 60 seconds."
    optParameters = (_DATA,)
    gameServerId: str | None = None

    def parseArgs(self, *ids: str) -> None:
        """Take the id, if there is one."""
        if len(ids) > 1:
            raise usage.UsageError(f"name one game server id or none, not {len(ids)}.")
        self.gameServerId = values.gameServerId(ids[0]) if ids else None

    async def run(self, target: Target) -> int:
        """Call ClaimGameServer. Do not repeat it: it may reserve a second game server."""
        await _call(
            target, "ClaimGameServer", GameServerId=self.gameServerId, GameServerData=self["data"]
        )
        return 0


class List(Command):
    """C{list}"""

    longdesc = "List all game servers of the group."

    async def run(self, target: Target) -> int:
        """Write a table, or one JSON object for each game server."""
        replies = await _listReplies(target)
        if target.console.json:
            for reply in replies:
                target.console.writeJSON(reply)
        else:
            servers = [GameServerDescription.fromReply(reply) for reply in replies]
            target.console.write(serverTable(servers, target.clock.seconds()))
        return 0


class Describe(_ServerCommand):
    """C{describe ID}"""

    longdesc = "Show what FleetIQ has stored about a game server."

    async def run(self, target: Target) -> int:
        """Call DescribeGameServer."""
        await _call(target, "DescribeGameServer", GameServerId=self.gameServerId)
        return 0


class Register(_ServerCommand):
    """C{register ID}"""

    longdesc = (
        "Register a game server by hand. It is AVAILABLE, until FleetIQ drops it because no health "
        "reports arrive: send them with 'fleetiq update ID --healthy'."
    )
    optParameters = (
        [
            "instance",
            None,
            None,
            "The id of its instance: i- and 17 characters.",
            values.instanceId,
        ],
        [
            "connection",
            None,
            None,
            "ConnectionInfo: where players connect, HOST:PORT.",
            values.connectionInfo,
        ],
        _DATA,
    )

    def postOptions(self) -> None:
        """Require both the instance and the connection."""
        for name in ("instance", "connection"):
            if self[name] is None:
                raise usage.UsageError(f"--{name} is missing.")

    async def run(self, target: Target) -> int:
        """Call RegisterGameServer."""
        await _call(
            target,
            "RegisterGameServer",
            GameServerId=self.gameServerId,
            InstanceId=self["instance"],
            ConnectionInfo=self["connection"],
            GameServerData=self["data"],
        )
        return 0


class Update(_ServerCommand):
    """C{update ID}"""

    longdesc = (
        "Report the status of a game server to FleetIQ. A UTILIZED game server cannot become "
        "AVAILABLE again: deregister it, and register it again."
    )
    optFlags = (
        ["utilized", None, "Report UTILIZED (players are connected)."],
        ["available", None, "Report AVAILABLE (no players yet)."],
        ["healthy", None, "Report HEALTHY (a heartbeat)."],
    )
    optParameters = (_DATA,)

    def postOptions(self) -> None:
        """Require at least one report, and at most one utilization status."""
        if self["utilized"] and self["available"]:
            raise usage.UsageError("--utilized and --available contradict each other.")
        if not (self["utilized"] or self["available"] or self["healthy"] or self["data"]):
            raise usage.UsageError("add --utilized, --available, --healthy or --data.")

    async def run(self, target: Target) -> int:
        """Call UpdateGameServer."""
        status = "UTILIZED" if self["utilized"] else "AVAILABLE" if self["available"] else None
        await _call(
            target,
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
    longdesc = "Remove game servers from the group. Connected players stay connected."
    optFlags = (["yes", None, "Do not ask, and also deregister UTILIZED game servers."],)
    optParameters = (
        [
            "instance",
            None,
            None,
            "Deregister every game server on this instance, running ones included.",
            values.instanceId,
        ],
    )

    def parseArgs(self, *ids: str) -> None:
        """Take the ids."""
        self.gameServerIds = [values.gameServerId(each) for each in ids]

    def postOptions(self) -> None:
        """Require either ids or an instance."""
        if bool(self.gameServerIds) == bool(self["instance"]):
            raise usage.UsageError("name at least one game server id, or else --instance.")

    def checkConsole(self, console: Console) -> None:
        """With --instance, require --yes or a terminal."""
        if self["instance"] and not self["yes"]:
            console.checkTerminal("deregisters every game server of the instance")

    async def run(self, target: Target) -> int:
        """Deregister one after the other. An error does not stop the rest."""
        status = 0
        ids = self.gameServerIds or await self._idsOnInstance(target)
        if self["instance"] and ids and not self["yes"]:
            count = f"{len(ids)} game server{'s' if len(ids) > 1 else ''}"
            target.console.confirm(f"Deregister {count} of {self['instance']}, running or not?")
        for gameServerId in ids:
            try:
                await self._deregister(target, gameServerId)
            except (CallFailed, CommandFailed) as reason:
                target.console.writeMessage(f"{gameServerId}: {reason}")
                status = 1
        return status

    async def _idsOnInstance(self, target: Target) -> list[str]:
        ids = [
            server.gameServerId
            for server in map(GameServerDescription.fromReply, await _listReplies(target))
            if server.instanceId == self["instance"]
        ]
        if not ids:
            target.console.writeMessage(f"No game server of {self['instance']} is registered.")
        return ids

    async def _deregister(self, target: Target, gameServerId: str) -> None:
        if not self["yes"]:
            server = await FleetIQ(target.calls, target.group).describe(gameServerId)
            if server.utilized:
                raise CommandFailed(
                    "It is UTILIZED, and its running session would lose its registration. "
                    "Add --yes to deregister it anyway."
                )
        await _call(target, "DeregisterGameServer", GameServerId=gameServerId)
