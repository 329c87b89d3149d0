"""The base classes of the subcommands: their options, and how they run."""

from __future__ import annotations

import getopt
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from twisted.python import usage

from echoserver.cli.target import Target


class Options(usage.Options):
    """Options of the C{fleetiq} command, or of a subcommand."""

    def opt_version(self) -> NoReturn:
        """Display the version and exit."""
        print(version("fleetiq-echo"))  # noqa: T201 (as --help does)
        raise SystemExit(0)


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


class Command(Subcommand):
    """A subcommand that calls FleetIQ's API."""

    async def run(self, target: Target) -> int:
        """
        Run the subcommand.

        @return: the exit status.
        @raise CallFailed, ConnectFailed, CommandFailed: with a message for the user. The exit
            status is 1.
        """
        raise NotImplementedError
