"""A game server: its port, its players, its session, its status."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone

from echoserver.descriptors import RECOUNT_INTERVAL, RESERVED_DESCRIPTORS
from echoserver.game import Game
from echoserver.game.admission import CALL_INTERVAL
from echoserver.game.factory import ADMISSION_DELAY
from echoserver.gamelift.errors import NotFoundException
from echoserver.gamelift.lifecycle import Absent, Utilized
from echoserver.ratelimit import TokenBucket
from echoserver.server.config import GameServerConfig
from echoserver.server.status import GameServerStatus
from tests.doubles import PlayerTransport, callFailed
from tests.gameserverdoubles import GameServerTestCase, RecordingGame


class GameServerTests(GameServerTestCase):
    """Players, sessions, admission and limits."""

    def test_dataDoesNotWait(self) -> None:
        """Players are served before the registration starts, and while FleetIQ does not respond."""
        self.start(registered=False)
        self.assertEqual(b"hello", self.endpoint.play(b"hello").value())
        self.register()
        self.assertEqual(b"again", self.endpoint.play(b"again").value())
        self.assertEqual(["register"], self.fleet.operations)

    def test_session(self) -> None:
        """The first player makes it UTILIZED; the session ends when the last player leaves."""
        self.start()
        self.fleet.reply()
        first, second = self.endpoint.play(), self.endpoint.play()
        self.fleet.reply()
        first.protocol.dataReceived(b"q")
        self.assertEqual([], self.fleet.waiting)
        second.protocol.dataReceived(b"q")
        self.fleet.reply()
        self.fleet.reply()
        self.assertEqual(["register", "utilize", "deregister", "register"], self.fleet.operations)

    def test_droppedInSession(self) -> None:
        """If FleetIQ drops it in a session, it is registered and UTILIZED again; players stay."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        for _ in range(2):
            self.clock.advance(54.0)
            self.fleet.reply(utilized=True)
        self.clock.advance(54.0)
        old = self.fleet.fail(callFailed(NotFoundException, retry=False)).gameServerId
        new = self.fleet.reply().gameServerId
        self.assertNotEqual(old, new)
        self.assertEqual(("utilize", new), (self.fleet.reply().operation, new))
        player.protocol.dataReceived(b", still there")
        self.assertEqual(b"hello, still there", player.value())

    def test_utilizedExternally(self) -> None:
        """UTILIZED by another client is adopted by the next session, or renewed after 60 s."""
        for joins in (True, False):
            self.start(GameServerConfig(heartbeat=10.0))
            self.fleet.reply()
            self.clock.advance(9.0)
            self.fleet.reply(utilized=True)
            for _ in range(6):
                self.assertEqual([], self.fleet.waiting)
                self.clock.advance(9.0)
                self.fleet.reply(utilized=True)
            if joins:
                self.endpoint.play()
            self.clock.advance(6.0)
            operations = ["register", *["heartbeat"] * 7]
            self.assertEqual(
                operations if joins else [*operations, "deregister"], self.fleet.operations
            )
            if not joins:
                self.fleet.reply()
                self.assertEqual("register", self.fleet.pendingCall().operation)

    def test_maxPlayers(self) -> None:
        """A player above the limit receives FULL. After a player has left, the next is admitted."""
        self.start(GameServerConfig(maxPlayers=1))
        first = self.endpoint.play()
        self.assertEqual(Game.fullMessage, self.endpoint.play().value())
        first.protocol.dataReceived(b"q")
        self.assertEqual(b"hello", self.endpoint.play().value())

    def silent(self, host: str = "192.0.2.1") -> PlayerTransport:
        """Return a player that has joined without data."""
        transport = self.endpoint.connect(host=host)
        self.clock.advance(ADMISSION_DELAY)
        return transport

    def test_silentIsReplaced(self) -> None:
        """A player that has sent data replaces one that has not, in the same session."""
        self.start(GameServerConfig(maxPlayers=2))
        self.fleet.reply()
        first, second = self.silent(), self.silent()
        self.fleet.reply()
        self.hooks.clear()
        players = [self.endpoint.play(), self.endpoint.play()]
        self.assertEqual([b"hello", b"hello"], [player.value() for player in players])
        self.assertEqual([Game.fullMessage] * 2, [first.value(), second.value()])
        self.assertTrue(first.ended and second.ended)
        left = "sent nothing, and another connection took its place"
        self.assertEqual(
            [
                ("left", "192.0.2.1:40001", left),
                ("joined", "192.0.2.1:40003"),
                ("left", "192.0.2.1:40002", left),
                ("joined", "192.0.2.1:40004"),
            ],
            self.hooks,
        )
        self.assertEqual(Game.fullMessage, self.endpoint.play().value())
        status = self.server.status()
        self.assertEqual((2, 1, 3), (status.players, status.session, status.refused))
        first.lose(ConnectionDone())
        self.assertEqual(2, self.server.status().players)
        self.assertEqual(["register", "utilize"], self.fleet.operations)

    def test_onlyPlayerIsReplaced(self) -> None:
        """The session goes on if its only player is replaced."""
        self.start(GameServerConfig(maxPlayers=1))
        self.fleet.reply()
        self.silent()
        self.fleet.reply()
        self.endpoint.play().protocol.dataReceived(b"q")
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.operations)
        self.assertEqual(1, self.server.status().session)

    def test_claimedPlayerReplacesSilent(self) -> None:
        """A silent connection after a claim does not take the place of the claimed player."""
        self.start(GameServerConfig(claimedOnly=True, maxPlayers=1))
        self.fleet.reply()
        unclaimed = self.silent()
        player = self.endpoint.play()
        self.fleet.reply(claimed=True)
        self.assertEqual((Game.fullMessage, b"hello"), (unclaimed.value(), player.value()))

    def test_notReplaced(self) -> None:
        """A player that has sent data is not replaced, and a silent connection replaces no one."""
        self.start(GameServerConfig(maxPlayers=1))
        player = self.silent()
        self.assertEqual(Game.fullMessage, self.silent().value())
        player.protocol.dataReceived(b"late")
        self.assertEqual(Game.fullMessage, self.endpoint.play().value())
        self.assertEqual(b"late", player.value())

    def test_silentOfAnAddressIsReplaced(self) -> None:
        """With a limit per address, only a player of the same address is replaced."""
        self.start(GameServerConfig(maxPerAddress=1))
        other, same = self.silent("192.0.2.2"), self.silent()
        self.assertEqual(b"hello", self.endpoint.play().value())
        self.assertEqual((b"", Game.fullMessage), (other.value(), same.value()))

    def test_replacementIsClosed(self) -> None:
        """If a hook closes the connection that takes a place, the session ends."""
        self.start(GameServerConfig(maxPlayers=1))
        self.fleet.reply()
        self.silent()
        self.fleet.reply()
        late = self.endpoint.connect()
        self.onLeft = lambda: late.protocol.close("closed by a hook")
        late.protocol.dataReceived(b"hello")
        self.assertEqual((0, 1), (self.server.status().players, self.server.status().session))
        self.assertEqual("deregister", self.fleet.pendingCall().operation)

    def test_maxPlayersPerAddress(self) -> None:
        """The limit per address rejects and counts; other addresses are admitted."""
        self.start(GameServerConfig(maxPerAddress=2))
        first, second = self.endpoint.play(), self.endpoint.play()
        self.assertEqual(Game.fullMessage, self.endpoint.play().value())
        self.assertEqual(b"hello", self.endpoint.play(host="192.0.2.2").value())
        first.protocol.dataReceived(b"q")
        self.assertEqual(b"hello", self.endpoint.play().value())
        self.assertEqual(Game.fullMessage, self.endpoint.play().value())
        self.assertEqual(2, self.server.status().refused)
        second.protocol.dataReceived(b"q")
        self.assertEqual(b"hello", self.endpoint.play().value())

    def test_lateAddress(self) -> None:
        """A player whose PROXY header arrives late is counted under its first address."""
        self.start(GameServerConfig(maxPerAddress=1))
        for _ in range(2):
            player = self.endpoint.play()
            self.assertEqual(b"hello", player.value())
            player.peerAddr = IPv4Address("TCP", "203.0.113.9", 1111)
            player.protocol.dataReceived(b"q")
        late = self.endpoint.play(host="203.0.113.9")
        self.assertEqual(b"hello", late.value())
        self.assertEqual(Game.fullMessage, self.endpoint.play(host="203.0.113.9").value())

    def test_joinDuringClaimed(self) -> None:
        """If a player joins during the game's hook claimed, the server is UTILIZED nevertheless."""
        self.startClaimedOnly()
        self.endpoint.play()
        self.onClaimed = self.endpoint.play
        self.fleet.reply(claimed=True)
        self.assertEqual(2, self.server.status().players)
        self.assertEqual("utilize", self.fleet.pendingCall().operation)

    def startClaimedOnly(self) -> None:
        """Start a game server that admits claimed players only, and is AVAILABLE."""
        self.start(GameServerConfig(claimedOnly=True, maxPlayers=2))
        self.fleet.reply()

    def test_claimFirst(self) -> None:
        """Without a claim a player receives CLAIM FIRST; nothing is echoed, no session starts."""
        self.startClaimedOnly()
        player = self.endpoint.play()
        self.assertEqual(b"", player.value())
        self.fleet.reply(claimed=False)
        self.assertEqual(Game.claimFirstMessage, player.value())
        self.assertTrue(player.ended)
        another = self.endpoint.play()
        self.clock.advance(CALL_INTERVAL)
        self.fleet.reply(claimed=False)
        self.assertEqual(Game.claimFirstMessage, another.value())
        self.assertEqual(2, self.server.status().refused)
        self.assertEqual(["register", "describe", "describe"], self.fleet.operations)

    def test_claimedAfterUnclaimed(self) -> None:
        """A player whose claim came after a negative result is admitted with the next one."""
        self.startClaimedOnly()
        self.endpoint.play()
        self.fleet.reply(claimed=False)
        player = self.endpoint.play()
        self.assertEqual(b"", player.value())
        self.clock.advance(CALL_INTERVAL)
        self.fleet.reply(claimed=True)
        self.assertEqual(b"hello", player.value())

    def test_claimedDuringCheck(self) -> None:
        """A player who connects during a call is not rejected by its negative result."""
        self.startClaimedOnly()
        unclaimed = self.endpoint.play()
        player = self.endpoint.play()
        self.fleet.reply(claimed=False)
        self.assertEqual((Game.claimFirstMessage, b""), (unclaimed.value(), player.value()))
        self.clock.advance(CALL_INTERVAL)
        self.fleet.reply(claimed=True)
        self.assertEqual(b"hello", player.value())

    def test_sessionStartsDuringCheck(self) -> None:
        """If a session has started in the meantime, a negative result rejects nobody."""
        self.start(GameServerConfig(claimedOnly=True, sessionPolicy="claim", heartbeat=10.0))
        self.fleet.reply()
        player = self.endpoint.play()
        self.server.claimChanged(True, "")
        self.assertEqual(["register", "describe", "utilize"], self.fleet.operations)
        self.fleet.waiting.pop(0).result.errback(callFailed())
        self.assertEqual(b"hello", player.value())

    def test_stopDuringCheck(self) -> None:
        """A check that waits for its call when the game server stops leaves nothing."""
        self.startClaimedOnly()
        players = [self.endpoint.play()]
        self.fleet.reply(claimed=False)
        players.append(self.endpoint.play())
        for player in players:
            player.lose(ConnectionDone())
        self.stop()
        self.fleet.reply()
        self.assertStopped()

    def test_claimed(self) -> None:
        """A claimed player is admitted, and others without a call, up to the limit."""
        self.startClaimedOnly()
        players = [self.endpoint.play() for _ in range(3)]
        self.fleet.reply(claimed=True)
        self.assertEqual(
            [b"hello", b"hello", Game.fullMessage], [player.value() for player in players]
        )
        players[0].protocol.dataReceived(b"q")
        self.assertEqual(b"hello", self.endpoint.play().value())
        self.assertEqual(["register", "describe", "utilize"], self.fleet.operations)

    def test_claimOfEndedSession(self) -> None:
        """After the session, before the next registration, there is no claim."""
        self.startClaimedOnly()
        player = self.endpoint.play()
        self.fleet.reply(claimed=True)
        self.fleet.reply()
        player.protocol.dataReceived(b"q")
        another = self.endpoint.play()
        self.clock.advance(CALL_INTERVAL)
        self.assertEqual(Game.claimFirstMessage, another.value())

    def test_claimFirstBeforeRegister(self) -> None:
        """Before the registration starts, there is no claim."""
        self.start(GameServerConfig(claimedOnly=True), registered=False)
        self.assertEqual(Game.claimFirstMessage, self.endpoint.play().value())

    def test_claimsDataToTheGame(self) -> None:
        """The game gets the data of a claim before the first player joins, or with UTILIZED."""
        seen = {"lastClaim": datetime(2026, 1, 1, tzinfo=UTC), "gameServerData": "map=7"}
        for rules in (GameServerConfig(), GameServerConfig(claimedOnly=True)):
            self.start(rules)
            claims = self.claims
            self.fleet.reply()
            self.endpoint.play()
            if rules.claimedOnly:
                self.assertEqual([], claims)
                self.fleet.reply(claimed=True, **seen)
                self.assertEqual(["map=7"], claims)
            self.endpoint.play()
            self.fleet.reply(**seen)
            self.assertEqual(["map=7"], claims)

    def test_claimedRaises(self) -> None:
        """If the game's hook claimed raises, the session goes on, and is UTILIZED."""
        self.gameFails = True
        self.startClaimedOnly()
        player = self.endpoint.play()
        self.fleet.reply(claimed=True)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual(b"hello", player.value())
        self.assertEqual("utilize", self.fleet.pendingCall().operation)

    def test_acceptRate(self) -> None:
        """Above the accept rate the port pauses. The state in FleetIQ does not change."""
        self.start(GameServerConfig(acceptRate=TokenBucket(2.0, 3.0)))
        self.fleet.reply()
        for _ in range(3):
            self.assertTrue(self.endpoint.reading)
            self.endpoint.play()
        self.assertFalse(self.endpoint.reading)
        self.clock.advance(0.5)
        self.assertTrue(self.endpoint.reading)
        self.assertEqual(["register", "utilize"], self.fleet.operations)

    def test_descriptors(self) -> None:
        """Without descriptors, an idle server is deregistered; one with a session is not."""
        self.start()
        self.fleet.reply()
        self.used = 1024 - RESERVED_DESCRIPTORS - 16
        player = self.endpoint.play()
        self.fleet.reply()
        for _ in range(16):
            self.used += 1
            self.assertTrue(self.endpoint.reading)
            self.endpoint.connect().lose(ConnectionDone())
        self.assertFalse(self.endpoint.reading)
        self.assertEqual(["register", "utilize"], self.fleet.operations)
        player.protocol.dataReceived(b"q")
        self.fleet.reply()
        self.clock.advance(20.0)
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.operations)
        self.used = 100
        self.clock.advance(RECOUNT_INTERVAL)
        self.assertTrue(self.endpoint.reading)
        self.assertEqual("register", self.fleet.pendingCall().operation)

    def test_failingFleet(self) -> None:
        """An error of FleetIQ never disconnects a player."""
        self.start()
        player = self.endpoint.play()
        self.fleet.fail(callFailed(retry=False))
        player.protocol.dataReceived(b" still")
        self.assertEqual(b"hello still", player.value())
        self.assertEqual(1, len(self.refusals))


