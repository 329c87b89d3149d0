"""Descriptors: the limit, and whether there are enough."""

from __future__ import annotations

import os
import resource
import sys
from subprocess import run

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.descriptors import LOOK_EVERY, RESERVE, Descriptors, inUse, lowestFree

RAISE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))
from echoserver.descriptors import raiseLimit
print(raiseLimit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


class LimitTests(SynchronousTestCase):
    """The limit of a process of its own."""

    def test_raised(self) -> None:
        """The soft limit becomes the hard one."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        for hard in (100, 300):
            if hard <= most or most == resource.RLIM_INFINITY:
                code = RAISE.format(hard=hard)
                said = run([sys.executable, "-c", code], capture_output=True, check=True).stdout
                self.assertEqual(f"{hard} {hard} {hard}\n".encode(), said)


class DescriptorsTests(SynchronousTestCase):
    """A process with a limit of 1,024."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lowest: int | None = 100
        self.used = 100
        self.changes: list[bool] = []
        self.descriptors = Descriptors(self.clock, 1024, lambda: self.lowest, lambda: self.used)
        self.descriptors.watch(lambda: self.changes.append(self.descriptors.enough))

    def test_stopsAndGoesOn(self) -> None:
        """With 64 left nobody is accepted, until some more are free; each is logged once."""
        self.lowest = 1024 - RESERVE - 1
        self.descriptors.accepted()
        self.assertEqual([], self.changes)
        with capturedLogs() as events:
            for self.lowest in (1024 - RESERVE, None):
                self.used = 1024 - RESERVE
                self.descriptors.accepted()
            self.clock.advance(LOOK_EVERY)
            self.used -= 15
            self.clock.advance(LOOK_EVERY)
            self.assertEqual([False], self.changes)
            self.used -= 1
            self.clock.advance(LOOK_EVERY)
        self.assertEqual([False, True], self.changes)
        self.assertEqual([], self.clock.getDelayedCalls())
        said, again = (str(formatEvent(event)) for event in events)
        self.assertIn("960 of 1024 descriptors are in use", said)
        self.assertIn("again", again)

    def test_noneLeft(self) -> None:
        """That there is none left at all is seen, too."""
        self.lowest = None
        self.descriptors.accepted()
        self.assertFalse(self.descriptors.enough)

    def test_counts(self) -> None:
        """The lowest free number is just that, and one more is in use with it."""
        used = inUse()
        taken = os.dup(0)
        self.addCleanup(os.close, taken)
        self.assertEqual(used + 1, inUse())
        self.assertNotEqual(taken, lowestFree())
        self.assertEqual(lowestFree(), lowestFree())
