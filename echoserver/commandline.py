"""The base of all twistd commands of this project: arguments, help, and errors at the start."""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from twisted.logger import Logger
from twisted.python import usage

from echoserver.logformat import FORMATS, LEVELS
from echoserver.logwriter import RunnerLog

_log = Logger(namespace="fleetiq.log")


class CommandOptions(usage.Options):
    """
    The options of a twistd command. A wrong one ends the process with a sentence and status 1.

    @cvar command: the name of the twistd command, for sentences.
    """

    command: str
    optParameters: list[Sequence[Any]] = [  # noqa: RUF012 # usage.Options reads it from the class
        ["log-format", None, None, "Format of the log: text, or json. Default: text."],
        [
            "log-level",
            None,
            "info",
            "Lowest level that is logged: debug, info, warn, error or critical.",
        ],
    ]

    @property
    def program(self) -> str:
        """The name of the command in error messages."""
        return f"twistd {self.command}"

    @property
    def foreground(self) -> bool:
        """False if C{twistd} becomes a daemon. C{twist} always runs in the foreground."""
        parent: Mapping[str, Any] = self.parent or {}
        return bool(parent.get("nodaemon", True) or parent.get("debug"))

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse and check the options.

        @raise SystemExit: with a sentence, and exit code 1; twistd itself would exit with 0.
        """
        try:
            super().parseOptions(None if options is None else decoded(options))
        except usage.UsageError as error:
            notParsed = isinstance(error.__context__, getopt.GetoptError)
            hint = f"; 'twistd {self.command} --help' lists the options." if notParsed else ""
            raise SystemExit(f"{self.program}: {error}{hint}") from error

    @property
    def log(self) -> RunnerLog:
        """Return the log of the process, in the format of the options."""
        return RunnerLog(self.parent, self["log-format"], self["log-level"])

    def postOptions(self) -> None:
        for option, allowed in (("log-format", FORMATS), ("log-level", LEVELS)):
            if self[option] not in (None, *allowed):
                *most, last = allowed
                raise usage.UsageError(
                    f"--{option} is {self[option][:80]!r}: write {', '.join(most)} or {last}."
                )
        parent: Any = self.parent
        if parent is not None and self.foreground and parent.get("pidfile") == "twistd.pid":
            # In the foreground, a pid file would only prevent a second process in this directory.
            parent["pidfile"] = ""
        super().postOptions()

    def opt_help(self) -> None:
        """Display this help and exit."""
        try:
            print(self, flush=True)  # noqa: T201 # help is for standard output
        except BrokenPipeError:
            # The reader, for example head, has closed the pipe. Python would flush it once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


def decoded(words: Sequence[str]) -> list[str]:
    """
    Return the arguments decoded as UTF-8 in any locale. With C{LC_ALL=C}, Python decodes bytes that
    are not ASCII to surrogates.

    @raise usage.UsageError: if an argument is not UTF-8. It names the option.
    """
    found = []
    for index, word in enumerate(words):
        try:
            found.append(os.fsencode(word).decode("utf-8"))
        except UnicodeError as error:
            name, assigned, _ = word.partition("=")
            if not (assigned and name.startswith("--")):
                name = words[index - 1] if index else ""
            what = ascii(name) if not name.isascii() else name
            subject = what if name.startswith("--") else "An argument"
            raise usage.UsageError(
                f"{subject} is {os.fsencode(word)[-80:]!r}, which is not UTF-8: write it in UTF-8."
            ) from error
    return found


class StartErrors:
    """
    Ends C{twistd} with a sentence if the service cannot start.

    A daemon has no terminal when it starts, and C{twistd} shows 84 characters of an exception. So
    this keeps standard error open until the start has succeeded.
    """

    def __init__(self, foreground: bool) -> None:
        self._foreground = foreground
        self._stderr: int | None = None
        if not foreground:
            with suppress(OSError):
                self._stderr = os.dup(2)

    def error(self, sentence: str) -> BaseException:
        """Return the exception to raise in C{startService}. It ends twistd with status 1."""
        if self._foreground:
            return SystemExit(sentence)
        _log.critical("{reason}", reason=sentence, eventName="process.cannotStart")
        if self._stderr is None:
            return RuntimeError(sentence)
        with suppress(OSError):
            os.write(self._stderr, f"{sentence}\n".encode())
        self.started()
        # twistd reports only an Exception to the parent of a daemon; a SystemExit is lost.
        return RuntimeError("the start failed; the sentence above says why")

    def started(self) -> None:
        """Close standard error: it can be a pipe whose reader waits for its end."""
        if self._stderr is not None:
            os.close(self._stderr)
            self._stderr = None
