"""Tests of child processes on the uvloop reactor, beside those of asyncio."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.uvloopcase import UvloopTestCase
from tests.uvreactor.childrenprogram import CLOSES_PIPES, ENV, Child

TIMEOUT = 60.0


class ChildrenTests(SynchronousTestCase):
    """Children that close their pipes first, so that only their end can be noticed."""

    options: tuple[str, ...] = ()

    def printed(self, case: str) -> str:
        """Return what the program prints."""
        return subprocess.run(
            [sys.executable, "-m", "tests.uvreactor.childrenprogram", case, *self.options],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
            check=True,
        ).stdout.strip()

    def test_after(self) -> None:
        """After a child of asyncio has run, each child ends with its exit code."""
        self.assertEqual(self.printed("after"), "3 3 3")

    def test_during(self) -> None:
        """While a child of asyncio runs, children end, and so does the child of asyncio."""
        self.assertEqual(self.printed("during"), "3 0 4")

    def test_many(self) -> None:
        """Many children of both kinds at once all end, also those in a terminal."""
        self.assertEqual(self.printed("many"), "0 3")

    def test_output(self) -> None:
        """C{getProcessOutput}, C{getProcessValue} and C{ProcessEndpoint} see the end of a child."""
        self.assertEqual(self.printed("output"), "out 3 3 echo")

    def test_beforeRun(self) -> None:
        """Children of both kinds that start before the reactor runs end."""
        self.assertEqual(self.printed("early"), "3 3 0")


class WithoutPidfdTests(ChildrenTests):
    """The same on platforms without pidfd."""

    options = ("no-pidfd",)


class ReapingTests(UvloopTestCase):
    """Children of a reactor that has installed no signal handlers."""

    def test_descriptors(self) -> None:
        """After the end of a child no descriptor of it is left."""
        before = os.listdir("/dev/fd")
        codes: list[str] = []
        for script in (CLOSES_PIPES, "exit 5"):
            child = Child()
            child.ended.addCallback(codes.append)
            self.reactor.spawnProcess(child, "/bin/sh", ["sh", "-c", script], env=ENV)
        self.until(lambda: len(codes) == 2)
        self.turns()
        self.assertEqual(sorted(codes), ["3", "5"])
        self.assertEqual(len(os.listdir("/dev/fd")), len(before))
