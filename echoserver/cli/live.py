"""Live views of lists on a terminal, and their keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from rich.text import Text
from twisted.internet.defer import CancelledError, Deferred

from echoserver.cli.drawing import drawn
from echoserver.cli.lists import listAll
from echoserver.cli.output import Reply, inline
from echoserver.cli.polling import poll
from echoserver.cli.tables import SERVER_SORTS, Table, liveServerTable, sortedReplies, stateOf
from echoserver.cli.target import Target
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import GameServerDescription

_STATES = (None, "AVAILABLE", "CLAIMED", "UTILIZED")
# The title of the table and the line below it, the summary, and the help of the keys.
_OTHER_LINES = 7


class View:
    """
    What a live view shows: the items of the last call, as a table.

    @param fetch: calls FleetIQ, and returns the items.
    @param table: makes the table of the items.
    """

    keys = "q quits"

    def __init__(
        self,
        fetch: Callable[[Target], Awaitable[Sequence[Reply]]],
        table: Callable[[Target, Sequence[Reply]], Table],
    ) -> None:
        self.fetch = fetch
        self._table = table

    def press(self, key: str) -> None:
        """Change the view by a key."""

    def summary(self, target: Target, items: Sequence[Reply]) -> str:
        """Return the first line."""
        return f"{target.group or 'Groups'}: {len(items)}"

    def table(self, target: Target, items: Sequence[Reply]) -> Table:
        """Return the table of the items."""
        return self._table(target, items)


class GroupView(View):
    """
    The game servers of a group, which keys sort, filter and scroll.

    @ivar sort: the column to sort by.
    @ivar state: the only state to show; None for all.
    """

    keys = "q quits  s sorts  f filters  r reverses  j and k scroll"

    def __init__(self) -> None:
        super().__init__(_allServers, _liveTable)
        self.sort = "state"
        self.state: str | None = None
        self._reversed = False
        self._skipped = 0

    def press(self, key: str) -> None:
        """Sort by the next column, show the next state, reverse, or scroll."""
        sorts = list(SERVER_SORTS)
        match key:
            case "s":
                self.sort = sorts[(sorts.index(self.sort) + 1) % len(sorts)]
            case "f":
                self.state = _STATES[(_STATES.index(self.state) + 1) % len(_STATES)]
                self._skipped = 0
            case "r":
                self._reversed = not self._reversed
            case "j":
                self._skipped += 1
            case "k":
                self._skipped = max(0, self._skipped - 1)

    def summary(self, target: Target, items: Sequence[Reply]) -> str:
        """Return the group, how many game servers have each state, and the order."""
        count = f"{len(items)} game server{'' if len(items) == 1 else 's'}"
        counts = Counter(map(stateOf, items))
        states = ", ".join(f"{counts[state]} {state}" for state in _STATES if state)
        shown = f", only {self.state}" if self.state else ""
        return f"{target.group}: {count}, {states}. By {self.sort}{shown}."

    def table(self, target: Target, items: Sequence[Reply]) -> Table:
        """Return the game servers that are to be shown, in the order of the column."""
        chosen = [each for each in items if self.state in (None, stateOf(each))]
        ordered = sortedReplies(chosen, self.sort)
        if self._reversed:
            ordered.reverse()
        self._skipped = min(self._skipped, max(0, len(ordered) - 1))
        return super().table(target, ordered[self._skipped :])


async def showLive(target: Target, view: View) -> int:
    """Show a view until the key q. The last table stays on the screen after the end."""
    items: Sequence[Reply] = ()
    problem = ""
    polling: Deferred[None]

    def draw() -> None:
        table = view.table(target, items)
        rows = table.rows[: max(1, screen.height - _OTHER_LINES)]
        last = Text(inline(problem), "red") if problem else Text(view.keys, "dim")
        screen.draw(
            Text(inline(view.summary(target, items)), "bold"),
            drawn(replace(table, rows=rows)),
            last,
        )

    def show(fetched: Sequence[Reply]) -> None:
        nonlocal items, problem
        items, problem = fetched, ""
        draw()

    def failed(reason: CallFailed) -> None:
        nonlocal problem
        problem = str(reason)
        draw()

    def press(key: str) -> None:
        if key in ("q", "Q"):
            polling.cancel()
        else:
            view.press(key)
            draw()

    with target.console.openScreen(target.clock, press) as screen:
        polling = Deferred.fromCoroutine(poll(target, view.fetch, show, failed))
        with suppress(CancelledError):
            await polling
    target.console.draw(drawn(view.table(target, items)))
    return 0


async def _allServers(target: Target) -> Sequence[Reply]:
    return await listAll(target, "ListGameServers", "GameServers")


def _liveTable(target: Target, items: Sequence[Reply]) -> Table:
    servers = [GameServerDescription.fromReply(item) for item in items]
    return liveServerTable(servers, target.clock.seconds())