class StatusTests(GameServerTestCase):
    """L{GameServer.status}."""

    def test_life(self) -> None:
        """The status from the bound port to the end of a session."""
        self.start(registered=False)
        self.assertEqual(self.server.status(), GameServerStatus(5000, 0, 0, 0, 0, True, False))
        self.register()
        self.assertEqual(
            self.server.status().notReadyReason(), "The game server on port 5000 is not registered."
        )
        self.fleet.reply()
        self.clock.advance(1.0)
        player = self.endpoint.play(b"hello")
        self.fleet.reply()
        status = self.server.status()
        self.assertIsNone(status.notReadyReason())
        self.assertEqual((status.known, status.wanted), (Utilized(1), Utilized(1)))
        self.assertEqual((status.players, status.session, status.receivedBytes), (1, 1, 5))
        self.assertEqual((status.lastReport, status.nextReportDue), (1.0, 55.0))
        player.lose(ConnectionDone())
        self.fleet.reply()
        status = self.server.status()
        self.assertEqual((status.players, status.session, status.receivedBytes), (0, 1, 5))
        self.assertEqual((status.known, status.lastReport), (Absent(), None))

    def test_lastError(self) -> None:
        """A failure has its time and the time of the first one. The last error stays."""
        self.start()
        self.clock.advance(1.0)
        error = callFailed()
        self.fleet.fail(error)
        status = self.server.status()
        self.assertEqual(
            (status.lastError, status.lastErrorTime, status.degradedSince), (str(error), 1.0, 1.0)
        )
        self.clock.advance(1.0)
        self.fleet.fail(callFailed())
        self.assertEqual(self.server.status().degradedSince, 1.0)
        self.clock.advance(2.0)
        self.fleet.reply()
        status = self.server.status()
        self.assertEqual((status.lastErrorTime, status.degradedSince), (2.0, None))

    def test_draining(self) -> None:
        """A drain by FleetIQ can be cancelled; the end of the instance cannot."""
        self.start()
        self.fleet.reply()
        self.server.drain("the instance ends")
        self.assertTrue(self.server.status().draining)
        self.server.cancelDrain()
        self.assertFalse(self.server.status().draining)
        self.server.terminate(None, "the instance ends")
        self.assertTrue(self.server.status().draining)


