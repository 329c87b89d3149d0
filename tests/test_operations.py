"""The messages, metrics and options in docs/operations.md exist in the code."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from echoserver.cli.template import TEMPLATES
from echoserver.commandline import CommandOptions
from echoserver.server.metrics import Metrics
from tests.endtoend.test_signals import STOPPING
from tests.programdoubles import EchoOptions as Options
from tests.server.test_statusport import READY

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/operations.md").read_text()
SPANS = [span for line in GUIDE.splitlines() for span in re.findall(r"`([^`]+)`", line)]
COMMAND = re.compile(r"fleetiq |python |systemd-analyze |twistd |--[a-z-]+ ")
FIELD = "\0"


def formats() -> list[str]:
    """Return all strings of the modules, with a mark for each field."""
    found = []
    for path in (ROOT / "echoserver").rglob("*.py"):
        if {"cli", "local"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.JoinedStr(values=values):
                    parts = [
                        str(each.value) if isinstance(each, ast.Constant) else FIELD
                        for each in values
                    ]
                    found.append("".join(parts))
                case ast.Constant(value=str(text)):
                    found.append(re.sub(r"\{[^}]*\}", FIELD, text))
                case ast.Constant(value=bytes(data)):
                    found.append(data.decode("latin-1"))
    return found


def isQuoted(sentence: str, strings: list[str]) -> bool:
    """
    Return whether a quote is a message of the code.

    The pieces of a quote must be in one string, in this order. Or they are in two strings: the text
    of an error, and its hint.
    """
    pieces = [piece.strip(" .,;:(") for piece in re.split(r"…|: ", sentence)]
    pieces = [piece for piece in pieces if piece]

    def inOne(some: list[str]) -> bool:
        pattern = re.compile(".*".join(map(re.escape, some)), re.DOTALL)
        return any(pattern.search(string) for string in strings)

    return any(inOne(pieces[:end]) and inOne(pieces[end:]) for end in range(1, len(pieces) + 1))


class OperationsTests(SynchronousTestCase):
    """Compare the page with the code."""

    def test_sentences(self) -> None:
        """Each quoted log line or response is a message of the code, or two joined messages."""
        strings = formats()
        sentences = [span for span in SPANS if " " in span and not COMMAND.match(span)]
        # The code joins this line from parts; tests.endtoend.test_signals checks it.
        quoted = [each for each in sentences if not re.search(STOPPING, f" {each}")]
        self.assertGreater(len(quoted), 50)
        self.assertEqual([each for each in quoted if not isQuoted(each, strings)], [])

    def test_wrongOrder(self) -> None:
        """Pieces in another order, or of three messages, are not a quote."""
        strings = [f"{FIELD} left: {FIELD}; players: {FIELD}.", "It is late.", "It is early."]
        self.assertTrue(isQuoted("… left: …; players: …", strings))
        self.assertTrue(isQuoted("… left: … It is late.", strings))
        self.assertFalse(isQuoted("players: … left: … It is late.", strings))
        self.assertFalse(isQuoted("left: … It is late. … It is early.", strings))

    def test_metrics(self) -> None:
        """The table has each metric, with its type."""
        metrics = Metrics(lambda: 0.0, lambda: [READY])
        metrics.ended("RegisterGameServer", "ok", 0.1)
        types = re.findall(r"^# TYPE (\S+) (\w+)$", metrics.text().decode(), re.MULTILINE)
        shown = re.findall(r"^\| `(fleetiq_\w+)` \| (\w+) \|", GUIDE, re.MULTILINE)
        self.assertEqual(shown, [each for each in types if not each[0].endswith("_created")])

    def test_options(self) -> None:
        """Each option is an option of the game server or of C{fleetiq}."""
        existing = {f"--{option[0]}" for option in Options.optParameters} | {"--instance", "--yes"}
        existing |= {f"--{option[0]}" for option in CommandOptions.optParameters}
        existing |= {"--logfile", "--syslog", "--logger", "--log-file"}  # of twistd, and of twist
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", GUIDE))
        self.assertEqual(named - existing, set())

    def test_stopTimeouts(self) -> None:
        """The timeout of each example is 15 s longer than its grace period."""
        units = [path.read_text() for path in sorted((ROOT / "deploy/systemd").iterdir())]
        text = "\n".join([GUIDE, *units])
        graces = re.findall(r'(?:--grace"?,? "?|Environment=GRACE=)(\d+)', text)
        stops = r'(?:TimeoutStopSec=|"stopTimeout": |terminationGracePeriodSeconds: )(\d+)'
        self.assertEqual(
            [int(grace) + 15 for grace in graces], [int(stop) for stop in re.findall(stops, text)]
        )
        self.assertEqual(len(graces), 4)

    def test_json(self) -> None:
        """The policy and the container definition are JSON. docs/aws.md lists the same actions."""
        _, policy = (
            json.loads(each) for each in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
        )
        [statement] = policy["Statement"]
        needs = re.search(
            r"role needs (.*?) on the group", (ROOT / "docs/aws.md").read_text(), re.DOTALL
        )
        assert needs is not None
        self.assertEqual(statement["Action"], re.findall(r"`(gamelift:\w+)`", needs[1]))
        self.assertEqual(policy, json.loads(TEMPLATES["iam"]({})))
