"""A game server: its port, its session, and how it leaves."""

from datetime import UTC, datetime
from functools import partial
from math import inf
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.bucket import Bucket
from echoserver.degraded import Degraded
from echoserver.departure import ABORT_AFTER, IN_FLIGHT, LAST_STEP
from echoserver.descriptors import LOOK_EVERY, RESERVE, Descriptors
from echoserver.failures import NotFound
from echoserver.gameserver import GameServer, Rules
from echoserver.identity import Identity
from echoserver.lifecycle import Absent, Utilized
from echoserver.pace import Pace
from echoserver.protocol import CLAIM_FIRST, FULL, LAST_BYTES, EchoFactory, Hooks
from echoserver.standing import Standing
from echoserver.worker import Enrolment
from tests.awsdoubles import told
from tests.doubles import LongDice, MemoryEndpoint, PendingFleet, PlayerTransport, callFailed

IDENTITY = Identity("i-0123456789abcdef0", "localhost:5000", 5000)


class GameServerTestCase(SynchronousTestCase):
    """A game server in memory, whose game writes down its claims, or fails at them."""

    gameFails = False

    def start(self, rules: Rules | None = None, *, enrolled: bool = True) -> GameServer:
        """A game server that listens, and has asked to be registered."""
        self.clock = Clock()
        self.claims: list[str] = []
        self.fleet = PendingFleet()
        self.endpoint = MemoryEndpoint()
        self.used = 100
        self.descriptors = Descriptors(self.clock, 1024, lambda: self.used, lambda: self.used)
        self.server = GameServer(
            self.clock,
            LongDice(7),
            self.endpoint,
            partial(Game, self),
            self.descriptors,
            rules or Rules(grace=20.0),
        )
        self.server.startService()
        self.assertEqual(5000, self.successResultOf(self.server.listen()))
        self.refusals: list[str] = []
        if enrolled:
            self.enroll()
        return self.server

    def enroll(self) -> None:
        """Hand it FleetIQ."""
        self.server.enroll(
            Enrolment(
                self.fleet,
                IDENTITY,
                Pace(self.clock),
                lambda: None,
                self.refuse,
                Degraded(self.clock),
            )
        )

    def refuse(self, sentence: str) -> bool:
        """Writes down the sentence, and goes on."""
        self.refusals.append(sentence)
        return False

    def stop(self) -> Deferred[None]:
        """Tell it to stop."""
        self.stopped = self.server.stopService()
        return self.stopped

    def assertStopped(self) -> None:
        """It has left, and nothing of it is left."""
        self.successResultOf(self.stopped)
        self.assertFalse(self.endpoint.listening)
        self.assertEqual([], self.clock.getDelayedCalls())


class Game(EchoFactory):
    """The factory of a game that writes down its claims, or fails at them."""

    def __init__(self, test: GameServerTestCase, hooks: Hooks) -> None:
        super().__init__(test.clock, hooks)
        self.test = test

    def claimed(self, data: str) -> None:
        if self.test.gameFails:
            raise ValueError("a game that fails")
        self.test.claims.append(data)