class ReadinessTests(GameServerTestCase):
    """Games that are not ready, and the end of games."""

    def test_ready(self) -> None:
        """A game is ready at once by default. Its own hook decides otherwise."""
        self.start(registered=False)
        self.successResultOf(self.server.ready())
        loading: Deferred[None] = Deferred()
        self.patch(RecordingGame, "ready", lambda _: loading)
        ready = self.server.ready()
        self.assertNoResult(ready)
        loading.callback(None)
        self.successResultOf(ready)

    def test_notReady(self) -> None:
        """While the game is not ready, an idle game server is not registered."""
        self.start()
        self.fleet.reply()
        self.server.setReady(False)
        self.fleet.reply()
        self.assertEqual(["register", "deregister"], self.fleet.operations)
        self.server.setReady(True)
        self.assertEqual(["register", "deregister", "register"], self.fleet.operations)

    def test_notReadyInSession(self) -> None:
        """A session goes on while the game is not ready."""
        self.start()
        self.fleet.reply()
        player = self.endpoint.play()
        self.fleet.reply()
        self.server.setReady(False)
        self.assertEqual(["register", "utilize"], self.fleet.operations)
        player.protocol.dataReceived(b"q")
        self.fleet.reply()
        self.assertEqual(["register", "utilize", "deregister"], self.fleet.operations)
        self.assertEqual([], self.fleet.waiting)

    def test_stopped(self) -> None:
        """The hook stopped is called last, and the game server waits for it."""
        ending: Deferred[None] = Deferred()
        self.start()
        self.fleet.reply()

        def stopped(_: object) -> Deferred[None]:
            self.assertEqual(["register", "deregister"], self.fleet.operations)
            self.assertFalse(self.endpoint.listening)
            return ending

        self.patch(RecordingGame, "stopped", stopped)
        self.stop()
        self.fleet.reply()
        self.assertNoResult(self.stopped)
        ending.callback(None)
        self.assertStopped()

    def test_stoppedNever(self) -> None:
        """A second signal ends the wait for a game that does not end."""
        self.start()
        self.fleet.reply()
        self.patch(RecordingGame, "stopped", lambda _: Deferred())
        self.stop()
        self.fleet.reply()
        self.assertNoResult(self.stopped)
        self.server.skipGracePeriod()
        self.assertStopped()

    def test_stoppedFails(self) -> None:
        """If the hook stopped fails, the game server stops nevertheless."""
        self.start()
        self.fleet.reply()
        self.patch(RecordingGame, "stopped", lambda _: fail(ValueError("a game that fails")))
        self.stop()
        self.fleet.reply()
        self.assertStopped()
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_exitCode(self) -> None:
        """The highest exit code of several counts."""
        self.start()
        self.assertEqual(0, self.server.exitCode)
        self.server.stop("the game is over", 3)
        self.server.stop("once more")
        self.fleet.reply()
        self.fleet.reply()
        self.successResultOf(self.server.finished)
        self.assertEqual(3, self.server.exitCode)

    def test_endSession(self) -> None:
        """With the session policy claim, the game may end a session that a claim has started."""
        self.start(GameServerConfig(sessionPolicy="claim"))
        self.server.claimChanged(True, "map=1")
        self.assertEqual(1, self.server.session)
        self.server.endSession()
        self.assertIsNone(self.server.session)
        self.assertRaises(RuntimeError, self.server.startSession)
