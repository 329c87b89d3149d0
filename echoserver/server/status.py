"""A snapshot of one game server, for operators and their probes."""

from __future__ import annotations

import re
from collections.abc import Callable
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
    @ivar lastReport: when the last health report was confirmed; None if it is not registered.
    @ivar nextReportDue: when the next health report is due; None if it is not registered.
    @ivar lastError: why the last failed step failed, as a sentence.
    @ivar lastErrorTime: when it failed.
    @ivar degradedSince: when the first step failed after the last success; None after a success.
    @ivar unhealthySince: since when the game's health check fails; None if the game is healthy.
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
    own: GameServerStatus, worker: Registration | None, wants: Callable[[Known], Wanted | None]
) -> GameServerStatus:
    """Return the status with the fields that the registration knows."""
    if worker is None:
        return own
    known, trouble = worker.registration.known, worker.trouble
    return replace(
        own,
        gameServerId=worker.registration.gameServerId,
        connectionInfo=worker.identity.connectionInfo,
        known=known,
        wanted=wants(known),
        lastReport=None if known == Absent() else worker.reported,
        nextReportDue=None if known == Absent() else worker.beatDue,
        lastError=None if trouble is None else trouble.why,
        lastErrorTime=None if trouble is None else trouble.at,
        degradedSince=worker.degradedSince,
    )


def stateName(state: Known | Wanted | None) -> str:
    """Return the state's name in capitals, as in FleetIQ: C{AVAILABLE}, C{UTILIZED}."""
    name = "Absent" if state is None else type(state).__name__
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", name).upper()
