"""The subcommand watch: a live view of a group, or its changes as lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from echoserver.cli.command import Action, Command
from echoserver.cli.lists import listAll
from echoserver.cli.output import CommandFailed, Console, Reply, inline
from echoserver.cli.polling import poll
from echoserver.cli.tables import stateOf
from echoserver.cli.target import Target


class Changes:
    """Finds what has changed between two lists of game servers."""

    def __init__(self) -> None:
        self._last: dict[str, Reply] = {}

    def since(self, items: Sequence[Reply]) -> list[tuple[str, Reply]]:
        """Return C{registered}, C{changed} or C{removed}, and the game server, for each change."""
        now = {item["GameServerId"]: item for item in items}
        last, self._last = self._last, now
        removed = [("removed", item) for name, item in last.items() if name not in now]
        return removed + [
            ("changed" if name in last else "registered", item)
            for name, item in now.items()
            if name not in last or _shown(last[name]) != _shown(item)
        ]


@click.command(cls=Command, examples=["watch", "--group MyGroup watch", "watch --json"])
def watch() -> Action:
    """
    Watch the game servers of a group, in AWS or in the local FleetIQ.

    On a terminal it is a table that is updated each second. The key q quits, s sorts by the next
    column, r reverses the order, f shows only one state, j and k scroll. Without a terminal each
    change is a line.
    """

    async def run(target: Target) -> int:
        if target.console.isTerminal and not target.console.json:
            from echoserver.cli.live import GroupView, showLive

            return await showLive(target, GroupView())
        changes = Changes()

        def show(items: Sequence[Reply]) -> None:
            for change, item in changes.since(items):
                _writeChange(target.console, target.clock.seconds(), change, item)
            if target.console.writeError is not None:
                raise CommandFailed("Standard output is closed.")

        await poll(target, lambda polled: listAll(polled, "ListGameServers", "GameServers"), show)
        return 0

    return Action(run)


def _writeChange(console: Console, now: float, change: str, item: Reply) -> None:
    time = datetime.fromtimestamp(now, UTC)
    if console.json:
        console.writeJSON({"time": time, "change": change, "gameServer": item})
        return
    state = "" if change == "removed" else f" {stateOf(item)}"
    where = item.get("ConnectionInfo") or "-"
    date = time.replace(tzinfo=None).isoformat(timespec="seconds")
    console.write(inline(f"{date}Z {change} {item['GameServerId']}{state} {where}") + "\n")


def _shown(item: Reply) -> tuple[str, object, object]:
    return stateOf(item), item.get("ConnectionInfo"), item.get("GameServerData")
