"""What the log tells of a step that was taken towards FleetIQ."""

from __future__ import annotations

from twisted.logger import Logger

from echoserver.gamelift.lifecycle import (
    Absent,
    Answered,
    Available,
    Contested,
    Outcome,
    Registration,
    Step,
    Taken,
    Unknown,
    Utilized,
)


def tell(
    log: Logger,
    step: Step,
    before: Registration,
    after: Registration,
    outcome: Answered | Outcome,
) -> None:
    """One line in the log, or none: what was known before the step, and what it has brought."""
    known, newId = after.known, after.gameServerId
    gameServerId = before.gameServerId
    match step, known:
        case Step.REGISTER, Absent():
            return
        case _, Contested() if before.known != known:
            log.warn("Is {id} registered, and is it ours? Asking.", id=gameServerId)
        case _, Unknown() if before.known != known:
            log.warn("It may have happened: {id} is asked about.", id=gameServerId)
        case Step.DEREGISTER, Absent():
            log.info("Deregistered {id}.", id=gameServerId)
        case _, Absent() if outcome is Outcome.GONE and newId != gameServerId:
            log.warn("FleetIQ no longer knows {id}.", id=gameServerId)
        case _, Absent() if newId != gameServerId:
            log.warn("{id} is a stranger's.", id=gameServerId)
        case _, Utilized(session=session) if before.known != known:
            log.info("UTILIZED: session {session}.", session=session)
        case Step.HEARTBEAT, Available() | Utilized() | Taken() if before.known == known:
            log.info("Heartbeat of {id}.", id=gameServerId)
        case _, Taken() if before.known != known:
            log.warn("FleetIQ says UTILIZED, but nobody is here: waiting for players.")
        case ((Step.REGISTER | Step.INSPECT), Available()) if before.known != known:
            log.info("AVAILABLE as {id}.", id=gameServerId)
