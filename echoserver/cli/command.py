"""What every subcommand has: its options, and what it does."""

from __future__ import annotations

import getopt
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from twisted.python import usage

from echoserver.cli.where import Fleet


class Options(usage.Options):
    """Options of the command, or of a subcommand."""

    def opt_version(self) -> NoReturn:
        """Display the version and exit."""
        print(version("fleetiq-echo"))  # noqa: T201 (as --help does)
        raise SystemExit(0)


class Subcommand(Options):
    """A subcommand, whatever it speaks to."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Options may also follow the operands: C{update ID --healthy}."""
        try:
            given, operands = getopt.gnu_getopt(options or (), self.shortOpt, self.longOpt)
        except getopt.error as reason:
            raise usage.UsageError(str(reason)) from reason
        first = [f"{name}={v}" if f"{name[2:]}=" in self.longOpt else name for name, v in given]
        super().parseOptions([*first, "--", *operands])

    def parseArgs(self, *words: str) -> None:
        """Take no operand."""
        if words:
            raise usage.UsageError(f"{words[0]!r} is not understood.")


class Command(Subcommand):
    """A subcommand that speaks to FleetIQ."""

    async def run(self, fleet: Fleet) -> int:
        """
        Do it.

        @return: the exit status.
        @raise CallFailed, NotReached, Refused: what to tell the user; the exit status is 1.
        """
        raise NotImplementedError
