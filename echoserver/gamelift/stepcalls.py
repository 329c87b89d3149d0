"""Call the operation of one step of a registration, and return the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol as TypingProtocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from echoserver.gamelift.errors import CallFailed, ConflictException, NotFoundException
from echoserver.gamelift.lifecycle import Confirmed, Outcome, Step
from echoserver.gamelift.service import GameServerDescription, RegistrationRequest
from echoserver.printable import printable

_log = Logger(namespace="fleetiq.gamelift")


class FleetIQOperations(TypingProtocol):
    """The operations that are used of L{echoserver.gamelift.service.FleetIQ}."""

    def register(
        self, gameServerId: str, instanceId: str, connectionInfo: str, data: str | None
    ) -> Deferred[GameServerDescription]: ...
    def utilize(self, gameServerId: str) -> Deferred[GameServerDescription]: ...
    def heartbeat(
        self, gameServerId: str, data: str | None = None
    ) -> Deferred[GameServerDescription]: ...
    def describe(self, gameServerId: str) -> Deferred[GameServerDescription]: ...
    def deregister(self, gameServerId: str) -> Deferred[None]: ...


@dataclass(frozen=True, slots=True)
class StepResult:
    """
    The result of a step.

    @ivar description: the game server in the reply; None if the call failed, or has no such reply.
    @ivar message: why the step failed, as a sentence.
    @ivar permanent: whether a retry cannot succeed without a change by a person.
    """

    outcome: Confirmed | Outcome
    description: GameServerDescription | None = None
    message: str = "FleetIQ returned an unexpected UtilizationStatus."
    permanent: bool = False


async def callStep(
    fleetIQ: FleetIQOperations,
    step: Step,
    gameServerId: str,
    request: RegistrationRequest,
    data: str | None = None,
) -> StepResult:
    """
    Call the operation of a step, once.

    @param data: the GameServerData to send with a heartbeat; None to leave it as it is.
    @raise CancelledError: if the call is cancelled. Nothing else is raised.
    """
    try:
        description = await _operation(fleetIQ, step, gameServerId, request, data)
    except NotFoundException as error:
        return StepResult(Outcome.GONE, None, str(error), permanent=step is Step.REGISTER)
    except ConflictException as error:
        return StepResult(Outcome.CONFLICT, None, str(error))
    except CallFailed as error:
        refusal = Outcome.REFUSED if error.retry else Outcome.FORBIDDEN
        outcome = Outcome.LOST if error.mayHaveHappened else refusal
        return StepResult(outcome, None, str(error), permanent=outcome is Outcome.FORBIDDEN)
    except CancelledError:
        raise
    except Exception:  # noqa: BLE001 # an internal error must not end the heartbeats
        _log.failure(
            "The step {step} failed by an internal error.",
            step=step.value,
            gameServerId=gameServerId,
            eventName="registration.stepFailed",
        )
        return StepResult(Outcome.LOST, None, "An internal error occurred.")
    if description is None:
        return StepResult(Outcome.GONE)
    ours = request.owns(description)
    if step is Step.INSPECT and not ours and request.fixedId is not None:
        message = (
            f"The game server id {request.fixedId} is registered by"
            f" {printable(description.connectionInfo)} on {printable(description.instanceId)}: give"
            " another --game-server-id, or leave it out."
        )
        return StepResult(Outcome.FORBIDDEN, None, message, permanent=True)
    return StepResult(Confirmed(description.utilized, ours), description)


def _operation(
    fleetIQ: FleetIQOperations,
    step: Step,
    gameServerId: str,
    request: RegistrationRequest,
    data: str | None,
) -> Deferred[GameServerDescription] | Deferred[None]:
    match step:
        case Step.REGISTER:
            _log.info(
                "Registering {gameServerId}.",
                gameServerId=gameServerId,
                eventName="registration.registering",
            )
            return fleetIQ.register(
                gameServerId, request.instanceId, request.connectionInfo, request.data
            )
        case Step.UTILIZE:
            return fleetIQ.utilize(gameServerId)
        case Step.DEREGISTER:
            return fleetIQ.deregister(gameServerId)
        case Step.INSPECT:
            return fleetIQ.describe(gameServerId)
    return fleetIQ.heartbeat(gameServerId, data)
