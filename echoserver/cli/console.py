"""What a command shows and says, on a terminal or to a script."""

from __future__ import annotations

import contextlib
import json
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

Reply = dict[str, Any]

# They reorder or break the line they stand in, without being control characters to Unicode.
_UNSEEN = {0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


class Refused(Exception):
    """A sentence for the user; the command ends with exit status 1."""


def printable(text: str) -> str:
    """The text with control characters, but for newlines and tabs, as backslash escapes."""
    return "".join(
        char.encode("unicode_escape").decode() if _controls(char) else char for char in text
    )


def _controls(char: str) -> bool:
    return char not in "\n\t" and (unicodedata.category(char) == "Cc" or ord(char) in _UNSEEN)


class Console:
    """
    Where a command writes. Control characters are escaped.

    @ivar lost: why standard output can no longer be written to: C{BrokenPipeError} if its reader
        has left.
    @ivar json: whether replies are for machines: one JSON object a line.
    """

    def __init__(self, stdout: TextIO, stderr: TextIO, *, json: bool = False) -> None:
        self.lost: OSError | None = None
        self.json = json
        self._stdout = stdout
        self._stderr = stderr

    def show(self, text: str) -> None:
        """Write to standard output; the newlines are the caller's."""
        if self.lost is None:
            try:
                self._stdout.write(printable(text))
                self._stdout.flush()
            except OSError as error:
                self.lost = error

    def say(self, sentence: str) -> None:
        """Write one line to standard error; where that is gone, nobody is left to be told."""
        with contextlib.suppress(OSError):
            self._stderr.write(printable(" ".join(sentence.split())) + "\n")
            self._stderr.flush()

    def showOperation(self, operation: str, request: Reply) -> None:
        """Show what FleetIQ is asked, for people; before it is, since it may be refused."""
        if not self.json:
            self.show(f"{operation} {_json(request)}\n")

    def showReply(self, request: Reply, reply: Reply) -> None:
        """Show what it answers: for machines, the game server that the request was about."""
        if self.json:
            self.showLine(reply.get("GameServer", request))
        else:
            self.show(f"{_json(reply, indent=2)}\n")

    def showLine(self, reply: Reply) -> None:
        """Show something for machines."""
        self.show(f"{_json(reply, ascii=True)}\n")


def table(rows: Sequence[Sequence[object]]) -> str:
    """Lines of columns; C{None} is shown as C{-}."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in cells
    )


def _json(value: Reply, *, indent: int | None = None, ascii: bool = False) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=ascii, default=_date)


def _date(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds")
