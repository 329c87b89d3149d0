"""What the tables of the command show: game servers, instances and groups, sorted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from echoserver.cli.output import Reply, inline
from echoserver.client import CLAIM_DURATION
from echoserver.gamelift.service import GameServerDescription

_STATES = ("AVAILABLE", "CLAIMED", "UTILIZED")
_LIVE_TITLES = ("ID", "STATE", "CLAIM ENDS IN", "HEALTHY", "ADDRESS", "INSTANCE")
_TITLES = ("ID", "STATE", "CONNECTION", "INSTANCE", "REGISTERED", "HEALTHY", "CLAIMED")


@dataclass(frozen=True, slots=True)
class Table:
    """
    A table.

    @ivar rows: the cells; None is a cell without a value.
    @ivar empty: the sentence to write if there are no rows.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    empty: str

    def __str__(self) -> str:
        return table([self.titles, *self.rows]) if self.rows else f"{self.empty}\n"


def table(rows: Sequence[Sequence[object]]) -> str:
    """Format rows as aligned columns. C{None} becomes C{-}; a cell cannot begin another row."""
    cells = [["-" if cell is None else inline(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in cells
    )


def serverTable(servers: Sequence[GameServerDescription], now: float) -> Table:
    """Return all dates of game servers. C{now} is what ages refer to, in epoch seconds."""
    rows = [_serverRow(server, now) for server in servers]
    return Table(_TITLES, rows, "No game server is registered.")


def liveServerTable(servers: Sequence[GameServerDescription], now: float) -> Table:
    """Return what a person watches of game servers: the state, the claim, health, the address."""
    rows = [
        (
            server.gameServerId,
            serverState(server),
            None if (left := claimLeft(server, now)) is None else f"{left:.0f} s",
            _age(server.lastHealthReport, now),
            server.connectionInfo or None,
            server.instanceId,
        )
        for server in servers
    ]
    return Table(_LIVE_TITLES, rows, "No game server is registered.")


def instanceTable(instances: Sequence[Reply]) -> Table:
    """Return the instances of a group."""
    members = {"INSTANCE": "InstanceId", "STATUS": "InstanceStatus", "GROUP": "GameServerGroupName"}
    return _memberTable(instances, members, "The group has no instance.")


def groupTable(groups: Sequence[Reply]) -> Table:
    """Return groups."""
    members = {
        "GROUP": "GameServerGroupName",
        "STATUS": "Status",
        "BALANCING": "BalancingStrategy",
        "PROTECTION": "GameServerProtectionPolicy",
        "AUTO SCALING GROUP": "AutoScalingGroupArn",
    }
    return _memberTable(groups, members, "There is no game server group.")


def _memberTable(values: Sequence[Reply], members: dict[str, str], empty: str) -> Table:
    def cell(value: Reply, name: str) -> str | None:
        # The name of an Auto Scaling group is the last part of its ARN.
        return str(value[name]).rpartition("/")[2] if value.get(name) else None

    rows = [[cell(value, name) for name in members.values()] for value in values]
    return Table(list(members), rows, empty)


def claimLeft(server: GameServerDescription, now: float) -> float | None:
    """Return for how many seconds a claim is valid; None for a game server without a claim."""
    if not server.claimed or server.utilized or server.lastClaim is None:
        return None
    return max(0.0, min(CLAIM_DURATION, server.lastClaim.timestamp() + CLAIM_DURATION - now))


# By the name of the option --sort. Dates are sorted with the oldest first.
SERVER_SORTS: dict[str, Callable[[GameServerDescription], Any]] = {
    "state": lambda server: _STATES.index(serverState(server)),
    "claim": lambda server: (not server.claimed, _seconds(server.lastClaim)),
    "health": lambda server: _seconds(server.lastHealthReport),
    "address": lambda server: server.connectionInfo,
    "instance": lambda server: server.instanceId,
    "id": lambda server: server.gameServerId,
}


def sortedReplies(replies: Sequence[Reply], by: str) -> list[Reply]:
    """Sort game servers, as FleetIQ describes them, by a column, and then by their ids."""

    def key(reply: Reply) -> tuple[Any, str]:
        server = GameServerDescription.fromReply(reply)
        return SERVER_SORTS[by](server), server.gameServerId

    return sorted(replies, key=key)


def _seconds(date: datetime | None) -> float:
    return 0.0 if date is None else date.timestamp()


def serverState(server: GameServerDescription) -> str:
    """Return AVAILABLE, CLAIMED or UTILIZED. FleetIQ has two members for this."""
    if server.utilized:
        return "UTILIZED"
    return "CLAIMED" if server.claimed else "AVAILABLE"


def stateOf(reply: Reply) -> str:
    """Return the state of a game server as FleetIQ describes it."""
    return serverState(GameServerDescription.fromReply(reply))


def _serverRow(server: GameServerDescription, now: float) -> tuple[str | None, ...]:
    return (
        server.gameServerId,
        serverState(server),
        server.connectionInfo or None,
        server.instanceId,
        _age(server.registered, now),
        _age(server.lastHealthReport, now),
        _age(server.lastClaim, now),
    )


def _age(date: datetime | None, now: float) -> str | None:
    if date is None:
        return None
    # The clock of a local FleetIQ can be ahead of this machine's.
    seconds = max(0, int(now - date.timestamp()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit} ago"
    return f"{seconds}s ago"
