"""The player library: claim, connect, send."""

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


class Answers:
    """Where calls are made: each gets the next answer, and is kept."""

    def __init__(self, *answers: dict[str, Any] | Exception | Deferred[dict[str, Any]]) -> None:
        self.requests: list[dict[str, Any]] = []
        self._answers = list(answers)

    def call(self, operation: str, **request: Any) -> Deferred[dict[str, Any]]:
        self.requests.append({"operation": operation, **request})
        answer = self._answers.pop(0)
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


class ClaimTests(SynchronousTestCase):
    """Claiming, once or for a while."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[float] = []

    def claim(self, answers: Answers, **how: Any) -> Deferred[client.Claim]:
        """Claim with these answers, and the longest pauses."""
        return client.claim(
            FleetIQ(answers, "fleet"),
            self.clock,
            random=lambda: 1.0,
            retrying=lambda _reason, pause: self.told.append(pause),
            **how,
        )

    def test_claimed(self) -> None:
        """The claim holds for 60 s from the call, however late the reply, and then for none."""
        self.clock.advance(1000)
        reply: Deferred[dict[str, Any]] = Deferred()
        answers = Answers(reply)
        claiming = self.claim(answers, gameServerId="gs-1")
        self.clock.advance(5)
        reply.callback({"GameServer": {"GameServerId": "gs-1"}})
        claimed = self.successResultOf(claiming)
        self.assertEqual(claimed.server.gameServerId, "gs-1")
        self.assertEqual(answers.requests[0]["GameServerId"], "gs-1")
        self.assertEqual([claimed.holds(now) for now in (1000, 1059, 1061)], [60, 1, 0])

    def test_onceWithoutWait(self) -> None:
        """A try that failed is not repeated."""
        self.failureResultOf(self.claim(Answers(FULL)), OutOfCapacityException)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits(self) -> None:
        """Pauses double up to 8 s; the last try is when the time is up."""
        claiming = self.claim(Answers(*[FULL] * 7), wait=30)
        for pause in (1, 2, 4, 8, 8, 7):
            self.assertNoResult(claiming)
            self.assertEqual(self.told[-1], pause)
            self.clock.advance(pause)
        self.failureResultOf(claiming, OutOfCapacityException)
        self.assertEqual(self.told, [1, 2, 4, 8, 8, 7])

    def test_claimLapses(self) -> None:
        """A claim conflict is retried: the other client's claim may expire."""
        taken = callFailed(ConflictException, retry=False)
        answers = Answers(taken, {"GameServer": {"GameServerId": "gs-1"}})
        claiming = self.claim(answers, gameServerId="gs-1", wait=30)
        self.assertNoResult(claiming)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(claiming).server.gameServerId, "gs-1")
        self.assertEqual([asked["GameServerId"] for asked in answers.requests], ["gs-1"] * 2)

    def test_spread(self) -> None:
        """Players who wait together try again at different times, none at once."""
        claiming = client.claim(
            FleetIQ(Answers(FULL, {"GameServer": {"GameServerId": "gs-1"}}), "fleet"),
            self.clock,
            random=lambda: 0.0,
            wait=30,
        )
        self.clock.advance(0.49)
        self.assertNoResult(claiming)
        self.clock.advance(0.01)
        self.successResultOf(claiming)

    def test_notRepeated(self) -> None:
        """What may have happened might reserve a second server; what is refused stays refused."""
        for retry, mayHaveHappened in ((True, True), (False, False)):
            answers = Answers(callFailed(retry=retry, mayHaveHappened=mayHaveHappened))
            self.failureResultOf(self.claim(answers, wait=30), CallFailed)


class PlayerTestCase(SynchronousTestCase):
    """A player on a transport in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.received: list[bytes] = []
        self.transport = StringTransport()
        self.player = client.PlayerProtocol(self.clock, self.received.append)
        self.player.makeConnection(self.transport)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def sent(self) -> bytes:
        """What was sent since the last look."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data


class PlayerProtocolTests(PlayerTestCase):
    """Bytes out, and the same bytes back."""

    def test_comesBack(self) -> None:
        """A line is answered when all of it came back, however it is cut; all is told of."""
        answer = self.player.say(b"hello")
        self.assertEqual(self.sent(), b"hello")
        self.player.dataReceived(b"he")
        self.assertNoResult(answer)
        self.player.dataReceived(b"llo")
        self.assertIs(self.successResultOf(answer), True)
        self.assertEqual((self.received, self.player.missing), ([b"he", b"llo"], 0))

    def test_amongOtherWords(self) -> None:
        """A server that says more than it was told still gave it back."""
        answer = self.player.say(b"hello")
        self.player.dataReceived(b"welcome\nhello\n")
        self.assertIs(self.successResultOf(answer), True)

    def test_otherWords(self) -> None:
        """As many other bytes are no answer."""
        answer = self.player.say(b"hello")
        self.player.dataReceived(b"FULL\n")
        self.assertNoResult(answer)
        self.player.connectionLost(connectionDone)
        self.assertIs(self.successResultOf(answer), False)
        self.assertEqual(self.player.missing, 5)

    def test_silence(self) -> None:
        """3 s without a byte, and a line is no longer waited for, not even with the next one."""
        answer = self.player.say(b"hello")
        self.clock.advance(2)
        self.player.dataReceived(b"hell")
        self.clock.advance(2)
        self.assertNoResult(answer)
        self.clock.advance(1)
        self.assertIs(self.successResultOf(answer), False)
        answer = self.player.say(b"again")
        self.player.dataReceived(b"again")
        self.assertIs(self.successResultOf(answer), True)
        self.player.dataReceived(b"o")
        self.assertEqual(self.player.missing, 1)

    def test_afterTheEnd(self) -> None:
        """Nothing comes back on a connection that has ended."""
        self.player.connectionLost(connectionDone)
        self.assertIs(self.successResultOf(self.player.say(b"hello")), False)
        self.successResultOf(self.player.whenClosed())
        self.assertEqual(self.sent(), b"")

    def test_leave(self) -> None:
        """After goodbye the server closes."""
        left = self.player.leave()
        self.assertEqual(self.sent(), b"q")
        self.assertNoResult(left)
        self.player.connectionLost(connectionDone)
        self.assertIs(self.successResultOf(left), True)

    def test_hangsUp(self) -> None:
        """A server that does not close within 3 s is left all the same."""
        left = self.player.leave()
        self.clock.advance(3)
        self.assertIs(self.successResultOf(left), False)
        self.assertTrue(self.transport.disconnecting)
        self.player.connectionLost(connectionDone)


