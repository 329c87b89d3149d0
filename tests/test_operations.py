"""The sentences, metrics and options that docs/operations.md names are those that there are."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from echoserver.server.metrics import Metrics
from tests.endtoend.test_signals import STOPPING
from tests.programdoubles import EchoOptions as Options
from tests.server.test_statusport import READY

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/operations.md").read_text()
SPANS = [span for line in GUIDE.splitlines() for span in re.findall(r"`([^`]+)`", line)]
COMMAND = re.compile(r"fleetiq |python |systemd-analyze |twistd |--[a-z-]+ ")
BETWEEN = "\0"


def strings() -> str:
    """What our rooms may say, with a mark wherever something is filled in."""
    said = []
    for path in (ROOT / "echoserver").rglob("*.py"):
        if {"cli", "local"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.JoinedStr(values=values):
                    parts = [
                        each.value if isinstance(each, ast.Constant) else "" for each in values
                    ]
                    said.append(BETWEEN.join(map(str, parts)))
                case ast.Constant(value=str(text)):
                    said.append(re.sub(r"\{[^}]*\}", BETWEEN, text))
                case ast.Constant(value=bytes(data)):
                    said.append(data.decode("latin-1"))
    return BETWEEN.join(said)


class OperationsTests(SynchronousTestCase):
    """The guide against the code."""

    def test_sentences(self) -> None:
        """What is quoted of the log and of answers is said somewhere, word by word."""
        said = strings()
        sentences = [span for span in SPANS if " " in span and not COMMAND.match(span)]
        # This one is put together; the test of signals has it whole.
        quoted = [each for each in sentences if not re.search(STOPPING, f" {each}")]
        self.assertGreater(len(quoted), 50)
        for sentence in quoted:
            for piece in re.split(r"…|: |\. ", sentence):
                self.assertIn(piece.strip(" .,;:"), said, sentence)

    def test_metrics(self) -> None:
        """The table has each metric, with its type."""
        metrics = Metrics(lambda: 0.0, lambda: [READY])
        metrics.ended("RegisterGameServer", "ok", 0.1)
        types = re.findall(r"^# TYPE (\S+) (\w+)$", metrics.text().decode(), re.MULTILINE)
        shown = re.findall(r"^\| `(fleetiq_\w+)` \| (\w+) \|", GUIDE, re.MULTILINE)
        self.assertEqual(shown, [each for each in types if not each[0].endswith("_created")])

    def test_options(self) -> None:
        """Each option that is named is one of the game server's, or of C{fleetiq}'s."""
        there = {f"--{option[0]}" for option in Options.optParameters} | {"--instance", "--yes"}
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", GUIDE))
        self.assertEqual(named - there, set())

    def test_stopTimeouts(self) -> None:
        """Each snippet leaves 15 s more than the grace that it gives."""
        graces = re.findall(r'--grace"?,? "?(\d+)', GUIDE)
        stops = r'(?:TimeoutStopSec=|"stopTimeout": |terminationGracePeriodSeconds: )(\d+)'
        self.assertEqual(
            [int(grace) + 15 for grace in graces], [int(stop) for stop in re.findall(stops, GUIDE)]
        )
        self.assertEqual(len(graces), 3)

    def test_json(self) -> None:
        """The policy and the container definition are JSON; the policy is that of docs/aws.md."""
        _, policy = (
            json.loads(each) for each in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
        )
        [statement] = policy["Statement"]
        needs = re.search(
            r"role needs (.*?) on the group", (ROOT / "docs/aws.md").read_text(), re.DOTALL
        )
        assert needs is not None
        self.assertEqual(statement["Action"], re.findall(r"`(gamelift:\w+)`", needs[1]))
