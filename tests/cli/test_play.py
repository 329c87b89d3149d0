"""The fleetiq command play: what is typed, what is shown, how a game ends."""

from __future__ import annotations

from io import StringIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from echoserver.address import Address
from echoserver.cli.console import Console, printable
from echoserver.cli.lines import LONGEST_LINE, Typed
from echoserver.gamelift.errors import ConflictException, OutOfCapacityException
from tests.clidoubles import GROUPS, SERVER, Closed, CommandTestCase, Door, Endpoint
from tests.doubles import callFailed


class PlayTests(CommandTestCase):
    """Claim, connect, play."""

    def setUp(self) -> None:
        super().setUp()
        self.door.answers("ClaimGameServer", {"GameServer": SERVER})

    def test_script(self) -> None:
        """Each text goes out by itself and comes back on a line; then it leaves."""
        self.assertEqual(self.run_("play", "--send", "hello", "--send", "안녕"), 0)
        self.assertEqual(self.out, "hello\n안녕\n")
        self.assertEqual(self.endpoint.transport.value(), "hello안녕q".encode())
        self.assertEqual(self.said, "Claimed game server gs-1.\nConnected to localhost:7000.\n")
        self.assertEqual(self.addresses, [Address("localhost", 7000)])

    def test_typed(self) -> None:
        """What is typed comes back, until q."""
        playing = self.start("play")
        self.assertIn("q leaves", self.said)
        self.stdin.dataReceived(b"hello\nyo")
        self.assertEqual(self.out, "hello\n")
        self.stdin.dataReceived(b"u\nq\nnever\n")
        self.assertEqual(self.successResultOf(playing), 0)
        self.assertEqual(self.out, "hello\nyou\n")
        self.assertEqual(self.endpoint.transport.value(), b"helloyouq")

    def test_endOfInput(self) -> None:
        """The end of input leaves."""
        playing = self.start("play")
        self.stdin.dataReceived(b"hello")
        self.stdin.connectionLost(connectionDone)
        self.assertEqual(self.successResultOf(playing), 0)
        self.assertEqual(self.out, "hello\n")

    def test_port(self) -> None:
        """A bare host is played on at --port; --id names the server."""
        bare = {"GameServer": SERVER | {"ConnectionInfo": "1.2.3.4"}}
        self.door.answers("ClaimGameServer", bare)
        self.run_("play", "--port", "6000", "--id", "gs-1", "--send", "hello")
        self.assertEqual(self.addresses, [Address("1.2.3.4", 6000)])
        request = {"GameServerGroupName": "local", "GameServerId": "gs-1"}
        self.assertIn(("ClaimGameServer", request), self.door.asked)

    def test_full(self) -> None:
        """A server that closes first is quoted, and exit status 1."""
        self.endpoint = Endpoint(says=b"FULL\n")
        self.assertEqual(self.run_("play", "--send", "hello"), 1)
        self.assertEqual(self.out, "FULL\n")
        self.assertTrue(
            self.said.endswith("Game server gs-1 closed the connection before you left.\n")
        )

    def test_closedInTheMiddle(self) -> None:
        """Of a server that closes before all came back, it says only that it closed early."""
        playing = self.start("play")
        player: Any = self.endpoint.transport.player
        self.endpoint.transport.player = IProtocol(Typed())
        self.stdin.dataReceived(b"hello\n")
        player.connectionLost(connectionDone)
        self.assertEqual(self.successResultOf(playing), 1)
        self.assertTrue(
            self.said.endswith("Game server gs-1 closed the connection before you left.\n")
        )

    def test_silent(self) -> None:
        """A server that neither echoes nor closes: both are said, and exit status 1."""
        playing = self.start("play")
        self.endpoint.transport.player = IProtocol(Typed())
        self.stdin.dataReceived(b"hello\n")
        self.clock.advance(3)
        self.stdin.connectionLost(connectionDone)
        self.clock.advance(3)
        self.assertEqual(self.successResultOf(playing), 1)
        self.assertIn(
            "did not close after q: we did.\n5 of the bytes you sent did not come back in time.\n",
            self.said,
        )

    def test_nobodyReads(self) -> None:
        """If the reader of the output is gone, the player quits."""
        self.makeStdout = Closed
        for words, typed, sent in (
            ((), b"hello\nmore\n", b"helloq"),
            (("--send", "hello", "--send", "more"), b"", b"helloq"),
            ((), b"", b"q"),
        ):
            self.door = Door()
            self.door.answers("ClaimGameServer", {"GameServer": SERVER})
            playing = self.start("play", *words)
            if typed:
                self.stdin.dataReceived(typed)
            elif not words:
                self.endpoint.transport.player.dataReceived(b"hurry")
            self.assertEqual(self.endpoint.transport.value(), sent)
            self.assertEqual(self.successResultOf(playing), 0)

    def test_raw(self) -> None:
        """Control characters and bytes that are no UTF-8 are escaped, however TCP cuts them."""
        playing = self.start("play")
        player: Any = self.endpoint.transport.player
        for data in (b"\x1b[2J\xec\x95", b"\x88\x9b\tend\xc2"):
            player.dataReceived(data)
        player.connectionLost(connectionDone)
        self.successResultOf(playing)
        self.assertEqual(self.out, "\\x1b[2J안\\x9b\tend\\xc2\n")

    def test_noAddress(self) -> None:
        """A ConnectionInfo that leads nowhere is quoted."""
        self.door.answers("ClaimGameServer", {"GameServer": SERVER | {"ConnectionInfo": "a b"}})
        self.assertEqual(self.run_("play"), 1)
        self.assertIn("Game server gs-1 cannot be played on: ConnectionInfo 'a b'", self.said)

    def test_notReached(self) -> None:
        """A server that refuses is a sentence."""
        self.endpoint = Endpoint(fails=ConnectionRefusedError())
        self.assertEqual(self.run_("play"), 1)
        self.assertIn("refuses connections", self.said)

    def test_noCapacity(self) -> None:
        """What is listed is counted."""
        utilized = {"GameServers": [SERVER | {"UtilizationStatus": "UTILIZED"}] * 2}
        for listed, sentence in (
            (
                utilized,
                "of 2 listed, 0 available, 0 claimed, 2 utilized. --wait SECONDS keeps trying.",
            ),
            (
                {},
                (
                    "none is registered. Start one, for instance with "
                    "'twistd -n fleetiq-echo --local http://127.0.0.1:4570'."
                ),
            ),
            (callFailed(), f"and they could not be counted: {callFailed()}"),
        ):
            self.door.answers("ListGameServerGroups", GROUPS)
            self.door.answers("ClaimGameServer", callFailed(OutOfCapacityException))
            self.door.answers("ListGameServers", listed)
            self.assertEqual(self.run_("play"), 1)
            self.assertTrue(self.said.startswith("No game server of group local is free"))
            self.assertTrue(self.said.endswith(f"{sentence}\n"))

    def test_noneInAWS(self) -> None:
        """In AWS, what starts a game server names the group."""
        self.door.answers("ClaimGameServer", callFailed(OutOfCapacityException))
        self.door.answers("ListGameServers", {})
        self.assertEqual(self.run_("--group", "g", "play"), 1)
        self.assertTrue(self.said.endswith("with 'twistd -n fleetiq-echo --group g'.\n"))

    def test_waitedInVain(self) -> None:
        """After a wait the message does not suggest --wait."""
        self.door.answers("ClaimGameServer", *[callFailed(OutOfCapacityException)] * 2)
        self.door.answers("ListGameServers", {"GameServers": [SERVER]})
        playing = self.start("play", "--wait", "0.5")
        self.clock.advance(0.5)
        self.assertEqual(self.successResultOf(playing), 1)
        self.assertTrue(self.said.endswith(": of 1 listed, 1 available, 0 claimed, 0 utilized.\n"))

    def test_wait(self) -> None:
        """With --wait it tries again, and says so."""
        self.door.answers(
            "ClaimGameServer",
            callFailed(OutOfCapacityException),
            callFailed(),
            {"GameServer": SERVER},
        )
        playing = self.start("play", "--wait", "60", "--send", "hello")
        self.clock.advance(1)
        self.clock.advance(2)
        self.assertEqual(self.successResultOf(playing), 0)
        first, second, *_ = self.said.splitlines()
        self.assertRegex(first, r"^No game server is free; trying again in [01]\.\d s\.$")
        self.assertRegex(second, r"^AnOperation was refused: SomeException; trying again in [12]")

    def test_taken(self) -> None:
        """A server that somebody else has is a sentence; with --wait, after that time."""
        taken = callFailed(ConflictException, retry=False)
        self.door.answers("ClaimGameServer", taken, taken, taken)
        self.assertEqual(self.run_("play", "--id", "gs-1"), 1)
        self.assertIn("Game server gs-1 is claimed or in play. Leave out --id", self.said)
        self.door.answers("ListGameServerGroups", GROUPS)
        playing = self.start("play", "--id", "gs-1", "--wait", "0.5")
        self.clock.advance(0.5)
        self.assertEqual(self.successResultOf(playing), 1)
        first, second = self.said.splitlines()
        self.assertRegex(first, r"^Game server gs-1 is claimed or in play; trying again in 0\.\d s")
        self.assertIn("Game server gs-1 is claimed or in play. Leave out --id", second)


