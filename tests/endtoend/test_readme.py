"""The sample output of the README, and the commands of docs/workshop.md."""

import re
import shlex
from pathlib import Path

from tests.endtoend.processes import ANY_PORT, EndToEndTestCase

README = (Path(__file__).parents[2] / "README.md").read_text()
WORKSHOP = (Path(__file__).parents[2] / "docs/workshop.md").read_text()
# Parts of a line that change from run to run: times, ids, durations, ports, paths.
_VARIABLE = (
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 ",
    r"-(\d+)-[a-z0-9]{10}\b",
    r"took \d+ ms, request id [-0-9a-f]{36}",
    r"(?<=:|=)\d{2,5}\b",
    r"(?<=starting on )\d+",
    r"(?<=type: ).*fleetiq.*",
)


def withoutVariables(line: str) -> str:
    """Return a line of the log without the parts that change from run to run."""
    for pattern in _VARIABLE:
        line = re.sub(pattern, "…", line)
    return line


def sample(begin: str) -> list[str]:
    """Return the block of the README with this text in its first line."""
    blocks: list[str] = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    [block] = [block for block in blocks if begin in block.splitlines()[0]]
    return block.splitlines()


class ReadmeTests(EndToEndTestCase):
    """The commands of the README."""

    async def test_start(self) -> None:
        """The log of the start has the lines of the README, and no other lines."""
        child = self.echo("--listen=0", f"--local={ANY_PORT}")
        await child.nextLine(r" Ready\. ")
        begin = next(i for i, line in enumerate(child.lines) if "fleetiq-local starting" in line)
        self.assertEqual(
            [withoutVariables(line) for line in sample("fleetiq-local starting")],
            [withoutVariables(line) for line in child.lines[begin:]],
        )

    async def test_play(self) -> None:
        """C{fleetiq play} begins with the lines of the README."""
        child, fleet, _ = await self.embedded()
        await child.available()
        play = self.start("fleetiq", f"--endpoint-url={fleet.url}", "play")
        self.assertEqual(0, await play.exitStatus())
        self.assertEqual(
            [withoutVariables(line) for line in sample("local FleetIQ on")[:3]],
            [withoutVariables(line) for line in play.lines],
        )

    async def test_workshop(self) -> None:
        """The commands of the table work in their order."""
        # On a busy machine they take longer than the default, and a heartbeat is one more call.
        child, fleet, _ = await self.embedded("--heartbeat=150")
        await child.available()
        commands = re.findall(r"^\| .*? \| `fleetiq (.*?)` \|", WORKSHOP, re.MULTILINE)
        self.assertEqual(7, len(commands))
        for command in commands:
            run = self.start("fleetiq", f"--endpoint-url={fleet.url}", *shlex.split(command))
            status = await run.exitStatus()
            self.assertEqual(0, status, run.describe())
        calls = await fleet.calls()
        self.assertEqual((2, 3), (calls["ClaimGameServer"], calls["UpdateGameServer"]))
