"""Tests of the subcommand play: its input, its output, and how a game ends."""

from __future__ import annotations

import json
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
from echoserver.cli.inputlines import CHUNK_LENGTH, InputLines
from echoserver.cli.output import Console, printable
from echoserver.gamelift.errors import ConflictException, OutOfCapacityException
from tests.clidoubles import GROUPS, SERVER, BrokenPipe, CommandTestCase, Endpoint, MemoryConnection
from tests.doubles import callFailed


class PlayTests(CommandTestCase):
    """The subcommand play, from the claim to the exit status."""

    def setUp(self) -> None:
        super().setUp()
        self.connection.respond("ClaimGameServer", {"GameServer": SERVER})

    def test_send(self) -> None:
        """Each text of --send is sent separately and comes back on a line; then play quits."""
        self.assertEqual(self.run_("play", "--send", "hello", "--send", "안녕"), 0)
        self.assertEqual(self.out, "hello\n안녕\n")
        self.assertEqual(self.endpoint.transport.value(), "hello안녕q".encode())
        self.assertEqual(self.err, "Claimed game server gs-1.\nConnected to localhost:7000.\n")
        self.assertEqual(self.addresses, [Address("localhost", 7000)])

    def test_json(self) -> None:
        """With --json each step is an object."""
        self.assertEqual(self.run_("--json", "play", "--send", "hello", "--send", "안녕"), 0)
        objects = [json.loads(line) for line in self.out.splitlines()]
        for each in objects[1:3]:
            self.assertGreaterEqual(each.pop("seconds"), 0)
        self.assertEqual(
            objects,
            [
                {"event": "connected", "address": "localhost:7000", "gameServerId": "gs-1"},
                {"event": "echo", "text": "hello"},
                {"event": "echo", "text": "안녕"},
                {"event": "end", "closedEarly": False, "quitIgnored": False, "missingBytes": 0},
            ],
        )
        self.endpoint = Endpoint(sends=b"FULL\n")
        self.connection.respond("ClaimGameServer", {"GameServer": SERVER})
        self.assertEqual(self.run_("--json", "play", "--send", "hello"), 1)
        received = json.loads(self.out.splitlines()[1])
        self.assertEqual(received, {"event": "echo", "text": "FULL\n", "seconds": None})

    def test_typed(self) -> None:
        """Lines of standard input come back, until the line q."""
        playing = self.start("play")
        self.assertIn("q ends the connection", self.err)
        self.stdin.dataReceived(b"hello\nyo")
        self.assertEqual(self.out, "hello\n")
        self.stdin.dataReceived(b"u\nq\nnever\n")
        self.assertEqual(self.successResultOf(playing), 0)
        self.assertEqual(self.out, "hello\nyou\n")
        self.assertEqual(self.endpoint.transport.value(), b"helloyouq")

    def test_endOfInput(self) -> None:
        """The end of input quits."""
        playing = self.start("play")
        self.stdin.dataReceived(b"hello")
        self.stdin.connectionLost(connectionDone)
        self.assertEqual(self.successResultOf(playing), 0)
        self.assertEqual(self.out, "hello\n")

    def test_longLine(self) -> None:
        """A line of any length comes back as it was sent, with its characters whole."""
        playing = self.start("play")
        self.stdin.dataReceived("가".encode() * 60000 + b"\nyou\n")
        self.stdin.connectionLost(connectionDone)
        self.assertEqual(self.successResultOf(playing), 0)
        self.assertEqual(self.out, "가" * 60000 + "\nyou\n")
        self.assertEqual(self.endpoint.transport.value(), "가".encode() * 60000 + b"youq")

    def test_lineEndings(self) -> None:
        """After a text with a line ending, quit is a line; a quit line in a text quits."""
        for texts, sent, output in (
            (["hello\nworld"], b"hello\nworld\nq\n", "hello\nworld\n"),
            (["hello\n", "you"], b"hello\nyou\nq\n", "hello\nyou\n"),
            (["hello\n"], b"hello\nq\n", "hello\n"),
            (["hello\nq\nworld"], b"hello\nq\n", "hello\n"),
            (["hello\r\nQ"], b"hello\r\nQ\n", "hello\\r\n"),
        ):
            self.connection.respond("ClaimGameServer", {"GameServer": SERVER})
            self.endpoint = Endpoint()
            self.assertEqual(self.run_("play", *[f"--send={text}" for text in texts]), 0)
            self.assertEqual(self.endpoint.transport.value(), sent)
            self.assertEqual(self.out, output)

    def test_join(self) -> None:
        """With --server a game server is described instead of claimed; UTILIZED does not matter."""
        described = {"GameServer": SERVER | {"UtilizationStatus": "UTILIZED"}}
        self.connection.respond("DescribeGameServer", described)
        self.assertEqual(self.run_("play", "--server", "gs-1", "--send", "hello"), 0)
        self.assertEqual(self.out, "hello\n")
        self.assertEqual(self.addresses, [Address("localhost", 7000)])
        self.assertEqual([name for name, _ in self.connection.requests], ["DescribeGameServer"])

    def test_address(self) -> None:
        """With --address no FleetIQ is needed."""
        for address, port in (("[::1]:7000", 7000), ("::1", 5000)):
            self.assertEqual(self.run_("play", "--address", address, "--send", "hello"), 0)
            self.assertEqual(self.err, f"Connected to [::1]:{port}.\n")
            self.assertEqual(self.addresses[-1], Address("::1", port))
        self.assertEqual((self.connection.requests, self.http.requests), ([], []))
        self.endpoint = Endpoint(error=ConnectionRefusedError())
        self.assertEqual(self.run_("play", "--address", "localhost:7000"), 1)
        self.assertTrue(self.err.startswith("localhost:7000 refuses connections."), self.err)

    def test_contradictions(self) -> None:
        """Options that contradict each other are wrong usage."""
        for words, message in (
            ("--id gs-1 --server gs-2", "--id and --server contradict each other: use one"),
            ("--server gs-1 --address c:1", "--server and --address contradict each other"),
            ("--server=", "'' is not a game server id"),
            ("--address=", "--address '' is not an address: use HOST:PORT"),
            ("--server gs-1 --wait 5", "--wait has no effect with --server"),
            ("--address a:99999", "--address 'a:99999' is not an address: use HOST:PORT"),
        ):
            self.assertEqual(self.run_("play", *words.split()), 2)
            self.assertIn(f"fleetiq play: {message}", self.err)
        self.assertEqual(self.connection.requests, [])

    def test_port(self) -> None:
        """If ConnectionInfo has no port, --port is used; --id names the server to claim."""
        bare = {"GameServer": SERVER | {"ConnectionInfo": "1.2.3.4"}}
        self.connection.respond("ClaimGameServer", bare)
        self.run_("play", "--port", "6000", "--id", "gs-1", "--send", "hello")
        self.assertEqual(self.addresses, [Address("1.2.3.4", 6000)])
        request = {"GameServerGroupName": "local", "GameServerId": "gs-1"}
        self.assertIn(("ClaimGameServer", request), self.connection.requests)

    def test_full(self) -> None:
        """If the server closes first, what it sent is written, and the exit status is 1."""
        self.endpoint = Endpoint(sends=b"FULL\n")
        self.assertEqual(self.run_("play", "--send", "hello"), 1)
        self.assertEqual(self.out, "FULL\n")
        self.assertTrue(
            self.err.endswith("Game server gs-1 closed the connection before you quit.\n")
        )

    def test_closedDuringEcho(self) -> None:
        """If the server closes before all came back, the only message is that it closed."""
        playing = self.start("play")
        player: Any = self.endpoint.transport.player
        self.endpoint.transport.player = IProtocol(InputLines())
        self.stdin.dataReceived(b"hello\n")
        player.connectionLost(connectionDone)
        self.assertEqual(self.successResultOf(playing), 1)
        self.assertTrue(
            self.err.endswith("Game server gs-1 closed the connection before you quit.\n")
        )

    def test_noEcho(self) -> None:
        """A server that neither echoes nor closes gives two messages and exit status 1."""
        playing = self.start("play")
        self.endpoint.transport.player = IProtocol(InputLines())
        self.stdin.dataReceived(b"hello\n")
        self.clock.advance(3)
        self.stdin.connectionLost(connectionDone)
        self.clock.advance(3)
        self.assertEqual(self.successResultOf(playing), 1)
        self.assertIn(
            "did not close the connection after q, so this side closed it.\n"
            "5 of the bytes sent did not come back in time.\n",
            self.err,
        )

    def test_outputClosed(self) -> None:
        """When standard output is closed, play quits."""
        self.makeStdout = BrokenPipe
        for words, lines, sent in (
            ((), b"hello\nmore\n", b"helloq"),
            (("--send", "hello", "--send", "more"), b"", b"helloq"),
            ((), b"", b"q"),
        ):
            self.connection = MemoryConnection()
            self.connection.respond("ClaimGameServer", {"GameServer": SERVER})
            playing = self.start("play", *words)
            if lines:
                self.stdin.dataReceived(lines)
            elif not words:
                self.endpoint.transport.player.dataReceived(b"hurry")
            self.assertEqual(self.endpoint.transport.value(), sent)
            self.assertEqual(self.successResultOf(playing), 0)

    def test_escapes(self) -> None:
        """Control characters and invalid UTF-8 are escaped, however TCP splits them."""
        playing = self.start("play")
        player: Any = self.endpoint.transport.player
        for data in (b"\x1b[2J\xec\x95", b"\x88\x9b\tend\xc2"):
            player.dataReceived(data)
        player.connectionLost(connectionDone)
        self.successResultOf(playing)
        self.assertEqual(self.out, "\\x1b[2J안\\x9b\tend\\xc2\n")

    def test_invalidConnectionInfo(self) -> None:
        """The message quotes a ConnectionInfo that is not an address."""
        self.connection.respond(
            "ClaimGameServer", {"GameServer": SERVER | {"ConnectionInfo": "a b"}}
        )
        self.assertEqual(self.run_("play"), 1)
        self.assertIn("Cannot connect to game server gs-1: ConnectionInfo 'a b'", self.err)

    def test_connectFailed(self) -> None:
        """A refused connection gives a message and exit status 1."""
        self.endpoint = Endpoint(error=ConnectionRefusedError())
        self.assertEqual(self.run_("play"), 1)
        self.assertIn("refuses connections", self.err)

    def test_noCapacity(self) -> None:
        """The message counts the registered game servers by state."""
        utilized = {"GameServers": [SERVER | {"UtilizationStatus": "UTILIZED"}] * 2}
        for response, message in (
            (
                utilized,
                (
                    "of 2 listed, 0 available, 0 claimed, 2 utilized. Add --wait SECONDS to retry. "
                    "To join a session, type 'fleetiq play --server gs-1'."
                ),
            ),
            (
                {},
                (
                    "none is registered. One that runs registers again within 60 s: add --wait 60. "
                    "If none runs, start one, for example with "
                    "'twistd -n fleetiq-echo --local http://127.0.0.1:4570 --listen tcp:0'."
                ),
            ),
            (callFailed(), f"and they could not be counted: {callFailed()}"),
        ):
            self.connection.respond("ListGameServerGroups", GROUPS)
            self.connection.respond("ClaimGameServer", callFailed(OutOfCapacityException))
            self.connection.respond("ListGameServers", response)
            self.assertEqual(self.run_("play"), 1)
            self.assertTrue(self.err.startswith("No game server of group local is free"))
            self.assertTrue(self.err.endswith(f"{message}\n"))

    def test_noCapacityInAWS(self) -> None:
        """In AWS, the command that starts a game server has the group."""
        self.connection.respond("ClaimGameServer", callFailed(OutOfCapacityException))
        self.connection.respond("ListGameServers", {})
        self.assertEqual(self.run_("--group", "g", "play"), 1)
        self.assertTrue(self.err.endswith("with 'twistd -n fleetiq-echo --group g'.\n"))

    def test_noCapacityAfterWait(self) -> None:
        """After a wait, the message does not suggest --wait."""
        self.connection.respond("ClaimGameServer", *[callFailed(OutOfCapacityException)] * 2)
        self.connection.respond("ListGameServers", {"GameServers": [SERVER]})
        playing = self.start("play", "--wait", "0.5")
        self.clock.advance(0.5)
        self.assertEqual(self.successResultOf(playing), 1)
        self.assertTrue(self.err.endswith(": of 1 listed, 1 available, 0 claimed, 0 utilized.\n"))

    def test_wait(self) -> None:
        """With --wait the claim is retried, with a message for each retry."""
        self.connection.respond(
            "ClaimGameServer",
            callFailed(OutOfCapacityException),
            callFailed(),
            {"GameServer": SERVER},
        )
        playing = self.start("play", "--wait", "60", "--send", "hello")
        self.clock.advance(1)
        self.clock.advance(2)
        self.assertEqual(self.successResultOf(playing), 0)
        first, second, *_ = self.err.splitlines()
        self.assertRegex(first, r"^No game server is free; trying again in [01]\.\d s\.$")
        self.assertRegex(second, r"^AnOperation was refused: SomeException; trying again in [12]")

    def test_conflict(self) -> None:
        """A claimed server gives a message; with --wait, after that time."""
        conflict = callFailed(ConflictException, retry=False)
        self.connection.respond("ClaimGameServer", conflict, conflict, conflict)
        self.assertEqual(self.run_("play", "--id", "gs-1"), 1)
        self.assertIn("Game server gs-1 is claimed or in play. Leave out --id", self.err)
        self.connection.respond("ListGameServerGroups", GROUPS)
        playing = self.start("play", "--id", "gs-1", "--wait", "0.5")
        self.clock.advance(0.5)
        self.assertEqual(self.successResultOf(playing), 1)
        first, second = self.err.splitlines()
        self.assertRegex(first, r"^Game server gs-1 is claimed or in play; trying again in 0\.\d s")
        self.assertIn("Game server gs-1 is claimed or in play. Leave out --id", second)


