"""The dashboard and the alerts in deploy/observability use the metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from echoserver.server.metrics import Metrics
from tests.server.test_statusport import READY

FOLDER = Path(__file__).parents[1] / "deploy/observability"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
ALERTS = (FOLDER / "alerts.yml").read_text()
README = (FOLDER / "README.md").read_text()
PROMTOOL = shutil.which("promtool")
METRIC = re.compile(r"\bfleetiq_\w+")


def samples() -> set[str]:
    """Return the names of all samples that the status port can have."""
    metrics = Metrics(lambda: 0.0, lambda: [READY])
    metrics.ended("RegisterGameServer", "ok", 0.1)
    text = metrics.text().decode()
    return set(re.findall(r"^(fleetiq_\w+)", text, re.MULTILINE))


class DashboardTests(SynchronousTestCase):
    """The dashboard of Grafana."""

    def test_metrics(self) -> None:
        """The panels show all metrics, and no others."""
        queries = [each["expr"] for panel in DASHBOARD["panels"] for each in panel["targets"]]
        used = {name for query in queries for name in METRIC.findall(query)}
        self.assertEqual(used - samples(), set())
        unused = {each for each in samples() - used if not each.endswith(("_created", "_sum"))}
        self.assertEqual(unused, set())

    def test_descriptions(self) -> None:
        """The page has each panel with its description, in their order."""
        table = README.partition("| panel | what it shows |")[2]
        shown = re.findall(r"^\| ([A-Z].*?) \| (.*) \|$", table, re.MULTILINE)
        panels = [(each["title"], each["description"]) for each in DASHBOARD["panels"]]
        self.assertEqual(shown, panels)

    def test_layout(self) -> None:
        """No panel covers another one, and their ids differ."""
        cells: list[tuple[int, int]] = []
        for panel in DASHBOARD["panels"]:
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24)
            cells += [
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            ]
        self.assertEqual(len(cells), len({*cells}))
        self.assertEqual(
            len({each["id"] for each in DASHBOARD["panels"]}), len(DASHBOARD["panels"])
        )


class AlertTests(SynchronousTestCase):
    """The rules of Prometheus."""

    def test_metrics(self) -> None:
        """The rules use metrics that exist."""
        used = {*METRIC.findall(ALERTS)}
        self.assertGreater(len(used), 5)
        self.assertEqual(used - samples(), set())

    def test_page(self) -> None:
        """The page has each alert with its severity."""
        rules = re.findall(r"- alert: (\w+).*?severity: (\w+)", ALERTS, re.DOTALL)
        self.assertEqual(re.findall(r"^\| `(\w+)` \| (\w+) \|", README, re.MULTILINE), rules)

    @skipUnless(PROMTOOL, "promtool is not installed: apt install prometheus")
    def test_promtool(self) -> None:
        """promtool accepts the rules, and their tests pass."""
        for command, file in (("check", "alerts.yml"), ("test", "alerts.test.yml")):
            done = subprocess.run(
                [str(PROMTOOL), command, "rules", str(FOLDER / file)],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
