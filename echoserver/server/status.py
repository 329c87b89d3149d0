"""The status of one game server, for operators and probes."""

from __future__ import annotations

import re
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

    @ivar port: the port that is bound; 0 if the endpoint has none.
    @ivar connectionInfo: None until the registration starts, as all that comes from FleetIQ.
    @ivar receivedBytes: bytes received from players, from those who have left too.
    @ivar refused: connections that were rejected.
    @ivar lastReport: when FleetIQ last received a health report.
    @ivar nextReportDue: when the next one is due.
    @ivar lastErrorTime: when the last call failed; C{lastError} says why.
    @ivar degradedSince: when the first call failed of those that no success has followed.
    @ivar unhealthySince: since when the game's health check fails.
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
        """Return whether FleetIQ has confirmed the registration."""
        return isinstance(self.known, Available | Utilized | UtilizedExternally)

    def notReadyReason(self) -> str | None:
        """Return a sentence that says why no players should be sent here; None if they may be."""
        if self.draining:
            return f"The game server on port {self.port} is draining."
        if not self.registered:
            why = "." if self.degradedSince is None else f": {self.lastError}"
            return f"The game server on port {self.port} is not registered{why}"
        if self.unhealthySince is not None:
            return f"The game server on port {self.port} is unhealthy: heartbeats are skipped."
        if not self.accepting:
            return f"The game server on port {self.port} does not accept players."
        return None


def withRegistration(
    status: GameServerStatus, registration: Registration | None
) -> GameServerStatus:
    """Return the status with what the registration knows; the same if there is none yet."""
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


def stateName(state: Known | Wanted | None) -> str:
    """Return the name of a state, for instance C{AVAILABLE}; C{ABSENT} for None."""
    return (
        "ABSENT"
        if state is None
        else re.sub("(?<=[a-z])(?=[A-Z])", "_", type(state).__name__).upper()
    )
