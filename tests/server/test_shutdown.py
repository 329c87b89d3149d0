"""How a game server leaves: told to stop, after its one session, before its instance goes."""

from __future__ import annotations

from math import inf

from twisted.logger import capturedLogs

from echoserver.game.connection import CLOSE_TIMEOUT
from echoserver.gamelift.errors import NotFoundException
from echoserver.ratelimit import TokenBucket
from echoserver.server.config import GameServerConfig
from echoserver.server.shutdown import ABORT_AFTER, DEREGISTER_TIMEOUT, IN_FLIGHT_TIMEOUT
from tests.awsdoubles import told
from tests.doubles import PlayerTransport, callFailed
from tests.gameserverdoubles import GameServerTestCase


class StopTests(GameServerTestCase):
    """It is told to stop, or leaves by itself after its session."""

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
        self.start(GameServerConfig(grace=300.0))
        self.fleet.reply()
        self.endpoint.play()
        self.fleet.reply()
        self.stop()
        self.clock.advance(60.0)
        self.assertEqual("heartbeat", self.fleet.theCall().operation)
        self.fleet.reply(utilized=True)
        self.server.skipGracePeriod()
        self.clock.advance(ABORT_AFTER)
        self.fleet.reply()
        self.assertStopped()

    def test_lostInGrace(self) -> None:
        """A registration lost while leaving is not renewed."""
        self.start(GameServerConfig(grace=300.0))
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
        self.server.skipGracePeriod()
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
        self.server.skipGracePeriod()
        self.fleet.reply()
        self.assertTrue(player.ended)
        player.protocol.readConnectionLost()
        self.assertStopped()

    def test_stopWhileRegistering(self) -> None:
        """A Register in flight has 8 s; what it registered is deregistered."""
        self.start()
        self.stop()
        self.clock.advance(IN_FLIGHT_TIMEOUT - 0.1)
        self.fleet.reply()
        self.assertEqual("deregister", self.fleet.theCall().operation)
        self.fleet.reply()
        self.assertStopped()

    def test_silentInFlight(self) -> None:
        """After 8 s a call in flight is abandoned."""
        self.start()
        self.stop()
        self.clock.advance(IN_FLIGHT_TIMEOUT)
        self.assertStopped()

    def test_silentAtTheEnd(self) -> None:
        """The last step has 3 s; then it is abandoned, and its late result ignored."""
        self.start()
        self.fleet.reply()
        self.stop()
        self.clock.advance(DEREGISTER_TIMEOUT)
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
        self.start(registered=False)
        self.stop()
        self.register()
        self.assertStopped()
        self.assertEqual([], self.fleet.made)

    def test_oneSession(self) -> None:
        """With --session exit it leaves after its first session, its port closed at once."""
        self.start(GameServerConfig(oneSession=True))
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
        """After its one session the last player has 10 s to read; a stop reduces them to 1."""
        for stops in (False, True):
            self.start(GameServerConfig(oneSession=True))
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
            self.clock.advance(CLOSE_TIMEOUT - ABORT_AFTER)
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
                self.clock.advance(DEREGISTER_TIMEOUT)
            told = [str(event["log_format"]) for event in events]
            self.assertEqual(not answers, any("Not deregistered in time" in line for line in told))

    def test_waitingForItsTurn(self) -> None:
        """A Register that waits for its turn is not sent any more: the end need not wait."""
        self.start(apiRate=TokenBucket(0.1, 1), registered=False)
        self.successResultOf(self.limiter.acquire(0))
        self.register()
        self.stop()
        self.assertEqual([], self.fleet.made)
        self.assertStopped()

    def test_turnInTime(self) -> None:
        """Deregister waits for its turn, within the cap."""
        for rate, inTime in ((0.5, True), (0.1, False)):
            self.start(apiRate=TokenBucket(rate, 1))
            self.fleet.reply()
            self.stop()
            self.assertEqual(["register"], self.fleet.made)
            self.clock.advance(DEREGISTER_TIMEOUT - 1.0)
            if inTime:
                self.fleet.reply()
            else:
                self.assertNoResult(self.stopped)
                self.clock.advance(1.0)
            self.assertStopped()
            self.assertEqual(inTime, "deregister" in self.fleet.made)

    def test_stopTwice(self) -> None:
        """Stopping again waits for the same end."""
        self.start()
        self.fleet.reply()
        self.stop()
        again = self.server.stopService()
        self.fleet.reply()
        self.successResultOf(again)
        self.assertStopped()


