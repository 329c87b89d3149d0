"""One step of the lifecycle as a call to FleetIQ, and what it brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from typing import Protocol as Seam

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from echoserver.gamelift.failures import CallFailed, Conflict, NotFound
from echoserver.gamelift.fleetiq import GameServer
from echoserver.gamelift.identity import Identity
from echoserver.gamelift.lifecycle import Answered, Outcome, Step


class Fleet(Seam):
    """What is asked of FleetIQ: L{echoserver.gamelift.fleetiq.FleetIQ}."""

    def register(
        self, gameServerId: str, instanceId: str, connectionInfo: str, data: str | None
    ) -> Deferred[GameServer]: ...
    def utilize(self, gameServerId: str) -> Deferred[GameServer]: ...
    def heartbeat(self, gameServerId: str) -> Deferred[GameServer]: ...
    def describe(self, gameServerId: str) -> Deferred[GameServer]: ...
    def deregister(self, gameServerId: str) -> Deferred[None]: ...


@dataclass(frozen=True, slots=True)
class Brought:
    """
    What a step brought.

    @ivar seen: what the reply says of the game server.
    @ivar trouble: a sentence, if the call failed.
    @ivar hopeless: whether it fails until somebody mends something.
    """

    outcome: Answered | Outcome
    seen: GameServer | None = None
    trouble: str = "FleetIQ does not do as it is asked."
    hopeless: bool = False


class Steps:
    """The calls that keep one registration."""

    _log: ClassVar = Logger()

    def __init__(self, fleet: Fleet, identity: Identity) -> None:
        self._fleet = fleet
        self._identity = identity

    async def perform(self, step: Step, gameServerId: str) -> Brought:
        """Make the call. Fails with CancelledError alone."""
        try:
            seen = await self._call(step, gameServerId)
        except NotFound as error:
            return Brought(Outcome.GONE, None, str(error), hopeless=step is Step.REGISTER)
        except Conflict as error:
            return Brought(Outcome.CONFLICT, None, str(error))
        except CallFailed as error:
            refusal = Outcome.REFUSED if error.retry else Outcome.FORBIDDEN
            outcome = Outcome.LOST if error.mayHaveHappened else refusal
            return Brought(outcome, None, str(error), hopeless=outcome is Outcome.FORBIDDEN)
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 # a fault of ours must not end the heartbeats
            self._log.failure("The step {step} failed by a fault of ours.", step=step.value)
            return Brought(Outcome.LOST, None, "This is a fault of ours.")
        return Brought(Outcome.GONE) if seen is None else self._read(step, seen)

    def _call(self, step: Step, gameServerId: str) -> Deferred[GameServer] | Deferred[None]:
        match step:
            case Step.REGISTER:
                self._log.info("Registering {id}.", id=gameServerId)
                identity = self._identity
                return self._fleet.register(
                    gameServerId, identity.instanceId, identity.connectionInfo, identity.data
                )
            case Step.UTILIZE:
                return self._fleet.utilize(gameServerId)
            case Step.DEREGISTER:
                return self._fleet.deregister(gameServerId)
            case Step.INSPECT:
                return self._fleet.describe(gameServerId)
        return self._fleet.heartbeat(gameServerId)

    def _read(self, step: Step, seen: GameServer) -> Brought:
        identity = self._identity
        ours = identity.owns(seen)
        if step is Step.INSPECT and not ours and identity.fixedId is not None:
            trouble = (
                f"The game server id {identity.fixedId} is taken by {seen.connectionInfo} on"
                f" {seen.instanceId}: give another --game-server-id, or leave it out."
            )
            return Brought(Outcome.FORBIDDEN, None, trouble, hopeless=True)
        return Brought(Answered(seen.utilized, ours), seen)
