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
                "Result of RegisterGameServer for {gameServerId} unknown: calling"
                " DescribeGameServer.",
                gameServerId=id,
                eventName="registration.registerUnknown",
            )
        case _, Unknown() if changed:
            _log.warn(
                "Result of the last call for {gameServerId} unknown: sending a heartbeat.",
                gameServerId=id,
                eventName="registration.stateUnknown",
            )
        case Step.DEREGISTER, Absent():
            _log.info(
                "Deregistered {gameServerId}.",
                gameServerId=id,
                eventName="registration.deregistered",
            )
        case _, Absent() if outcome is Outcome.GONE and newId != id:
            _log.warn(
                "FleetIQ does not know {gameServerId} any more: using a new id.",
                gameServerId=id,
                eventName="registration.dropped",
            )
        case _, Absent() if newId != id:
            _log.warn(
                "{gameServerId} is registered by another server: using a new id.",
                gameServerId=id,
                eventName="registration.idConflict",
            )
        case _, Utilized(session=session) if changed:
            _log.info(
                "UTILIZED: session {session}.",
                session=session,
                gameServerId=id,
                eventName="registration.utilized",
            )
        case Step.HEARTBEAT, Available() | Utilized() | UtilizedExternally() if not changed:
            _log.debug(
                "Heartbeat of {gameServerId}.", gameServerId=id, eventName="registration.heartbeat"
            )
        case _, UtilizedExternally() if changed:
            _log.warn(
                "UTILIZED was set by another client: waiting for players.",
                gameServerId=id,
                eventName="registration.utilizedExternally",
            )
        case ((Step.REGISTER | Step.INSPECT), Available()) if changed:
            _log.info(
                "AVAILABLE as {gameServerId}.", gameServerId=id, eventName="registration.available"
            )
