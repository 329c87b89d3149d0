"""The worker: one call at a time, heartbeats when due, pauses after failures, ids of attempts.
What replies tell of claims.
What the log says while FleetIQ does not do as it is asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.clock import WallClock
from echoserver.gamelift.degraded import Degraded
from echoserver.gamelift.errors import CallFailed, ConflictException, NotFoundException
from echoserver.gamelift.health import HEALTH_CHECK_TIMEOUT
from echoserver.gamelift.lifecycle import (
    Absent,
    Available,
    Conflict,
    Desired,
    Known,
    Unknown,
    Utilized,
    UtilizedExternally,
    Wanted,
)
from echoserver.gamelift.registration import LOWEST_PRIORITY, Registration
from echoserver.gamelift.service import RegistrationRequest
from echoserver.ratelimit import RateLimiter, TokenBucket
from tests.awsdoubles import INSTANCE_ID, told
from tests.doubles import LongRandom, PendingFleet, callFailed, gameServer

INSTANCE = "i-0123456789abcdef0"
CLAIM = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryIdStore:
    """An id store that records what is saved; C{saving} is what L{save} returns."""

    def __init__(self, leftBehind: str | None = None) -> None:
        self.leftBehind = leftBehind
        self.saved: list[str | None] = []
        self.saving: Deferred[None] = succeed(None)

    def load(self, request: RegistrationRequest) -> str | None:
        return self.leftBehind

    def save(self, request: RegistrationRequest, gameServerId: str | None) -> Deferred[None]:
        self.saved.append(gameServerId)
        return self.saving


class RegistrationTests(SynchronousTestCase):
    """A registration against a FleetIQ that replies when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limiter = RateLimiter(self.clock)
        self.degraded = Degraded(self.clock, WallClock(self.clock))
        self.fleet = PendingFleet()
        self.confirmations = 0
        self.refusals: list[str] = []
        self.idStore = MemoryIdStore()
        self.givesUp = False
        self.claims: list[str] = []
        self.changes: list[tuple[bool, str]] = []
        self.health: Callable[[], object] = lambda: True

    def start(self, leftBehind: str | None = None, **members: Any) -> Registration:
        """Start a registration that shall be AVAILABLE."""
        self.idStore.leftBehind = leftBehind
        self.registration = Registration(
            self.clock,
            LongRandom(7),
            self.fleet,
            RegistrationRequest(INSTANCE, "localhost:5000", 5000, **members),
            limiter=self.limiter,
            degraded=self.degraded,
            heartbeat=60.0,
            listener=self,
            healthy=lambda: self.health(),
            idStore=self.idStore,  # type: ignore[arg-type] # it has what is used
        )
        self.registration.setDesired(Desired(Available()))
        self.running: Deferred[None] = self.registration.run()
        return self.registration

    # The listener of the registration.

    def registered(self) -> None:
        self.confirmations += 1

    def refused(self, message: str) -> bool:
        self.refusals.append(message)
        return self.givesUp

    def sessionConfirmed(self, data: str) -> None:
        self.claims.append(data)

    def claimChanged(self, claimed: bool, data: str) -> None:
        self.changes.append((claimed, data))

    def change(self, wanted: Wanted | None) -> None:
        """Change the desired state; None is absent for good."""
        final = wanted is None
        self.registration.setDesired(Desired(wanted or Absent(), renew=not final, final=final))

    @property
    def known(self) -> Known:
        """What the worker knows."""
        return self.registration.state.known

    def test_endsWhileDegraded(self) -> None:
        """A registration that ends while its calls fail does not keep the process degraded."""
        self.start()
        self.fleet.fail(callFailed())
        self.assertIsNotNone(self.degraded.since)
        self.running.cancel()
        self.failureResultOf(self.running, CancelledError)
        self.assertIsNone(self.degraded.since)

    def test_dataWhileDegraded(self) -> None:
        """New data between a failure and a success leaves nothing degraded."""
        self.start()
        self.fleet.reply()
        self.clock.advance(54.0)
        self.fleet.fail(callFailed())
        self.registration.setData("map=7")
        self.clock.advance(1.0)
        self.fleet.reply()
        self.assertEqual((None, None), (self.registration.degradedSince, self.degraded.since))

    def test_registers(self) -> None:
        """It registers with what it was given, once, and says so."""
        self.start(data="map=7")
        call = self.fleet.theCall()
        self.assertEqual((INSTANCE, "localhost:5000", "map=7"), call.rest)
        self.assertRegex(call.gameServerId, f"^{INSTANCE}-5000-[a-z0-9]{{10}}$")
        self.assertEqual(0, self.confirmations)
        self.fleet.reply()
        self.assertEqual((Available(), 1), (self.known, self.confirmations))

    def test_aWholeSession(self) -> None:
        """A session costs three calls: Register, Update, Deregister; the next id is another."""
        self.start()
        first = self.fleet.reply().gameServerId
        self.change(Utilized(1))
        self.assertEqual(first, self.fleet.reply().gameServerId)
        self.change(Available())
        self.assertEqual(first, self.fleet.reply().gameServerId)
        self.assertEqual(["register", "utilize", "deregister", "register"], self.fleet.made)
        self.assertNotEqual(first, self.fleet.reply().gameServerId)

    def test_leftByACrash(self) -> None:
        """An id that a crash left is deregistered first; only then is another registered."""
        self.start(leftBehind="left-behind")
        self.assertEqual("deregister", self.fleet.made[-1])
        self.fleet.fail(callFailed())
        self.clock.advance(1.0)
        self.assertEqual("left-behind", self.fleet.reply().gameServerId)
        self.assertEqual(["deregister", "deregister", "register"], self.fleet.made)
        self.assertNotEqual("left-behind", self.fleet.theCall().gameServerId)

    def test_nothingLeftToDo(self) -> None:
        """A failed step that leaves nothing to do is the end: no pause comes after it."""
        self.start()
        self.fleet.fail(callFailed(mayHaveHappened=True))
        self.change(None)
        self.clock.advance(1.0)
        self.assertEqual(Conflict(), self.known)
        self.fleet.fail(callFailed(NotFoundException))
        self.assertEqual(Absent(), self.known)
        self.successResultOf(self.running)

    def test_keepsFirst(self) -> None:
        """Register is not sent before its id is kept: a crash in between would leave it."""
        self.idStore.saving = Deferred()
        self.start()
        self.assertEqual(
            (1, [], True), (len(self.idStore.saved), self.fleet.made, self.registration.calling)
        )
        self.idStore.saving.callback(None)
        self.assertEqual(self.idStore.saved, [self.fleet.theCall().gameServerId])

    def test_abandonedWhileKeeping(self) -> None:
        """A worker that is abandoned while its id is kept sends nothing."""
        self.idStore.saving = Deferred()
        self.start()
        self.running.cancel()
        self.failureResultOf(self.running, CancelledError)
        self.assertEqual(([], False), (self.fleet.made, self.registration.calling))

    def test_leftByACrashAndGone(self) -> None:
        """That FleetIQ has dropped it meanwhile ends nothing."""
        self.start(leftBehind="left-behind")
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.assertEqual("register", self.fleet.theCall().operation)
        self.assertEqual([], self.refusals)

    def test_keeps(self) -> None:
        """The id is kept from before Register is sent until FleetIQ has confirmed its end."""
        self.start()
        first = self.fleet.theCall().gameServerId
        self.assertEqual([first], self.idStore.saved)
        self.fleet.fail(callFailed(mayHaveHappened=True))
        self.clock.advance(1.0)
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.reply()
        self.fleet.reply()
        self.assertEqual((Utilized(1), [first]), (self.known, self.idStore.saved))
        self.change(Available())
        self.assertEqual([first], self.idStore.saved)
        self.fleet.reply()
        self.assertEqual([first, None, self.fleet.theCall().gameServerId], self.idStore.saved)

    def test_oneAtATime(self) -> None:
        """What changes during a call waits for its end, and only the last of it counts."""
        self.start()
        self.change(Utilized(1))
        self.change(Available())
        self.change(Utilized(2))
        self.assertEqual(["register"], self.fleet.made)
        self.fleet.reply()
        self.fleet.reply()
        self.assertEqual(Utilized(2), self.known)

    def test_anotherSession(self) -> None:
        """A session that ended and began again during a call is another one for FleetIQ too."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.change(Utilized(2))
        self.fleet.reply()
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.made)

    def test_heartbeat(self) -> None:
        """After 60 s less a tenth of silence, a heartbeat; any report of health puts it off."""
        self.start()
        self.fleet.reply()
        self.clock.advance(30.0)
        self.change(Utilized(1))
        self.fleet.reply()
        self.clock.advance(53.9)
        self.assertEqual(["register", "utilize"], self.fleet.made)
        self.clock.advance(0.2)
        self.assertEqual("heartbeat", self.fleet.made[-1])
        self.fleet.reply(utilized=True)
        self.assertEqual(Utilized(1), self.known)
        self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.theCall().operation)

    def test_healthIsWhenSent(self) -> None:
        """The next heartbeat is counted from when the last was sent: replies may be slow."""
        self.start()
        self.fleet.reply()
        self.clock.advance(54.0)
        self.clock.advance(4.0)
        self.fleet.reply()
        self.clock.advance(50.0)
        self.assertEqual(["register", "heartbeat", "heartbeat"], self.fleet.made)

    def test_pause(self) -> None:
        """After a failure it pauses, longer each time, and what changes does not cut it short."""
        self.start()
        for pause in (1.0, 2.0, 4.0):
            self.fleet.fail(callFailed())
            self.clock.advance(pause - 0.1)
            self.change(Utilized(1))
            self.assertEqual([], self.fleet.waiting)
            self.clock.advance(0.1)
            self.assertEqual("register", self.fleet.theCall().operation)
        self.assertEqual([], self.refusals)

    def test_hasten(self) -> None:
        """Only hastening cuts a pause short."""
        self.start()
        self.fleet.fail(callFailed())
        self.change(None)
        self.registration.retryNow()
        self.successResultOf(self.running)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_sameIdUntilConfirmed(self) -> None:
        """A Register that was lost is asked about, then repeated with the same id."""
        self.start()
        first = self.fleet.fail(callFailed(mayHaveHappened=True)).gameServerId
        self.assertEqual(Conflict(), self.known)
        self.clock.advance(1.0)
        self.assertEqual("describe", self.fleet.theCall().operation)
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.clock.advance(2.0)
        self.assertEqual(
            ("register", first), (self.fleet.made[-1], self.registration.state.gameServerId)
        )

    def test_lostButDone(self) -> None:
        """A Register that was lost but carried out is found, and ours: no second one."""
        self.start()
        self.fleet.fail(callFailed(mayHaveHappened=True))
        self.clock.advance(1.0)
        self.fleet.reply()
        self.assertEqual(("describe", Available()), (self.fleet.made[1], self.known))
        self.assertEqual(1, self.confirmations)

    def test_conflictWithAStranger(self) -> None:
        """An id that a stranger has is given up for another one."""
        self.start()
        first = self.fleet.fail(callFailed(ConflictException, retry=False)).gameServerId
        self.clock.advance(1.0)
        self.fleet.reply(connectionInfo="elsewhere:5000")
        self.assertEqual("register", self.fleet.theCall().operation)
        self.assertNotEqual(first, self.fleet.theCall().gameServerId)
        self.assertEqual((0, []), (self.confirmations, self.refusals))

    def test_conflictWithNobody(self) -> None:
        """Where nobody has the id, the log does not say that we have: Register was refused."""
        self.start()
        self.fleet.fail(callFailed(ConflictException, retry=False))
        self.clock.advance(1.0)
        with capturedLogs() as events:
            self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.assertEqual(Absent(), self.known)
        self.assertFalse([event for event in events if "AVAILABLE" in str(event["log_format"])])

    def test_fixedIdOfAStranger(self) -> None:
        """With a fixed id, a stranger's is a sentence that names both."""
        self.start(fixedId="my-server")
        self.fleet.fail(callFailed(ConflictException, retry=False))
        self.clock.advance(1.0)
        self.fleet.reply(connectionInfo="elsewhere:5000")
        [sentence] = self.refusals
        self.assertIn("my-server is registered by elsewhere:5000", sentence)
        self.assertIn("--game-server-id", sentence)

    def test_refusedAtTheStart(self) -> None:
        """What FleetIQ refuses for good before the first registration is told."""
        for error in (callFailed(retry=False), callFailed(NotFoundException, retry=False)):
            self.fleet = PendingFleet()
            self.refusals = []
            self.givesUp = True
            self.start()
            self.fleet.fail(error)
            self.assertEqual([str(error)], self.refusals)
            self.successResultOf(self.running)
            self.assertEqual([], self.clock.getDelayedCalls())

    def test_refusedAndGoesOn(self) -> None:
        """Unless that is not the end: then the longest backoff follows, and another try."""
        self.start()
        self.fleet.fail(callFailed(retry=False))
        self.clock.advance(30.0)
        self.assertEqual(["register", "register"], self.fleet.made)

    def test_refusedListenerFails(self) -> None:
        """A listener that raises at a permanent refusal is logged: the call is repeated."""

        def refused(message: str) -> bool:
            raise ValueError(message)

        self.refused = refused  # type: ignore[method-assign] # one test's listener
        self.start()
        self.fleet.fail(callFailed(retry=False))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.clock.advance(30.0)
        self.fleet.reply()
        self.assertEqual(Available(), self.known)

    def test_refusedLater(self) -> None:
        """After it nothing is told: the longest backoff goes on."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.fail(callFailed(retry=False))
        self.assertEqual([], self.refusals)
        self.clock.advance(29.9)
        self.assertEqual([], self.fleet.waiting)
        self.clock.advance(0.1)
        self.assertEqual("utilize", self.fleet.theCall().operation)

    def test_lostUtilize(self) -> None:
        """A lost Utilize is asked about by a heartbeat; found UTILIZED it was ours."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.fail(callFailed(mayHaveHappened=True))
        self.assertEqual(Unknown(Utilized(1)), self.known)
        self.clock.advance(1.0)
        self.assertEqual("heartbeat", self.fleet.theCall().operation)
        self.fleet.reply(utilized=True)
        self.assertEqual(Utilized(1), self.known)

    def test_dropped(self) -> None:
        """An old registration that is gone is renewed at once, under another id."""
        self.start()
        first = self.fleet.reply().gameServerId
        self.clock.advance(54.0)
        self.fleet.reply()
        self.clock.advance(54.0)
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.assertEqual("register", self.fleet.theCall().operation)
        self.assertNotEqual(first, self.fleet.theCall().gameServerId)

    def test_takenIsAdopted(self) -> None:
        """UTILIZED by somebody else is the next session's, without a call."""
        self.start()
        self.fleet.reply()
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True)
        self.assertIsInstance(self.known, UtilizedExternally)
        self.change(Utilized(1))
        self.assertEqual(Utilized(1), self.known)
        self.assertEqual(["register", "heartbeat"], self.fleet.made)

    def test_takenIsRenewed(self) -> None:
        """If nobody comes within 60 s, it is deregistered and registered afresh."""
        self.start()
        self.fleet.reply()
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True)
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True)
        self.clock.advance(6.0)
        self.fleet.reply()
        self.assertEqual(
            ["register", "heartbeat", "heartbeat", "deregister", "register"], self.fleet.made
        )

    def test_whoIsToldFails(self) -> None:
        """Who is told of the first registration may fail: the heartbeats go on."""
        self.registered = self.fail  # type: ignore[method-assign] # it raises
        self.start()
        self.fleet.reply()
        self.assertEqual(1, len(self.flushLoggedErrors(self.failureException)))
        self.clock.advance(60.0)
        self.assertEqual("heartbeat", self.fleet.theCall().operation)

    def test_claimIsLogged(self) -> None:
        """A claim is learnt from a heartbeat's reply, and told once."""
        self.start()
        self.fleet.reply()
        with capturedLogs() as events:
            for _ in range(2):
                self.clock.advance(54.0)
                self.fleet.reply(claimed=True, lastClaim=CLAIM)
        self.assertEqual(Available(), self.known)
        self.assertEqual(1, sum("Claimed" in str(event["log_format"]) for event in events))

    def test_claimIsToldOnceASession(self) -> None:
        """With UTILIZED a session's claim is told, with its data; without a claim nothing is."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.reply(lastClaim=CLAIM, gameServerData="map=7")
        self.assertEqual(["map=7"], self.claims)
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True, lastClaim=CLAIM, gameServerData="map=7")
        self.change(Available())
        self.fleet.reply()
        self.fleet.reply()
        self.change(Utilized(2))
        self.fleet.reply(gameServerData="published")
        self.assertEqual(["map=7"], self.claims)

    def test_claimOfASessionThatIsOver(self) -> None:
        """Nobody is told of the claim of a session that has ended before it was UTILIZED."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.change(Available())
        self.fleet.reply(lastClaim=CLAIM, gameServerData="map=7")
        self.assertEqual([], self.claims)

    def test_claimOfAnAdoptedSession(self) -> None:
        """So is that of a session that somebody else had UTILIZED before anybody came."""
        self.start()
        self.fleet.reply()
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True, lastClaim=CLAIM, gameServerData="map=7")
        self.assertEqual([], self.claims)
        self.change(Utilized(1))
        self.assertEqual(["map=7"], self.claims)

    def claimed(self) -> Deferred[bool]:
        """Ask whether a claim awaits players."""
        return self.registration.isClaimed()

    def test_leavesTheLine(self) -> None:
        """A call that is no longer wanted waits for no turn: only the heartbeat is left."""
        self.limiter = RateLimiter(self.clock, TokenBucket(0.1, 1))
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.assertEqual([10.0], [call.getTime() for call in self.clock.getDelayedCalls()])
        self.change(Available())
        self.assertEqual([54.0], [call.getTime() for call in self.clock.getDelayedCalls()])

    def test_askedInTurn(self) -> None:
        """Whether it is claimed is asked once the calls that matter more are made."""
        self.limiter = RateLimiter(self.clock, TokenBucket(1.0, 1))
        self.start()
        self.fleet.reply()
        asked = self.registration.isClaimed()
        self.change(Utilized(1))
        self.clock.advance(1.0)
        self.fleet.reply()
        self.assertEqual(["register", "utilize"], self.fleet.made)
        self.clock.advance(1.0)
        self.assertEqual(["register", "utilize"], self.fleet.made)
        self.assertFalse(self.successResultOf(asked))

    def test_claimed(self) -> None:
        """FleetIQ is asked about the game server as it is registered, beside the steps."""
        self.start()
        registered = self.fleet.reply().gameServerId
        for claimed in (False, True):
            asked = self.claimed()
            self.assertEqual(registered, self.fleet.reply(claimed=claimed).gameServerId)
            self.assertEqual(claimed, self.successResultOf(asked))
        self.assertEqual(["register", "describe", "describe"], self.fleet.made)
        self.assertEqual(Available(), self.known)

    def test_claimedBeforeOrAfter(self) -> None:
        """Before a registration and after a session there is no claim, and no call is made."""
        self.start()
        self.assertFalse(self.successResultOf(self.claimed()))
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.reply()
        self.assertFalse(self.successResultOf(self.claimed()))
        self.assertEqual(["register", "utilize"], self.fleet.made)

    def test_claimedByUtilizing(self) -> None:
        """UTILIZED by somebody else is a claim taken: known already, or learnt by asking."""
        self.start()
        self.fleet.reply()
        asked = self.claimed()
        self.fleet.reply(utilized=True, lastClaim=CLAIM, gameServerData="map=7")
        self.assertTrue(self.successResultOf(asked))
        self.assertIsInstance(self.known, UtilizedExternally)
        self.assertTrue(self.successResultOf(self.claimed()))
        self.change(Utilized(1))
        self.assertEqual((Utilized(1), ["map=7"]), (self.known, self.claims))
        self.assertEqual(["register", "describe"], self.fleet.made)

    def test_claimedButGone(self) -> None:
        """An answer about an earlier registration, or a stranger's, is a no."""
        self.start()
        self.fleet.reply()
        asked = self.claimed()
        [describe] = self.fleet.waiting
        self.fleet.waiting = []
        self.change(Absent())
        self.fleet.reply()
        describe.answer.callback(gameServer(describe.gameServerId, claimed=True))
        self.assertFalse(self.successResultOf(asked))
        self.change(Available())
        self.fleet.reply()
        asked = self.claimed()
        self.fleet.reply(claimed=True, connectionInfo="elsewhere:1")
        self.assertFalse(self.successResultOf(asked))

    def test_faultOfOurs(self) -> None:
        """An exception nobody thought of is logged, and may have happened; the work goes on."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.fail(RuntimeError("a fault"))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.clock.advance(1.0)
        self.assertEqual("heartbeat", self.fleet.theCall().operation)

    def test_ends(self) -> None:
        """Absent for good, and known to be, is the end."""
        self.start()
        self.fleet.reply()
        self.change(None)
        self.assertNoResult(self.running)
        self.fleet.reply()
        self.successResultOf(self.running)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_absentForNow(self) -> None:
        """Absent for now is no end: it rests without a call, and registers again when wanted."""
        self.start()
        first = self.fleet.reply().gameServerId
        self.change(Absent())
        self.fleet.reply()
        self.clock.advance(1000.0)
        self.assertEqual([], self.fleet.waiting)
        self.assertNoResult(self.running)
        self.change(Available())
        self.assertEqual("register", self.fleet.theCall().operation)
        self.assertNotEqual(first, self.fleet.reply().gameServerId)

    def test_stepDone(self) -> None:
        """Who waits for the call that is out hears of its end, and of the next one's not."""
        self.start()
        done = self.registration.whenCallDone()
        self.assertTrue(self.registration.calling)
        self.assertNoResult(done)
        self.fleet.reply()
        self.successResultOf(done)
        self.assertFalse(self.registration.calling)

    def test_abandoned(self) -> None:
        """Cancelled, it drops the call; a late reply changes nothing."""
        self.start()
        call = self.fleet.theCall()
        self.running.cancel()
        self.failureResultOf(self.running, CancelledError)
        call.answer.callback(None)
        self.assertEqual((Absent(), 0), (self.known, self.confirmations))

    def test_kinds(self) -> None:
        """Each failure says whether it may have happened."""
        for error, known in (
            (callFailed(retry=True), Absent()),
            (callFailed(retry=True, mayHaveHappened=True), Conflict()),
            (callFailed(CallFailed, retry=False), Absent()),
            (callFailed(ConflictException, retry=False), Conflict()),
        ):
            self.fleet = PendingFleet()
            self.start()
            self.fleet.fail(error)
            self.assertEqual(known, self.known, error)

    # Claims.

    def claimLines(self, *replies: dict[str, Any]) -> list[str]:
        """Return the log lines about claims, for the replies to these heartbeats."""
        self.setUp()
        self.start()
        self.fleet.reply()
        with capturedLogs() as events:
            for members in replies:
                self.clock.advance(54.0)
                self.fleet.reply(**members)
        lines = [str(formatEvent(event)) for event in events]
        self.assertNotIn("secret", "".join(lines))
        return [line for line in lines if "claim" in line.lower()]

    def test_claimLines(self) -> None:
        """A claim is logged once, its end only if no player came; the next one is another."""
        for replies, lines, changes in (
            ((FREE, FREE), [], []),
            ((FREE, CLAIMED, CLAIMED), [CLAIMED_LINE], [True]),
            ((CLAIMED, EXPIRED, EXPIRED), [CLAIMED_LINE, EXPIRED_LINE], [True, False]),
            ((CLAIMED, UTILIZED, UTILIZED), [CLAIMED_LINE], [True]),
            ((CLAIMED, AGAIN), [CLAIMED_LINE, CLAIMED_LINE], [True, True]),
            ((UTILIZED,), [], []),
        ):
            self.assertEqual(lines, self.claimLines(*replies))
            self.assertEqual(changes, [claimed for claimed, _ in self.changes])

    def test_claimData(self) -> None:
        """The data is that of the last claim, not what the server itself published."""
        for replies, data in (
            ((FREE,), None),
            ((FREE, CLAIMED), "map=7 secret"),
            ((CLAIMED, AGAIN), "map=8"),
            ((FREE, UTILIZED), "map=7 secret"),
            (({"utilized": True, "lastClaim": EARLY},), ""),
        ):
            self.claimLines(*replies)
            self.assertEqual(data, self.registration.claimData)

    # Renewal and end.

    def test_notRenewed(self) -> None:
        """While it shall not be renewed, a registration that is lost stays absent."""
        self.start()
        self.fleet.reply()
        self.registration.setDesired(Desired(Available(), renew=False))
        self.clock.advance(54.0)
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.assertEqual([], self.fleet.waiting)
        self.clock.advance(1.0)
        self.assertEqual([], self.fleet.waiting)
        self.registration.setDesired(Desired(Available()))
        self.assertEqual("register", self.fleet.theCall().operation)

    def test_finalInSession(self) -> None:
        """A final state that is UTILIZED ends only when FleetIQ loses the registration."""
        self.start()
        self.fleet.reply()
        self.registration.setDesired(Desired(Utilized(1), renew=False, final=True))
        self.fleet.reply()
        self.assertNoResult(self.running)
        self.clock.advance(54.0)
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.successResultOf(self.running)

    # Health checks.

    def unhealthy(self, health: Callable[[], object]) -> list[str]:
        """Let one health check fail, and return the log lines."""
        self.start()
        self.fleet.reply()
        self.health = health
        with capturedLogs() as events:
            self.clock.advance(54.0)
            self.clock.advance(HEALTH_CHECK_TIMEOUT)
        return [str(formatEvent(event)) for event in events]

    def test_unhealthy(self) -> None:
        """False, an exception, a failure or no result in 5 s skips the heartbeat, and says why."""

        def raises() -> None:
            raise ValueError("no map")

        silent: Deferred[bool] = Deferred()
        for health, reason in (
            (lambda: False, "it returned False"),
            (raises, "ValueError('no map')"),
            (lambda: Deferred.fromCoroutine(failLater()), "ValueError('later')"),
            (lambda: silent, "no result within 5 s"),
            (lambda: succeed(False), "it returned False"),
            (lambda: None, "it returned None"),
            (lambda: fail(CancelledError()), "CancelledError()"),
        ):
            self.setUp()
            [line] = self.unhealthy(health)
            self.assertIn(f"the game's health check failed ({reason})", line)
            self.assertEqual(["register"], self.fleet.made)
            self.assertIsNotNone(self.registration.unhealthySince)

    def test_healthyAgain(self) -> None:
        """Once the check succeeds, heartbeats are sent again; the failure was logged once."""
        self.unhealthy(lambda: False)
        with capturedLogs() as events:
            self.clock.advance(54.0)
            self.health = lambda: succeed(True)
            self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.theCall().operation)
        self.assertIsNone(self.registration.unhealthySince)
        self.assertEqual(["Healthy again: sending heartbeats."], told(events))

    def test_changeDuringTheCheck(self) -> None:
        """A session that starts during a health check does not wait for it."""
        self.start()
        self.fleet.reply()
        self.health = Deferred
        self.clock.advance(54.0)
        self.assertEqual(["register"], self.fleet.made)
        self.change(Utilized(1))
        self.assertEqual("utilize", self.fleet.theCall().operation)
        self.assertIsNone(self.registration.unhealthySince)
        self.fleet.reply()
        self.assertEqual([54.0 + 54.0], [each.getTime() for each in self.clock.getDelayedCalls()])

    def slowCheck(self, seconds: float) -> None:
        """Have each health check take this long, and succeed."""
        self.health = lambda: deferLater(self.clock, seconds, lambda: True)

    def test_dataDuringTheCheck(self) -> None:
        """A health check goes on while data is set: changes in quick succession never delay it."""
        self.start()
        self.fleet.reply()
        self.slowCheck(1.0)
        for players in range(5):
            self.registration.setData(f"players={players}")
            self.clock.advance(0.2)
        self.assertEqual(("players=4",), self.fleet.theCall().rest)

    def test_checkedOnceInTheQueue(self) -> None:
        """A heartbeat that waits for the rate limit is checked once, and goes before others."""
        self.limiter = RateLimiter(self.clock, TokenBucket(1.0, 1.0))
        self.start()
        self.fleet.reply()
        self.slowCheck(0.05)

        def claimCheck(_: None) -> None:
            if self.clock.seconds() < 100.0:
                self.limiter.acquire(LOWEST_PRIORITY).addCallback(claimCheck)

        claimCheck(None)
        self.clock.pump([0.1] * 570)
        self.assertEqual(["register", "heartbeat"], self.fleet.made)

    def test_newCheckEachHeartbeat(self) -> None:
        """Each heartbeat has a health check of its own."""
        checks: list[float] = []
        self.start()
        self.fleet.reply()

        def check() -> bool:
            checks.append(self.clock.seconds())
            return True

        self.health = check
        for _ in range(2):
            self.clock.advance(54.0)
            self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.reply()
        self.clock.advance(54.0)
        self.assertEqual([54.0, 108.0, 162.0], checks)

    def test_abandonedDuringTheCheck(self) -> None:
        """Cancelled during a health check, nothing is left."""
        self.start()
        self.fleet.reply()
        self.health = Deferred
        self.clock.advance(54.0)
        self.running.cancel()
        self.failureResultOf(self.running, CancelledError)
        self.assertEqual([], self.clock.getDelayedCalls())

    # GameServerData.

    def test_dataBeforeRegister(self) -> None:
        """Data that is set before RegisterGameServer is sent with it, and not again."""
        self.idStore.saving = Deferred()
        self.start()
        self.registration.setData("map=7")
        self.idStore.saving.callback(None)
        self.assertEqual("map=7", self.fleet.reply().rest[-1])
        self.clock.advance(53.0)
        self.assertEqual(["register"], self.fleet.made)

    def test_data(self) -> None:
        """Data is sent at once, once, and with the next registration."""
        self.start()
        self.fleet.reply()
        self.registration.setData("map=7")
        self.assertEqual(("map=7",), self.fleet.reply().rest)
        self.clock.advance(53.0)
        self.assertEqual(["register", "heartbeat"], self.fleet.made)
        self.change(Utilized(1))
        self.fleet.reply()
        self.change(Available())
        self.fleet.reply()
        self.assertEqual("map=7", self.fleet.theCall().rest[-1])

    def test_dataDuringAClaimCheck(self) -> None:
        """A claim check during the heartbeat that carries data does not repeat the heartbeat."""
        self.start()
        self.fleet.reply()
        self.registration.setData("map=7")
        [heartbeat] = self.fleet.waiting
        self.registration.isClaimed()
        heartbeat.answer.callback(gameServer(heartbeat.gameServerId))
        self.assertEqual(["register", "heartbeat", "describe"], self.fleet.made)

    def test_newestDataWins(self) -> None:
        """Data that is set during a call is sent after it; a failed call is repeated."""
        self.start()
        self.registration.setData("map=1")
        self.fleet.reply()
        self.assertEqual(("map=1",), self.fleet.theCall().rest)
        self.registration.setData("map=2")
        self.fleet.fail(callFailed())
        self.clock.advance(1.0)
        self.assertEqual(("map=2",), self.fleet.reply().rest)
        self.assertEqual([], self.fleet.waiting)

    def test_dataWaitsForHealth(self) -> None:
        """While the game is unhealthy, data waits: it would be sent as a health report."""
        self.unhealthy(lambda: False)
        self.registration.setData("map=7")
        self.assertEqual([], self.fleet.waiting)
        self.health = lambda: True
        self.clock.advance(54.0)
        self.assertEqual(("map=7",), self.fleet.theCall().rest)

    def test_wrongData(self) -> None:
        """Data that FleetIQ would refuse is an error, and changes nothing."""
        self.start()
        for data in ("", " ", "a\nb", "x" * 1025):
            self.assertRaises(ValueError, self.registration.setData, data)
        self.registration.setData("x" * 1024)


