"""The examples of docs/local-fleetiq.md work, and its tables are complete."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from itertools import dropwhile, pairwise, takewhile
from pathlib import Path
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.operations import Operations
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.instancemetadata import treeOf
from echoserver.local.model.interruptions import KINDS
from echoserver.local.model.metadatatree import pathsOf
from echoserver.local.model.settings import Settings
from echoserver.local.model.values import Instance, Interruption, instanceIdOf
from echoserver.local.tap import Options
from echoserver.local.testing import RunningFleetIQ

GUIDE = (Path(__file__).parents[2] / "docs" / "local-fleetiq.md").read_text()
DEFAULT_URL = "http://127.0.0.1:4570"
# The part of pytest that the guide uses.
_PYTEST = "def fixture(function):\n    return function\n"
_RUN_LIKE_PYTEST = """
from contextlib import contextmanager
with contextmanager(fleetIQ)() as given:
    test_repeats(given)
"""


def blocks(language: str) -> list[str]:
    """Return the code blocks of the guide in a language."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return found


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without the table's head."""
    below = GUIDE.partition(f"\n{heading}\n")[2]
    table = dropwhile(lambda line: not line.startswith("|"), below.splitlines())
    lines = list(takewhile(lambda line: line.startswith("|"), table))
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def curl(url: str, command: list[str]) -> int:
    """Send the request that curl would send, and return the status."""
    options = dict(pairwise(command))
    [path] = [word.removeprefix(DEFAULT_URL) for word in command if word.startswith(DEFAULT_URL)]
    body = options.get("-d")
    method = options.get("-X") or ("POST" if body else "GET")
    data = None if body is None else body.encode()
    with urlopen(Request(url + path, data, method=method)) as response:
        status: int = response.status
        return status


class GuideTests(SynchronousTestCase):
    """The guide's commands, examples and tables."""

    def run_(self, *command: str, **environ: str) -> None:
        run = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(0, run.returncode, run.stdout)

    def test_controls(self) -> None:
        """The commands for the controls work in the order of the guide."""
        with RunningFleetIQ() as fleetIQ:
            for line in "".join(blocks("sh")).splitlines():
                program, *words = shlex.split(line)
                if program == "curl":
                    self.assertEqual(200, curl(fleetIQ.endpointUrl, words), line)
                else:
                    self.assertEqual("fleetiq", program, line)
                    command = ("-m", "echoserver.cli", *words)
                    self.run_(*command, **fleetIQ.environment)

    def test_unittest(self) -> None:
        """The example for unittest is a test that passes."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "test_claims.py").write_text(blocks("python")[0])
        self.run_("-m", "unittest", "discover", "--start-directory", str(folder))

    def test_pytest(self) -> None:
        """The fixture and the test for pytest work as pytest would run them."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "pytest.py").write_text(_PYTEST)
        program = folder / "program.py"
        program.write_text(blocks("python")[1] + _RUN_LIKE_PYTEST)
        self.run_(str(program))

    def test_options(self) -> None:
        """The table of options is complete."""
        options = {name.rstrip("=") for name in Options().longOpt} - {"help", "version"}
        self.assertEqual(
            {f"`--{name}`" for name in options}, {row[0] for row in rows("## Start it")}
        )

    def test_operations(self) -> None:
        """The table of operations is complete."""
        operations = set(Operations(Fleet(lambda _: None), lambda: 0.0).names)
        listed = ", ".join(row[0] for row in rows("## What it serves")).split(", ")
        self.assertEqual(sorted(operations), sorted(listed))

    def test_metadata(self) -> None:
        """The table of metadata paths is complete, with those of all notices."""
        interruptions = tuple(Interruption(kind, 0.0, 9.0) for kind in ("rebalance", "spot"))
        instance = Instance(instanceIdOf("local", 0), "local", 0.0, interruptions=interruptions)
        paths = pathsOf(treeOf(instance, 0.0, userData=b""))
        listed = [row[0].strip("`") for row in rows("### Instance metadata")]
        named = [re.sub("(..:){5}..", "<mac>", path) for path in paths]
        self.assertEqual(sorted(named), sorted(listed))

    def test_interruptions(self) -> None:
        """The table of interruptions is complete."""
        listed = ", ".join(row[0] for row in rows("### Interruptions")).split(", ")
        self.assertEqual(sorted(f"`{kind}`" for kind in KINDS), sorted(listed))

    def test_settings(self) -> None:
        """The table of settings is complete, with values and descriptions."""
        listed = {row[0].strip("`"): row[1:] for row in rows("## What AWS does not document")}
        for each in fields(Settings):
            values, what = listed.pop(re.sub("[A-Z]", lambda m: f"-{m[0].lower()}", each.name))
            self.assertEqual(
                [f"`{value}`" for value in each.metadata["values"]], values.split(", ")
            )
            self.assertTrue(
                what.startswith(each.metadata["what"].replace("--quotas", "`--quotas`"))
            )
        self.assertEqual({}, listed)
