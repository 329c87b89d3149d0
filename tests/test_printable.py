"""Tests of echoserver.printable: escape sequences, whitespace, and length."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.printable import MAX_LENGTH, printable


class PrintableTests(SynchronousTestCase):
    """L{printable}."""

    def test_table(self) -> None:
        """Printable text is unchanged; other characters are escaped."""
        for text, expected in [
            ("NotFoundException: 서버 없음", "NotFoundException: 서버 없음"),
            ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("\x9b2J", "\\x9b2J"),
            ("one\r\ntwo\n\nthree\tfour", "one two three four"),
            ("line\u2028separator\x85next", "line separator next"),
            ("abc\u202edcba\u2066x", "abc\\u202edcba\\u2066x"),
            ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
            ("nul\0 \ud800", "nul\\x00 \\ud800"),
            (7, "7"),
            (None, "None"),
        ]:
            self.assertEqual(printable(text), expected)

    def test_limit(self) -> None:
        """A longer text is cut, and ends with three dots."""
        self.assertEqual(printable("x" * MAX_LENGTH), "x" * MAX_LENGTH)
        self.assertEqual(printable("x" * (MAX_LENGTH + 1)), "x" * MAX_LENGTH + "...")
        self.assertEqual(printable("\x1b" * 10_000_000, 10), "\\x1b\\x1b\\x...")
        self.assertEqual(printable(f"one{' ' * 1000}two", 10), "one...")

    @settings(deadline=None, max_examples=300)
    @given(st.text(st.characters()), st.integers(1, 50))
    def test_anyText(self, text: str, limit: int) -> None:
        """The result is always printable, and not longer than the limit and the dots."""
        line = printable(text, limit)
        self.assertTrue(line.isprintable())
        self.assertLessEqual(len(line), limit + 3)
