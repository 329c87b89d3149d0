"""A short run of the chaos benchmark."""

import json
import sys
from pathlib import Path

from tests.endtoend.processes import EndToEndTestCase


class ChaosTests(EndToEndTestCase):
    """Players play while calls fail, a process is killed, and attackers connect."""

    # A minute on an idle machine.
    timeout = 400

    async def test_nothingIsLost(self) -> None:
        """All checks of the benchmark pass, and its disturbances happened."""
        report = self.folder / "report.json"
        run = self.start(
            Path(sys.executable).name,
            "-m",
            "benchmarks.chaos",
            *("--sessions=40", "--processes=3", "--servers=6", "--players=12", "--seed=8"),
            f"--json={report}",
            folder=Path(__file__).parents[2],
        )
        self.assertEqual(0, await run.exitStatus(within=380), run.describe())
        result = json.loads(report.read_text())
        self.assertEqual([], result["failures"])
        self.assertEqual(40, result["players"]["sessions"])
        self.assertIn("processes killed and started again", result["happened"])
        for attack in ("silent TLS clients that were disconnected", "idle connections to status"):
            self.assertTrue(any(attack in counted for counted in result["attackers"]), result)
        self.assertLess(40, result["calls"]["RegisterGameServer"])
