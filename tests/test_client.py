"""Tests of the player client: claim, connect, send lines, and quit."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echoserver import client
from echoserver.address import Address
from echoserver.gamelift.errors import CallFailed, ConflictException, OutOfCapacityException
from echoserver.gamelift.service import FleetIQ
from tests.doubles import callFailed, gameServer

FULL = callFailed(OutOfCapacityException)


class PreparedCalls:
    """
    A client of FleetIQ that returns prepared responses, one for each call.

    @ivar requests: the calls that were made.
    """

    def __init__(self, *responses: dict[str, Any] | Exception | Deferred[dict[str, Any]]) -> None:
        self.requests: list[dict[str, Any]] = []
        self._responses = list(responses)

    def call(self, operation: str, **request: Any) -> Deferred[dict[str, Any]]:
        self.requests.append({"operation": operation, **request})
        response = self._responses.pop(0)
        if isinstance(response, Deferred):
            return response
        return fail(response) if isinstance(response, Exception) else succeed(response)


class ClaimTests(SynchronousTestCase):
    """Claims, with and without retries."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.delays: list[float] = []

    def claim(self, calls: PreparedCalls, **options: Any) -> Deferred[client.Claim]:
        """Claim with these responses, and the longest delays."""
        return client.claim(
            FleetIQ(calls, "fleet"),
            self.clock,
            random=lambda: 1.0,
            onRetry=lambda _reason, delay: self.delays.append(delay),
            **options,
        )

    def test_claimed(self) -> None:
        """The claim lasts 60 s from the call, also if the reply is late."""
        self.clock.advance(1000)
        reply: Deferred[dict[str, Any]] = Deferred()
        calls = PreparedCalls(reply)
        claiming = self.claim(calls, gameServerId="gs-1")
        self.clock.advance(5)
        reply.callback({"GameServer": {"GameServerId": "gs-1"}})
        claimed = self.successResultOf(claiming)
        self.assertEqual(claimed.server.gameServerId, "gs-1")
        self.assertEqual(calls.requests[0]["GameServerId"], "gs-1")
        self.assertEqual([claimed.secondsLeft(now) for now in (1000, 1059, 1061)], [60, 1, 0])

    def test_onceWithoutWait(self) -> None:
        """Without a wait, a failed attempt is not repeated."""
        self.failureResultOf(self.claim(PreparedCalls(FULL)), OutOfCapacityException)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits(self) -> None:
        """Delays double up to 8 s; the last attempt is at the end of the wait."""
        claiming = self.claim(PreparedCalls(*[FULL] * 7), wait=30)
        for delay in (1, 2, 4, 8, 8, 7):
            self.assertNoResult(claiming)
            self.assertEqual(self.delays[-1], delay)
            self.clock.advance(delay)
        self.failureResultOf(claiming, OutOfCapacityException)
        self.assertEqual(self.delays, [1, 2, 4, 8, 8, 7])

    def test_conflictRetried(self) -> None:
        """A conflict is retried, because the claim of the other client can expire."""
        conflict = callFailed(ConflictException, retry=False)
        calls = PreparedCalls(conflict, {"GameServer": {"GameServerId": "gs-1"}})
        claiming = self.claim(calls, gameServerId="gs-1", wait=30)
        self.assertNoResult(claiming)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(claiming).server.gameServerId, "gs-1")
        self.assertEqual([request["GameServerId"] for request in calls.requests], ["gs-1"] * 2)

    def test_spread(self) -> None:
        """The random delay is at least half of the longest delay."""
        claiming = client.claim(
            FleetIQ(PreparedCalls(FULL, {"GameServer": {"GameServerId": "gs-1"}}), "fleet"),
            self.clock,
            random=lambda: 0.0,
            wait=30,
        )
        self.clock.advance(0.49)
        self.assertNoResult(claiming)
        self.clock.advance(0.01)
        self.successResultOf(claiming)

    def test_notRepeated(self) -> None:
        """An attempt that may have happened, or that cannot succeed, is not repeated."""
        for retry, mayHaveHappened in ((True, True), (False, False)):
            calls = PreparedCalls(callFailed(retry=retry, mayHaveHappened=mayHaveHappened))
            self.failureResultOf(self.claim(calls, wait=30), CallFailed)


class PlayerTestCase(SynchronousTestCase):
    """A player with a transport in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.received: list[bytes] = []
        self.transport = StringTransport()
        self.player = client.PlayerProtocol(self.clock, self.received.append)
        self.player.makeConnection(self.transport)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def sent(self) -> bytes:
        """Return the bytes sent since the last call."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data