class GameServerTests(GameServerTestCase):
    """Its players and its end."""

    def test_bytesDoNotWait(self) -> None:
        """Players are served before FleetIQ is there, and while it is silent."""
        self.start(enrolled=False)
        self.assertEqual(b"hello", self.endpoint.play(b"hello").value())
        self.enroll()
        self.assertEqual(b"again", self.endpoint.play(b"again").value())
        self.assertEqual(["register"], self.fleet.made)

    def test_session(self) -> None:
        """UTILIZED with the first player; the second joins him; over when the last leaves."""
        self.start()
        self.fleet.reply()
        first, second = self.endpoint.play(), self.endpoint.play()
        self.fleet.reply()
        first.protocol.dataReceived(b"q")
        self.assertEqual([], self.fleet.waiting)
        second.protocol.dataReceived(b"q")
        self.fleet.reply()
        self.fleet.reply()
        self.assertEqual(["register", "utilize", "deregister", "register"], self.fleet.made)

    def test_droppedInPlay(self) -> None:
        """FleetIQ has dropped it in play: registered again, and UTILIZED; nobody notices."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        for _ in range(2):
            self.clock.advance(54.0)
            self.fleet.reply(utilized=True)
        self.clock.advance(54.0)
        old = self.fleet.fail(callFailed(NotFound, retry=False)).gameServerId
        new = self.fleet.reply().gameServerId
        self.assertNotEqual(old, new)
        self.assertEqual(("utilize", new), (self.fleet.reply().operation, new))
        player.protocol.dataReceived(b", still there")
        self.assertEqual(b"hello, still there", player.value())

    def test_takenByOthers(self) -> None:
        """UTILIZED by somebody else: the next session adopts it, or it is renewed after 60 s."""
        for comes in (True, False):
            self.start(Rules(heartbeat=10.0))
            self.fleet.reply()
            self.clock.advance(9.0)
            self.fleet.reply(utilized=True)
            for _ in range(6):
                self.assertEqual([], self.fleet.waiting)
                self.clock.advance(9.0)
                self.fleet.reply(utilized=True)
            if comes:
                self.endpoint.play()
            self.clock.advance(6.0)
            made = ["register", *["heartbeat"] * 7]
            self.assertEqual(made if comes else [*made, "deregister"], self.fleet.made)
            if not comes:
                self.fleet.reply()
                self.assertEqual("register", self.fleet.theCall().operation)

    def test_maxPlayers(self) -> None:
        """One too many is told FULL and let go; when one leaves there is room."""
        self.start(Rules(maxPlayers=1))
        first = self.endpoint.play()
        self.assertEqual(FULL, self.endpoint.play().value())
        first.protocol.dataReceived(b"q")
        self.assertEqual(b"hello", self.endpoint.play().value())

    def test_maxPlayersPerAddress(self) -> None:
        """So is one too many from an address; others come in, and he does when one leaves."""
        self.start(Rules(maxPerAddress=2))
        first, second = self.endpoint.play(), self.endpoint.play()
        self.assertEqual(FULL, self.endpoint.play().value())
        self.assertEqual(b"hello", self.endpoint.play(host="192.0.2.2").value())
        first.protocol.dataReceived(b"q")
        self.assertEqual(b"hello", self.endpoint.play().value())
        self.assertEqual(FULL, self.endpoint.play().value())
        second.protocol.dataReceived(b"q")
        self.assertEqual(b"hello", self.endpoint.play().value())

    def claimOnly(self) -> None:
        """A game server that is AVAILABLE, and seats whom a claim sent."""
        self.start(Rules(claimedOnly=True, maxPlayers=2))
        self.fleet.reply()

    def test_claimFirst(self) -> None:
        """Who was not sent by a claim is told so; nothing is echoed, no session begins."""
        self.claimOnly()
        player = self.endpoint.play()
        self.assertEqual(b"", player.value())
        self.fleet.reply(claimed=False)
        self.assertEqual(CLAIM_FIRST, player.value())
        self.assertTrue(player.ended)
        self.assertEqual(CLAIM_FIRST, self.endpoint.play().value())
        self.assertEqual(["register", "describe"], self.fleet.made)

    def test_claimed(self) -> None:
        """Who was sent is seated; so is who joins him, without a call; but no more than may."""
        self.claimOnly()
        players = [self.endpoint.play() for _ in range(3)]
        self.fleet.reply(claimed=True)
        self.assertEqual([b"hello", b"hello", FULL], [player.value() for player in players])
        players[0].protocol.dataReceived(b"q")
        self.assertEqual(b"hello", self.endpoint.play().value())
        self.assertEqual(["register", "describe", "utilize"], self.fleet.made)

    def test_claimedNoMore(self) -> None:
        """After the session, before its registration is renewed, nobody was sent."""
        self.claimOnly()
        player = self.endpoint.play()
        self.fleet.reply(claimed=True)
        self.fleet.reply()
        player.protocol.dataReceived(b"q")
        self.assertEqual(CLAIM_FIRST, self.endpoint.play().value())

    def test_claimFirstWithoutFleetIQ(self) -> None:
        """Before there is a FleetIQ to ask, nobody was sent."""
        self.start(Rules(claimedOnly=True), enrolled=False)
        self.assertEqual(CLAIM_FIRST, self.endpoint.play().value())

    def test_claimsDataToTheGame(self) -> None:
        """A claim's data reaches the game: before the first player is in, or with UTILIZED."""
        seen = {"lastClaim": datetime(2026, 1, 1, tzinfo=UTC), "gameServerData": "map=7"}
        for rules in (Rules(), Rules(claimedOnly=True)):
            self.start(rules)
            told = self.claims
            self.fleet.reply()
            self.endpoint.play()
            if rules.claimedOnly:
                self.assertEqual([], told)
                self.fleet.reply(claimed=True, **seen)
                self.assertEqual(["map=7"], told)
            self.endpoint.play()
            self.fleet.reply(**seen)
            self.assertEqual(["map=7"], told)

    def test_gameFailsAtItsClaim(self) -> None:
        """A game that fails at its claim is still played, and still UTILIZED."""
        self.gameFails = True
        self.claimOnly()
        player = self.endpoint.play()
        self.fleet.reply(claimed=True)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual(b"hello", player.value())
        self.assertEqual("utilize", self.fleet.theCall().operation)

    def test_acceptRate(self) -> None:
        """Above the rate the port pauses; who comes waits there, and FleetIQ does not care."""
        self.start(Rules(acceptRate=Bucket(2.0, 3.0)))
        self.fleet.reply()
        for _ in range(3):
            self.assertTrue(self.endpoint.reading)
            self.endpoint.play()
        self.assertFalse(self.endpoint.reading)
        self.clock.advance(0.5)
        self.assertTrue(self.endpoint.reading)
        self.assertEqual(["register", "utilize"], self.fleet.made)

    def test_descriptors(self) -> None:
        """An idle server that cannot accept is absent for as long; one in play plays on."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        self.used = 1024 - RESERVE
        self.endpoint.connect().lose(ConnectionDone())
        self.assertFalse(self.endpoint.reading)
        self.assertEqual(["register", "utilize"], self.fleet.made)
        player.protocol.dataReceived(b"q")
        self.fleet.reply()
        self.clock.advance(20.0)
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.made)
        self.used = 100
        self.clock.advance(LOOK_EVERY)
        self.assertTrue(self.endpoint.reading)
        self.assertEqual("register", self.fleet.theCall().operation)

    def test_failingFleet(self) -> None:
        """A fleet that fails never drops a player."""
        self.start()
        player = self.endpoint.play()
        self.fleet.fail(callFailed(retry=False))
        player.protocol.dataReceived(b" still")
        self.assertEqual(b"hello still", player.value())
        self.assertEqual(1, len(self.refusals))

    def test_stopIdle(self) -> None:
        """An idle server stays open until it is deregistered: it may just have been claimed."""
        self.start()
        self.fleet.reply()
        self.stop()
        self.assertEqual("deregister", self.fleet.theCall().operation)
        self.assertTrue(self.endpoint.listening)
        self.fleet.reply()
        self.assertStopped()

    def test_stopIdleButClaimed(self) -> None:
        """Who comes while an idle server deregisters is served, and has the grace."""
        self.start()
        self.fleet.reply()
        self.stop()
        player = self.endpoint.play()
        self.fleet.reply()
        self.assertFalse(self.endpoint.listening)
        self.assertNoResult(self.stopped)
        player.protocol.dataReceived(b"q")
        self.assertNoResult(self.stopped)
        player.protocol.readConnectionLost()
        self.assertStopped()
        self.assertEqual(["register", "deregister"], self.fleet.made)

    def test_stopInPlay(self) -> None:
        """In play the port closes at once, the players have the grace, then it deregisters."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply(utilized=True)
        self.stop()
        self.assertFalse(self.endpoint.listening)
        player.protocol.dataReceived(b" more")
        self.assertEqual(b"hello more", player.value())
        self.clock.advance(19.9)
        self.assertFalse(player.ended)
        self.clock.advance(0.1)
        self.assertTrue(player.ended)
        self.assertFalse(player.aborted)
        self.clock.advance(ABORT_AFTER)
        self.assertTrue(player.aborted)
        self.assertEqual("deregister", self.fleet.theCall().operation)
        self.fleet.reply()
        self.assertStopped()

    def test_heartbeatsInGrace(self) -> None:
        """A session that is finished in a long grace keeps its heartbeats."""
        self.start(Rules(grace=300.0))
        self.fleet.reply()
        self.endpoint.play()
        self.fleet.reply()
        self.stop()
        self.clock.advance(60.0)
        self.assertEqual("heartbeat", self.fleet.theCall().operation)
        self.fleet.reply(utilized=True)
        self.server.hurry()
        self.clock.advance(ABORT_AFTER)
        self.fleet.reply()
        self.assertStopped()

    def test_lostInGrace(self) -> None:
        """A registration lost while leaving is not renewed."""
        self.start(Rules(grace=300.0))
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        self.stop()
        self.clock.advance(60.0)
        self.fleet.fail(callFailed(retry=False, mayHaveHappened=False))
        player.protocol.dataReceived(b"q")
        player.protocol.readConnectionLost()
        self.fleet.reply()
        self.assertStopped()
        self.assertEqual(["register", "utilize", "heartbeat", "deregister"], self.fleet.made)

    def test_sessionEndsInGrace(self) -> None:
        """The grace is over when the last player has gone."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        self.stop()
        player.protocol.readConnectionLost()
        self.fleet.reply()
        self.assertStopped()

    def test_hurry(self) -> None:
        """A second signal cuts the grace to nothing."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        self.stop()
        self.server.hurry()
        self.assertTrue(player.ended)
        player.protocol.readConnectionLost()
        self.fleet.reply()
        self.assertStopped()

    def test_hurryEarly(self) -> None:
        """Nor does a grace begin that was cut before it began."""
        self.start()
        self.fleet.reply()
        self.stop()
        player = self.endpoint.play()
        self.server.hurry()
        self.fleet.reply()
        self.assertTrue(player.ended)
        player.protocol.readConnectionLost()
        self.assertStopped()

    def test_stopWhileRegistering(self) -> None:
        """A Register in flight has 8 s; what it registered is deregistered."""
        self.start()
        self.stop()
        self.clock.advance(IN_FLIGHT - 0.1)
        self.fleet.reply()
        self.assertEqual("deregister", self.fleet.theCall().operation)
        self.fleet.reply()
        self.assertStopped()

    def test_silentInFlight(self) -> None:
        """After 8 s a call in flight is abandoned."""
        self.start()
        self.stop()
        self.clock.advance(IN_FLIGHT)
        self.assertStopped()

    def test_silentAtTheEnd(self) -> None:
        """The last step has 3 s; then it is abandoned, and its late result ignored."""
        self.start()
        self.fleet.reply()
        self.stop()
        self.clock.advance(LAST_STEP)
        self.assertStopped()
        self.fleet.reply()

    def test_triesAgainAtTheEnd(self) -> None:
        """A Deregister that fails is repeated within its 3 s, however long the backoff was."""
        self.start()
        self.fleet.reply()
        for _ in range(8):
            self.clock.advance(100.0)
            self.fleet.fail(callFailed())
        self.stop()
        self.fleet.fail(callFailed())
        self.clock.advance(1.0)
        self.fleet.reply()
        self.assertStopped()

    def test_stopBeforeFleetIQ(self) -> None:
        """Told to stop before there was a FleetIQ, it just closes, and never registers."""
        self.start(enrolled=False)
        self.stop()
        self.enroll()
        self.assertStopped()
        self.assertEqual([], self.fleet.made)

    def test_oneSession(self) -> None:
        """With --session exit it leaves after its first session, its port closed at once."""
        self.start(Rules(oneSession=True))
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        player.protocol.dataReceived(b"q")
        self.assertFalse(self.endpoint.listening)
        player.protocol.readConnectionLost()
        self.assertNoResult(self.server.finished)
        self.fleet.reply()
        self.successResultOf(self.server.finished)
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.made)

    def test_oneSessionUnread(self) -> None:
        """Leaving by itself, it gives the last player his 10 s to read; a stop cuts them to 1."""
        for stops in (False, True):
            self.start(Rules(oneSession=True))
            self.fleet.reply()
            player = self.endpoint.connect(flushed=False)
            player.protocol.dataReceived(b"hello")
            self.fleet.reply()
            player.protocol.dataReceived(b"q")
            player.protocol.writeConnectionLost()
            if stops:
                self.stop()
            self.clock.advance(ABORT_AFTER)
            self.assertEqual(stops, player.aborted)
            self.clock.advance(LAST_BYTES - ABORT_AFTER)
            self.assertTrue(player.aborted)
            self.fleet.reply()
            self.successResultOf(self.server.finished)

    def test_abandonedIsTold(self) -> None:
        """What may stay registered is named; what is known to be gone is not."""
        for answers in (False, True):
            self.start()
            self.fleet.reply()
            self.stop()
            with capturedLogs() as events:
                if answers:
                    self.fleet.reply()
                self.clock.advance(LAST_STEP)
            told = [str(event["log_format"]) for event in events]
            self.assertEqual(not answers, any("did not answer in time" in line for line in told))

    def test_stopTwice(self) -> None:
        """Stopping again waits for the same end."""
        self.start()
        self.fleet.reply()
        self.stop()
        again = self.server.stopService()
        self.fleet.reply()
        self.successResultOf(again)
        self.assertStopped()


