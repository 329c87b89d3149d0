"""The subcommands that list what a group has: list."""

from __future__ import annotations

import click

from echoserver.cli.command import Action, Command
from echoserver.cli.gameservers import listReplies
from echoserver.cli.tables import serverTable
from echoserver.cli.target import Target
from echoserver.gamelift.service import GameServerDescription


@click.command(cls=Command, examples=["list", "--group MyGroup list --json"])
def listServers() -> Action:
    """List all game servers of the group."""

    async def run(target: Target) -> int:
        replies = await listReplies(target)
        if target.console.json:
            for reply in replies:
                target.console.writeJSON(reply)
        else:
            servers = [GameServerDescription.fromReply(reply) for reply in replies]
            target.console.write(serverTable(servers, target.clock.seconds()))
        return 0

    return Action(run)
