"""The tests that docs/security.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

GUIDE = (Path(__file__).parents[1] / "docs/security.md").read_text()


class SecurityTests(SynchronousTestCase):
    """The guide against the tests."""

    def test_namedTests(self) -> None:
        """Each named test can be imported, and each claim names one."""
        names = re.findall(r"`(tests\.[\w.]+)`", GUIDE)
        self.assertGreater(len(names), 15)
        for name in names:
            namedAny(name)
        claims = re.findall(r"^\| (?:cannot|can|who) .*$", GUIDE, re.MULTILINE)
        self.assertEqual([each for each in claims if "`tests." not in each], [])