class StandingTests(GameServerTestCase):
    """What operators see of it."""

    def test_life(self) -> None:
        """From a bound port to the end of a session."""
        self.start(enrolled=False)
        self.assertEqual(self.server.standing(), Standing(5000, 0, 0, 0, True, False))
        self.enroll()
        self.assertEqual(
            self.server.standing().unready(), "The game server on port 5000 is not registered."
        )
        self.fleet.reply()
        self.clock.advance(1.0)
        player = self.endpoint.play(b"hello")
        self.fleet.reply()
        standing = self.server.standing()
        self.assertIsNone(standing.unready())
        self.assertEqual((standing.known, standing.wanted), (Utilized(1), Utilized(1)))
        self.assertEqual((standing.players, standing.session, standing.received), (1, 1, 5))
        self.assertEqual((standing.reported, standing.beatDue), (1.0, 55.0))
        player.lose(ConnectionDone())
        self.fleet.reply()
        standing = self.server.standing()
        self.assertEqual((standing.players, standing.session, standing.received), (0, 1, 5))
        self.assertEqual((standing.known, standing.reported), (Absent(), None))

    def test_trouble(self) -> None:
        """A failure is told with its time, and since when; the last stays when it is over."""
        self.start()
        self.clock.advance(1.0)
        error = callFailed()
        self.fleet.fail(error)
        standing = self.server.standing()
        self.assertEqual(
            (standing.error, standing.errorAt, standing.degradedSince), (str(error), 1.0, 1.0)
        )
        self.clock.advance(1.0)
        self.fleet.fail(callFailed())
        self.assertEqual(self.server.standing().degradedSince, 1.0)
        self.clock.advance(2.0)
        self.fleet.reply()
        standing = self.server.standing()
        self.assertEqual((standing.errorAt, standing.degradedSince), (2.0, None))

    def test_draining(self) -> None:
        """FleetIQ's draining comes and goes; an instance that goes is for good."""
        self.start()
        self.fleet.reply()
        self.server.drain("so it is")
        self.assertTrue(self.server.standing().draining)
        self.server.stay()
        self.assertFalse(self.server.standing().draining)
        self.server.leave(None, "so it is")
        self.assertTrue(self.server.standing().draining)


