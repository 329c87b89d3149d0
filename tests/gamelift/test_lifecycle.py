"""Tests of echoserver.gamelift.lifecycle: the table, and properties for all outcomes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.game.session import Session
from echoserver.gamelift.lifecycle import (
    ADOPT_WITHIN,
    NO_PLAYERS,
    Absent,
    Available,
    Confirmed,
    Conflict,
    Known,
    Outcome,
    RegistrationState,
    Step,
    Unknown,
    Utilized,
    UtilizedExternally,
    Wanted,
    after,
    backoff,
    mayBeClaimed,
    nextStep,
    settle,
)
from echoserver.server.gameserver import desiredState

HEARTBEAT = 60.0
ONE, TWO = Utilized(1), Utilized(2)
KNOWNS: tuple[Known, ...] = (
    Absent(),
    Available(),
    ONE,
    TWO,
    UtilizedExternally(0.0),
    Unknown(None),
    Unknown(ONE),
    Conflict(),
)


def sessions(number: int, players: int) -> Session:
    """Return the sessions of a game server; one runs if there are players."""
    return Session(number, players > 0, players)


def wanted(
    session: Session,
    known: Known,
    *,
    terminating: bool = False,
    drainingSince: int | None = None,
    accepting: bool = True,
) -> Wanted:
    """Return the wanted state for C{known}."""
    desired = desiredState(
        session,
        draining=terminating,
        deregistering=False,
        drainingSince=drainingSince,
        accepting=accepting,
    )
    return desired.towards(known)


class TableTests(SynchronousTestCase):
    """The whole table."""

    def test_table(self) -> None:
        """Each pair of a known and a wanted state has its step."""
        rest, register, utilize = Step.REST, Step.REGISTER, Step.UTILIZE
        heartbeat, deregister, inspect = Step.HEARTBEAT, Step.DEREGISTER, Step.INSPECT
        table: dict[Known, tuple[Step, Step, Step]] = {
            Absent(): (rest, register, register),
            Available(): (deregister, rest, utilize),
            ONE: (deregister, deregister, rest),
            TWO: (deregister, deregister, deregister),
            UtilizedExternally(0.0): (deregister, rest, rest),
            Unknown(None): (deregister, heartbeat, heartbeat),
            Unknown(ONE): (deregister, heartbeat, heartbeat),
            Conflict(): (inspect, inspect, inspect),
        }
        wants: tuple[Wanted, ...] = (Absent(), Available(), ONE)
        for known, row in table.items():
            self.assertEqual(row, tuple(nextStep(known, want) for want in wants), known)


class WantedTests(SynchronousTestCase):
    """The wanted state, by the session, the drain and the shutdown."""

    def test_noShutdown(self) -> None:
        """Without a session AVAILABLE is wanted, with one UTILIZED and its number."""
        self.assertEqual(
            Available(),
            wanted(
                sessions(3, 0),
                Available(),
            ),
        )
        self.assertEqual(
            Utilized(3),
            wanted(
                sessions(3, 1),
                Available(),
            ),
        )

    def test_notAccepting(self) -> None:
        """If no connections are accepted, absent is wanted, except during a session."""
        self.assertEqual(Absent(), wanted(sessions(3, 0), Available(), accepting=False))
        self.assertEqual(Utilized(3), wanted(sessions(3, 1), Absent(), accepting=False))

    def test_shutdown(self) -> None:
        """During a shutdown, a running session goes on. Without one, absent is wanted."""
        self.assertEqual(Absent(), wanted(sessions(3, 0), Available(), terminating=True))
        self.assertEqual(Utilized(3), wanted(sessions(3, 1), Available(), terminating=True))

    def test_lostDuringShutdown(self) -> None:
        """A registration that is lost during the shutdown is not renewed, even in a session."""
        for session in (sessions(3, 1), sessions(3, 0)):
            self.assertEqual(Absent(), wanted(session, Absent(), terminating=True))
            self.assertEqual(Absent(), wanted(session, Absent(), drainingSince=3))

    def test_drainingIdle(self) -> None:
        """While FleetIQ drains, an idle game server stays registered."""
        self.assertEqual(Available(), wanted(sessions(3, 0), Available(), drainingSince=3))
        self.assertEqual(Utilized(4), wanted(sessions(4, 1), Available(), drainingSince=3))

    def test_drainingLast(self) -> None:
        """While FleetIQ drains, the next session that ends is the last one."""
        for session, since in ((sessions(3, 0), 2), (sessions(4, 0), 3)):
            for known in (Available(), Utilized(session.number), Unknown(None), Conflict()):
                self.assertEqual(Absent(), wanted(session, known, drainingSince=since))

    def test_drainingSinceManySessions(self) -> None:
        """Sessions that ended before the drain do not count."""
        thousand, next = sessions(1000, 0), sessions(1001, 0)
        self.assertEqual(Available(), wanted(thousand, Available(), drainingSince=1000))
        self.assertEqual(Absent(), wanted(next, Available(), drainingSince=1000))

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_rules(self, data: st.DataObject) -> None:
        """A game server that shuts down does not register, and keeps its session."""
        players = data.draw(st.integers(0, 2))
        session = sessions(data.draw(st.integers(int(players > 0), 4)), players)
        since = data.draw(st.none() | st.integers(0, session.ended))
        terminating = data.draw(st.booleans())
        known = data.draw(st.sampled_from(KNOWNS))
        want = wanted(session, known, terminating=terminating, drainingSince=since)
        if terminating or since is not None:
            self.assertNotEqual(Step.REGISTER, nextStep(known, want))
        if session.running and known != Absent():
            self.assertEqual(Utilized(session.number), want)
        if not session.running:
            self.assertNotIsInstance(want, Utilized)
            self.assertFalse(terminating and want != Absent())
            self.assertFalse(since is None and not terminating and want != Available())


class ClaimTests(SynchronousTestCase):
    """L{mayBeClaimed}."""

    def test_mayBeClaimed(self) -> None:
        """A claim is possible in each state but absent and UTILIZED by our session."""
        claimed = [known for known in KNOWNS if mayBeClaimed(known)]
        open = [Available(), UtilizedExternally(0.0), Unknown(None), Unknown(ONE), Conflict()]
        self.assertEqual(open, claimed)


class SettleTests(SynchronousTestCase):
    """UTILIZED by another client: L{settle}."""

    def test_adopted(self) -> None:
        """A session adopts it."""
        self.assertEqual(ONE, settle(UtilizedExternally(5.0), ONE, 6.0))

    def test_waits(self) -> None:
        """Without a session, it stays for 60 s."""
        self.assertEqual(
            UtilizedExternally(5.0), settle(UtilizedExternally(5.0), Available(), 64.9)
        )

    def test_renewed(self) -> None:
        """After 60 s it has no session, and is deregistered, even if a session starts."""
        known = settle(UtilizedExternally(5.0), Available(), 65.0)
        self.assertEqual(NO_PLAYERS, known)
        self.assertEqual(Step.DEREGISTER, nextStep(known, Available()))
        self.assertEqual(Step.DEREGISTER, nextStep(known, ONE))

    def test_others(self) -> None:
        """Other known states do not change."""
        for known in (Absent(), Available(), ONE, Unknown(None), Conflict()):
            self.assertEqual(known, settle(known, TWO, 1e9))


class AfterTests(SynchronousTestCase):
    """L{after}."""

    def after(
        self,
        known: Known,
        step: Step,
        outcome: Confirmed | Outcome,
        towards: Wanted = ONE,
        since: float | None = 0.0,
        now: float = 1000.0,
        failures: int = 3,
    ) -> RegistrationState:
        """Return the registration C{old} after one step; the next id is C{new}."""
        registration = RegistrationState("old", known, failures, since)
        return after(registration, step, towards, outcome, now, HEARTBEAT, "new")

    def test_known(self) -> None:
        """Each outcome of each step has its known state, id and failures."""
        gone, conflict, refused = Outcome.GONE, Outcome.CONFLICT, Outcome.REFUSED
        lost, forbidden = Outcome.LOST, Outcome.FORBIDDEN
        free, busy = Confirmed(utilized=False), Confirmed(utilized=True)
        foreign = Confirmed(utilized=False, ours=False)
        register, utilize, heartbeat = Step.REGISTER, Step.UTILIZE, Step.HEARTBEAT
        deregister, inspect = Step.DEREGISTER, Step.INSPECT
        table: list[tuple[Known, Step, Confirmed | Outcome, Known, str, int]] = [
            (Absent(), register, free, Available(), "old", 3),
            (Absent(), register, busy, UtilizedExternally(1000.0), "old", 0),
            (Absent(), register, lost, Conflict(), "old", 4),
            (Absent(), register, conflict, Conflict(), "old", 4),
            (Absent(), register, refused, Absent(), "old", 4),
            (Absent(), register, forbidden, Absent(), "old", 6),
            (Absent(), register, gone, Absent(), "old", 6),
            (Available(), utilize, busy, ONE, "old", 0),
            (Available(), utilize, free, Available(), "old", 4),
            (Available(), utilize, lost, Unknown(ONE), "old", 4),
            (Available(), utilize, refused, Available(), "old", 4),
            (Available(), utilize, gone, Absent(), "new", 3),
            (Available(), heartbeat, free, Available(), "old", 3),
            (Available(), heartbeat, busy, UtilizedExternally(1000.0), "old", 0),
            (Available(), heartbeat, lost, Available(), "old", 4),
            (ONE, heartbeat, busy, ONE, "old", 0),
            (ONE, heartbeat, free, Available(), "old", 3),
            (UtilizedExternally(7.0), heartbeat, busy, UtilizedExternally(7.0), "old", 0),
            (Unknown(ONE), heartbeat, busy, ONE, "old", 0),
            (Unknown(ONE), heartbeat, free, Available(), "old", 3),
            (Unknown(None), heartbeat, busy, UtilizedExternally(1000.0), "old", 0),
            (Unknown(ONE), heartbeat, lost, Unknown(ONE), "old", 4),
            (Unknown(ONE), heartbeat, gone, Absent(), "new", 3),
            (TWO, deregister, gone, Absent(), "new", 3),
            (TWO, deregister, lost, Unknown(TWO), "old", 4),
            (UtilizedExternally(7.0), deregister, lost, Unknown(UtilizedExternally(7.0)), "old", 4),
            (Available(), deregister, lost, Unknown(None), "old", 4),
            (Unknown(TWO), deregister, lost, Unknown(TWO), "old", 4),
            (TWO, deregister, forbidden, TWO, "old", 6),
            (Conflict(), inspect, free, Available(), "old", 3),
            (Conflict(), inspect, busy, UtilizedExternally(1000.0), "old", 3),
            (Conflict(), inspect, foreign, Absent(), "new", 3),
            (Conflict(), inspect, gone, Absent(), "old", 4),
            (Conflict(), inspect, lost, Conflict(), "old", 4),
        ]
        for known, step, outcome, expected, gameServerId, failures in table:
            result = self.after(known, step, outcome)
            self.assertEqual(
                (expected, gameServerId, failures),
                (result.known, result.gameServerId, result.failures),
                (known, step, outcome),
            )

    def test_failuresReset(self) -> None:
        """A step that reaches the wanted state resets the failures; an inspect does not."""
        free = Confirmed(utilized=False)
        registered = self.after(Absent(), Step.REGISTER, free, towards=Available())
        inspected = self.after(Conflict(), Step.INSPECT, free, towards=Available())
        left = self.after(ONE, Step.DEREGISTER, Outcome.GONE, towards=Absent())
        self.assertEqual([0, 3, 0], [r.failures for r in (registered, inspected, left)])

    def test_firstFailure(self) -> None:
        """A new registration has no failures. The first failure counts as one."""
        self.assertEqual(RegistrationState("new"), RegistrationState("new", Absent(), 0, None))
        for known, step, outcome in (
            (Absent(), Step.REGISTER, Outcome.REFUSED),
            (Conflict(), Step.INSPECT, Outcome.GONE),
            (Available(), Step.UTILIZE, Confirmed(utilized=False)),
        ):
            self.assertEqual(1, self.after(known, step, outcome, failures=0).failures, step)

    def test_lostEarly(self) -> None:
        """A registration that is lost before its first heartbeat counts as a failure."""
        early = self.after(Available(), Step.UTILIZE, Outcome.GONE, since=0.0, now=59.9)
        old = self.after(Available(), Step.UTILIZE, Outcome.GONE, since=0.0, now=60.0)
        self.assertEqual([4, 3], [early.failures, old.failures])

    def test_registeredSince(self) -> None:
        """C{since} is the time of Register. It is None for the next attempt."""
        registered = self.after(Absent(), Step.REGISTER, Confirmed(utilized=False), since=None)
        self.assertEqual(1000.0, registered.since)
        self.assertIsNone(self.after(ONE, Step.DEREGISTER, Outcome.GONE).since)


class ValueTests(SynchronousTestCase):
    """The states are values."""

    def test_frozen(self) -> None:
        """They are frozen, and have no other attributes than their fields."""
        for value in (*KNOWNS, Confirmed(utilized=True), RegistrationState("id")):
            self.assertFalse(hasattr(value, "__dict__"), value)
            for name in value.__slots__:
                with self.assertRaises(FrozenInstanceError):
                    setattr(value, name, 1)


class BackoffTests(SynchronousTestCase):
    """Full jitter, from 1 s to 30 s."""

    def test_grows(self) -> None:
        """The longest pause doubles from 1 s to 30 s."""
        self.assertEqual(
            [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0], [backoff(n, 1.0) for n in range(1, 8)]
        )
        self.assertEqual(30.0, backoff(100_000, 1.0))

    def test_jitter(self) -> None:
        """A random number from 0 to 1 gives all or a part of the longest pause."""
        self.assertEqual([0.0, 4.0], [backoff(4, 0.0), backoff(4, 0.5)])


@dataclass
class FleetIQ:
    """A FleetIQ with faults: its game servers, late calls, and ids that may exist."""

    servers: dict[str, bool] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    pending: list[tuple[Step, str]] = field(default_factory=list)
    mayExist: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def act(self, step: Step, gameServerId: str) -> Confirmed | Outcome:
        """Execute a call, and return its outcome."""
        has = gameServerId in self.servers
        match step:
            case Step.REGISTER if has or gameServerId in self.others:
                return Outcome.CONFLICT
            case Step.REGISTER:
                self.servers[gameServerId] = False
            case Step.INSPECT if gameServerId in self.others:
                return Confirmed(utilized=False, ours=False)
            case Step.UTILIZE if has:
                self.servers[gameServerId] = True
            case Step.DEREGISTER:
                self.servers.pop(gameServerId, None)
                return Outcome.GONE
        if gameServerId not in self.servers:
            return Outcome.GONE
        return Confirmed(self.servers[gameServerId])

    def executeLate(self) -> None:
        """Execute the late calls. The game server of a late Register is not known to the test."""
        pending, self.pending = self.pending, []
        for step, gameServerId in pending:
            self.act(step, gameServerId)
            if step is Step.REGISTER:
                self.unknown.add(gameServerId)


FAULTS = (
    "done",
    "refused",
    "forbidden",
    "lost before",
    "lost after",
    "late",
    "dropped",
    "other server",
    "utilized externally",
)


class Loop:
    """The loop of a registration on the pure functions, with L{FleetIQ}, and checks."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.fleet = FleetIQ()
        self.registration = RegistrationState("id-0")
        self.now = 0.0
        self.drawn = 0
        self.unpaused = 0

    def towards(self, want: Wanted, fault: str, *, heartbeatDue: bool = False) -> bool:
        """Take the next step. Return False if there is none."""
        known = settle(self.registration.known, want, self.now)
        step = nextStep(known, want)
        if step is Step.REST and heartbeatDue and known != Absent():
            step = Step.HEARTBEAT
        before = RegistrationState(
            self.registration.gameServerId,
            known,
            self.registration.failures,
            self.registration.since,
        )
        if step is Step.REST:
            self.registration = before
            return False
        self.check(step, before)
        outcome = self.outcome(step, before.gameServerId, fault)
        self.drawn += 1
        self.registration = after(
            before, step, want, outcome, self.now, HEARTBEAT, f"id-{self.drawn}"
        )
        self.dropLateCalls(step, before.gameServerId, outcome)
        failed = self.registration.failures > before.failures
        self.unpaused = 0 if failed else self.unpaused + 1
        self.now += 0.1 + (backoff(self.registration.failures, 1.0) if failed else 0.0)
        return True

    def check(self, step: Step, before: RegistrationState) -> None:
        """Check that the step is allowed."""
        if step is Step.REGISTER:
            others = self.fleet.mayExist - {before.gameServerId}
            self.test.assertEqual(set(), others, "a second id while the first may exist")
            self.fleet.mayExist.add(before.gameServerId)
        if step is Step.UTILIZE:
            self.test.assertEqual(Available(), before.known)
        self.test.assertLess(self.unpaused, 6, "no pause")

    def outcome(self, step: Step, gameServerId: str, fault: str) -> Confirmed | Outcome:
        """Return the outcome of a step with this fault."""
        match fault:
            case "refused":
                return Outcome.REFUSED
            case "forbidden":
                return Outcome.FORBIDDEN
            case "lost before":
                return Outcome.LOST
            case "lost after":
                self.fleet.act(step, gameServerId)
                return Outcome.LOST
            case "late":
                self.fleet.pending.append((step, gameServerId))
                return Outcome.LOST
            case "dropped":
                self.fleet.servers.pop(gameServerId, None)
            case "other server" if step is Step.REGISTER and gameServerId not in self.fleet.servers:
                self.fleet.others.add(gameServerId)
            case "utilized externally" if gameServerId in self.fleet.servers:
                self.fleet.servers[gameServerId] = True
        return self.fleet.act(step, gameServerId)

    def dropLateCalls(self, step: Step, gameServerId: str, outcome: Confirmed | Outcome) -> None:
        """Drop late calls after a reply, unless it is an inspect that found no game server."""
        confirmed = isinstance(outcome, Confirmed) or outcome is Outcome.GONE
        if confirmed and not (step is Step.INSPECT and outcome is Outcome.GONE):
            self.fleet.pending = [late for late in self.fleet.pending if late[1] != gameServerId]
            self.fleet.unknown.discard(gameServerId)
            if outcome is Outcome.GONE or gameServerId in self.fleet.others:
                self.fleet.mayExist.discard(gameServerId)


