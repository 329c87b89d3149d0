"""The formats of the log, and the page that lists the events."""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from twisted.logger import Logger, LogPublisher
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from echoserver.commandline import CommandOptions
from echoserver.logformat import LEVELS, fileObserver, formatJSON, syslogObserver

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/log-events.md").read_text()
SHOWN = re.compile(r"^\| `([A-Za-z.]+)` \| (\w+) \| `(.*)` \|$", re.MULTILINE)
METHODS = (*LEVELS, "failure", "emit")


class Call(NamedTuple):
    """A call that logs an event."""

    place: str
    level: str
    sentence: str
    event: str | None


def calls() -> Iterator[Call]:
    """Return all calls of the loggers of the twistd commands."""
    for path in sorted((ROOT / "echoserver").rglob("*.py")):
        if "cli" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="_log"), attr=level),
                    args=[*_, ast.Constant(value=str(sentence))]
                    | [ast.Constant(value=str(sentence)), _],
                    keywords=keywords,
                ) if level in METHODS:
                    names = [
                        each.value.value
                        for each in keywords
                        if each.arg == "eventName" and isinstance(each.value, ast.Constant)
                    ]
                    level = {"failure": "critical", "emit": "info"}.get(level, level)
                    event = str(names[0]) if names else None
                    yield Call(f"{path.name}:{node.lineno}", level, sentence, event)


class PageTests(SynchronousTestCase):
    """Compare docs/log-events.md with the code."""

    def test_events(self) -> None:
        """Each call has the name of its event."""
        found = list(calls())
        self.assertGreater(len(found), 90)
        self.assertEqual([each.place for each in found if each.event is None], [])
        for each in found:
            self.assertRegex(str(each.event), r"^[a-z]\w*\.[a-z]\w*$")

    def test_page(self) -> None:
        """The table has each event, in the order of the names, with its level and its sentence."""
        table = sorted({(str(each.event), each.level, each.sentence) for each in calls()})
        self.assertEqual(SHOWN.findall(PAGE), table)


class JSONTests(SynchronousTestCase):
    """Lines of JSON."""

    def setUp(self) -> None:
        self.file = io.StringIO()
        observer = fileObserver(self.file, "json", "info")
        self.log = Logger("fleetiq.test", observer=LogPublisher(observer))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.getvalue().splitlines()]

    def test_fields(self) -> None:
        """The identifiers stand beside the message, and the other fields in an object."""
        self.log.info(
            "Player {address} joined.",
            address="10.0.0.1:5",
            players=2,
            gameServerId="a-5000-b",
            session=3,
            requestId=None,
            eventName="player.joined",
        )
        [line] = self.lines()
        self.assertRegex(line.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            line,
            {
                "level": "info",
                "event": "player.joined",
                "namespace": "fleetiq.test",
                "message": "Player 10.0.0.1:5 joined.",
                "gameServerId": "a-5000-b",
                "session": 3,
                "fields": {"address": "10.0.0.1:5", "players": 2},
            },
        )

    def test_others(self) -> None:
        """Events of other libraries have one name, and no fields."""
        self.log.warn("Line 1\nLine 2 {x}", x=object)
        self.assertEqual(self.file.getvalue().count("\n"), 1)
        [line] = self.lines()
        self.assertEqual((line["event"], line["level"]), ("other", "warn"))
        self.assertNotIn("fields", line)

    def test_failure(self) -> None:
        """A failure has a traceback, on the same line."""
        try:
            raise ValueError("No.")
        except ValueError:
            self.log.failure("It failed.", eventName="test.failed")
        [line] = self.lines()
        self.assertEqual(line["level"], "critical")
        self.assertIn("ValueError: No.", line["traceback"])

    def test_values(self) -> None:
        """Values that JSON does not have are strings; one that cannot be formatted is named."""

        class Bad:
            def __str__(self) -> str:
                raise RuntimeError

        fields = {"nan": float("nan"), "path": Path("/a"), "bad": Bad(), "half": 0.5}
        self.log.info("Values.", eventName="test.values", **fields)
        [line] = self.lines()
        self.assertEqual(
            line["fields"],
            {"nan": "nan", "path": "/a", "bad": "(unformattable: RuntimeError)", "half": 0.5},
        )

    def test_level(self) -> None:
        """Events below the level are not written."""
        self.log.debug("No.")
        self.log.info("Yes.")
        self.assertEqual([line["message"] for line in self.lines()], ["Yes."])

    def test_noText(self) -> None:
        """An event without a text has no line."""
        self.assertIsNone(formatJSON({"log_format": ""}))

    def test_syslog(self) -> None:
        """A line for syslog begins with the priority of its level."""
        log = Logger("test", observer=LogPublisher(syslogObserver(self.file, "info")))
        log.error("Hello.")
        self.assertRegex(self.file.getvalue(), r"^<3>\{.*\}$")


class OptionTests(SynchronousTestCase):
    """--log-format and --log-level."""

    class Options(CommandOptions):
        command = "test"

    def test_wrong(self) -> None:
        """A wrong value ends with a sentence."""
        for option, word, allowed in (
            ("log-format", "xml", "text or json"),
            ("log-level", "INFO", "debug, info, warn, error or critical"),
        ):
            error = self.assertRaises(
                SystemExit, self.Options().parseOptions, [f"--{option}", word]
            )
            self.assertEqual(str(error), f"twistd test: --{option} is '{word}': write {allowed}.")
            self.assertIsInstance(error.__cause__, usage.UsageError)