class DrainTests(GameServerTestCase):
    """The instance goes away, or FleetIQ drains it."""

    def playing(self, rules: Rules | None = None) -> PlayerTransport:
        """A player in the first session of a server that FleetIQ knows as UTILIZED."""
        self.start(rules)
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        return player

    def leave(self, seconds: float | None) -> list[str]:
        """The instance goes in that time; what is logged."""
        with capturedLogs() as events:
            deadline = None if seconds is None else self.clock.seconds() + seconds
            self.server.leave(deadline, "so they say")
        return told(events)

    def assertLeft(self) -> None:
        """It has left, and nothing of it is left."""
        self.stopped = self.server.finished
        self.assertStopped()

    def quit(self, player: PlayerTransport) -> None:
        """The player says goodbye, and reads all."""
        player.protocol.dataReceived(b"q")
        player.protocol.readConnectionLost()

    def test_idle(self) -> None:
        """An idle server deregisters at once; its port closes when that is confirmed."""
        self.start()
        self.fleet.reply()
        self.assertEqual([], self.leave(120.0))
        self.assertEqual("deregister", self.fleet.theCall().operation)
        self.assertTrue(self.endpoint.listening)
        self.fleet.reply()
        self.assertLeft()

    def test_idleWithPatience(self) -> None:
        """There is time: Deregister is repeated far beyond the caps of a stop, up to the end."""
        self.start()
        self.fleet.reply()
        self.leave(120.0)
        for pause in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0):
            self.fleet.fail(callFailed())
            self.clock.advance(pause)
        self.leave(1000.0)
        self.clock.advance(115.0 - 61.0 - 0.1)
        self.assertTrue(self.endpoint.listening)
        self.clock.advance(0.1)
        self.clock.advance(IN_FLIGHT)
        self.assertLeft()

    def test_idleThenStop(self) -> None:
        """Told to stop as well, it has no patience left."""
        self.start()
        self.fleet.reply()
        self.leave(None)
        self.fleet.fail(callFailed())
        self.clock.advance(100.0)
        self.assertNoResult(self.server.finished)
        self.stop()
        self.clock.advance(IN_FLIGHT)
        self.assertStopped()

    def test_idleButClaimed(self) -> None:
        """Who comes before the Deregister went through may play to the end."""
        self.start()
        self.fleet.reply()
        self.leave(120.0)
        self.fleet.fail(callFailed())
        player = self.endpoint.play()
        self.assertFalse(self.endpoint.listening)
        self.clock.advance(1.0)
        self.assertEqual("utilize", self.fleet.reply().operation)
        self.quit(player)
        self.fleet.reply()
        self.assertLeft()

    def test_sessionEnds(self) -> None:
        """In play the port closes at once, the session is finished, the server leaves for good."""
        player = self.playing()
        self.leave(120.0)
        self.assertFalse(self.endpoint.listening)
        self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.reply(utilized=True).operation)
        player.protocol.dataReceived(b", still here")
        self.assertEqual(b"hello, still here", player.value())
        self.quit(player)
        self.fleet.reply()
        self.assertLeft()
        self.assertEqual(["register", "utilize", "heartbeat", "deregister"], self.fleet.made)

    def test_sessionIsEnded(self) -> None:
        """Whoever is in 5 s before the deadline is let go, within 1 s."""
        player = self.playing()
        another = self.endpoint.play()
        lines = self.leave(40.0)
        self.assertIn("The players must go in 35 s: so they say.", lines)
        self.assertIn("The session has 35 s to end.", lines)
        self.clock.advance(34.9)
        with capturedLogs() as events:
            self.quit(another)
        self.assertEqual(1, len(told(events)))
        self.assertFalse(player.ended)
        self.clock.advance(0.1)
        self.assertTrue(player.ended)
        self.clock.advance(ABORT_AFTER)
        self.assertTrue(player.aborted)
        self.fleet.reply()
        self.assertLeft()

    def test_noDeadline(self) -> None:
        """Nobody knows when: the session may take its time, until another notice says more."""
        player = self.playing()
        lines = self.leave(None)
        self.assertIn("The players must go: so they say.", lines)
        self.assertIn("The session has all the time it takes to end.", lines)
        self.assertNotIn(inf, [call.getTime() for call in self.clock.getDelayedCalls()])
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True)
        self.assertFalse(player.ended)
        self.leave(35.0)
        self.leave(1000.0)
        self.clock.advance(30.0)
        self.assertTrue(player.ended)
        self.quit(player)
        self.fleet.reply()
        self.assertLeft()

    def test_tooLate(self) -> None:
        """A notice whose time is over lets players go at once."""
        player = self.playing()
        self.assertIn("The players must go in 0 s: so they say.", self.leave(-3.0))
        self.assertTrue(player.ended)

    def test_thenStop(self) -> None:
        """Told to stop meanwhile, the session has the grace that is left, or less."""
        for seconds, grace in ((120.0, 20.0), (15.0, 10.0)):
            player = self.playing(Rules(grace=20.0))
            self.leave(seconds)
            self.stop()
            self.clock.advance(grace - 0.1)
            self.assertFalse(player.ended)
            self.clock.advance(0.1)
            self.assertTrue(player.ended)
            self.quit(player)
            self.fleet.reply()
            self.assertStopped()

    def test_lostWhileLeaving(self) -> None:
        """A registration lost meanwhile is not renewed, and the session goes on."""
        player = self.playing()
        self.leave(120.0)
        self.clock.advance(54.0)
        self.fleet.fail(callFailed(NotFound, retry=False))
        self.clock.advance(30.0)
        self.assertFalse(player.ended)
        self.quit(player)
        self.assertLeft()
        self.assertEqual(["register", "utilize", "heartbeat"], self.fleet.made)

    def test_gameFails(self) -> None:
        """A game that fails to tell its players does not keep the server from leaving."""
        player = self.playing()
        factory = cast(Any, player.protocol).factory
        factory.draining = lambda *_: dict[str, str]()["nobody"]
        self.leave(120.0)
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))
        self.assertFalse(self.endpoint.listening)

    def test_drainingIdle(self) -> None:
        """FleetIQ drains: an idle server stays registered and open, with its heartbeats."""
        self.start()
        self.fleet.reply()
        self.server.drain("so FleetIQ says")
        self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.reply().operation)
        self.assertTrue(self.endpoint.listening)

    def test_drainingLastSession(self) -> None:
        """A session that ends was the last: one that ran, or one that comes; ACTIVE ends it."""
        for runs in (True, False):
            self.start()
            self.fleet.reply()
            if not runs:
                self.server.drain("so FleetIQ says")
            player = self.endpoint.play()
            self.fleet.reply()
            if runs:
                with capturedLogs() as events:
                    self.server.drain("so FleetIQ says")
                    self.server.drain("so FleetIQ says again")
                self.assertEqual(["The players must go: so FleetIQ says."], told(events))
            self.clock.advance(54.0)
            self.fleet.reply(utilized=True)
            self.quit(player)
            self.fleet.reply()
            self.assertEqual([], self.fleet.waiting)
            self.assertTrue(self.endpoint.listening)
            self.server.drain("so FleetIQ says again")
            self.assertEqual([], self.fleet.waiting)
            self.server.stay()
            self.fleet.reply()
            made = ["register", "utilize", "heartbeat", "deregister", "register"]
            self.assertEqual(made, self.fleet.made)

    def test_drainingUnknownToFleetIQ(self) -> None:
        """A session of which FleetIQ never heard was the last one all the same."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.server.drain("so FleetIQ says")
        self.quit(player)
        self.fleet.fail(callFailed())
        self.clock.advance(1.0)
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.made)

    def test_drainingLost(self) -> None:
        """A registration lost meanwhile is not renewed before the instance is ACTIVE again."""
        self.start()
        self.fleet.reply()
        self.server.drain("so FleetIQ says")
        self.clock.advance(54.0)
        self.fleet.fail(callFailed(NotFound, retry=False))
        self.clock.advance(600.0)
        self.assertEqual(["register", "heartbeat"], self.fleet.made)
        self.server.stay()
        self.assertEqual("register", self.fleet.theCall().operation)

    def test_drainedThenStop(self) -> None:
        """After its last session it stops at once, with nothing to deregister."""
        player = self.playing()
        self.server.drain("so FleetIQ says")
        self.quit(player)
        self.fleet.reply()
        self.stop()
        self.assertStopped()
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.made)

    def test_stayChangesNothing(self) -> None:
        """ACTIVE where nothing drains costs no call; nor does it hold back who leaves."""
        self.start()
        self.fleet.reply()
        self.server.stay()
        self.assertEqual(["register"], self.fleet.made)
        self.leave(120.0)
        self.fleet.reply()
        self.server.stay()
        self.assertLeft()
