"""A snapshot of one game server, for operators and their probes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from echoserver.gamelift.lifecycle import (
    Absent,
    Available,
    Known,
    Utilized,
    UtilizedExternally,
    Wanted,
)
from echoserver.gamelift.registration import Registration


@dataclass(frozen=True, slots=True)
class GameServerStatus:
    """
    The status of one game server. Times are seconds of the reactor's clock.

    The fields from C{gameServerId} on come from its registration. They are None until the game
    server starts to register.

    @ivar port: the bound port; 0 if the endpoint has none, as a UNIX socket.
    @ivar players: connected players.
    @ivar session: the number of sessions that have started.
    @ivar receivedBytes: bytes received from all players since the start.
    @ivar refused: connections that were not admitted.
    @ivar accepting: if True, the port accepts connections.
    @ivar draining: if True, the running session is the last one.
    @ivar known: the state that FleetIQ last confirmed.
    @ivar wanted: the state that FleetIQ should have.
    @ivar lastReport: when FleetIQ last confirmed a health report; None if it is not registered.
    @ivar nextReportDue: when the next health report is due; None if it is not registered.
    @ivar lastError: why the last failed call failed, as a sentence.
    @ivar lastErrorTime: when it failed.
    @ivar degradedSince: when the first call failed after the last success; None after a success.
    @ivar unhealthySince: the time of the first failed health check; None if the game is healthy.
    """

    port: int
    players: int
    session: int
    receivedBytes: int
    refused: int
    accepting: bool
    draining: bool
    gameServerId: str | None = None
    connectionInfo: str | None = None
    known: Known | None = None
    wanted: Wanted | None = None
    lastReport: float | None = None
    nextReportDue: float | None = None
    lastError: str | None = None
    lastErrorTime: float | None = None
    degradedSince: float | None = None
    unhealthySince: float | None = None

    @property
    def registered(self) -> bool:
        """True if FleetIQ has confirmed the registration, as AVAILABLE or as UTILIZED."""
        return isinstance(self.known, Available | Utilized | UtilizedExternally)

    def notReadyReason(self) -> str | None:
        """Return why no players should be sent here, as a sentence; None if it is ready."""
        server = f"The game server on port {self.port}"
        if self.draining:
            return f"{server} is draining."
        if not self.registered:
            why = "." if self.degradedSince is None else f": {self.lastError}"
            return f"{server} is not registered{why}"
        if self.unhealthySince is not None:
            return f"{server} is unhealthy: heartbeats are skipped."
        if not self.accepting:
            return f"{server} does not accept players."
        return None


def withRegistration(
    status: GameServerStatus, registration: Registration | None
) -> GameServerStatus:
    """Return the status with the fields of the registration, if there is one."""
    if registration is None:
        return status
    known, error = registration.state.known, registration.lastError
    absent = known == Absent()
    return replace(
        status,
        gameServerId=registration.state.gameServerId,
        connectionInfo=registration.request.connectionInfo,
        known=known,
        wanted=None if registration.desired.final else registration.desired.towards(known),
        lastReport=None if absent else registration.lastReport,
        nextReportDue=None if absent else registration.nextReportDue,
        lastError=None if error is None else error.message,
        lastErrorTime=None if error is None else error.time,
        degradedSince=registration.degradedSince,
        unhealthySince=registration.unhealthySince,
    )


def summary(statuses: Sequence[GameServerStatus]) -> str:
    """Return the statuses of all game servers of a process as one line."""
    counts = Counter(stateName(each.known) for each in statuses)
    players = sum(each.players for each in statuses)
    parts = [f"game servers: {', '.join(f'{counts[each]} {each}' for each in sorted(counts))}"]
    if draining := sum(each.draining for each in statuses):
        parts.append(f"draining: {draining}")
    parts.append(f"players: {players}")
    errors = [each.lastError for each in statuses if each.degradedSince is not None]
    return "; ".join(parts) + (f". {errors[0]}" if errors else "")


def stateName(state: Known | Wanted | None) -> str:
    """Return the state's name in capitals, as in FleetIQ: C{AVAILABLE}, C{UTILIZED}."""
    name = "Absent" if state is None else type(state).__name__
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", name).upper()
