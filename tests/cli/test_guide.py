"""The page docs/command.md, compared with the command."""

from __future__ import annotations

import re
import shlex
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from echoserver.cli.botstats import BotStats
from echoserver.cli.command import Command
from echoserver.cli.main import CommandLine, fleetiq, parseCommandLine
from echoserver.cli.output import Console

GUIDE = (Path(__file__).parents[2] / "docs/command.md").read_text()


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table below a title, without its first line."""
    section = re.split(r"\n#+ ", GUIDE.partition(f"\n## {title}\n")[2])[0]
    lines = [line.strip("|").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    return [[cell.strip() for cell in line] for line in lines[1:]]


def words(cell: str) -> list[str]:
    """Return what a cell has in backquotes."""
    return re.findall(r"`(.*?)`", cell)


class GuideTests(SynchronousTestCase):
    """The commands, options and keys of the page."""

    def test_commands(self) -> None:
        """The table has each command once."""
        named = [words(row[0])[0].split()[0] for row in rows("Commands")]
        self.assertEqual(named, list(fleetiq.lazy))

    def test_options(self) -> None:
        """The tables have the options of all commands, and those of bots with their defaults."""
        everywhere = [name for row in rows("Options of all commands") for name in words(row[0])]
        self.assertEqual(
            [each.split()[0] for each in everywhere],
            [name for param in fleetiq.params for name in param.opts],
        )
        context = fleetiq.make_context("fleetiq", [], resilient_parsing=True)
        bots = fleetiq.get_command(context, "bots")
        assert isinstance(bots, Command)
        own = [each for each in bots.params if each.expose_value]
        documented = rows("Many players")
        self.assertEqual(
            [[name.split()[0] for name in words(row[0])] for row in documented],
            [param.opts for param in own],
        )
        self.assertEqual([row[2] for row in documented[:-1]], [each.default for each in own[:-1]])

    def test_lines(self) -> None:
        """Each command line of the page is valid."""
        lines = "".join(re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)).splitlines()
        self.assertEqual(len(lines), 6)
        for line in lines:
            name, *arguments = shlex.split(line.partition(" > ")[0])
            self.assertEqual(name, "fleetiq")
            console = Console(StringIO(), stderr := StringIO())
            parsed = parseCommandLine([each.encode() for each in arguments], console)
            if arguments[0] != "completion":
                self.assertIsInstance(parsed, CommandLine, stderr.getvalue())
            self.assertEqual(stderr.getvalue(), "")

    def test_keys(self) -> None:
        """The table has the keys of the result of bots."""
        keys = [words(row[2]) for row in rows("JSON") if words(row[0]) == ["bots"]]
        result = BotStats(1, 1.0, echoes=[(0.5, 0.1)]).asJSON()
        self.assertEqual(keys, [list(result), list(result["timeline"][0])])