class InputLinesTests(SynchronousTestCase):
    """Lines of standard input."""

    def setUp(self) -> None:
        self.transport = StringTransport()
        self.lines = InputLines()
        self.lines.makeConnection(self.transport)

    def next(self) -> bytes | None:
        return self.successResultOf(self.lines.next())

    def test_lines(self) -> None:
        """Lines have no line ending, and may arrive in pieces; the last one needs no ending."""
        self.lines.dataReceived(b"one\ntwo\r\n")
        self.assertEqual([self.next(), self.next()], [b"one", b"two"])
        third = self.lines.next()
        self.lines.dataReceived(b"th")
        self.assertNoResult(third)
        self.lines.dataReceived(b"ree\n\nfive")
        self.assertEqual(self.successResultOf(third), b"three")
        self.lines.connectionLost(connectionDone)
        self.assertEqual([self.next(), self.next(), self.next()], [b"", b"five", None])

    def test_backPressure(self) -> None:
        """Input is read only while next() is pending."""
        self.lines.dataReceived(b"one\ntwo\n")
        self.assertEqual(self.transport.producerState, "paused")
        self.next()
        self.next()
        self.lines.next()
        self.assertEqual(self.transport.producerState, "producing")
        self.lines.dataReceived(b"three\n")
        self.assertEqual(self.transport.producerState, "paused")

    def test_longLine(self) -> None:
        """A long line is sent in parts, so that the memory is limited, and none could be a quit."""
        for ending in (b"\n", b"\r\n"):
            for length in range(2 * CHUNK_LENGTH - 1, 2 * CHUNK_LENGTH + 5):
                line = b"x" * (length - 1) + b"q"
                self.lines.dataReceived(line + ending)
                parts = [self.next()]
                while self.lines.midLine:
                    parts.append(self.next())
                self.assertEqual(b"".join(filter(None, parts)), line)
                self.assertNotIn(b"q", parts)
        part = self.lines.next()
        self.lines.dataReceived(b"x" * (CHUNK_LENGTH + 2))
        self.assertNoResult(part)
        self.lines.dataReceived(b"x")
        self.assertEqual(self.successResultOf(part), b"x" * CHUNK_LENGTH)
        self.assertEqual(self.transport.producerState, "paused")

    def test_end(self) -> None:
        """After end(), no input is read, and next() fires with None."""
        line = self.lines.next()
        self.lines.end()
        self.lines.end()
        self.assertIs(self.successResultOf(line), None)
        self.assertEqual(self.transport.producerState, "paused")


