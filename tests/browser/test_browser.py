"""Whether the tests of the page can run."""

from __future__ import annotations

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.browser.browser import REQUIRED, missing


class InstallTests(SynchronousTestCase):
    """What the tests of the page need."""

    def test_installed(self) -> None:
        """Chromium, its driver and axe-core are installed. In CI they must be."""
        reason = missing()
        if reason is not None and not REQUIRED:
            raise SkipTest(reason)
        self.assertIsNone(reason)
