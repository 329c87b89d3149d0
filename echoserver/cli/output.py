"""Output of a command: the console, and the text of FleetIQ's replies."""

from __future__ import annotations

import contextlib
import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from click import UsageError

if TYPE_CHECKING:
    from echoserver.cli.screen import Screen

Reply = dict[str, Any]

# They reorder or break a line, but their Unicode category is not "control character".
_FORMATTING = {
    *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
}


class CommandFailed(Exception):
    """An error message for the user. The command ends with exit status 1."""


def printable(text: str) -> str:
    """Replace control characters, except newlines and tabs, by backslash escapes."""
    return "".join(
        char.encode("unicode_escape").decode() if _isControl(char) else char for char in text
    )


def inline(text: str) -> str:
    """Replace all control characters by backslash escapes: the text cannot begin another line."""
    return printable(text).replace("\n", r"\n").replace("\t", r"\t")


def _isControl(char: str) -> bool:
    if char in "\n\t":
        return False
    return unicodedata.category(char) == "Cc" or ord(char) in _FORMATTING


class Console:
    """
    The standard output and standard error of a command. Control characters are escaped.

    @ivar json: whether to write JSON for programs, one object a line.
    @ivar showsProgress: whether standard error is a terminal that shows progress.
    @ivar isTerminal: whether standard output is a terminal on which tables can be drawn.
    @ivar verbose: whether to write each request to standard error.
    @ivar ask: writes a question and returns the line that was typed; None without a terminal.
    @ivar writeError: the error of the first failed write to standard output; None if there was
        none. It is C{BrokenPipeError} if the reader of a pipe has ended.
    """

    def __init__(self, stdout: TextIO, stderr: TextIO, *, json: bool = False) -> None:
        self.json = json
        self.isTerminal = False
        self.showsProgress = False
        self.verbose = False
        self.ask: Callable[[str], str] | None = None
        self.writeError: OSError | None = None
        self._stdout = stdout
        self._stderr = stderr

    def write(self, text: str) -> None:
        """Write to standard output. No newline is added. After an error, do nothing."""
        if self.writeError is None:
            try:
                self._stdout.write(printable(text))
                self._stdout.flush()
            except OSError as error:
                self.writeError = error

    def draw(self, *renderables: Any) -> None:
        """Write what rich renders to standard output. Its texts must have been escaped."""
        from rich.console import Console as RichConsole

        if self.writeError is None:
            try:
                RichConsole(file=self._stdout, highlight=False).print(*renderables, sep="")
                self._stdout.flush()
            except OSError as error:
                self.writeError = error

    def openScreen(self, reactor: Any, keys: Callable[[str], object]) -> Screen:
        """Return the whole screen of the terminal, to be entered; C{keys} is called with keys."""
        from echoserver.cli.screen import Screen

        # Requests on standard error would be written over it.
        self.verbose = False
        return Screen(reactor, self._stdout, keys)

    def writeMessage(self, message: str) -> None:
        """Write one line to standard error, and ignore errors: there is no other output."""
        with contextlib.suppress(OSError):
            self._stderr.write(printable(" ".join(message.split())) + "\n")
            self._stderr.flush()

    def writeProgress(self, text: str) -> None:
        """Replace the current line of standard error, which must be a terminal."""
        with contextlib.suppress(OSError):
            self._stderr.write(f"\r{inline(text)}\x1b[K")
            self._stderr.flush()

    def writeJSON(self, value: Reply) -> None:
        """Write a value as one line of ASCII JSON."""
        self.write(f"{_toJSON(value, ascii=True)}\n")

    def writeRequest(self, operation: str, request: Reply) -> None:
        """With --verbose, write an operation and its members to standard error."""
        if self.verbose:
            self.writeMessage(f"{operation} {_toJSON(request)}")

    def checkTerminal(self, consequence: str) -> None:
        """
        Check that L{confirm} is possible.

        @raise UsageError: if it is not, with C{consequence}: what the command would do.
        """
        if self.ask is None:
            raise UsageError(f"this {consequence}. Without a terminal, confirm it with --yes.")

    def confirm(self, question: str) -> None:
        """
        Ask a question whose answer must be C{y} or C{yes}.

        @raise CommandFailed: if it is not.
        """
        self.checkTerminal("needs a confirmation")
        assert self.ask is not None
        if self.ask(inline(f"{question} [y/N] ")).strip().lower() not in ("y", "yes"):
            raise CommandFailed("Not confirmed; nothing was changed.")

    def writeReply(self, request: Reply, reply: Reply) -> None:
        """
        Write the reply of an operation.

        As JSON it is the game server in the reply; if the reply has none, it is the request.
        """
        if self.json:
            self.writeJSON(reply.get("GameServer", request))
        else:
            self.write(f"{_toJSON(reply, indent=2)}\n")


def _toJSON(value: Reply, *, indent: int | None = None, ascii: bool = False) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=ascii, default=_isoDate)


def _isoDate(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds")
