"""The subcommands that list what a group has: list, instances, groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from echoserver.cli.command import Action, Command
from echoserver.cli.output import CommandFailed, Reply
from echoserver.cli.polling import poll
from echoserver.cli.tables import (
    SERVER_SORTS,
    Table,
    groupTable,
    instanceTable,
    liveServerTable,
    serverTable,
    sortedReplies,
)
from echoserver.cli.target import Target, everyPage
from echoserver.gamelift.service import GameServerDescription

_watch = click.option("--watch", is_flag=True, help="Show it again and again, until q or Ctrl-C.")


async def listAll(target: Target, operation: str, member: str) -> list[Reply]:
    """Write the request, and return all items of the group."""
    request = {"GameServerGroupName": target.group} if target.group else {}
    target.console.writeRequest(operation, request)
    return await everyPage(target.calls, operation, member, **request)


@dataclass(frozen=True, slots=True)
class _Listing:
    """
    A list of FleetIQ, and how it is shown.

    @ivar order: sorts the items.
    @ivar table: makes the table of sorted items.
    """

    operation: str
    member: str
    order: Callable[[Target, Sequence[Reply]], Sequence[Reply]]
    table: Callable[[Target, Sequence[Reply]], Table]

    async def items(self, target: Target) -> Sequence[Reply]:
        """Call FleetIQ, and return the sorted items."""
        return self.order(target, await listAll(target, self.operation, self.member))

    def action(self, *, watch: bool, usesGroup: bool = True) -> Action:
        """Return what lists the items, once or repeatedly."""
        return Action(self._watch if watch else self._once, usesGroup=usesGroup)

    async def _once(self, target: Target) -> int:
        self._write(target, await self.items(target))
        return 0

    def _write(self, target: Target, items: Sequence[Reply]) -> None:
        console = target.console
        if console.json:
            for item in items:
                console.writeJSON(item)
        elif console.isTerminal:
            from echoserver.cli.drawing import drawn

            console.draw(drawn(self.table(target, items)))
        else:
            console.write(str(self.table(target, items)))

    async def _watch(self, target: Target) -> int:
        if target.console.isTerminal and not target.console.json:
            from echoserver.cli.live import View, showLive

            return await showLive(target, View(self.items, self.table))

        def write(items: Sequence[Reply]) -> None:
            self._write(target, items)
            if target.console.writeError is not None:
                raise CommandFailed("Standard output is closed.")

        await poll(target, self.items, write)
        return 0


def _byName(name: str) -> Callable[[Target, Sequence[Reply]], Sequence[Reply]]:
    return lambda _, items: sorted(items, key=lambda item: str(item.get(name)))


@click.command(cls=Command, examples=["list", "list --watch", "--group MyGroup list --json"])
@click.option(
    "--sort",
    metavar="COLUMN",
    type=click.Choice(list(SERVER_SORTS)),
    help=f"{', '.join(SERVER_SORTS)}. [default: state on a terminal, else FleetIQ's order]",
)
@_watch
def listServers(sort: str | None, watch: bool) -> Action:
    """List all game servers of the group."""

    def order(target: Target, items: Sequence[Reply]) -> Sequence[Reply]:
        by = sort or ("state" if target.console.isTerminal else None)
        return sortedReplies(items, by) if by else items

    def table(target: Target, items: Sequence[Reply]) -> Table:
        servers = [GameServerDescription.fromReply(item) for item in items]
        make = liveServerTable if target.console.isTerminal else serverTable
        return make(servers, target.clock.seconds())

    return _Listing("ListGameServers", "GameServers", order, table).action(watch=watch)


@click.command(cls=Command, examples=["instances", "instances --json", "instances --watch"])
@_watch
def listInstances(watch: bool) -> Action:
    """List the instances of the group, with their status: ACTIVE, DRAINING or SPOT_TERMINATING."""
    listing = _Listing(
        "DescribeGameServerInstances",
        "GameServerInstances",
        _byName("InstanceId"),
        lambda _, items: instanceTable(items),
    )
    return listing.action(watch=watch)


@click.command(cls=Command, examples=["groups", "--region ap-northeast-2 groups"])
@_watch
def listGroups(watch: bool) -> Action:
    """
    List the game server groups of the local FleetIQ.

    With --region, list those of your AWS account in this region.
    """
    listing = _Listing(
        "ListGameServerGroups",
        "GameServerGroups",
        _byName("GameServerGroupName"),
        lambda _, items: groupTable(items),
    )
    return listing.action(watch=watch, usesGroup=False)
