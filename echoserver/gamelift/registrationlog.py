"""Log the changes that replies show: the state of a registration, and its claim."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from twisted.logger import Logger

from echoserver.gamelift.lifecycle import (
    Absent,
    Available,
    Confirmed,
    Conflict,
    Outcome,
    RegistrationState,
    Step,
    Unknown,
    Utilized,
    UtilizedExternally,
)
from echoserver.gamelift.service import GameServerDescription

_log = Logger(namespace="fleetiq.gamelift")


@dataclass(frozen=True, slots=True)
class Claim:
    """
    The last claim of a registration.

    @ivar data: its GameServerData; None before a claim. It is never logged.
    @ivar time: its LastClaimTime; None if no claim is active.
    """

    data: str | None = None
    time: datetime | None = None

    def after(self, description: GameServerDescription) -> tuple[Claim, bool | None]:
        """
        Return the claim after a reply, and the change: True for a new claim, False for a claim that
        has expired without a player, None for no change. A change is logged.
        """
        data = self.data if description.lastClaim is None else description.gameServerData
        if description.claimed:
            isNew = self.time != description.lastClaim
            if isNew:
                _log.info("Claimed: a player has 60 s to connect.")
            return Claim(data, description.lastClaim), True if isNew else None
        expired = self.time is not None and not description.utilized
        if expired:
            _log.info("The claim has expired without a player: free for the next one.")
        return Claim(data), False if expired else None


def logStep(
    step: Step, before: RegistrationState, after: RegistrationState, outcome: Confirmed | Outcome
) -> None:
    """Log what a step has changed."""
    known, newId, id = after.known, after.gameServerId, before.gameServerId
    changed = before.known != known
    match step, known:
        case Step.REGISTER, Absent():
            return
        case _, Conflict() if changed:
            _log.warn(
                "Result of RegisterGameServer for {id} unknown: calling DescribeGameServer.", id=id
            )
        case _, Unknown() if changed:
            _log.warn("Result of the last call for {id} unknown: sending a heartbeat.", id=id)
        case Step.DEREGISTER, Absent():
            _log.info("Deregistered {id}.", id=id)
        case _, Absent() if outcome is Outcome.GONE and newId != id:
            _log.warn("FleetIQ does not know {id} any more: using a new id.", id=id)
        case _, Absent() if newId != id:
            _log.warn("{id} is registered by another server: using a new id.", id=id)
        case _, Utilized(session=session) if changed:
            _log.info("UTILIZED: session {session}.", session=session)
        case Step.HEARTBEAT, Available() | Utilized() | UtilizedExternally() if not changed:
            _log.info("Heartbeat of {id}.", id=id)
        case _, UtilizedExternally() if changed:
            _log.warn("UTILIZED was set by another client: waiting for players.")
        case ((Step.REGISTER | Step.INSPECT), Available()) if changed:
            _log.info("AVAILABLE as {id}.", id=id)
