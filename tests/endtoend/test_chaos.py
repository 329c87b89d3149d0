"""A short run of the chaos benchmark: its own verdict, and that it had something to judge."""

import json
import sys
from pathlib import Path

from tests.endtoend.processes import EndToEndTestCase


class ChaosTests(EndToEndTestCase):
    """Players, failing calls and a killed process, all at once."""

    async def test_nothingIsLost(self) -> None:
        """Nobody is cut for no reason, every byte comes back, every registration goes."""
        report = self.folder / "report.json"
        run = self.start(
            Path(sys.executable).name,
            "-m",
            "benchmarks.chaos",
            *("--sessions=40", "--processes=2", "--servers=8", "--players=12", "--seed=8"),
            f"--json={report}",
            folder=Path(__file__).parents[2],
        )
        self.assertEqual(0, await run.ends(within=100), run.story())
        told = json.loads(report.read_text())
        self.assertEqual([], told["failures"])
        self.assertEqual(40, told["players"]["sessions"])
        self.assertIn("processes killed and started again", told["happened"])
        self.assertLess(40, told["calls"]["RegisterGameServer"])
