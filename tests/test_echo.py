"""The echo game: any bytes are echoed, until the quit command."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.echo import EchoFactory, Options, findQuit, makeFactory
from tests.doubles import PlayerTransport, StubGameServer
from tests.game.test_connection import ConnectionsTestCase


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return C{data} in pieces, cut at C{places}; none of them is empty."""
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(ends)]


def quitIn(data: bytes) -> int:
    """Split the data into lines, and return the index of the first quit command, or -1."""
    at = 0
    for line in data.split(b"\n")[:-1]:
        if line.removesuffix(b"\r") in (b"q", b"Q"):
            return at
        at += len(line) + 1
    return -1


NEAR_QUIT = st.lists(st.sampled_from([b"q", b"Q", b"\r", b"\n", b"x"]), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 100), max_size=6)


class FindQuitTests(SynchronousTestCase):
    """The quit command is found, however TCP splits it."""

    @settings(deadline=None, max_examples=500)
    @given(NEAR_QUIT, CUTS)
    def test_sameAsLines(self, data: bytes, places: list[int]) -> None:
        """The index is the same as in the whole data, split into lines."""
        line: bytes | None = b""
        consumed = 0
        for piece in cut(data, places):
            before, line = findQuit(line, piece)
            if before >= 0:
                at = quitIn(data)
                self.assertGreaterEqual(at, 0)
                self.assertEqual(consumed + before, max(at, consumed))
                self.assertLess(consumed, at + 3)
                return
            consumed += len(piece)
        self.assertEqual(-1, quitIn(data))


class EchoTests(ConnectionsTestCase):
    """The data that a player sends, and the data that it receives."""

    showBytes = False

    def makeFactory(self) -> Factory:
        return EchoFactory(StubGameServer(), showBytes=self.showBytes)

    def echo(self, *pieces: bytes, showBytes: bool = False) -> PlayerTransport:
        """Return the connection of a player that has sent these pieces."""
        self.showBytes = showBytes
        transport = self.connect()
        self.send(transport, *pieces)
        return transport

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=200) | NEAR_QUIT, CUTS, st.booleans())
    def test_anyBytes(self, data: bytes, places: list[int], showBytes: bool) -> None:
        """All bytes without a quit command are echoed in order, however TCP splits them."""
        data = b"\n" + data
        if quitIn(data) >= 0:
            return
        transport = self.echo(*cut(data, places), showBytes=showBytes)
        self.assertEqual(data, transport.value())
        self.assertFalse(transport.ended)
        self.doCleanups()

    @settings(deadline=None, max_examples=300)
    @given(
        NEAR_QUIT,
        st.sampled_from([b"q\n", b"Q\r\n"]),
        st.binary(max_size=20),
        CUTS,
        st.booleans(),
    )
    def test_quit(
        self, before: bytes, command: bytes, rest: bytes, places: list[int], showBytes: bool
    ) -> None:
        """All data before the command is echoed, perhaps with the command's beginning."""
        data = b"\n" + before + b"\n" + command + rest
        transport = self.echo(*cut(data, places), showBytes=showBytes)
        written = transport.value()
        at = quitIn(data)
        self.assertEqual(data[: len(written)], written)
        self.assertIn(len(written) - at, range(3))
        self.assertTrue(transport.ended)
        self.doCleanups()

    def test_notDelayed(self) -> None:
        """Data that can become a quit command is echoed at once."""
        transport = self.echo(b"hello\nq")
        self.assertEqual(b"hello\nq", transport.value())
        self.assertEqual(b"hello\nqx", self.send(transport, b"x"))

    def test_lineEndsWithQ(self) -> None:
        """A line that ends with q is no quit command, however TCP splits it."""
        for showBytes in (True, False):
            for beginning in (b"abc", b"\r", b"a\nb"):
                pieces = b"hello\n", beginning, b"q\n", beginning, b"Q\r\n"
                transport = self.echo(*pieces, showBytes=showBytes)
                self.assertFalse(transport.ended)
                self.send(transport, b"bye\n", b"q\n")
                self.assertTrue(transport.ended)

    def test_workshopsClient(self) -> None:
        """If a player sends no line ends, a chunk with only q or Q is the quit command."""
        for command in (b"q", b"Q"):
            for showBytes in (True, False):
                transport = self.echo(b"hello", command, showBytes=showBytes)
                self.assertEqual(b"hello", transport.value())
                self.assertTrue(transport.ended)

    def test_quitFirst(self) -> None:
        """The first chunk may be the quit command."""
        self.assertTrue(self.echo(b"q").ended)

    def test_onlyWithoutLineEnds(self) -> None:
        """After a line end, a chunk with only q is the beginning of a line."""
        for showBytes in (True, False):
            transport = self.echo(b"a", b"bb", b"c\n", b"q", showBytes=showBytes)
            self.assertEqual(b"abbc\nq", transport.value())
            self.assertFalse(transport.ended)

    def test_lineOfPieces(self) -> None:
        """After a line that arrived in pieces, the next line can be the quit command."""
        for showBytes in (True, False):
            transport = self.echo(b"a", b"bb", b"c\n", b"q\n", showBytes=showBytes)
            self.assertEqual(b"abbc\n", transport.value())
            self.assertTrue(transport.ended)

    def test_reason(self) -> None:
        """The reason for the end of the connection is the quit command."""
        self.echo(b"hello", b"q")
        self.assertEqual(("quit command", "6"), self.listener.calls[-1][2:])

    def test_showBytes(self) -> None:
        """With --show-bytes all data is logged, escaped, also the quit command."""
        with capturedLogs() as events:
            self.echo(b"h\x1b", b"x" * 100, b"q", showBytes=True)
        self.assertEqual(["h\\x1b", "x" * 80, "q"], [event["data"] for event in events])

    def test_makeFactory(self) -> None:
        """The option --show-bytes selects the protocol."""
        for words in ([], ["--show-bytes"]):
            options = Options()
            options.parseOptions(words)
            factory = makeFactory(StubGameServer(**options))
            self.assertEqual(bool(words), "Logging" in str(factory.protocol))
