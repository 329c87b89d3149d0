"""The worker: one call at a time, heartbeats when due, pauses after failures, ids of attempts.
What replies tell of claims.
What the log says while FleetIQ does not do as it is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.clock import WallClock
from echoserver.gamelift.errors import CallFailed, ConflictException, NotFoundException
from echoserver.gamelift.lifecycle import (
    Absent,
    Available,
    Conflict,
    Known,
    Unknown,
    Utilized,
    UtilizedExternally,
    Wanted,
)
from echoserver.gamelift.pace import Pace
from echoserver.gamelift.registration import Claims, Degraded, Registration, RegistrationConfig
from echoserver.gamelift.service import GameServerDescription, RegistrationRequest
from echoserver.ratelimit import TokenBucket
from tests.awsdoubles import INSTANCE_ID, told
from tests.doubles import LongRandom, PendingFleet, callFailed, gameServer

INSTANCE = "i-0123456789abcdef0"
CLAIM = datetime(2026, 1, 1, tzinfo=UTC)


class WorkerTests(SynchronousTestCase):
    """A worker against a FleetIQ that answers when told."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pace = Pace(self.clock)
        self.degraded = Degraded(self.clock, WallClock(self.clock))
        self.fleet = PendingFleet()
        self.want: Wanted | None = Available()
        self.registered = 0
        self.refusals: list[str] = []
        self.kept: list[str | None] = []
        self.keeping: Deferred[None] = succeed(None)
        self.givesUp = False
        self.claims: list[str] = []

    def start(self, left: str | None = None, **members: Any) -> Registration:
        """A worker that has just begun."""
        identity = RegistrationRequest(INSTANCE, "localhost:5000", 5000, **members)
        self.worker = Registration(
            self.clock,
            LongRandom(7),
            RegistrationConfig(
                self.fleet,
                identity,
                self.pace,
                self.countRegistered,
                self.refuse,
                self.degraded,
                self.keep,
                left,
            ),
            60.0,
            self.wants,
            self.claims.append,
        )
        self.working: Deferred[None] = self.worker.work()
        return self.worker

    def keep(self, gameServerId: str | None) -> Deferred[None]:
        """Writes down the id; the test says when that is done."""
        self.kept.append(gameServerId)
        return self.keeping

    def wants(self, known: Known) -> Wanted | None:
        """What the test wants now."""
        return self.want

    def refuse(self, sentence: str) -> bool:
        """Writes down the sentence; the test says whether that is the end."""
        self.refusals.append(sentence)
        return self.givesUp

    def countRegistered(self) -> None:
        """Counts what is told."""
        self.registered += 1

    def change(self, want: Wanted | None) -> None:
        """Something else is wanted."""
        self.want = want
        self.worker.changed()

    @property
    def known(self) -> Known:
        """What the worker knows."""
        return self.worker.registration.known

    def test_endsWhileDegraded(self) -> None:
        """Who ends while his calls fail keeps the process degraded no longer."""
        self.start()
        self.fleet.fail(callFailed())
        self.assertIsNotNone(self.degraded.since)
        self.working.cancel()
        self.failureResultOf(self.working, CancelledError)
        self.assertIsNone(self.degraded.since)

    def test_registers(self) -> None:
        """It registers with what it was given, once, and says so."""
        self.start(data="map=7")
        call = self.fleet.theCall()
        self.assertEqual((INSTANCE, "localhost:5000", "map=7"), call.rest)
        self.assertRegex(call.gameServerId, f"^{INSTANCE}-5000-[a-z0-9]{{10}}$")
        self.assertEqual(0, self.registered)
        self.fleet.reply()
        self.assertEqual((Available(), 1), (self.known, self.registered))

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
        self.start(left="left-behind")
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
        self.want = None
        self.clock.advance(1.0)
        self.assertEqual(Conflict(), self.known)
        self.fleet.fail(callFailed(NotFoundException))
        self.assertEqual(Absent(), self.known)
        self.successResultOf(self.working)

    def test_keepsFirst(self) -> None:
        """Register is not sent before its id is kept: a crash in between would leave it."""
        self.keeping = Deferred()
        self.start()
        self.assertEqual((1, [], True), (len(self.kept), self.fleet.made, self.worker.calling))
        self.keeping.callback(None)
        self.assertEqual(self.kept, [self.fleet.theCall().gameServerId])

    def test_abandonedWhileKeeping(self) -> None:
        """A worker that is abandoned while its id is kept sends nothing."""
        self.keeping = Deferred()
        self.start()
        self.working.cancel()
        self.failureResultOf(self.working, CancelledError)
        self.assertEqual(([], False), (self.fleet.made, self.worker.calling))

    def test_leftByACrashAndGone(self) -> None:
        """That FleetIQ has dropped it meanwhile ends nothing."""
        self.start(left="left-behind")
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.assertEqual("register", self.fleet.theCall().operation)
        self.assertEqual([], self.refusals)

    def test_keeps(self) -> None:
        """The id is kept from before Register is sent until FleetIQ has confirmed its end."""
        self.start()
        first = self.fleet.theCall().gameServerId
        self.assertEqual([first], self.kept)
        self.fleet.fail(callFailed(mayHaveHappened=True))
        self.clock.advance(1.0)
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.reply()
        self.fleet.reply()
        self.assertEqual((Utilized(1), [first]), (self.known, self.kept))
        self.want = Available()
        self.worker.changed()
        self.assertEqual([first], self.kept)
        self.fleet.reply()
        self.assertEqual([first, None, self.fleet.theCall().gameServerId], self.kept)

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
        self.want = Utilized(2)
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
        self.want = None
        self.worker.hasten()
        self.successResultOf(self.working)
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
            ("register", first), (self.fleet.made[-1], self.worker.registration.gameServerId)
        )

    def test_lostButDone(self) -> None:
        """A Register that was lost but carried out is found, and ours: no second one."""
        self.start()
        self.fleet.fail(callFailed(mayHaveHappened=True))
        self.clock.advance(1.0)
        self.fleet.reply()
        self.assertEqual(("describe", Available()), (self.fleet.made[1], self.known))
        self.assertEqual(1, self.registered)

    def test_conflictWithAStranger(self) -> None:
        """An id that a stranger has is given up for another one."""
        self.start()
        first = self.fleet.fail(callFailed(ConflictException, retry=False)).gameServerId
        self.clock.advance(1.0)
        self.fleet.reply(connectionInfo="elsewhere:5000")
        self.assertEqual("register", self.fleet.theCall().operation)
        self.assertNotEqual(first, self.fleet.theCall().gameServerId)
        self.assertEqual((0, []), (self.registered, self.refusals))

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
        self.assertIn("my-server is taken by elsewhere:5000", sentence)
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
            self.successResultOf(self.working)
            self.assertEqual([], self.clock.getDelayedCalls())

    def test_refusedAndGoesOn(self) -> None:
        """Unless that is not the end: then the longest backoff follows, and another try."""
        self.start()
        self.fleet.fail(callFailed(retry=False))
        self.clock.advance(30.0)
        self.assertEqual(["register", "register"], self.fleet.made)

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
        self.countRegistered = self.fail  # type: ignore[method-assign] # it raises
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
        return Deferred.fromCoroutine(self.worker.claimed())

    def test_leavesTheLine(self) -> None:
        """A call that is no longer wanted waits for no turn: only the heartbeat is left."""
        self.pace = Pace(self.clock, TokenBucket(0.1, 1))
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.assertEqual([10.0], [call.getTime() for call in self.clock.getDelayedCalls()])
        self.change(Available())
        self.assertEqual([54.0], [call.getTime() for call in self.clock.getDelayedCalls()])

    def test_askedInTurn(self) -> None:
        """Whether it is claimed is asked once the calls that matter more are made."""
        self.pace = Pace(self.clock, TokenBucket(1.0, 1))
        self.start()
        self.fleet.reply()
        asked = Deferred.fromCoroutine(self.worker.claimed())
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
        """Nobody was sent to who is not registered, or had his session: that costs no call."""
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
        self.assertNoResult(self.working)
        self.fleet.reply()
        self.successResultOf(self.working)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_absentForNow(self) -> None:
        """Absent for now is no end: it rests without a call, and registers again when wanted."""
        self.start()
        first = self.fleet.reply().gameServerId
        self.change(Absent())
        self.fleet.reply()
        self.clock.advance(1000.0)
        self.assertEqual([], self.fleet.waiting)
        self.assertNoResult(self.working)
        self.change(Available())
        self.assertEqual("register", self.fleet.theCall().operation)
        self.assertNotEqual(first, self.fleet.reply().gameServerId)

    def test_stepDone(self) -> None:
        """Who waits for the call that is out hears of its end, and of the next one's not."""
        self.start()
        done = self.worker.stepDone()
        self.assertTrue(self.worker.calling)
        self.assertNoResult(done)
        self.fleet.reply()
        self.successResultOf(done)
        self.assertFalse(self.worker.calling)

    def test_abandoned(self) -> None:
        """Cancelled, it drops the call; a late reply changes nothing."""
        self.start()
        call = self.fleet.theCall()
        self.working.cancel()
        self.failureResultOf(self.working, CancelledError)
        call.answer.callback(None)
        self.assertEqual((Absent(), 0), (self.known, self.registered))

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


