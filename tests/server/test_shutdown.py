"""The shutdown of a game server: at a stop, after its only session, before its instance ends."""

from __future__ import annotations

from math import inf

from twisted.logger import capturedLogs

from echoserver.game.connection import CLOSE_TIMEOUT
from echoserver.gamelift.errors import NotFoundException
from echoserver.ratelimit import TokenBucket
from echoserver.server.config import GameServerConfig
from echoserver.server.shutdown import ABORT_AFTER, DEREGISTER_TIMEOUT, IN_FLIGHT_TIMEOUT
from tests.awsdoubles import logLines
from tests.doubles import PlayerTransport, callFailed
from tests.gameserverdoubles import GameServerTestCase


class StopTests(GameServerTestCase):
    """The process stops, or the only session has ended (--session exit)."""

    def test_stopIdle(self) -> None:
        """The port of an idle server stays open until it is deregistered: it can be claimed."""
        self.start()
        self.fleet.reply()
        self.stop()
        self.assertEqual("deregister", self.fleet.pendingCall().operation)
        self.assertTrue(self.endpoint.listening)
        self.fleet.reply()
        self.assertStopped()

    def test_stopIdleButClaimed(self) -> None:
        """A player that connects during Deregister is served for the grace period."""
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
        self.assertEqual(["register", "deregister"], self.fleet.operations)

    def test_stopInSession(self) -> None:
        """In a session the port closes at once; the server deregisters after the grace period."""
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
        self.assertEqual("deregister", self.fleet.pendingCall().operation)
        self.fleet.reply()
        self.assertStopped()

    def test_heartbeatsInGracePeriod(self) -> None:
        """During a long grace period, heartbeats are sent."""
        self.start(GameServerConfig(grace=300.0))
        self.fleet.reply()
        self.endpoint.play()
        self.fleet.reply()
        self.stop()
        self.clock.advance(60.0)
        self.assertEqual("heartbeat", self.fleet.pendingCall().operation)
        self.fleet.reply(utilized=True)
        self.server.skipGracePeriod()
        self.clock.advance(ABORT_AFTER)
        self.fleet.reply()
        self.assertStopped()

    def test_lostInGracePeriod(self) -> None:
        """A registration that is lost during the grace period is not renewed."""
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
        self.assertEqual(["register", "utilize", "heartbeat", "deregister"], self.fleet.operations)

    def test_sessionEndsInGracePeriod(self) -> None:
        """The grace period ends when the last player leaves."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        self.stop()
        player.protocol.readConnectionLost()
        self.fleet.reply()
        self.assertStopped()

    def test_skipGracePeriod(self) -> None:
        """A second signal ends the grace period."""
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

    def test_skipGracePeriodBeforeSession(self) -> None:
        """If the grace period is skipped before a session starts, the session has none."""
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
        """A Register in flight has 8 s. If it succeeds, the game server is deregistered."""
        self.start()
        self.stop()
        self.clock.advance(IN_FLIGHT_TIMEOUT - 0.1)
        self.fleet.reply()
        self.assertEqual("deregister", self.fleet.pendingCall().operation)
        self.fleet.reply()
        self.assertStopped()

    def test_timeoutInFlight(self) -> None:
        """After 8 s a call in flight is cancelled."""
        self.start()
        self.stop()
        self.clock.advance(IN_FLIGHT_TIMEOUT)
        self.assertStopped()

    def test_deregisterTimeout(self) -> None:
        """Deregister has 3 s. Then it is cancelled, and its late result is ignored."""
        self.start()
        self.fleet.reply()
        self.stop()
        self.clock.advance(DEREGISTER_TIMEOUT)
        self.assertStopped()
        self.fleet.reply()

    def test_deregisterRepeated(self) -> None:
        """A Deregister that fails is repeated within its 3 s, for any earlier backoff."""
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

    def test_stopBeforeRegister(self) -> None:
        """A server that stops before it starts to register only closes its port."""
        self.start(registered=False)
        self.stop()
        self.register()
        self.assertStopped()
        self.assertEqual([], self.fleet.operations)

    def test_oneSession(self) -> None:
        """With --session exit, the port closes after the session, and the server deregisters."""
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
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.operations)

    def test_oneSessionUnread(self) -> None:
        """After the only session its last player has 10 s to read the rest; after a stop, 1 s."""
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

    def test_notDeregisteredInTime(self) -> None:
        """A game server that can stay registered is logged; one that is deregistered is not."""
        for replies in (False, True):
            self.start()
            self.fleet.reply()
            self.stop()
            with capturedLogs() as events:
                if replies:
                    self.fleet.reply()
                self.clock.advance(DEREGISTER_TIMEOUT)
            formats = [str(event["log_format"]) for event in events]
            self.assertEqual(
                not replies, any("Not deregistered in time" in line for line in formats)
            )

    def test_stopInRateLimiter(self) -> None:
        """A Register that waits for the rate limiter is not sent, and does not delay the stop."""
        self.start(apiRate=TokenBucket(0.1, 1), registered=False)
        self.successResultOf(self.limiter.acquire(0))
        self.register()
        self.stop()
        self.assertEqual([], self.fleet.operations)
        self.assertStopped()

    def test_deregisterInRateLimiter(self) -> None:
        """Deregister waits for the rate limiter, for at most 3 s."""
        for rate, inTime in ((0.5, True), (0.1, False)):
            self.start(apiRate=TokenBucket(rate, 1))
            self.fleet.reply()
            self.stop()
            self.assertEqual(["register"], self.fleet.operations)
            self.clock.advance(DEREGISTER_TIMEOUT - 1.0)
            if inTime:
                self.fleet.reply()
            else:
                self.assertNoResult(self.stopped)
                self.clock.advance(1.0)
            self.assertStopped()
            self.assertEqual(inTime, "deregister" in self.fleet.operations)

    def test_stopTwice(self) -> None:
        """A second stop waits for the first one."""
        self.start()
        self.fleet.reply()
        self.stop()
        again = self.server.stopService()
        self.fleet.reply()
        self.successResultOf(again)
        self.assertStopped()


class DrainTests(GameServerTestCase):
    """The instance ends, or FleetIQ drains it."""

    def playing(self, rules: GameServerConfig | None = None) -> PlayerTransport:
        """Return a player in the first session; FleetIQ has UTILIZED."""
        self.start(rules)
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        return player

    def terminate(self, seconds: float | None) -> list[str]:
        """Announce the end of the instance in this time. Return the log lines."""
        with capturedLogs() as events:
            deadline = None if seconds is None else self.clock.seconds() + seconds
            self.server.terminate(deadline, "the instance ends")
        return logLines(events)

    def assertFinished(self) -> None:
        """Check that the shutdown is complete."""
        self.stopped = self.server.finished
        self.assertStopped()

    def quit(self, player: PlayerTransport) -> None:
        """Send the quit command, and close the connection."""
        player.protocol.dataReceived(b"q")
        player.protocol.readConnectionLost()

    def test_idle(self) -> None:
        """An idle server deregisters at once; its port closes when that is confirmed."""
        self.start()
        self.fleet.reply()
        self.assertEqual([], self.terminate(120.0))
        self.assertEqual("deregister", self.fleet.pendingCall().operation)
        self.assertTrue(self.endpoint.listening)
        self.fleet.reply()
        self.assertFinished()

    def test_idleRepeatsDeregister(self) -> None:
        """Deregister is repeated up to the deadline, longer than the limits of a stop."""
        self.start()
        self.fleet.reply()
        self.terminate(120.0)
        for pause in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0):
            self.fleet.fail(callFailed())
            self.clock.advance(pause)
        self.terminate(1000.0)
        self.clock.advance(115.0 - 61.0 - 0.1)
        self.assertTrue(self.endpoint.listening)
        self.clock.advance(0.1)
        self.clock.advance(IN_FLIGHT_TIMEOUT)
        self.assertFinished()

    def test_idleThenStop(self) -> None:
        """If the process stops as well, its limits apply."""
        self.start()
        self.fleet.reply()
        self.terminate(None)
        self.fleet.fail(callFailed())
        self.clock.advance(100.0)
        self.assertNoResult(self.server.finished)
        self.stop()
        self.clock.advance(IN_FLIGHT_TIMEOUT)
        self.assertStopped()

    def test_idleButClaimed(self) -> None:
        """If a player connects before Deregister succeeds, its session goes on."""
        self.start()
        self.fleet.reply()
        self.terminate(120.0)
        self.fleet.fail(callFailed())
        player = self.endpoint.play()
        self.assertFalse(self.endpoint.listening)
        self.clock.advance(1.0)
        self.assertEqual("utilize", self.fleet.reply().operation)
        self.quit(player)
        self.fleet.reply()
        self.assertFinished()

    def test_sessionEnds(self) -> None:
        """In a session the port closes at once. After the session, the server deregisters."""
        player = self.playing()
        self.terminate(120.0)
        self.assertFalse(self.endpoint.listening)
        self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.reply(utilized=True).operation)
        player.protocol.dataReceived(b", still here")
        self.assertEqual(b"hello, still here", player.value())
        self.quit(player)
        self.fleet.reply()
        self.assertFinished()
        self.assertEqual(["register", "utilize", "heartbeat", "deregister"], self.fleet.operations)

    def test_sessionIsEnded(self) -> None:
        """Players that are connected 5 s before the deadline are closed within 1 s."""
        player = self.playing()
        another = self.endpoint.play()
        lines = self.terminate(40.0)
        self.assertIn(
            "This session is the last one and ends within 35 s: the instance ends.",
            lines,
        )
        self.assertIn("Waiting for the session to end, at most 35 s.", lines)
        self.clock.advance(34.9)
        with capturedLogs() as events:
            self.quit(another)
        self.assertEqual(1, len(logLines(events)))
        self.assertFalse(player.ended)
        self.clock.advance(0.1)
        self.assertTrue(player.ended)
        self.clock.advance(ABORT_AFTER)
        self.assertTrue(player.aborted)
        self.fleet.reply()
        self.assertFinished()

    def test_noDeadline(self) -> None:
        """Without a deadline the session goes on, until another notice has one."""
        player = self.playing()
        lines = self.terminate(None)
        self.assertIn("This session is the last one: the instance ends.", lines)
        self.assertIn("Waiting for the session to end, without a limit.", lines)
        self.assertNotIn(inf, [call.getTime() for call in self.clock.getDelayedCalls()])
        self.clock.advance(54.0)
        self.fleet.reply(utilized=True)
        self.assertFalse(player.ended)
        self.terminate(35.0)
        self.terminate(1000.0)
        self.clock.advance(30.0)
        self.assertTrue(player.ended)
        self.quit(player)
        self.fleet.reply()
        self.assertFinished()

    def test_deadlineHasPassed(self) -> None:
        """If the deadline has passed, the players are disconnected at once."""
        player = self.playing()
        self.assertIn(
            "This session is the last one and ends within 0 s: the instance ends.",
            self.terminate(-3.0),
        )
        self.assertTrue(player.ended)

    def test_thenStop(self) -> None:
        """If the process stops meanwhile, the earlier of the two deadlines applies."""
        for seconds, grace in ((120.0, 20.0), (15.0, 10.0)):
            player = self.playing(GameServerConfig(grace=20.0))
            self.terminate(seconds)
            self.stop()
            self.clock.advance(grace - 0.1)
            self.assertFalse(player.ended)
            self.clock.advance(0.1)
            self.assertTrue(player.ended)
            self.quit(player)
            self.fleet.reply()
            self.assertStopped()

    def test_lostWhileTerminating(self) -> None:
        """A registration that is lost meanwhile is not renewed, and the session goes on."""
        player = self.playing()
        self.terminate(120.0)
        self.clock.advance(54.0)
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.clock.advance(30.0)
        self.assertFalse(player.ended)
        self.quit(player)
        self.assertFinished()
        self.assertEqual(["register", "utilize", "heartbeat"], self.fleet.operations)

    def test_gameFails(self) -> None:
        """If the game's hook draining raises, the shutdown continues."""
        self.playing()
        self.gameFails = True
        self.terminate(120.0)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertFalse(self.endpoint.listening)

    def test_notAccepting(self) -> None:
        """When the port is closed, the status has C{accepting} false."""
        self.playing()
        self.assertTrue(self.server.status().accepting)
        self.terminate(120.0)
        self.assertFalse(self.server.status().accepting)

    def test_pendingConnection(self) -> None:
        """A connection that is not admitted yet is aborted after 10 s, before the deadline."""
        self.start()
        self.fleet.reply()
        transport = self.endpoint.connect(flushed=False)
        self.terminate(120.0)
        self.fleet.reply()
        self.clock.advance(9.9)
        self.assertFalse(transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(transport.aborted)
        self.assertFinished()

    def test_drainingIdle(self) -> None:
        """While FleetIQ drains, an idle server stays registered, and sends heartbeats."""
        self.start()
        self.fleet.reply()
        self.server.drain("FleetIQ drains")
        self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.reply().operation)
        self.assertTrue(self.endpoint.listening)

    def test_drainingAfterASession(self) -> None:
        """A session that ended before FleetIQ began to drain is not the last one."""
        player = self.playing()
        self.quit(player)
        self.fleet.reply()
        self.fleet.reply()
        self.server.drain("FleetIQ drains")
        self.clock.advance(54.0)
        self.assertEqual("heartbeat", self.fleet.reply().operation)

    def test_drainingLastSession(self) -> None:
        """The first session that ends while FleetIQ drains is the last one, until it is ACTIVE."""
        for runs in (True, False):
            self.start()
            self.fleet.reply()
            if not runs:
                self.server.drain("FleetIQ drains")
            player = self.endpoint.play()
            self.fleet.reply()
            if runs:
                with capturedLogs() as events:
                    self.server.drain("FleetIQ drains")
                    self.server.drain("again")
                self.assertEqual(
                    ["This session is the last one: FleetIQ drains."], logLines(events)
                )
            self.clock.advance(54.0)
            self.fleet.reply(utilized=True)
            self.quit(player)
            self.fleet.reply()
            self.assertEqual([], self.fleet.waiting)
            self.assertTrue(self.endpoint.listening)
            self.server.drain("again")
            self.assertEqual([], self.fleet.waiting)
            self.server.cancelDrain()
            self.fleet.reply()
            made = ["register", "utilize", "heartbeat", "deregister", "register"]
            self.assertEqual(made, self.fleet.operations)

    def test_drainingNeverUtilized(self) -> None:
        """A session that was never UTILIZED in FleetIQ is the last one too."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.server.drain("FleetIQ drains")
        self.quit(player)
        self.fleet.fail(callFailed())
        self.clock.advance(1.0)
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.operations)

    def test_drainingLost(self) -> None:
        """A registration that is lost while FleetIQ drains is not renewed until it is ACTIVE."""
        self.start()
        self.fleet.reply()
        self.server.drain("FleetIQ drains")
        self.clock.advance(54.0)
        self.fleet.fail(callFailed(NotFoundException, retry=False))
        self.clock.advance(600.0)
        self.assertEqual(["register", "heartbeat"], self.fleet.operations)
        self.server.cancelDrain()
        self.assertEqual("register", self.fleet.pendingCall().operation)

    def test_drainedThenStop(self) -> None:
        """After the last session a stop has nothing to deregister."""
        player = self.playing()
        self.server.drain("FleetIQ drains")
        self.quit(player)
        self.fleet.reply()
        self.stop()
        self.assertStopped()
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.operations)

    def test_cancelDrainWithoutDrain(self) -> None:
        """ACTIVE without a drain makes no call, and does not cancel the end of the instance."""
        self.start()
        self.fleet.reply()
        self.server.cancelDrain()
        self.assertEqual(["register"], self.fleet.operations)
        self.terminate(120.0)
        self.fleet.reply()
        self.server.cancelDrain()
        self.assertFinished()