class ConsoleTests(SynchronousTestCase):
    """The text that reaches a terminal."""

    @settings(deadline=None, max_examples=100)
    @given(st.text())
    def test_printable(self, text: str) -> None:
        """The only control characters left are newlines and tabs; other text does not change."""
        escaped = printable(text)
        self.assertFalse(
            any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in escaped)
        )
        self.assertEqual(printable(escaped), escaped)

    def test_formattingCharacters(self) -> None:
        """Characters that reorder or break a line are escaped; other unusual ones are not."""
        formatting = "\u202a\u202e\u2066\u2069\u200e\u200f\u2028\u2029\u061c"
        self.assertEqual(printable(formatting), formatting.encode("unicode_escape").decode())
        unchanged = "\t한\u0301\u200d\u2027\u202f\u2065\u206a"
        self.assertEqual(printable(unchanged), unchanged)

    def test_message(self) -> None:
        """A message is one line."""
        stderr = StringIO()
        Console(StringIO(), stderr).writeMessage("Wrong:\nvery\x1b")
        self.assertEqual(stderr.getvalue(), "Wrong: very\\x1b\n")

    def test_writeError(self) -> None:
        """After an error, standard output is not written to again."""
        pipe = BrokenPipe()
        console = Console(pipe, pipe)
        console.write("a")
        console.write("b")
        console.writeMessage("c")
        self.assertIsInstance(console.writeError, BrokenPipeError)
        self.assertEqual(pipe.writes, 2)
