"""The effect of each signal, and the exit of the process."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.logwriter import RunnerLog
from echoserver.processsignals import SignalHandlers, interruptByDefault
from tests.awsdoubles import logLines

ALL = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


class Process:
    """A process that records the calls of its methods."""

    signalled = stopping = False
    exitCode = 0

    def __init__(self, order: list[str]) -> None:
        self._order = order

    def skipGracePeriod(self) -> None:
        self._order.append("skip")

    def stopWithoutGrace(self) -> None:
        self._order.append("without grace")


class Log(RunnerLog):
    """A log that records the calls of its methods."""

    def __init__(self, order: list[str]) -> None:
        super().__init__(None)
        self._order = order

    def reopen(self) -> None:
        self._order.append("reopen")

    def finish(self) -> None:
        self._order.append("finish")


class Reactor:
    """A reactor that records its stop."""

    def __init__(self, order: list[str]) -> None:
        self._order = order

    def callFromThread(self, function: Callable[[], object]) -> None:
        function()

    def stop(self) -> None:
        self._order.append("stop")


class SignalTests(SynchronousTestCase):
    """The handlers, called by real signals."""

    def setUp(self) -> None:
        for number in ALL:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, signal.SIG_DFL)
        self.order: list[str] = []

    def handlers(self, foreground: bool = True) -> tuple[Process, SignalHandlers]:
        process = Process(self.order)
        handlers = SignalHandlers(
            Reactor(self.order), process, Log(self.order), foreground=foreground
        )
        handlers.install()
        return process, handlers

    def raised(self, *numbers: int, foreground: bool = True) -> list[str]:
        self.order.clear()
        self.handlers(foreground)
        for number in numbers:
            signal.raise_signal(number)
        return list(self.order)

    def test_stop(self) -> None:
        """The first signal stops the reactor; the second ends the grace period."""
        for first in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for second in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                self.assertEqual(self.raised(first), ["stop"])
                self.assertEqual(self.raised(first, second), ["stop", "skip"])
        self.assertEqual(self.raised(signal.SIGQUIT), ["stop", "without grace"])

    def test_reopen(self) -> None:
        """SIGUSR1 and SIGUSR2 open the log again; so does SIGHUP, for a daemon."""
        for foreground in (True, False):
            for number in (signal.SIGUSR1, signal.SIGUSR2):
                self.assertEqual(self.raised(number, foreground=foreground), ["reopen"])
        self.assertEqual(self.raised(signal.SIGHUP, foreground=False), ["reopen"])

    def test_logged(self) -> None:
        """Each signal is logged by its name."""
        with capturedLogs() as events:
            self.raised(signal.SIGUSR2, signal.SIGHUP)
        self.assertEqual(
            logLines(events),
            ["Received SIGUSR2: the log was opened again.", "Received SIGHUP, shutting down."],
        )

    def test_whileStopping(self) -> None:
        """If the process stops for another reason, the first signal ends the grace period."""
        process, _ = self.handlers()
        process.stopping = True
        signal.raise_signal(signal.SIGINT)
        self.assertEqual(self.order, ["skip"])

    def test_ignored(self) -> None:
        """A signal that is ignored, as SIGHUP under nohup, stays so."""
        for number in ALL:
            signal.signal(number, signal.SIG_IGN)
        self.assertEqual(self.raised(*ALL), [])

    def test_interrupt(self) -> None:
        """Python's handler of SIGINT is replaced by the default action; another is kept."""
        for before, after in (
            (signal.default_int_handler, signal.SIG_DFL),
            (signal.SIG_IGN, signal.SIG_IGN),
        ):
            signal.signal(signal.SIGINT, before)
            interruptByDefault()
            self.assertIs(signal.getsignal(signal.SIGINT), after)

    def test_exit(self) -> None:
        """The log is finished. Then the exit code ends the process, or else the signal."""
        ended: list[Any] = []
        self.patch(os, "_exit", ended.append)
        self.patch(os, "kill", lambda _, number: ended.append(signal.Signals(number).name))
        limits = resource.getrlimit(resource.RLIMIT_CORE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, limits)
        process, handlers = self.handlers()
        handlers.exit()
        self.assertEqual((self.order, ended), (["finish"], []))
        process.exitCode = 3
        handlers.exit()
        self.assertEqual(ended, [3])
        process.exitCode = 0
        signal.raise_signal(signal.SIGQUIT)
        handlers.exit()
        self.assertEqual(ended, [3, "SIGQUIT"])
        self.assertEqual(resource.getrlimit(resource.RLIMIT_CORE)[0], 0)
        self.assertIs(signal.getsignal(signal.SIGQUIT), signal.SIG_DFL)
