"""Pure: where a player's bytes say goodbye."""

from __future__ import annotations

import re

_GOODBYE = re.compile(rb"[qQ]\r?\n")
_GOODBYE_INSIDE = re.compile(rb"\n[qQ]\r?\n")
_MAY_BECOME_GOODBYE = (b"", b"q", b"Q", b"q\r", b"Q\r")


def findGoodbye(line: bytes | None, data: bytes) -> tuple[int, bytes | None]:
    r"""
    Find the line that is C{q} or C{Q} alone, ended by C{\n} or C{\r\n}, wherever TCP cuts it.

    @param line: the unfinished line so far, if it may still become a goodbye: at most two bytes.
        None if it may not. C{b""} at the start.
    @param data: what has come now; never empty.
    @return: how many bytes of C{data} stand before the goodbye, or -1 without one; and the
        unfinished line, to be handed in with what comes next.
    """
    if line is None and b"\n" not in data:
        return -1, None
    if line is not None and _GOODBYE.match(line + data[:3]):
        return 0, None
    inside = _GOODBYE_INSIDE.search(data)
    if inside:
        return inside.start() + 1, None
    lineEnd = data.rfind(b"\n", -3)
    if lineEnd >= 0:
        line = data[lineEnd + 1 :]
    elif line is not None:
        line += data[:3]
    return -1, line if line in _MAY_BECOME_GOODBYE else None
