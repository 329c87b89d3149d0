"""Tests of L{echoserver.wrap.child}: exits, the words of a command, output in the log."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ratelimit import TokenBucket
from echoserver.wrap.child import Exit, Output, fill


class ExitTests(SynchronousTestCase):
    """How a child has ended."""

    def test_exits(self) -> None:
        """An exit code other than 0 and a signal are crashes. Both have a status and a text."""
        for exit, crashed, status, text in (
            (Exit(0), False, 0, "exited with 0"),
            (Exit(3), True, 3, "exited with 3"),
            (Exit(None, 9), True, 137, "ended by SIGKILL"),
        ):
            self.assertEqual((crashed, status, text), (exit.crashed, exit.status, str(exit)), exit)


class FillTests(SynchronousTestCase):
    """The placeholders of a command."""

    def test_fill(self) -> None:
        """Known placeholders are replaced everywhere. Other braces stay."""
        words = ["./server", "--port={port}", "{port}:{port}", "{other}", "{}"]
        filled = ["./server", "--port=7", "7:7", "{other}", "{}"]
        self.assertEqual(filled, fill(words, {"port": 7}))


class OutputTests(SynchronousTestCase):
    """The output of a child in the log."""

    def setUp(self) -> None:
        self.clock = Clock()

    def log(self, *chunks: bytes, rate: TokenBucket | None = None) -> list[str]:
        """Return what is logged of chunks on standard output."""
        output = Output(self.clock, 7000, rate or TokenBucket(100.0, 1000))
        with capturedLogs() as events:
            for chunk in chunks:
                output.received(1, chunk)
            output.finish()
        return [formatEvent(event).removeprefix("[child 7000] ") for event in events]

    def test_lines(self) -> None:
        """A line is one event, however it arrives. The last one needs no line end."""
        self.assertEqual(["one", "two", "end"], self.log(b"on", b"e\ntwo\r\ne", b"nd"))

    def test_streams(self) -> None:
        """Lines of standard output and standard error are not mixed."""
        output = Output(self.clock, 7000)
        with capturedLogs() as events:
            for stream, chunk in ((1, b"out "), (2, b"err "), (1, b"one\n"), (2, b"two\n")):
                output.received(stream, chunk)
        lines = [formatEvent(event) for event in events]
        self.assertEqual(["[child 7000] out one", "[child 7000] err two"], lines)

    def test_escaped(self) -> None:
        """Control characters and bytes that are not UTF-8 are escaped. Other text is not."""
        lines = self.log("한국어 \x1b[31m\x07{x}\n".encode() + b"\xff\n")
        self.assertEqual(["한국어 \\x1b[31m\\x07{x}", "\\xff"], lines)

    def test_longLine(self) -> None:
        """A line without an end is logged in parts of 2,000 bytes."""
        self.assertEqual([2000, 2000, 500], [len(line) for line in self.log(b"x" * 4500)])

    def test_dropped(self) -> None:
        """Lines beyond the rate are dropped and counted."""
        lines = self.log(b"a\n" * 10, rate=TokenBucket(2.0, 3))
        dropped = "7 lines of output were dropped: more than 2 a second."
        self.assertEqual(["a", "a", "a", dropped], lines)
