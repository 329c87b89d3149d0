"""
Pure: what FleetIQ should know of us, and the one next step towards it.

The lifecycle is a level, not a chain of edges. C{known} is what FleetIQ last confirmed, C{wanted}
what it should know; L{nextStep} names the one step from here, L{after} what is known once it has
brought something, whatever that is. Times are seconds of any one clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

ADOPT_WITHIN = 60.0
_LONGEST = 30.0
_MANY_FAILURES = 6


class Step(Enum):
    """What the worker does next."""

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
    """FleetIQ may hand us to players."""


@dataclass(frozen=True, slots=True)
class Utilized:
    """FleetIQ knows that this session runs. C{NOBODYS} is a session that nobody joined."""

    session: int


@dataclass(frozen=True, slots=True)
class UtilizedExternally:
    """UTILIZED, but not by us: a client service's claim, waiting for its players."""

    since: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """The id is ours; whether the last step happened is not known. C{ifUtilized}: what if it is."""

    ifUtilized: Utilized | UtilizedExternally | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A Register was lost or answered ConflictException: is the id ours?"""


Wanted = Absent | Available | Utilized
Known = Wanted | UtilizedExternally | Unknown | Conflict
NOBODYS = Utilized(0)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A reply that carries a game server. C{ours}: it has our InstanceId and our ConnectionInfo."""

    utilized: bool
    ours: bool = True


class Outcome(Enum):
    """What else a step may bring."""

    GONE = "FleetIQ does not have the id"
    CONFLICT = "FleetIQ has the id already"
    REFUSED = "it did not happen, and may next time"
    FORBIDDEN = "it did not happen, and will not until somebody mends something"
    LOST = "it may have happened"


@dataclass(frozen=True, slots=True)
class RegistrationState:
    """
    One attempt to be registered, and what became of it.

    @ivar failures: failed steps since all was last at rest.
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
    """Whether somebody may have been sent here: not before Register, nor once a session began."""
    return not isinstance(known, Absent | Utilized)


def settle(known: Known, wanted: Wanted, now: float) -> Known:
    """What a claim taken without us has become: the running session's, or, in time, nobody's."""
    match known, wanted:
        case UtilizedExternally(), Utilized():
            return wanted
        case UtilizedExternally(since=since), _ if now - since >= ADOPT_WITHIN:
            return NOBODYS
    return known


def nextStep(known: Known, wanted: Wanted) -> Step:
    """The one next step. This is the whole table."""
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
    The registration once a step has brought an outcome. Its failures have grown if the step failed.

    @param towards: what was wanted when the step was taken.
    @param heartbeat: seconds; a registration that is gone before it is that old has failed.
    @param freshId: the id of the next attempt, taken only where FleetIQ confirmed that the present
        one is gone, or it proved a stranger's.
    """
    if isinstance(outcome, Confirmed):
        return _answered(registration, step, towards, outcome, now, freshId)
    known = registration.known
    match step, outcome:
        case Step.DEREGISTER, Outcome.GONE:
            failures = 0 if towards == Absent() else registration.failures
            return RegistrationState(freshId, Absent(), failures)
        case Step.REGISTER, Outcome.GONE:
            return _failed(registration, _MANY_FAILURES)
        case Step.INSPECT, Outcome.GONE:
            # A lost Register may still land: the same id until FleetIQ has said yes or no to it.
            return _failed(replace(registration, known=Absent()))
        case _, Outcome.GONE:
            young = registration.since is not None and now - registration.since < heartbeat
            lost = RegistrationState(freshId, Absent(), registration.failures)
            return _failed(lost) if young else lost
        case Step.REGISTER, Outcome.LOST | Outcome.CONFLICT:
            known = Conflict()
        case Step.UTILIZE, Outcome.LOST if isinstance(towards, Utilized):
            known = Unknown(towards)
        case Step.DEREGISTER, Outcome.LOST:
            known = Unknown(_ifUtilized(known))
    atLeast = _MANY_FAILURES if outcome is Outcome.FORBIDDEN else 1
    return _failed(replace(registration, known=known), atLeast)


def backoff(failures: int, rng: float) -> float:
    """Seconds of pause after that many failures, with full jitter: C{rng} is from 0 to 1."""
    return rng * min(_LONGEST, 2.0 ** min(failures - 1, _MANY_FAILURES))


def _failed(registration: RegistrationState, atLeast: int = 1) -> RegistrationState:
    return replace(registration, failures=max(registration.failures + 1, atLeast))


def _answered(
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