class PlayerProtocolTests(PlayerTestCase):
    """Send bytes, and wait for the same bytes."""

    def test_echo(self) -> None:
        """send() fires when all bytes came back, in any pieces; each piece is passed on."""
        echoed = self.player.send(b"hello")
        self.assertEqual(self.sent(), b"hello")
        self.player.dataReceived(b"hel")
        self.assertNoResult(echoed)
        self.player.dataReceived(b"lo")
        self.assertIs(self.successResultOf(echoed), True)
        self.assertEqual((self.received, self.player.missingBytes), ([b"hel", b"lo"], 0))

    def test_echoAmongOtherBytes(self) -> None:
        """An echo is found between other bytes."""
        echoed = self.player.send(b"hello")
        self.player.dataReceived(b"welcome\nhello\n")
        self.assertIs(self.successResultOf(echoed), True)

    def test_otherBytes(self) -> None:
        """Other bytes of the same number are not an echo."""
        echoed = self.player.send(b"hello")
        self.player.dataReceived(b"FULL\n")
        self.assertNoResult(echoed)
        self.player.connectionLost(connectionDone)
        self.assertIs(self.successResultOf(echoed), False)
        self.assertEqual(self.player.missingBytes, 5)

    def test_echoTimeout(self) -> None:
        """After 3 s without a byte, send() fires with False; the next send() is not affected."""
        echoed = self.player.send(b"hello")
        self.clock.advance(2)
        self.player.dataReceived(b"hell")
        self.clock.advance(2)
        self.assertNoResult(echoed)
        self.clock.advance(1)
        self.assertIs(self.successResultOf(echoed), False)
        echoed = self.player.send(b"again")
        self.player.dataReceived(b"again")
        self.assertIs(self.successResultOf(echoed), True)
        self.player.dataReceived(b"o")
        self.assertEqual(self.player.missingBytes, 1)

    def test_sendAfterClose(self) -> None:
        """On a closed connection, send() fires with False and sends nothing."""
        self.player.connectionLost(connectionDone)
        self.assertIs(self.successResultOf(self.player.send(b"hello")), False)
        self.successResultOf(self.player.whenClosed())
        self.assertEqual(self.sent(), b"")

    def test_quit(self) -> None:
        """quit() sends the quit command, and fires with True when the server closes."""
        closed = self.player.quit()
        self.assertEqual(self.sent(), b"q")
        self.assertNoResult(closed)
        self.player.connectionLost(connectionDone)
        self.assertIs(self.successResultOf(closed), True)

    def test_quitLine(self) -> None:
        """After a line ending, the quit command is a line; its echo is not passed on."""
        self.player.send(b"hello\nworld")
        self.player.dataReceived(b"hello\nworld")
        self.sent()
        closed = self.player.quit()
        self.assertEqual(self.sent(), b"\nq\n")
        self.player.dataReceived(b"\n")
        self.player.connectionLost(connectionDone)
        self.assertIs(self.successResultOf(closed), True)
        self.assertEqual(self.received, [b"hello\nworld"])

    def test_quitLineSentBack(self) -> None:
        """A server that sends the quit line back gets the bare command, as the workshop's does."""
        self.player.send(b"hello\n")
        self.player.dataReceived(b"hello\n")
        self.sent()
        closed = self.player.quit(b"Q")
        self.assertEqual(self.sent(), b"Q\n")
        self.player.dataReceived(b"Q\n")
        self.assertEqual(self.sent(), b"Q")
        self.player.connectionLost(connectionDone)
        self.assertIs(self.successResultOf(closed), True)
        self.assertEqual(self.received, [b"hello\n"])

    def test_quitTimeout(self) -> None:
        """If the server does not close within 3 s, quit() closes the connection."""
        closed = self.player.quit()
        self.clock.advance(3)
        self.assertIs(self.successResultOf(closed), False)
        self.assertTrue(self.transport.disconnecting)
        self.player.connectionLost(connectionDone)


class Lines:
    """Lines that the test supplies, one at a time."""

    def __init__(self) -> None:
        self.ended = False
        self.midLine = False
        self.nextCalls = 0
        self._pending: Deferred[bytes | None] = Deferred()

    def next(self) -> Deferred[bytes | None]:
        self.nextCalls += 1
        self._pending = Deferred()
        return self._pending

    def give(self, line: bytes | None) -> None:
        self._pending.callback(line)

    def end(self) -> None:
        if not self.ended and not self._pending.called:
            self._pending.callback(None)
        self.ended = True


class QuitLineTests(PlayerTestCase):
    """A text that contains the quit command as a line."""

    def test_texts(self) -> None:
        """Text before the first quit line is sent. A q that is not alone in its line is not one."""
        for text, sent, quits in (
            (b"a\nq", b"a\n", True),
            (b"a\nQ\r\nb", b"a\n", True),
            (b"q\nb", b"", True),
            (b"aq\nqa\n q\n", b"aq\nqa\n q\n", False),
        ):
            self.setUp()
            lines = Lines()
            client.play(self.player, lines, lambda: None)
            lines.give(text)
            self.assertEqual(self.sent()[: len(sent) or None], sent or b"q")
            self.player.dataReceived(sent)
            self.assertIs(lines.ended, quits)
            self.player.connectionLost(connectionDone)

    def test_partOfLine(self) -> None:
        """In a part of a longer line, no quit command is recognized, and the line is not done."""
        lines = Lines()
        done: list[None] = []
        client.play(self.player, lines, lambda: done.append(None))
        lines.midLine = True
        lines.give(b"aaa")
        self.player.dataReceived(b"aaa")
        self.assertEqual(done, [])
        lines.midLine = False
        lines.give(b"q")
        self.assertEqual(self.sent(), b"aaaq")
        self.player.dataReceived(b"q")
        self.assertEqual((len(done), lines.ended), (1, False))
        self.player.connectionLost(connectionDone)


