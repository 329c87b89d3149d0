"""The subcommands that call one operation on game servers: claim, list, register, ..."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click import UsageError

from echoserver.cli import values
from echoserver.cli.command import Action, Command, idArgument
from echoserver.cli.lists import listAll
from echoserver.cli.output import CommandFailed, Console
from echoserver.cli.target import Target
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import FleetIQ, GameServerDescription

_data = click.option(
    "--data",
    metavar="TEXT",
    type=values.Checked(values.gameServerData),
    help="Set GameServerData: a string of at most 1024 characters.",
)


def _call(operation: str, **members: str | None) -> Action:
    """Return what calls an operation once."""

    async def run(target: Target) -> int:
        await _callOnce(target, operation, **members)
        return 0

    return Action(run)


async def _callOnce(target: Target, operation: str, **members: str | None) -> None:
    """Call an operation once, and write the request and the reply."""
    request = {
        "GameServerGroupName": target.group,
        **{name: value for name, value in members.items() if value is not None},
    }
    # Before the call, since it may fail.
    target.console.writeRequest(operation, request)
    reply = await target.calls.call(operation, **request)
    target.console.writeReply(request, reply)


def _one(ids: Sequence[str]) -> str:
    """Return the only id of a command line."""
    if len(ids) != 1:
        raise UsageError(f"name one game server id, not {len(ids)}.")
    return values.gameServerId(ids[0])


@click.command(cls=Command, examples=["claim", "claim gs-1 --data 'map=desert'"])
@idArgument("[ID]")
@_data
def claim(ids: Sequence[str], data: str | None) -> Action:
    """Reserve a free game server, or the one named, for 60 seconds."""
    # Do not repeat the call: it may reserve a second game server.
    if len(ids) > 1:
        raise UsageError(f"name one game server id or none, not {len(ids)}.")
    gameServerId = values.gameServerId(ids[0]) if ids else None
    return _call("ClaimGameServer", GameServerId=gameServerId, GameServerData=data)


@click.command(cls=Command, examples=["describe gs-1"])
@idArgument("ID")
def describe(ids: Sequence[str]) -> Action:
    """Show what FleetIQ has stored about a game server."""
    return _call("DescribeGameServer", GameServerId=_one(ids))


@click.command(
    cls=Command,
    examples=["register gs-1 --instance i-0123456789abcdef0 --connection 203.0.113.7:5000"],
)
@idArgument("ID")
@click.option(
    "--instance",
    metavar="INSTANCE",
    type=values.Checked(values.instanceId),
    help="The id of its instance: i- and 17 characters.",
)
@click.option(
    "--connection",
    metavar="HOST:PORT",
    type=values.Checked(values.connectionInfo),
    help="ConnectionInfo: where players connect.",
)
@_data
def register(
    ids: Sequence[str], instance: str | None, connection: str | None, data: str | None
) -> Action:
    """
    Register a game server by hand.

    It is AVAILABLE, until FleetIQ drops it because no health reports arrive: send them with
    'fleetiq update ID --healthy'.
    """
    gameServerId = _one(ids)
    for name, value in (("instance", instance), ("connection", connection)):
        if value is None:
            raise UsageError(f"--{name} is missing.")
    return _call(
        "RegisterGameServer",
        GameServerId=gameServerId,
        InstanceId=instance,
        ConnectionInfo=connection,
        GameServerData=data,
    )


@click.command(cls=Command, examples=["update gs-1 --healthy", "update gs-1 --utilized"])
@idArgument("ID")
@click.option("--utilized", is_flag=True, help="Report UTILIZED (players are connected).")
@click.option("--available", is_flag=True, help="Report AVAILABLE (no players yet).")
@click.option("--healthy", is_flag=True, help="Report HEALTHY (a heartbeat).")
@_data
def update(
    ids: Sequence[str], utilized: bool, available: bool, healthy: bool, data: str | None
) -> Action:
    """
    Report the status of a game server to FleetIQ.

    A UTILIZED game server cannot become AVAILABLE again: deregister it, and register it again.
    """
    gameServerId = _one(ids)
    if utilized and available:
        raise UsageError("--utilized and --available contradict each other.")
    if not (utilized or available or healthy or data):
        raise UsageError("add --utilized, --available, --healthy or --data.")
    return _call(
        "UpdateGameServer",
        GameServerId=gameServerId,
        UtilizationStatus="UTILIZED" if utilized else "AVAILABLE" if available else None,
        HealthCheck="HEALTHY" if healthy else None,
        GameServerData=data,
    )


@click.command(
    cls=Command,
    examples=["deregister gs-1 gs-2", "deregister --instance i-0123456789abcdef0 --yes"],
)
@idArgument("ID ... | --instance INSTANCE")
@click.option("--yes", is_flag=True, help="Do not ask, and also deregister UTILIZED game servers.")
@click.option(
    "--instance",
    metavar="INSTANCE",
    type=values.Checked(values.instanceId),
    help="Deregister every game server on this instance, running ones included.",
)
def deregister(ids: Sequence[str], yes: bool, instance: str | None) -> Action:
    """Remove game servers from the group. Connected players stay connected."""
    named = [values.gameServerId(each) for each in ids]
    if bool(named) == bool(instance):
        raise UsageError("name at least one game server id, or else --instance.")

    async def run(target: Target) -> int:
        return await _deregisterAll(target, named, instance, yes=yes)

    def check(console: Console) -> None:
        if instance and not yes:
            console.checkTerminal("deregisters every game server of the instance")

    return Action(run, check=check)


async def _deregisterAll(
    target: Target, named: Sequence[str], instance: str | None, *, yes: bool
) -> int:
    """Deregister one after the other. An error does not stop the rest."""
    status = 0
    ids = named or await _idsOnInstance(target, instance)
    if instance and ids and not yes:
        count = f"{len(ids)} game server{'s' if len(ids) > 1 else ''}"
        target.console.confirm(f"Deregister {count} of {instance}, running or not?")
    for gameServerId in ids:
        try:
            await _deregister(target, gameServerId, yes=yes)
        except (CallFailed, CommandFailed) as reason:
            target.console.writeMessage(f"{gameServerId}: {reason}")
            status = 1
    return status


async def _idsOnInstance(target: Target, instance: str | None) -> list[str]:
    ids = [
        server.gameServerId
        for server in map(
            GameServerDescription.fromReply, await listAll(target, "ListGameServers", "GameServers")
        )
        if server.instanceId == instance
    ]
    if not ids:
        target.console.writeMessage(f"No game server of {instance} is registered.")
    return ids


async def _deregister(target: Target, gameServerId: str, *, yes: bool) -> None:
    if not yes:
        server = await FleetIQ(target.calls, target.group).describe(gameServerId)
        if server.utilized:
            raise CommandFailed(
                "It is UTILIZED, and its running session would lose its registration. "
                "Add --yes to deregister it anyway."
            )
    await _callOnce(target, "DeregisterGameServer", GameServerId=gameServerId)