EARLY, LATE = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (1, 2))
FREE = gameServer(gameServerData="map=0")
CLAIMED = gameServer(claimed=True, lastClaim=EARLY, gameServerData="map=7 secret")
AGAIN = gameServer(claimed=True, lastClaim=LATE, gameServerData="map=8")
LAPSED = gameServer(lastClaim=EARLY, gameServerData="map=7 secret")
UTILIZED = gameServer(utilized=True, lastClaim=EARLY, gameServerData="map=7 secret")


class ClaimsTests(SynchronousTestCase):
    """Replies, one after the other."""

    def told(self, *seen: GameServerDescription) -> list[str]:
        """What the log tells of these replies: the beginning of each line."""
        self.claims = Claims()
        with capturedLogs() as events:
            for reply in seen:
                self.claims.saw(reply)
        lines = [str(formatEvent(event)) for event in events]
        self.assertNotIn("secret", "".join(lines))
        return [line[:16] for line in lines]

    def test_lines(self) -> None:
        """A claim is told once, its end only if nobody came; the next is another."""
        for seen, lines in (
            ((FREE, FREE), []),
            ((FREE, CLAIMED, CLAIMED), ["Claimed: a playe"]),
            ((CLAIMED, LAPSED, LAPSED), ["Claimed: a playe", "The claim has la"]),
            ((CLAIMED, UTILIZED, UTILIZED), ["Claimed: a playe"]),
            ((CLAIMED, AGAIN), ["Claimed: a playe", "Claimed: a playe"]),
            ((UTILIZED,), []),
        ):
            self.assertEqual(lines, self.told(*seen))

    def test_data(self) -> None:
        """Data is the last claim's; what the server itself published is none."""
        for seen, data in (
            ((FREE,), None),
            ((FREE, CLAIMED), "map=7 secret"),
            ((CLAIMED, AGAIN), "map=8"),
            ((FREE, UTILIZED), "map=7 secret"),
            ((gameServer(utilized=True, lastClaim=EARLY),), ""),
        ):
            self.told(*seen)
            self.assertEqual(data, self.claims.data)


