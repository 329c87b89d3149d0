"""
Pure: the known and the wanted state of a game server in FleetIQ, and the next step.

The lifecycle is level-triggered. C{known} is the state that FleetIQ last confirmed, C{wanted} the
state that it should have. L{nextStep} returns the next step, L{after} the known state after its
result. Times are seconds of one clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

ADOPT_WITHIN = 60.0
_MAX_PAUSE = 30.0
_MANY_FAILURES = 6


class Step(Enum):
    """The next action of a registration."""

    REST = "rest"
    REGISTER = "register"
    UTILIZE = "utilize"
    HEARTBEAT = "heartbeat"
    DEREGISTER = "deregister"
    INSPECT = "inspect"


@dataclass(frozen=True, slots=True)
class Absent:
    """FleetIQ does not have the id, or never confirmed it."""


@dataclass(frozen=True, slots=True)
class Available:
    """FleetIQ can offer the game server to players."""


@dataclass(frozen=True, slots=True)
class Utilized:
    """FleetIQ knows that this session runs. L{NO_PLAYERS} stands for a session without players."""

    session: int


@dataclass(frozen=True, slots=True)
class UtilizedExternally:
    """UTILIZED, set by a client service that sends players. C{since} is when this was seen."""

    since: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """
    The id is ours, but the result of the last step is unknown.

    @ivar ifUtilized: the state if FleetIQ has UTILIZED.
    """

    ifUtilized: Utilized | UtilizedExternally | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """The result of Register is unknown, or a conflict: the id may be ours or another server's."""


Wanted = Absent | Available | Utilized
Known = Wanted | UtilizedExternally | Unknown | Conflict
NO_PLAYERS = Utilized(0)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """
    A reply with a game server.

    @ivar ours: whether it has our InstanceId and our ConnectionInfo.
    """

    utilized: bool
    ours: bool = True


class Outcome(Enum):
    """The result of a step without a game server in the reply."""

    GONE = "FleetIQ does not have the id"
    CONFLICT = "FleetIQ has the id already"
    REFUSED = "it did not happen, and can succeed later"
    FORBIDDEN = "it did not happen, and cannot succeed until a person changes something"
    LOST = "it may have happened"


@dataclass(frozen=True, slots=True)
class RegistrationState:
    """
    The state of one attempt to register.

    @ivar failures: the number of failed steps since the known state was the wanted one.
    @ivar since: when Register was confirmed; None before.
    """

    gameServerId: str
    known: Known = Absent()
    failures: int = 0
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """
    What FleetIQ should know of a game server.

    @ivar state: the state it should have.
    @ivar renew: whether to register, or register again, while FleetIQ does not have it.
    @ivar final: whether the registration ends once FleetIQ does not have it.
    """

    state: Wanted
    renew: bool = True
    final: bool = False

    def towards(self, known: Known) -> Wanted:
        """Return the state to reach now. A registration that is not renewed stays absent."""
        return Absent() if known == Absent() and not self.renew else self.state


def mayBeClaimed(known: Known) -> bool:
    """Return whether a claim is possible: after Register, and before a session."""
    return not isinstance(known, Absent | Utilized)


def settle(known: Known, wanted: Wanted, now: float) -> Known:
    """
    Return the known state after time has passed. UTILIZED by a client service belongs to the
    running session, or after L{ADOPT_WITHIN} seconds to L{NO_PLAYERS}.
    """
    match known, wanted:
        case UtilizedExternally(), Utilized():
            return wanted
        case UtilizedExternally(since=since), _ if now - since >= ADOPT_WITHIN:
            return NO_PLAYERS
    return known


def nextStep(known: Known, wanted: Wanted) -> Step:
    """Return the next step. This is the whole table."""
    match known, wanted:
        case Conflict(), _:
            return Step.INSPECT
        case Absent(), Absent():
            return Step.REST
        case Absent(), _:
            return Step.REGISTER
        case _, Absent():
            return Step.DEREGISTER
        case Unknown(), _:
            return Step.HEARTBEAT
        case Available(), Utilized():
            return Step.UTILIZE
        case Utilized(), _ if known != wanted:
            return Step.DEREGISTER
    return Step.REST


def after(
    registration: RegistrationState,
    step: Step,
    towards: Wanted,
    outcome: Confirmed | Outcome,
    now: float,
    heartbeat: float,
    freshId: str,
) -> RegistrationState:
    """
    Return the registration after a step. If the step failed, its C{failures} are increased.

    @param towards: the wanted state when the step began.
    @param heartbeat: seconds; if FleetIQ loses a registration before this age, that is a failure.
    @param freshId: the id of the next attempt. It is used only if FleetIQ has confirmed that it
        does not have the present id, or that another server has it.
    """
    if isinstance(outcome, Confirmed):
        return _afterReply(registration, step, towards, outcome, now, freshId)
    known = registration.known
    match step, outcome:
        case Step.DEREGISTER, Outcome.GONE:
            failures = 0 if towards == Absent() else registration.failures
            return RegistrationState(freshId, Absent(), failures)
        case Step.REGISTER, Outcome.GONE:
            return _failed(registration, _MANY_FAILURES)
        case Step.INSPECT, Outcome.GONE:
            # The lost Register can still take effect, so the id stays until FleetIQ responds to it.
            return _failed(replace(registration, known=Absent()))
        case _, Outcome.GONE:
            early = registration.since is not None and now - registration.since < heartbeat
            lost = RegistrationState(freshId, Absent(), registration.failures)
            return _failed(lost) if early else lost
        case Step.REGISTER, Outcome.LOST | Outcome.CONFLICT:
            known = Conflict()
        case Step.UTILIZE, Outcome.LOST if isinstance(towards, Utilized):
            known = Unknown(towards)
        case Step.DEREGISTER, Outcome.LOST:
            known = Unknown(_ifUtilized(known))
    atLeast = _MANY_FAILURES if outcome is Outcome.FORBIDDEN else 1
    return _failed(replace(registration, known=known), atLeast)


def backoff(failures: int, rng: float) -> float:
    """
    Return the seconds to pause after this number of failures, with full jitter.

    @param rng: a random number from 0 to 1.
    """
    return rng * min(_MAX_PAUSE, 2.0 ** min(failures - 1, _MANY_FAILURES))


def _failed(registration: RegistrationState, atLeast: int = 1) -> RegistrationState:
    return replace(registration, failures=max(registration.failures + 1, atLeast))


def _afterReply(
    registration: RegistrationState,
    step: Step,
    towards: Wanted,
    reply: Confirmed,
    now: float,
    freshId: str,
) -> RegistrationState:
    if step is Step.INSPECT and not reply.ours:
        return RegistrationState(freshId, Absent(), registration.failures)
    known: Known = Available()
    if reply.utilized:
        known = _ifUtilized(registration.known) or UtilizedExternally(now)
        known = towards if step is Step.UTILIZE else known
    done = replace(registration, known=known)
    if step is Step.REGISTER:
        done = replace(done, since=now)
    if step is Step.UTILIZE and not reply.utilized:
        return _failed(done)
    atRest = nextStep(known, towards) is Step.REST and step is not Step.INSPECT
    return replace(done, failures=0) if atRest else done


def _ifUtilized(known: Known) -> Utilized | UtilizedExternally | None:
    match known:
        case Utilized() | UtilizedExternally():
            return known
        case Unknown(ifUtilized=ifUtilized):
            return ifUtilized
    return None
