"""What the README shows is what one sees, and the commands of its table do what they say."""

import re
import shlex
from pathlib import Path

from tests.endtoend.processes import ANY_PORT, EndToEndTestCase

README = (Path(__file__).parents[2] / "README.md").read_text()
WORKSHOP = (Path(__file__).parents[2] / "docs/workshop.md").read_text()
# What differs from run to run: time, what ids have drawn, how long it took, where we are.
_DIFFERS = (
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 ",
    r"-(\d+)-[a-z0-9]{10}\b",
    r"took \d+ ms, request id [-0-9a-f]{36}",
    r"(?<=:|=)\d{2,5}\b",
    r"(?<=starting on )\d+",
    r"(?<=type: ).*fleetiq.*",
)


def lasting(line: str) -> str:
    """A line of the log without what differs from run to run."""
    for pattern in _DIFFERS:
        line = re.sub(pattern, "…", line)
    return line


def shown(begin: str) -> list[str]:
    """The block of the README whose first line has this in it."""
    blocks: list[str] = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    [block] = [block for block in blocks if begin in block.splitlines()[0]]
    return block.splitlines()


class ReadmeTests(EndToEndTestCase):
    """The README, run."""

    async def test_start(self) -> None:
        """The start looks as it is shown, line by line, and nothing else is said."""
        child = self.echo("--listen=tcp:0", f"--local={ANY_PORT}")
        await child.says(r" Ready\. ")
        begin = next(i for i, line in enumerate(child.lines) if "fleetiq-local starting" in line)
        self.assertEqual(
            [lasting(line) for line in shown("fleetiq-local starting")],
            [lasting(line) for line in child.lines[begin:]],
        )

    async def test_play(self) -> None:
        """So does the start of C{play}; what is typed and comes back follows."""
        child, fleet, _ = await self.embedded()
        await child.available()
        play = self.start("fleetiq", f"--endpoint-url={fleet.url}", "play")
        self.assertEqual(0, await play.ends())
        self.assertEqual(
            [lasting(line) for line in shown("local FleetIQ on")[:3]],
            [lasting(line) for line in play.lines],
        )

    async def test_workshop(self) -> None:
        """The table's commands work in its order."""
        child, fleet, _ = await self.embedded()
        await child.available()
        commands = re.findall(r"^\| .*? \| `fleetiq (.*?)` \|", WORKSHOP, re.MULTILINE)
        self.assertEqual(7, len(commands))
        for command in commands:
            run = self.start("fleetiq", f"--endpoint-url={fleet.url}", *shlex.split(command))
            status = await run.ends()
            self.assertEqual(0, status, run.story())
        calls = await fleet.calls()
        self.assertEqual((2, 3), (calls["ClaimGameServer"], calls["UpdateGameServer"]))