class PlayTests(PlayerTestCase):
    """A game, from the first line to the quit command."""

    def setUp(self) -> None:
        super().setUp()
        self.lines = Lines()
        self.linesDone = 0
        self.game = client.play(self.player, self.lines, self.lineDone)

    def lineDone(self) -> None:
        self.linesDone += 1

    def lose(self) -> None:
        """Close the connection on the server's side."""
        self.player.connectionLost(connectionDone)

    def test_lineByLine(self) -> None:
        """Lines are sent unchanged, then q at the end; empty lines are not sent."""
        for line in (b"hello", b"", b"again"):
            self.lines.give(line)
            self.assertEqual(self.sent(), line)
            self.player.dataReceived(line)
        self.assertEqual(self.linesDone, 2)
        self.lines.give(None)
        self.assertEqual(self.sent(), b"q")
        self.lose()
        result = self.successResultOf(self.game)
        self.assertEqual(
            result, client.PlayResult(closedEarly=False, quitIgnored=False, missingBytes=0)
        )

    def test_quitCommand(self) -> None:
        """Q is sent as it was typed, and no line is read after it."""
        self.lines.give(b"Q")
        self.assertEqual(self.sent(), b"Q")
        self.assertTrue(self.lines.ended)
        self.lose()
        self.assertFalse(self.successResultOf(self.game).closedEarly)

    def test_neverTwoAtOnce(self) -> None:
        """q is sent after the echo of the last line, so no server receives both as one chunk."""
        self.lines.give(b"hello")
        self.assertEqual((self.lines.nextCalls, self.linesDone), (1, 0))
        self.player.dataReceived(b"hello")
        self.assertEqual((self.lines.nextCalls, self.linesDone), (2, 1))
        self.lines.give(b"q")
        self.assertEqual(self.sent(), b"helloq")
        self.lose()
        self.successResultOf(self.game)

    def test_closedEarly(self) -> None:
        """If the server closes before the quit command, the game and the lines end."""
        self.player.dataReceived(b"FULL\n")
        self.lose()
        self.assertTrue(self.lines.ended)
        self.assertEqual(self.received, [b"FULL\n"])
        self.assertTrue(self.successResultOf(self.game).closedEarly)

    def test_closedDuringEcho(self) -> None:
        """If the server closes during an echo, the missing bytes are counted."""
        self.lines.give(b"hello")
        self.player.dataReceived(b"hel")
        self.lose()
        result = self.successResultOf(self.game)
        self.assertEqual(
            result, client.PlayResult(closedEarly=True, quitIgnored=False, missingBytes=2)
        )

    def test_quitIgnored(self) -> None:
        """The result says that the server ignored the quit command."""
        self.lines.give(None)
        self.clock.advance(3)
        self.assertTrue(self.successResultOf(self.game).quitIgnored)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """An endpoint whose result the test decides."""

    def __init__(self) -> None:
        self.connecting: Deferred[Any] = Deferred()

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        self.factory = protocolFactory
        return self.connecting


class ConnectTests(SynchronousTestCase):
    """Connect to a server that was claimed 20 s ago."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(20)
        self.endpoint = Endpoint()
        self.connected = client.connect(
            client.Claim(gameServer("gs-1"), 0.0),
            Address("1.2.3.4", 7000),
            self.endpoint,
            self.clock,
            lambda _: None,
        )

    def message(self) -> str:
        """Return the error message."""
        return str(self.failureResultOf(self.connected, client.ConnectFailed).value)

    def test_connected(self) -> None:
        """connect() fires with the player's protocol."""
        player = self.endpoint.factory.buildProtocol(None)  # type: ignore[arg-type] # not used
        self.endpoint.connecting.callback(player)
        self.assertIs(self.successResultOf(self.connected), player)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """After 5 s the message has the address, likely causes, and the time the claim is valid."""
        self.clock.advance(4.9)
        self.assertNoResult(self.connected)
        self.clock.advance(0.1)
        message = self.message()
        for part in ("gs-1", "1.2.3.4:7000", "security group", "network ACL", "another 35 s"):
            self.assertIn(part, message)

    def test_errors(self) -> None:
        """Each connect error has its own message."""
        for reason, part in (
            (error.ConnectionRefusedError(), "refuses connections"),
            (error.DNSLookupError(), "DNS"),
            (error.NoRouteError(), "No route"),
        ):
            self.setUp()
            self.endpoint.connecting.errback(reason)
            message = self.message()
            for expected in ("gs-1", "1.2.3.4", part, "another 40 s."):
                self.assertIn(expected, message)