class TypedTests(SynchronousTestCase):
    """Lines of standard input."""

    def setUp(self) -> None:
        self.transport = StringTransport()
        self.typed = Typed()
        self.typed.makeConnection(self.transport)

    def next(self) -> bytes | None:
        return self.successResultOf(self.typed.next())

    def test_lines(self) -> None:
        """Cut anywhere; without their line ends; the last one needs none."""
        self.typed.dataReceived(b"one\ntwo\r\n")
        self.assertEqual([self.next(), self.next()], [b"one", b"two"])
        third = self.typed.next()
        self.typed.dataReceived(b"th")
        self.assertNoResult(third)
        self.typed.dataReceived(b"ree\n\nfive")
        self.assertEqual(self.successResultOf(third), b"three")
        self.typed.connectionLost(connectionDone)
        self.assertEqual([self.next(), self.next(), self.next()], [b"", b"five", None])

    def test_readWhenAsked(self) -> None:
        """Input is read only while a line is waited for."""
        self.typed.dataReceived(b"one\ntwo\n")
        self.assertEqual(self.transport.producerState, "paused")
        self.next()
        self.next()
        self.typed.next()
        self.assertEqual(self.transport.producerState, "producing")
        self.typed.dataReceived(b"three\n")
        self.assertEqual(self.transport.producerState, "paused")

    def test_noLineEnd(self) -> None:
        """What grows too long is a line."""
        line = self.typed.next()
        self.typed.dataReceived(b"x" * LONGEST_LINE)
        self.assertEqual(self.successResultOf(line), b"x" * LONGEST_LINE)

    def test_end(self) -> None:
        """When the game is over nothing is read any more."""
        line = self.typed.next()
        self.typed.end()
        self.typed.end()
        self.assertIs(self.successResultOf(line), None)
        self.assertEqual(self.transport.producerState, "paused")