async def failLater() -> bool:
    raise ValueError("later")


EARLY, LATE = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (1, 2))
FREE: dict[str, Any] = {"gameServerData": "map=0"}
CLAIMED = {"claimed": True, "lastClaim": EARLY, "gameServerData": "map=7 secret"}
AGAIN = {"claimed": True, "lastClaim": LATE, "gameServerData": "map=8"}
EXPIRED = {"lastClaim": EARLY, "gameServerData": "map=7 secret"}
UTILIZED = {"utilized": True, "lastClaim": EARLY, "gameServerData": "map=7 secret"}
CLAIMED_LINE = "Claimed: a player has 60 s to connect."
EXPIRED_LINE = "The claim has expired without a player: free for the next one."


ONE = RegistrationRequest(INSTANCE_ID, "localhost:5000", 5000)
OTHER = RegistrationRequest(INSTANCE_ID, "localhost:5001", 5001)
SINCE = "FleetIQ calls fail since 1970-01-01T00:00:00+00:00; game servers affected: "


class DegradedTests(SynchronousTestCase):
    """Two game servers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.degraded = Degraded(self.clock, WallClock(self.clock, self.today))

    def today(self) -> datetime:
        """The date: the clock counts from 1970."""
        return datetime.fromtimestamp(self.clock.seconds(), UTC)

    def fails(self, who: RegistrationRequest = ONE, why: str = "No.") -> list[str]:
        """What is said of a failure."""
        with capturedLogs() as events:
            self.degraded.failed(who, why)
        return told(events)

    def recovers(self, who: RegistrationRequest = ONE) -> list[str]:
        """What is said of a success."""
        with capturedLogs() as events:
            self.degraded.succeeded(who)
        return told(events)

    def test_onceAMinute(self) -> None:
        """Since when, how many, and why the last; at once, then once a minute at most."""
        self.assertEqual(self.fails(), [f"{SINCE}1; players stay connected. No."])
        self.clock.advance(59.0)
        self.assertEqual(self.fails(OTHER), [])
        self.clock.advance(1.0)
        self.assertEqual(self.fails(why="Never."), [f"{SINCE}2; players stay connected. Never."])
        self.assertEqual(self.degraded.since, 0.0)

    def test_over(self) -> None:
        """It is over when the last of them is well, and that is said once."""
        self.fails()
        self.fails(OTHER)
        self.assertEqual(self.recovers(), [])
        self.assertIsNotNone(self.degraded.since)
        [line] = self.recovers(OTHER)
        self.assertTrue(line.startswith("FleetIQ calls succeed again; they failed since 1970"))
        self.assertEqual((self.recovers(), self.degraded.since), ([], None))

    def test_endsUnlogged(self) -> None:
        """Failures that were not logged, within a minute of others, are not logged as over."""
        self.fails()
        self.degraded.ended(ONE)
        self.assertEqual(([], []), (self.fails(), self.recovers()))

    def test_flapping(self) -> None:
        """What fails and recovers on and on is told once a minute, too."""
        lines = []
        for _ in range(120):
            lines += self.fails() + self.recovers()
            self.clock.advance(1.0)
        self.assertEqual(len(lines), 4)
