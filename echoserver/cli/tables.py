"""Tables of game servers, as aligned columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from echoserver.cli.output import inline
from echoserver.gamelift.service import GameServerDescription

_TITLES = ("ID", "STATE", "CONNECTION", "INSTANCE", "REGISTERED", "HEALTHY", "CLAIMED")


def table(rows: Sequence[Sequence[object]]) -> str:
    """Format rows as aligned columns. C{None} becomes C{-}; a cell cannot begin another row."""
    cells = [["-" if cell is None else inline(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in cells
    )


def serverTable(servers: Sequence[GameServerDescription], now: float) -> str:
    """Format game servers, one a line. C{now} is the time that ages refer to, in epoch seconds."""
    if not servers:
        return "No game server is registered.\n"
    return table([_TITLES, *(_serverRow(server, now) for server in servers)])


def serverState(server: GameServerDescription) -> str:
    """Return AVAILABLE, CLAIMED or UTILIZED. FleetIQ has two members for this."""
    if server.utilized:
        return "UTILIZED"
    return "CLAIMED" if server.claimed else "AVAILABLE"


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
