"""Log how a step has changed the state of a registration."""

from __future__ import annotations

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

_log = Logger(namespace="fleetiq.gamelift")


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
