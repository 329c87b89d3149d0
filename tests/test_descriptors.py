"""Descriptors: the limit, and whether there are enough."""

from __future__ import annotations

import os
import resource
import sys
from subprocess import run

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.players.descriptors import LOOK_EVERY, RESERVE, Descriptors, inUse

RAISE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))
from echoserver.players.descriptors import raiseLimit
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
        self.used: int | None = 100
        self.counted = 0
        self.changes: list[bool] = []
        self.descriptors = Descriptors(self.clock, 1024, self.inUse)
        self.descriptors.watch(lambda: self.changes.append(self.descriptors.enough))

    def inUse(self) -> int | None:
        self.counted += 1
        return self.used

    def test_stopsAndGoesOn(self) -> None:
        """With 64 left nobody is accepted, until some more are free; each is logged once."""
        self.used = 1024 - RESERVE - 15
        with capturedLogs() as events:
            for _ in range(3):
                self.descriptors.accepted()
            self.clock.advance(LOOK_EVERY)
            self.used -= 16
            self.clock.advance(LOOK_EVERY)
            self.assertEqual([False], self.changes)
            self.used -= 1
            self.clock.advance(LOOK_EVERY)
        self.assertEqual([False, True], self.changes)
        self.assertEqual([], self.clock.getDelayedCalls())
        said, again = (str(formatEvent(event)) for event in events)
        self.assertIn("945 of 1024 descriptors are in use", said)
        self.assertIn("again", again)

    def test_countsSeldom(self) -> None:
        """They are counted again when as many were accepted as there was room for."""
        for _ in range(1 + 1024 - RESERVE - 100 - 1):
            self.descriptors.accepted()
        self.assertEqual(1, self.counted)
        self.used = 1024 - RESERVE
        self.descriptors.accepted()
        self.assertEqual((2, [False]), (self.counted, self.changes))
        self.used = 1024 - RESERVE - 32
        self.clock.advance(LOOK_EVERY)
        for _ in range(31):
            self.descriptors.accepted()
        self.assertEqual((3, [False, True]), (self.counted, self.changes))
        self.used += 31
        self.descriptors.accepted()
        self.assertEqual([False, True, False], self.changes)

    def test_noneLeft(self) -> None:
        """That there is none left even to count them is seen, too, and got over."""
        self.used = None
        self.descriptors.accepted()
        self.clock.advance(LOOK_EVERY)
        self.assertFalse(self.descriptors.enough)
        self.used = 100
        self.clock.advance(LOOK_EVERY)
        self.assertTrue(self.descriptors.enough)

    def test_counts(self) -> None:
        """One that is opened is one more in use."""
        used = inUse()
        assert used is not None
        self.addCleanup(os.close, os.dup(0))
        self.assertEqual(used + 1, inUse())
