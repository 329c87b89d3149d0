"""Where one game server stands, as operators and their probes see it."""

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
    Where one game server stands. Times are seconds of the reactor's clock.

    @ivar port: the one bound; 0 where the endpoint has none.
    @ivar connectionInfo: None, as what comes of FleetIQ, until that was asked to register it.
    @ivar received: bytes that have come from players, from those who have left too.
    @ivar refused: players who were not let in.
    @ivar reported: when FleetIQ last heard of its health; C{beatDue}: when it is to next.
    @ivar errorAt: when the last step failed, and C{error} why.
    @ivar degradedSince: when the first step failed of those that no success has followed.
    """

    port: int
    players: int
    session: int
    received: int
    refused: int
    accepting: bool
    draining: bool
    gameServerId: str | None = None
    connectionInfo: str | None = None
    known: Known | None = None
    wanted: Wanted | None = None
    reported: float | None = None
    beatDue: float | None = None
    error: str | None = None
    errorAt: float | None = None
    degradedSince: float | None = None

    @property
    def registered(self) -> bool:
        """Whether FleetIQ has confirmed the registration, UTILIZED or not."""
        return isinstance(self.known, Available | Utilized | UtilizedExternally)

    def notReadyReason(self) -> str | None:
        """Why players should not be sent here, in a sentence; None if they may be."""
        if self.draining:
            return f"The game server on port {self.port} is draining."
        if not self.registered:
            why = "." if self.degradedSince is None else f": {self.error}"
            return f"The game server on port {self.port} is not registered{why}"
        if not self.accepting:
            return f"The game server on port {self.port} does not accept players."
        return None


def withRegistration(
    own: GameServerStatus, worker: Registration | None, wants: Callable[[Known], Wanted | None]
) -> GameServerStatus:
    """The same, with what its worker knows of FleetIQ."""
    if worker is None:
        return own
    known, trouble = worker.registration.known, worker.trouble
    return replace(
        own,
        gameServerId=worker.registration.gameServerId,
        connectionInfo=worker.identity.connectionInfo,
        known=known,
        wanted=wants(known),
        reported=None if known == Absent() else worker.reported,
        beatDue=None if known == Absent() else worker.beatDue,
        error=None if trouble is None else trouble.why,
        errorAt=None if trouble is None else trouble.at,
        degradedSince=worker.degradedSince,
    )


def stateName(state: Known | Wanted | None) -> str:
    """As FleetIQ words it, where it has a word: C{AVAILABLE}, C{UTILIZED}."""
    return (
        "ABSENT"
        if state is None
        else re.sub("(?<=[a-z])(?=[A-Z])", "_", type(state).__name__).upper()
    )