WANTS = st.one_of(st.just(Absent()), st.just(Available()), st.integers(1, 4).map(Utilized))
CHANGES = st.lists(
    st.tuples(st.none() | WANTS, st.sampled_from(FAULTS), st.booleans()), max_size=40
)


EVENTS = st.sampled_from(("joined", "left", "drains", "active", "terminates"))
DRAINS = st.lists(st.tuples(EVENTS, st.sampled_from(FAULTS), st.integers(0, 3)), max_size=30)


class LoopTests(SynchronousTestCase):
    """Properties for all events and faults, in any order."""

    @settings(deadline=None, max_examples=1000)
    @given(CHANGES, WANTS)
    def test_reachesWanted(
        self, events: list[tuple[Wanted | None, str, bool]], last: Wanted
    ) -> None:
        """
        There is no second id while the first may exist, and no loop without a pause. When calls
        succeed again, the wanted state is reached.
        """
        loop, want = Loop(self), last
        for newWant, fault, heartbeatDue in events:
            if newWant is not None:
                want, loop.unpaused = newWant, 0
            if fault == "late":
                loop.fleet.executeLate()
            if not loop.towards(want, fault, heartbeatDue=heartbeatDue):
                loop.unpaused = 0
                loop.now += HEARTBEAT
        loop.fleet.executeLate()
        loop.unpaused = 0
        for _ in range(12):
            moved = loop.towards(last, "done", heartbeatDue=True)
            if not moved or nextStep(loop.registration.known, last) is Step.REST:
                loop.now += ADOPT_WITHIN
                loop.unpaused = 0
        known, gameServerId = loop.registration.known, loop.registration.gameServerId
        self.assertEqual(last, known)
        if last == Absent():
            # A late Register that no inspect follows stays until its health check expires.
            self.assertEqual(set(), set(loop.fleet.servers) - loop.fleet.unknown)
        else:
            self.assertEqual({gameServerId: isinstance(last, Utilized)}, loop.fleet.servers)

    @settings(deadline=None, max_examples=300)
    @given(DRAINS)
    def test_drains(self, events: list[tuple[str, str, int]]) -> None:
        """
        There is no new registration while FleetIQ drains or the instance ends. When calls succeed
        again, the wanted state is reached.
        """
        loop, session = Loop(self), Session()
        since: int | None = None
        terminating = False
        for event, fault, steps in events:
            match event:
                case "joined":
                    session = session.joined()
                case "left" if session.running:
                    session = session.left()
                case "drains" if since is None:
                    since = session.ended
                case "active":
                    since = None
                case "terminates":
                    terminating = True
            loop.unpaused = 0
            for _ in range(steps):
                known = loop.registration.known
                want = wanted(session, known, terminating=terminating, drainingSince=since)
                ids = set(loop.fleet.servers)
                loop.towards(want, fault)
                if terminating or since is not None:
                    self.assertEqual(set(), set(loop.fleet.servers) - ids)
        loop.fleet.executeLate()
        loop.unpaused = 0
        for _ in range(12):
            known = loop.registration.known
            want = wanted(session, known, terminating=terminating, drainingSince=since)
            if (
                not loop.towards(want, "done", heartbeatDue=True)
                or nextStep(known, want) is Step.REST
            ):
                loop.now += ADOPT_WITHIN
                loop.unpaused = 0
        known = loop.registration.known
        self.assertEqual(
            known, wanted(session, known, terminating=terminating, drainingSince=since), session
        )
        if not session.running and terminating:
            self.assertEqual(set(), set(loop.fleet.servers) - loop.fleet.unknown)

    def test_doesNotSpin(self) -> None:
        """If each call fails, there is a pause at least every sixth step, and it grows."""
        wants: tuple[Wanted, ...] = (Absent(), Available(), ONE)
        for fault in FAULTS:
            for want in wants:
                loop = Loop(self)
                for _ in range(60):
                    if not loop.towards(want, fault):
                        loop.unpaused = 0
                        loop.now += HEARTBEAT
                if fault == "dropped" and want == ONE:
                    self.assertGreater(loop.now, 10 * 30.0)
