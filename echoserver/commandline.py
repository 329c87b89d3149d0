"""The base of all twistd commands of this project: arguments, help, and errors at the start."""

from __future__ import annotations

import getopt
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from twisted.logger import Logger
from twisted.python import usage

from echoserver.logformat import FORMATS, LEVELS
from echoserver.logwriter import RunnerLog
from echoserver.optionsources import (
    OptionNames,
    Setting,
    asTOML,
    fromEnvironment,
    fromFile,
    suggestion,
)

_log = Logger(namespace="fleetiq.log")


class CommandOptions(usage.Options):
    """
    The options of a twistd command. A wrong one ends the process with a sentence and status 1.

    An option that is not on the command line has the value of its environment variable, or that of
    the configuration file. See L{echoserver.optionsources}.

    @cvar command: the name of the twistd command, for sentences.
    @cvar repeated: the options that may be given several times.
    """

    command: str
    repeated: tuple[str, ...] = ()
    optParameters: list[Sequence[Any]] = [  # noqa: RUF012 # usage.Options reads it from the class
        ["log-format", None, None, "Format of the log: text, or json. Default: text."],
        [
            "log-level",
            None,
            "info",
            "Lowest level that is logged: debug, info, warn, error or critical.",
        ],
        ["config", None, None, "TOML file with options. Default: none."],
    ]
    optFlags: list[Sequence[Any]] = [  # noqa: RUF012 # as above
        ["print-config", None, "Print each option with its value and its source, and exit."],
    ]

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._environ = environ
        self._settings: dict[str, Setting] = {}

    @property
    def program(self) -> str:
        """The name of the command in error messages."""
        return f"twistd {self.command}"

    @property
    def foreground(self) -> bool:
        """False if C{twistd} becomes a daemon. C{twist} always runs in the foreground."""
        parent: Mapping[str, Any] = self.parent or {}
        return bool(parent.get("nodaemon", True) or parent.get("debug"))

    @property
    def pidFile(self) -> str:
        """The path of the pid file of C{twistd}; empty if there is none."""
        parent: Mapping[str, Any] = self.parent or {}
        return str(parent.get("pidfile") or "")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse and check the options.

        @raise SystemExit: with a sentence, and exit code 1; twistd itself would exit with 0.
        """
        try:
            words = decoded(sys.argv[1:] if options is None else options)
            super().parseOptions([*self._otherSources(words), *words])
        except usage.UsageError as error:
            hint = ""
            if isinstance(error.__context__, getopt.GetoptError):
                name = error.__context__.opt
                unknown = "not recognized" in error.__context__.msg
                near = suggestion(name, self._names.all()) if unknown else ""
                hint = near or f"; 'twistd {self.command} --help' lists the options."
            raise SystemExit(f"{self.program}: {self._named(str(error))}{hint}") from error
        if self["print-config"]:
            self._show(self._listed())

    def computed(self) -> Mapping[str, tuple[object, str]]:
        """Return the defaults that depend on something else, each with its source."""
        return {}

    @property
    def _names(self) -> OptionNames:
        options = {each.rstrip("="): each.endswith("=") for each in self.longOpt}
        hidden = ("help", "version")
        return OptionNames(
            [each for each, hasValue in options.items() if hasValue],
            [each for each, hasValue in options.items() if not hasValue and each not in hidden],
            self.repeated,
        )

    def _otherSources(self, words: Sequence[str]) -> list[str]:
        """Return the words for the options that are in another source, and not in C{words}."""
        names = self._names
        try:
            given, _ = getopt.getopt(list(words), self.shortOpt, self.longOpt)
        except getopt.GetoptError:
            return []  # parsing reports it
        explicit = [name.removeprefix("--") for name, _ in given]
        if {"help", "version"} & {*explicit}:
            return []
        found = {
            name: Setting(
                name,
                tuple(value for option, value in given if option == f"--{name}"),
                "command line",
                f"--{name}",
            )
            for name in explicit
        }
        try:
            for each in fromEnvironment(self._environ, names):
                found.setdefault(each.name, each)
            paths = [value for name, value in given if name == "--config"]
            if not paths and "config" in found:
                paths = list(found["config"].values)
            for each in fromFile(paths[-1], names) if paths else ():
                found.setdefault(each.name, each)
        except ValueError as error:
            raise usage.UsageError(str(error)) from error
        self._settings = found
        return decoded(
            [word for name in found if name not in explicit for word in found[name].words()]
        )

    def _named(self, sentence: str) -> str:
        """Return a sentence that names an option as its source does."""
        for name, setting in self._settings.items():
            if re.match(rf"--{name}(?![\w-])", sentence):
                return setting.subject + sentence.removeprefix(f"--{name}")
        return sentence

    def _listed(self) -> str:
        computed, names = self.computed(), self._names
        values: list[tuple[str, object, str]] = []
        for name in names.all():
            if name in ("config", "print-config"):
                continue
            if (setting := self._settings.get(name)) is None:
                default = bool(self[name]) if name in names.flags else self.get(name)
                values.append((name, *computed.get(name, (default, "default"))))
            elif name in names.flags:
                values.append((name, True, setting.source))
            else:
                repeated = name in names.repeated
                value = setting.values if repeated else setting.values[-1]
                values.append((name, value, setting.source))
        return asTOML(values)

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
        self._show(str(self))

    def opt_version(self) -> None:
        """Display the versions of fleetiq-echo and of Twisted, and exit."""
        self._show(f"fleetiq-echo {version('fleetiq-echo')}, Twisted {version('twisted')}")

    def _show(self, text: str) -> None:
        """Write a text to standard output, and exit with 0."""
        try:
            print(text, flush=True)  # noqa: T201 # the text is for standard output
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

    @param pidFile: the path of the pid file of this process; empty if there is none.
    """

    def __init__(self, foreground: bool, pidFile: str = "") -> None:
        self._foreground = foreground
        self._pidFile = pidFile
        self._stderr: int | None = None
        if not foreground:
            with suppress(OSError):
                self._stderr = os.dup(2)

    def error(self, sentence: str) -> BaseException:
        """Return the exception to raise in C{startService}. It ends twistd with status 1."""
        if self._foreground:
            self._removePidFile()
            return SystemExit(sentence)
        _log.critical("{reason}", reason=sentence, eventName="process.cannotStart")
        if self._stderr is None:
            return RuntimeError(sentence)
        with suppress(OSError):
            os.write(self._stderr, f"{sentence}\n".encode())
        self.started()
        # twistd reports only an Exception to the parent of a daemon; a SystemExit is lost.
        return RuntimeError("the start failed; the sentence above says why")

    def _removePidFile(self) -> None:
        """Remove the pid file: twistd removes it after an Exception, but not a SystemExit."""
        with suppress(OSError, ValueError):
            path = Path(self._pidFile)
            if int(path.read_text()) == os.getpid():
                path.unlink()

    def started(self) -> None:
        """Close standard error: it can be a pipe whose reader waits for its end."""
        if self._stderr is not None:
            os.close(self._stderr)
            self._stderr = None