class ConsoleTests(SynchronousTestCase):
    """What reaches a terminal."""

    @settings(deadline=None, max_examples=100)
    @given(st.text())
    def test_printable(self, text: str) -> None:
        """No control character but newlines and tabs; what has none is left as it is."""
        shown = printable(text)
        self.assertFalse(
            any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in shown)
        )
        self.assertEqual(printable(shown), shown)

    def test_unseen(self) -> None:
        """What reorders or breaks a line is shown; what only looks unusual is left."""
        unseen = "\u202a\u202e\u2066\u2069\u200e\u200f\u2028\u2029\u061c"
        self.assertEqual(printable(unseen), unseen.encode("unicode_escape").decode())
        left = "\t한\u0301\u200d\u2027\u202f\u2065\u206a"
        self.assertEqual(printable(left), left)

    def test_sentence(self) -> None:
        """A sentence is one line."""
        stderr = StringIO()
        Console(StringIO(), stderr).say("Wrong:\nvery\x1b")
        self.assertEqual(stderr.getvalue(), "Wrong: very\\x1b\n")

    def test_lost(self) -> None:
        """A reader who has left is remembered, and not written to again."""
        closed = Closed()
        console = Console(closed, closed)
        console.show("a")
        console.show("b")
        console.say("c")
        self.assertIsInstance(console.lost, BrokenPipeError)
        self.assertEqual(closed.tries, 2)