ONE = RegistrationRequest(INSTANCE_ID, "localhost:5000", 5000)
OTHER = RegistrationRequest(INSTANCE_ID, "localhost:5001", 5001)
SINCE = "Degraded since 1970-01-01T00:00:00+00:00, game servers: "


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
            self.degraded.well(who)
        return told(events)

    def test_onceAMinute(self) -> None:
        """Since when, how many, and why the last; at once, then once a minute at most."""
        self.assertEqual(self.fails(), [f"{SINCE}1; players play on. No."])
        self.clock.advance(59.0)
        self.assertEqual(self.fails(OTHER), [])
        self.clock.advance(1.0)
        self.assertEqual(self.fails(why="Never."), [f"{SINCE}2; players play on. Never."])
        self.assertEqual(self.degraded.since, 0.0)

    def test_over(self) -> None:
        """It is over when the last of them is well, and that is said once."""
        self.fails()
        self.fails(OTHER)
        self.assertEqual(self.recovers(), [])
        self.assertIsNotNone(self.degraded.since)
        [line] = self.recovers(OTHER)
        self.assertTrue(line.startswith("No longer degraded; it was since 1970"))
        self.assertEqual((self.recovers(), self.degraded.since), ([], None))

    def test_flapping(self) -> None:
        """What fails and recovers on and on is told once a minute, too."""
        lines = []
        for _ in range(120):
            lines += self.fails() + self.recovers()
            self.clock.advance(1.0)
        self.assertEqual(len(lines), 4)
