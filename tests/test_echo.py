"""The goodbye, however TCP cuts it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.echo import findGoodbye


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """C{data} in pieces, cut at C{places}; none of them empty."""
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(ends)]


def lines(data: bytes) -> int:
    """Where the first goodbye line begins, found the slow way; -1 without one."""
    at = 0
    for line in data.split(b"\n")[:-1]:
        if line.removesuffix(b"\r") in (b"q", b"Q"):
            return at
        at += len(line) + 1
    return -1


NEAR_GOODBYE = st.lists(st.sampled_from([b"q", b"Q", b"\r", b"\n", b"x"]), max_size=12).map(
    b"".join
)
CUTS = st.lists(st.integers(0, 100), max_size=6)


class FindGoodbyeTests(SynchronousTestCase):
    """The goodbye line is found however it is cut."""

    @settings(deadline=None, max_examples=500)
    @given(NEAR_GOODBYE, CUTS)
    def test_likeTheSlowWay(self, data: bytes, places: list[int]) -> None:
        """
        It is found exactly where a reader of whole lines finds it, and all of it that stood in
        earlier pieces is at most what came before its end was known.
        """
        line: bytes | None = b""
        passed = 0
        for piece in cut(data, places):
            before, line = findGoodbye(line, piece)
            if before >= 0:
                at = lines(data)
                self.assertGreaterEqual(at, 0)
                self.assertEqual(passed + before, max(at, passed))
                self.assertLess(passed, at + 3)
                return
            passed += len(piece)
        self.assertEqual(-1, lines(data))
