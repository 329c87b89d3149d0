"""The base classes of the subcommands: their options, and how they run."""

from __future__ import annotations

import getopt
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn

from twisted.python import usage

from echoserver.cli.output import Console
from echoserver.cli.target import Target
from echoserver.cli.values import groupName


class Text(Exception):
    """Text for standard output, instead of a command: the help, or the version."""


class Options(usage.Options):
    """
    Options of the C{fleetiq} command, or of a subcommand.

    The options that select the FleetIQ endpoint and the output are accepted before and after the
    subcommand.
    """

    optParameters: Sequence[Any] = (
        [
            "group",
            None,
            None,
            "The game server group; in AWS unless an endpoint is set.",
            groupName,
        ],
        ["region", None, None, "The AWS region. [default: AWS_REGION, or the profile's]"],
        ["endpoint-url", None, None, "A FleetIQ endpoint. [default: AWS_ENDPOINT_URL_GAMELIFT]"],
    )
    optFlags: Sequence[Any] = (
        ["json", None, "Print JSON for programs, one object a line."],
        ["verbose", None, "Write each request to standard error."],
    )

    def opt_version(self) -> NoReturn:
        """Display the version and exit."""
        raise Text(f"{version('fleetiq-echo')}\n")

    def opt_help(self) -> NoReturn:
        """Display this help and exit."""
        raise Text(f"{self}\n")

    opt_h = opt_help

    def getSynopsis(self) -> str:
        """Return the line with the words of the command, its options and its operands."""
        words = [getattr(self, "synopsis", "[options]")]
        options: usage.Options = self
        while options.parent is not None:
            options = options.parent
            words.insert(0, str(options.subCommand))
        return " ".join(["Usage: fleetiq", *words])

    def globalOption(self, name: str) -> Any:
        """Return the value of an option that may stand after the subcommand; the last one wins."""
        value = self[name]
        options = getattr(self, "subOptions", None)
        return (options.globalOption(name) if options is not None else None) or value

    def checkConsole(self, console: Console) -> None:
        """
        Check that the subcommand can ask what it has to ask, before it calls anything.

        @raise UsageError: if it cannot.
        """


class Subcommand(Options):
    """A subcommand. Unless it overrides L{parseArgs}, it takes no operand."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Accept options also after the operands: C{update ID --healthy}."""
        try:
            pairs, operands = getopt.gnu_getopt(options or (), self.shortOpt, self.longOpt)
        except getopt.error as reason:
            raise usage.UsageError(str(reason)) from reason
        reordered = [f"{name}={v}" if f"{name[2:]}=" in self.longOpt else name for name, v in pairs]
        super().parseOptions([*reordered, "--", *operands])

    def parseArgs(self, *words: str) -> None:
        """Reject operands."""
        if words:
            raise usage.UsageError(f"unexpected argument {words[0]!r}.")


class Help(Options):
    """C{help [COMMAND]}: the same as C{COMMAND --help}."""

    synopsis = "[COMMAND]"

    def parseArgs(self, *words: str) -> None:
        """Display the help of the command that is named, or of the command itself."""
        assert self.parent is not None
        parent = type(self.parent)()
        parent.parent, parent.subCommand = self.parent.parent, self.parent.subCommand
        parent.parseOptions([*words, "--help"])


class Command(Subcommand):
    """A subcommand that calls FleetIQ's API."""

    @property
    def usesFleetIQ(self) -> bool:
        """Whether this command line needs a FleetIQ."""
        return True

    async def run(self, target: Target) -> int:
        """
        Run the subcommand.

        @return: the exit status.
        @raise CallFailed, ConnectFailed, CommandFailed: with a message for the user. The exit
            status is 1.
        """
        raise NotImplementedError