class Lines:
    """Lines that a test gives."""

    def __init__(self) -> None:
        self.ended = False
        self.asked = 0
        self._awaited: Deferred[bytes | None] = Deferred()

    def next(self) -> Deferred[bytes | None]:
        self.asked += 1
        self._awaited = Deferred()
        return self._awaited

    def give(self, line: bytes | None) -> None:
        self._awaited.callback(line)

    def end(self) -> None:
        if not self.ended and not self._awaited.called:
            self._awaited.callback(None)
        self.ended = True


class PlayTests(PlayerTestCase):
    """A game, from the first line to the goodbye."""

    def setUp(self) -> None:
        super().setUp()
        self.lines = Lines()
        self.answers = 0
        self.game = client.play(self.player, self.lines, self.answered)

    def answered(self) -> None:
        self.answers += 1

    def lose(self) -> None:
        """The server closes the connection."""
        self.player.connectionLost(connectionDone)

    def test_lineByLine(self) -> None:
        """Lines go out as they are; the end of the lines says q, and is no line."""
        for line in (b"hello", b"", b"again"):
            self.lines.give(line)
            self.assertEqual(self.sent(), line)
            self.player.dataReceived(line)
        self.assertEqual(self.answers, 2)
        self.lines.give(None)
        self.assertEqual(self.sent(), b"q")
        self.lose()
        over = self.successResultOf(self.game)
        self.assertEqual(over, client.GameOver(early=False, ignored=False, missing=0))

    def test_goodbye(self) -> None:
        """Q is sent as it was typed, and nothing is read after it."""
        self.lines.give(b"Q")
        self.assertEqual(self.sent(), b"Q")
        self.assertTrue(self.lines.ended)
        self.lose()
        self.assertFalse(self.successResultOf(self.game).early)

    def test_neverTwoAtOnce(self) -> None:
        """q waits for the line before it, so that no server reads them as one."""
        self.lines.give(b"hello")
        self.assertEqual((self.lines.asked, self.answers), (1, 0))
        self.player.dataReceived(b"hello")
        self.assertEqual((self.lines.asked, self.answers), (2, 1))
        self.lines.give(b"q")
        self.assertEqual(self.sent(), b"helloq")
        self.lose()
        self.successResultOf(self.game)

    def test_closedEarly(self) -> None:
        """A server that closes before the goodbye ends the game, and the lines."""
        self.player.dataReceived(b"FULL\n")
        self.lose()
        self.assertTrue(self.lines.ended)
        self.assertEqual(self.received, [b"FULL\n"])
        self.assertTrue(self.successResultOf(self.game).early)

    def test_closedInTheMiddle(self) -> None:
        """What had not come back by then is counted."""
        self.lines.give(b"hello")
        self.player.dataReceived(b"he")
        self.lose()
        over = self.successResultOf(self.game)
        self.assertEqual(over, client.GameOver(early=True, ignored=False, missing=3))

    def test_ignored(self) -> None:
        """A server that ignores the goodbye is left."""
        self.lines.give(None)
        self.clock.advance(3)
        self.assertTrue(self.successResultOf(self.game).ignored)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """A way to a server; the test says what becomes of it."""

    def __init__(self) -> None:
        self.connecting: Deferred[Any] = Deferred()

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        self.factory = protocolFactory
        return self.connecting


class ConnectTests(SynchronousTestCase):
    """To a server that was claimed 20 s ago."""

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

    def sentence(self) -> str:
        """Why there is no connection."""
        return str(self.failureResultOf(self.connected, client.NotReached).value)

    def test_connected(self) -> None:
        """Fires with the player."""
        player = self.endpoint.factory.buildProtocol(None)  # type: ignore[arg-type] # not looked at
        self.endpoint.connecting.callback(player)
        self.assertIs(self.successResultOf(self.connected), player)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noAnswer(self) -> None:
        """After 5 s: the server, the address, the usual suspects, and how long the claim holds."""
        self.clock.advance(4.9)
        self.assertNoResult(self.connected)
        self.clock.advance(0.1)
        sentence = self.sentence()
        for part in ("gs-1", "1.2.3.4:7000", "security group", "network ACL", "another 35 s"):
            self.assertIn(part, sentence)

    def test_reasons(self) -> None:
        """Refused, unknown, or whatever else the operating system says."""
        for reason, part in (
            (error.ConnectionRefusedError(), "refuses connections"),
            (error.DNSLookupError(), "DNS"),
            (error.NoRouteError(), "No route"),
        ):
            self.setUp()
            self.endpoint.connecting.errback(reason)
            sentence = self.sentence()
            for expected in ("gs-1", "1.2.3.4", part, "another 40 s."):
                self.assertIn(expected, sentence)