class DrainTests(GameServerTestCase):
    """The instance goes away, or FleetIQ drains it."""

    def playing(self, rules: GameServerConfig | None = None) -> PlayerTransport:
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
            self.server.terminate(deadline, "so they say")
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
        self.clock.advance(IN_FLIGHT_TIMEOUT)
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
        self.clock.advance(IN_FLIGHT_TIMEOUT)
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
        """Players that are connected 5 s before the deadline are closed within 1 s."""
        player = self.playing()
        another = self.endpoint.play()
        lines = self.leave(40.0)
        self.assertIn(
            "This session is the last one and ends within 35 s: so they say.",
            lines,
        )
        self.assertIn("Waiting for the session to end, at most 35 s.", lines)
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
        self.assertIn("This session is the last one: so they say.", lines)
        self.assertIn("Waiting for the session to end, without a limit.", lines)
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
        self.assertIn(
            "This session is the last one and ends within 0 s: so they say.",
            self.leave(-3.0),
        )
        self.assertTrue(player.ended)

    def test_thenStop(self) -> None:
        """Told to stop meanwhile, the session has the grace that is left, or less."""
        for seconds, grace in ((120.0, 20.0), (15.0, 10.0)):
            player = self.playing(GameServerConfig(grace=20.0))
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
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.clock.advance(30.0)
        self.assertFalse(player.ended)
        self.quit(player)
        self.assertLeft()
        self.assertEqual(["register", "utilize", "heartbeat"], self.fleet.made)

    def test_gameFails(self) -> None:
        """A game that fails to tell its players does not keep the server from leaving."""
        self.playing()
        self.gameFails = True
        self.leave(120.0)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertFalse(self.endpoint.listening)

    def test_acceptsNobodyMore(self) -> None:
        """Once its port is closed it does not say that it accepts players."""
        self.playing()
        self.assertTrue(self.server.status().accepting)
        self.leave(120.0)
        self.assertFalse(self.server.status().accepting)

    def test_connectedNotIn(self) -> None:
        """Who is connected, but not in, gets 10 s to go, not all that there is."""
        self.start()
        self.fleet.reply()
        transport = self.endpoint.connect(flushed=False)
        self.leave(120.0)
        self.fleet.reply()
        self.clock.advance(9.9)
        self.assertFalse(transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(transport.aborted)
        self.assertLeft()

    def test_drainingIdle(self) -> None:
        """FleetIQ drains: an idle server stays registered and open, with its heartbeats."""
        self.start()
        self.fleet.reply()
        self.server.drain("so FleetIQ says")
        self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.reply().operation)
        self.assertTrue(self.endpoint.listening)

    def test_drainingAfterASession(self) -> None:
        """A session that ended before FleetIQ drained was not the last one."""
        player = self.playing()
        self.quit(player)
        self.fleet.reply()
        self.fleet.reply()
        self.server.drain("so FleetIQ says")
        self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.reply().operation)

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
                self.assertEqual(["This session is the last one: so FleetIQ says."], told(events))
            self.clock.advance(54.0)
            self.fleet.reply(utilized=True)
            self.quit(player)
            self.fleet.reply()
            self.assertEqual([], self.fleet.waiting)
            self.assertTrue(self.endpoint.listening)
            self.server.drain("so FleetIQ says again")
            self.assertEqual([], self.fleet.waiting)
            self.server.cancelDrain()
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
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.clock.advance(600.0)
        self.assertEqual(["register", "heartbeat"], self.fleet.made)
        self.server.cancelDrain()
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
        self.server.cancelDrain()
        self.assertEqual(["register"], self.fleet.made)
        self.leave(120.0)
        self.fleet.reply()
        self.server.cancelDrain()
        self.assertLeft()
