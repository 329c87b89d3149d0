"""
Tests of echoserver.gamelift.registration, and of the modules that it uses: calls, heartbeats,
pauses, ids, claims, health checks, and the log while calls fail.
"""

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
from tests.awsdoubles import INSTANCE_ID, logLines
from tests.doubles import LongRandom, PendingFleet, callFailed, gameServer

INSTANCE = "i-0123456789abcdef0"
CLAIM = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryIdStore:
    """An id store that records what is saved; C{saving} is what L{save} returns."""

    def __init__(self, storedId: str | None = None) -> None:
        self.storedId = storedId
        self.saved: list[str | None] = []
        self.saving: Deferred[None] = succeed(None)

    def load(self, request: RegistrationRequest) -> str | None:
        return self.storedId

    def save(self, request: RegistrationRequest, gameServerId: str | None) -> Deferred[None]:
        self.saved.append(gameServerId)
        return self.saving


class RegistrationTests(SynchronousTestCase):
    """A registration with a FleetIQ whose replies the test controls."""

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

    def start(self, storedId: str | None = None, **members: Any) -> Registration:
        """Start a registration whose desired state is AVAILABLE."""
        self.idStore.storedId = storedId
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
            idStore=self.idStore,  # type: ignore[arg-type] # it has the used methods
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
        """Return the known state."""
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
        """It registers once with the parameters of the request, and notifies the listener."""
        self.start(data="map=7")
        call = self.fleet.pendingCall()
        self.assertEqual((INSTANCE, "localhost:5000", "map=7"), call.rest)
        self.assertRegex(call.gameServerId, f"^{INSTANCE}-5000-[a-z0-9]{{10}}$")
        self.assertEqual(0, self.confirmations)
        self.fleet.reply()
        self.assertEqual((Available(), 1), (self.known, self.confirmations))

    def test_wholeSession(self) -> None:
        """A session needs three calls: Register, Update, Deregister. The next id is a new one."""
        self.start()
        first = self.fleet.reply().gameServerId
        self.change(Utilized(1))
        self.assertEqual(first, self.fleet.reply().gameServerId)
        self.change(Available())
        self.assertEqual(first, self.fleet.reply().gameServerId)
        self.assertEqual(["register", "utilize", "deregister", "register"], self.fleet.operations)
        self.assertNotEqual(first, self.fleet.reply().gameServerId)

    def test_storedId(self) -> None:
        """An id that a crash left registered is deregistered before a new one is registered."""
        self.start(storedId="left-behind")
        self.assertEqual("deregister", self.fleet.operations[-1])
        self.fleet.fail(callFailed())
        self.clock.advance(1.0)
        self.assertEqual("left-behind", self.fleet.reply().gameServerId)
        self.assertEqual(["deregister", "deregister", "register"], self.fleet.operations)
        self.assertNotEqual("left-behind", self.fleet.pendingCall().gameServerId)

    def test_endsAfterFailure(self) -> None:
        """If nothing is left to do after a failed step, the registration ends without a pause."""
        self.start()
        self.fleet.fail(callFailed(mayHaveHappened=True))
        self.change(None)
        self.clock.advance(1.0)
        self.assertEqual(Conflict(), self.known)
        self.fleet.fail(callFailed(NotFoundException))
        self.assertEqual(Absent(), self.known)
        self.successResultOf(self.running)

    def test_storesFirst(self) -> None:
        """Register is not sent before the id is stored."""
        self.idStore.saving = Deferred()
        self.start()
        self.assertEqual(
            (1, [], True),
            (len(self.idStore.saved), self.fleet.operations, self.registration.calling),
        )
        self.idStore.saving.callback(None)
        self.assertEqual(self.idStore.saved, [self.fleet.pendingCall().gameServerId])

    def test_cancelledWhileStoring(self) -> None:
        """A registration that is cancelled while its id is being stored sends nothing."""
        self.idStore.saving = Deferred()
        self.start()
        self.running.cancel()
        self.failureResultOf(self.running, CancelledError)
        self.assertEqual(([], False), (self.fleet.operations, self.registration.calling))

    def test_storedIdGone(self) -> None:
        """If FleetIQ has dropped the stored id meanwhile, the registration goes on."""
        self.start(storedId="left-behind")
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.assertEqual("register", self.fleet.pendingCall().operation)
        self.assertEqual([], self.refusals)

    def test_keeps(self) -> None:
        """The id is stored before Register is sent, and removed when Deregister is confirmed."""
        self.start()
        first = self.fleet.pendingCall().gameServerId
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
        self.assertEqual([first, None, self.fleet.pendingCall().gameServerId], self.idStore.saved)

    def test_oneAtATime(self) -> None:
        """Changes during a call take effect after it. Only the last one counts."""
        self.start()
        self.change(Utilized(1))
        self.change(Available())
        self.change(Utilized(2))
        self.assertEqual(["register"], self.fleet.operations)
        self.fleet.reply()
        self.fleet.reply()
        self.assertEqual(Utilized(2), self.known)

    def test_anotherSession(self) -> None:
        """A session that replaces another one during a call is registered as a new one."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.change(Utilized(2))
        self.fleet.reply()
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.operations)

    def test_heartbeat(self) -> None:
        """A heartbeat is sent 54 to 60 s after the last health report of any kind."""
        self.start()
        self.fleet.reply()
        self.clock.advance(30.0)
        self.change(Utilized(1))
        self.fleet.reply()
        self.clock.advance(53.9)
        self.assertEqual(["register", "utilize"], self.fleet.operations)
        self.clock.advance(0.2)
        self.assertEqual("heartbeat", self.fleet.operations[-1])
        self.fleet.reply(utilized=True)
        self.assertEqual(Utilized(1), self.known)
        self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.pendingCall().operation)

    def test_healthIsWhenSent(self) -> None:
        """The interval begins when the last heartbeat was sent, not when its reply came."""
        self.start()
        self.fleet.reply()
        self.clock.advance(54.0)
        self.clock.advance(4.0)
        self.fleet.reply()
        self.clock.advance(50.0)
        self.assertEqual(["register", "heartbeat", "heartbeat"], self.fleet.operations)

    def test_pause(self) -> None:
        """The pause after each failure is longer. A change of the desired state does not end it."""
        self.start()
        for pause in (1.0, 2.0, 4.0):
            self.fleet.fail(callFailed())
            self.clock.advance(pause - 0.1)
            self.change(Utilized(1))
            self.assertEqual([], self.fleet.waiting)
            self.clock.advance(0.1)
            self.assertEqual("register", self.fleet.pendingCall().operation)
        self.assertEqual([], self.refusals)

    def test_hasten(self) -> None:
        """C{retryNow} ends a pause."""
        self.start()
        self.fleet.fail(callFailed())
        self.change(None)
        self.registration.retryNow()
        self.successResultOf(self.running)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_sameIdUntilConfirmed(self) -> None:
        """After a lost Register and DescribeGameServer, Register is repeated with the same id."""
        self.start()
        first = self.fleet.fail(callFailed(mayHaveHappened=True)).gameServerId
        self.assertEqual(Conflict(), self.known)
        self.clock.advance(1.0)
        self.assertEqual("describe", self.fleet.pendingCall().operation)
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.clock.advance(2.0)
        self.assertEqual(
            ("register", first), (self.fleet.operations[-1], self.registration.state.gameServerId)
        )

    def test_lostButDone(self) -> None:
        """A lost Register that has happened is found, and not repeated."""
        self.start()
        self.fleet.fail(callFailed(mayHaveHappened=True))
        self.clock.advance(1.0)
        self.fleet.reply()
        self.assertEqual(("describe", Available()), (self.fleet.operations[1], self.known))
        self.assertEqual(1, self.confirmations)

    def test_conflictWithAnotherServer(self) -> None:
        """An id that another server has is replaced by a new one."""
        self.start()
        first = self.fleet.fail(callFailed(ConflictException, retry=False)).gameServerId
        self.clock.advance(1.0)
        self.fleet.reply(connectionInfo="elsewhere:5000")
        self.assertEqual("register", self.fleet.pendingCall().operation)
        self.assertNotEqual(first, self.fleet.pendingCall().gameServerId)
        self.assertEqual((0, []), (self.confirmations, self.refusals))

    def test_conflictWithoutServer(self) -> None:
        """If Register is refused and the id does not exist, no AVAILABLE is logged."""
        self.start()
        self.fleet.fail(callFailed(ConflictException, retry=False))
        self.clock.advance(1.0)
        with capturedLogs() as events:
            self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.assertEqual(Absent(), self.known)
        self.assertFalse([event for event in events if "AVAILABLE" in str(event["log_format"])])

    def test_fixedIdOfAnotherServer(self) -> None:
        """A fixed id that another server has is an error that names both."""
        self.start(fixedId="my-server")
        self.fleet.fail(callFailed(ConflictException, retry=False))
        self.clock.advance(1.0)
        self.fleet.reply(connectionInfo="elsewhere:5000")
        [sentence] = self.refusals
        self.assertIn("my-server is registered by elsewhere:5000", sentence)
        self.assertIn("--game-server-id", sentence)

    def test_refusedAtTheStart(self) -> None:
        """A permanent refusal before the first registration calls the listener."""
        for error in (callFailed(retry=False), callFailed(NotFoundException, retry=False)):
            self.fleet = PendingFleet()
            self.refusals = []
            self.givesUp = True
            self.start()
            self.fleet.fail(error)
            self.assertEqual([str(error)], self.refusals)
            self.successResultOf(self.running)
            self.assertEqual([], self.clock.getDelayedCalls())

    def test_refusedAndRepeated(self) -> None:
        """If the listener returns False, the call is repeated after the longest pause."""
        self.start()
        self.fleet.fail(callFailed(retry=False))
        self.clock.advance(30.0)
        self.assertEqual(["register", "register"], self.fleet.operations)

    def test_refusedListenerFails(self) -> None:
        """If the listener raises at a permanent refusal, the call is repeated."""

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
        """A permanent refusal after the first registration does not call the listener."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.fail(callFailed(retry=False))
        self.assertEqual([], self.refusals)
        self.clock.advance(29.9)
        self.assertEqual([], self.fleet.waiting)
        self.clock.advance(0.1)
        self.assertEqual("utilize", self.fleet.pendingCall().operation)

    def test_lostUtilize(self) -> None:
        """After a lost Utilize, a heartbeat is sent. If it returns UTILIZED, the session has it."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.fail(callFailed(mayHaveHappened=True))
        self.assertEqual(Unknown(Utilized(1)), self.known)
        self.clock.advance(1.0)
        self.assertEqual("heartbeat", self.fleet.pendingCall().operation)
        self.fleet.reply(utilized=True)
        self.assertEqual(Utilized(1), self.known)

    def test_dropped(self) -> None:
        """An old registration that FleetIQ has dropped is renewed at once with a new id."""
        self.start()
        first = self.fleet.reply().gameServerId
        self.clock.advance(54.0)
        self.fleet.reply()
        self.clock.advance(54.0)
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.assertEqual("register", self.fleet.pendingCall().operation)
        self.assertNotEqual(first, self.fleet.pendingCall().gameServerId)

    def test_externalIsAdopted(self) -> None:
        """The next session adopts UTILIZED of another client without a call."""
        self.start()
        self.fleet.reply()
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True)
        self.assertIsInstance(self.known, UtilizedExternally)
        self.change(Utilized(1))
        self.assertEqual(Utilized(1), self.known)
        self.assertEqual(["register", "heartbeat"], self.fleet.operations)

    def test_externalIsRenewed(self) -> None:
        """If no session starts within 60 s, the game server is registered again."""
        self.start()
        self.fleet.reply()
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True)
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True)
        self.clock.advance(6.0)
        self.fleet.reply()
        self.assertEqual(
            ["register", "heartbeat", "heartbeat", "deregister", "register"], self.fleet.operations
        )

    def test_listenerFails(self) -> None:
        """If the listener raises at the first registration, heartbeats go on."""
        self.registered = self.fail  # type: ignore[method-assign] # it raises
        self.start()
        self.fleet.reply()
        self.assertEqual(1, len(self.flushLoggedErrors(self.failureException)))
        self.clock.advance(60.0)
        self.assertEqual("heartbeat", self.fleet.pendingCall().operation)

    def test_claimIsLogged(self) -> None:
        """A claim in the reply to a heartbeat is logged once."""
        self.start()
        self.fleet.reply()
        with capturedLogs() as events:
            for _ in range(2):
                self.clock.advance(54.0)
                self.fleet.reply(claimed=True, lastClaim=CLAIM)
        self.assertEqual(Available(), self.known)
        self.assertEqual(1, sum("Claimed" in str(event["log_format"]) for event in events))

    def test_claimOfSession(self) -> None:
        """When a session is UTILIZED, the listener gets the data of its claim, if there is one."""
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

    def test_claimOfEndedSession(self) -> None:
        """The listener gets no claim for a session that has ended before it was UTILIZED."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.change(Available())
        self.fleet.reply(lastClaim=CLAIM, gameServerData="map=7")
        self.assertEqual([], self.claims)

    def test_claimOfAdoptedSession(self) -> None:
        """The listener gets the claim of a session that adopts UTILIZED of another client."""
        self.start()
        self.fleet.reply()
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True, lastClaim=CLAIM, gameServerData="map=7")
        self.assertEqual([], self.claims)
        self.change(Utilized(1))
        self.assertEqual(["map=7"], self.claims)

    def claimed(self) -> Deferred[bool]:
        """Check whether a claim waits for its players."""
        allowed = self.registration.mayCheckClaim()
        return allowed.addCallback(lambda _: self.registration.isClaimed())

    def test_leavesTheQueue(self) -> None:
        """A call that is no longer needed leaves the queue of the rate limiter."""
        self.limiter = RateLimiter(self.clock, TokenBucket(0.1, 1))
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.assertEqual([10.0], [call.getTime() for call in self.clock.getDelayedCalls()])
        self.change(Available())
        self.assertEqual([54.0], [call.getTime() for call in self.clock.getDelayedCalls()])

    def test_checkedLast(self) -> None:
        """A claim check comes after all other calls."""
        self.limiter = RateLimiter(self.clock, TokenBucket(1.0, 1))
        self.start()
        self.fleet.reply()
        asked = self.claimed()
        self.change(Utilized(1))
        self.clock.advance(1.0)
        self.fleet.reply()
        self.assertEqual(["register", "utilize"], self.fleet.operations)
        self.clock.advance(1.0)
        self.assertEqual(["register", "utilize"], self.fleet.operations)
        self.assertFalse(self.successResultOf(asked))

    def test_claimed(self) -> None:
        """A claim check describes the registered id, also during a step."""
        self.start()
        registered = self.fleet.reply().gameServerId
        for claimed in (False, True):
            asked = self.claimed()
            self.assertEqual(registered, self.fleet.reply(claimed=claimed).gameServerId)
            self.assertEqual(claimed, self.successResultOf(asked))
        self.assertEqual(["register", "describe", "describe"], self.fleet.operations)
        self.assertEqual(Available(), self.known)

    def test_claimedBeforeOrAfter(self) -> None:
        """Before the registration and during a session, there is no claim, and no call is made."""
        self.start()
        asked = self.claimed()
        self.fleet.fail(callFailed())
        self.assertFalse(self.successResultOf(asked))
        self.assertFalse(self.successResultOf(self.claimed()))
        self.clock.advance(1.0)
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.reply()
        self.assertFalse(self.successResultOf(self.claimed()))
        self.assertEqual(["register", "register", "utilize"], self.fleet.operations)

    def test_claimedDuringRegister(self) -> None:
        """A claim can come before the reply of Register: a check waits for this reply."""
        self.start()
        asked = self.claimed()
        self.assertEqual(["register"], self.fleet.operations)
        self.assertNoResult(asked)
        self.fleet.reply()
        self.fleet.reply(claimed=True)
        self.assertTrue(self.successResultOf(asked))
        self.assertEqual(["register", "describe"], self.fleet.operations)

    def test_claimedExternally(self) -> None:
        """UTILIZED of another client counts as a claim, whether known before or by the check."""
        self.start()
        self.fleet.reply()
        asked = self.claimed()
        self.fleet.reply(utilized=True, lastClaim=CLAIM, gameServerData="map=7")
        self.assertTrue(self.successResultOf(asked))
        self.assertIsInstance(self.known, UtilizedExternally)
        self.assertTrue(self.successResultOf(self.claimed()))
        self.change(Utilized(1))
        self.assertEqual((Utilized(1), ["map=7"]), (self.known, self.claims))
        self.assertEqual(["register", "describe"], self.fleet.operations)

    def test_claimedButGone(self) -> None:
        """A reply about an earlier registration, or about another server, is no claim."""
        self.start()
        self.fleet.reply()
        asked = self.claimed()
        [describe] = self.fleet.waiting
        self.fleet.waiting = []
        self.change(Absent())
        self.fleet.reply()
        describe.result.callback(gameServer(describe.gameServerId, claimed=True))
        self.assertFalse(self.successResultOf(asked))
        self.change(Available())
        self.fleet.reply()
        asked = self.claimed()
        self.fleet.reply(claimed=True, connectionInfo="elsewhere:1")
        self.assertFalse(self.successResultOf(asked))

    def test_internalError(self) -> None:
        """An internal error is logged. The step may have happened, and the loop goes on."""
        self.start()
        self.fleet.reply()
        self.change(Utilized(1))
        self.fleet.fail(RuntimeError("a fault"))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.clock.advance(1.0)
        self.assertEqual("heartbeat", self.fleet.pendingCall().operation)

    def test_ends(self) -> None:
        """The registration ends when the final state is reached."""
        self.start()
        self.fleet.reply()
        self.change(None)
        self.assertNoResult(self.running)
        self.fleet.reply()
        self.successResultOf(self.running)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_absentForNow(self) -> None:
        """If absent is not final, no call is made, and it can register again."""
        self.start()
        first = self.fleet.reply().gameServerId
        self.change(Absent())
        self.fleet.reply()
        self.clock.advance(1000.0)
        self.assertEqual([], self.fleet.waiting)
        self.assertNoResult(self.running)
        self.change(Available())
        self.assertEqual("register", self.fleet.pendingCall().operation)
        self.assertNotEqual(first, self.fleet.reply().gameServerId)

    def test_whenCallDone(self) -> None:
        """C{whenCallDone} fires once, at the end of the call in flight."""
        self.start()
        done = self.registration.whenCallDone()
        self.assertTrue(self.registration.calling)
        self.assertNoResult(done)
        self.fleet.reply()
        self.successResultOf(done)
        self.assertFalse(self.registration.calling)

    def test_cancelled(self) -> None:
        """Cancelling abandons the call. A late reply has no effect."""
        self.start()
        call = self.fleet.pendingCall()
        self.running.cancel()
        self.failureResultOf(self.running, CancelledError)
        call.result.callback(None)
        self.assertEqual((Absent(), 0), (self.known, self.confirmations))

    def test_kinds(self) -> None:
        """Each failure leads to the state that fits whether the step may have happened."""
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
        """A claim is logged once, and its expiry only if no player came."""
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
        """C{claimData} is the data of the last claim, not that of the registration."""
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
        """A registration that is not to be renewed stays absent if FleetIQ drops it."""
        self.start()
        self.fleet.reply()
        self.registration.setDesired(Desired(Available(), renew=False))
        self.clock.advance(54.0)
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.assertEqual([], self.fleet.waiting)
        self.clock.advance(1.0)
        self.assertEqual([], self.fleet.waiting)
        self.registration.setDesired(Desired(Available()))
        self.assertEqual("register", self.fleet.pendingCall().operation)

    def test_finalInSession(self) -> None:
        """If the final state is UTILIZED, the registration ends only if FleetIQ drops it."""
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
        """False, an exception, a failure, or no result in 5 s: the heartbeat is skipped."""

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
            self.assertEqual(["register"], self.fleet.operations)
            self.assertIsNotNone(self.registration.unhealthySince)

    def test_healthyAgain(self) -> None:
        """After a successful check, heartbeats are sent again. The failure is logged once."""
        self.unhealthy(lambda: False)
        with capturedLogs() as events:
            self.clock.advance(54.0)
            self.health = lambda: succeed(True)
            self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.pendingCall().operation)
        self.assertIsNone(self.registration.unhealthySince)
        self.assertEqual(["Healthy again: sending heartbeats."], logLines(events))

    def test_changeDuringCheck(self) -> None:
        """A session that starts during a health check does not wait for it."""
        self.start()
        self.fleet.reply()
        self.health = Deferred
        self.clock.advance(54.0)
        self.assertEqual(["register"], self.fleet.operations)
        self.change(Utilized(1))
        self.assertEqual("utilize", self.fleet.pendingCall().operation)
        self.assertIsNone(self.registration.unhealthySince)
        self.fleet.reply()
        self.assertEqual([54.0 + 54.0], [each.getTime() for each in self.clock.getDelayedCalls()])

    def slowCheck(self, seconds: float) -> None:
        """Set a health check that succeeds after this time."""
        self.health = lambda: deferLater(self.clock, seconds, lambda: True)

    def test_dataDuringCheck(self) -> None:
        """New data does not restart a health check in progress."""
        self.start()
        self.fleet.reply()
        self.slowCheck(1.0)
        for players in range(5):
            self.registration.setData(f"players={players}")
            self.clock.advance(0.2)
        self.assertEqual(("players=4",), self.fleet.pendingCall().rest)

    def test_checkedOnceInTheQueue(self) -> None:
        """A heartbeat in the queue of the rate limiter has one check, and its priority."""
        self.limiter = RateLimiter(self.clock, TokenBucket(1.0, 1.0))
        self.start()
        self.fleet.reply()
        self.slowCheck(0.05)

        def claimCheck(_: None) -> None:
            if self.clock.seconds() < 100.0:
                self.limiter.acquire(LOWEST_PRIORITY).addCallback(claimCheck)

        claimCheck(None)
        self.clock.pump([0.1] * 570)
        self.assertEqual(["register", "heartbeat"], self.fleet.operations)

    def test_newCheckEachHeartbeat(self) -> None:
        """Each heartbeat has its own health check."""
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

    def test_cancelledDuringCheck(self) -> None:
        """Cancelling during a health check leaves no timer."""
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
        self.assertEqual(["register"], self.fleet.operations)

    def test_data(self) -> None:
        """Data is sent once at once, and with the next registration."""
        self.start()
        self.fleet.reply()
        self.registration.setData("map=7")
        self.assertEqual(("map=7",), self.fleet.reply().rest)
        self.clock.advance(53.0)
        self.assertEqual(["register", "heartbeat"], self.fleet.operations)
        self.change(Utilized(1))
        self.fleet.reply()
        self.change(Available())
        self.fleet.reply()
        self.assertEqual("map=7", self.fleet.pendingCall().rest[-1])

    def test_dataDuringClaimCheck(self) -> None:
        """A claim check during a heartbeat with data does not repeat the heartbeat."""
        self.start()
        self.fleet.reply()
        self.registration.setData("map=7")
        [heartbeat] = self.fleet.waiting
        self.registration.isClaimed()
        heartbeat.result.callback(gameServer(heartbeat.gameServerId))
        self.assertEqual(["register", "heartbeat", "describe"], self.fleet.operations)

    def test_newestDataWins(self) -> None:
        """Data that is set during a call is sent after it. A failed call is repeated."""
        self.start()
        self.registration.setData("map=1")
        self.fleet.reply()
        self.assertEqual(("map=1",), self.fleet.pendingCall().rest)
        self.registration.setData("map=2")
        self.fleet.fail(callFailed())
        self.clock.advance(1.0)
        self.assertEqual(("map=2",), self.fleet.reply().rest)
        self.assertEqual([], self.fleet.waiting)

    def test_dataWaitsForHealth(self) -> None:
        """While the game is unhealthy, data is not sent, because it needs a health report."""
        self.unhealthy(lambda: False)
        self.registration.setData("map=7")
        self.assertEqual([], self.fleet.waiting)
        self.health = lambda: True
        self.clock.advance(54.0)
        self.assertEqual(("map=7",), self.fleet.pendingCall().rest)

    def test_wrongData(self) -> None:
        """Data that FleetIQ would reject is an error, and has no effect."""
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
    """The log of two game servers whose calls fail."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.degraded = Degraded(self.clock, WallClock(self.clock, self.today))

    def today(self) -> datetime:
        """Return the date; the clock counts from 1970."""
        return datetime.fromtimestamp(self.clock.seconds(), UTC)

    def fails(self, request: RegistrationRequest = ONE, reason: str = "No.") -> list[str]:
        """Return the log lines of a failure."""
        with capturedLogs() as events:
            self.degraded.failed(request, reason)
        return logLines(events)

    def recovers(self, request: RegistrationRequest = ONE) -> list[str]:
        """Return the log lines of a success."""
        with capturedLogs() as events:
            self.degraded.succeeded(request)
        return logLines(events)

    def test_onceAMinute(self) -> None:
        """The first failure is logged at once, later ones at most once a minute."""
        self.assertEqual(self.fails(), [f"{SINCE}1; players stay connected. No."])
        self.clock.advance(59.0)
        self.assertEqual(self.fails(OTHER), [])
        self.clock.advance(1.0)
        self.assertEqual(self.fails(reason="Never."), [f"{SINCE}2; players stay connected. Never."])
        self.assertEqual(self.degraded.since, 0.0)

    def test_end(self) -> None:
        """The end is logged once, when no game server fails any more."""
        self.fails()
        self.fails(OTHER)
        self.assertEqual(self.recovers(), [])
        self.assertIsNotNone(self.degraded.since)
        [line] = self.recovers(OTHER)
        self.assertTrue(line.startswith("FleetIQ calls succeed again; they failed since 1970"))
        self.assertEqual((self.recovers(), self.degraded.since), ([], None))

    def test_endsUnlogged(self) -> None:
        """If the failures were not logged, their end is not logged either."""
        self.fails()
        self.degraded.ended(ONE)
        self.assertEqual(([], []), (self.fails(), self.recovers()))

    def test_flapping(self) -> None:
        """Failures and successes in turn are logged once a minute too."""
        lines = []
        for _ in range(120):
            lines += self.fails() + self.recovers()
            self.clock.advance(1.0)
        self.assertEqual(len(lines), 4)
