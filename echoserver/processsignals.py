"""The signal handlers (SIGTERM, SIGINT and others) of a twistd or twist process, and its exit."""

from __future__ import annotations

import atexit
import os
import resource
import signal
from types import FrameType
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.logger import Logger

from echoserver.logwriter import RunnerLog

_log = Logger(namespace="fleetiq.log")

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_REOPEN = (signal.SIGUSR1, signal.SIGUSR2)


def interruptByDefault() -> None:
    """
    Have SIGINT end the process without a traceback while modules are imported.

    Python's own handler raises KeyboardInterrupt inside whatever runs. A handler that the process
    inherited, or one of a debugger, stays.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class Stoppable(TypingProtocol):
    """
    The service of the process.

    @ivar signalled: set when the process stops because of a signal.
    @ivar stopping: whether it stops, for any reason.
    @ivar exitCode: the exit code of the process, if it is neither 0 nor a signal.
    """

    signalled: bool
    stopping: bool
    exitCode: int

    def skipGracePeriod(self) -> None:
        """A second signal was received: stop without the rest of the grace period."""

    def stopWithoutGrace(self) -> None:
        """SIGQUIT was received: stop without a grace period."""


class SignalHandlers:
    """
    SIGTERM, SIGINT and SIGQUIT stop the process, the last without a grace period. SIGHUP stops a
    foreground process, because its terminal has closed. SIGUSR1, SIGUSR2, and SIGHUP of a daemon,
    open the log again.

    The process then ends by the signal, as Twisted does for SIGTERM and SIGINT.
    """

    def __init__(self, reactor: Any, process: Stoppable, log: RunnerLog, foreground: bool) -> None:
        self._reactor = reactor
        self._process = process
        self._runnerLog = log
        self._stop = (*_STOP, signal.SIGHUP) if foreground else _STOP
        self._reopen = _REOPEN if foreground else (*_REOPEN, signal.SIGHUP)
        self._endBy: int | None = None

    def install(self) -> None:
        """
        Install the handlers, except for a signal that is ignored, as SIGHUP under nohup.

        Call this before the reactor runs, and again when it runs: Twisted then has replaced that of
        SIGTERM.
        """
        for numbers, handler in ((self._stop, self.stop), (self._reopen, self.reopen)):
            for number in numbers:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, handler)

    def stop(self, number: int, frame: FrameType | None = None) -> None:
        """Stop the reactor. If the process stops already, end its grace period."""
        process, reactor = self._process, self._reactor
        if process.signalled or process.stopping:
            reactor.callFromThread(process.skipGracePeriod)
            return
        process.signalled = True
        self._endBy = number
        _log.info(
            "Received {name}, shutting down.",
            name=signal.Signals(number).name,
            eventName="process.signal",
        )
        # Before the reactor runs, these calls wait until it does.
        reactor.callFromThread(self._stopReactor)
        if number == signal.SIGQUIT:
            reactor.callFromThread(process.stopWithoutGrace)

    def reopen(self, number: int, frame: FrameType | None = None) -> None:
        """Open the log again: a program that rotates logs has renamed it."""
        self._runnerLog.reopen()
        _log.info(
            "Received {name}: the log was opened again.",
            name=signal.Signals(number).name,
            eventName="log.reopened",
        )

    def exit(self) -> None:
        """End by the signal, or with the exit code: C{twistd} has no API for either."""
        self._runnerLog.finish()
        if self._process.exitCode:
            os._exit(self._process.exitCode)
        if self._endBy is not None:
            # Without this limit SIGQUIT leaves a core dump.
            resource.setrlimit(
                resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1])
            )
            signal.signal(self._endBy, signal.SIG_DFL)
            os.kill(os.getpid(), self._endBy)

    def _stopReactor(self) -> None:
        if not self._process.stopping:
            self._reactor.stop()


def runWithSignals(
    reactor: Any, process: Stoppable, log: RunnerLog, foreground: bool
) -> SignalHandlers:
    """Install the signal handlers, and call L{SignalHandlers.exit} when the process exits."""
    handlers = SignalHandlers(reactor, process, log, foreground)
    # It is registered first, so atexit calls it last, after the log is written.
    atexit.register(handlers.exit)
    handlers.install()
    reactor.callWhenRunning(handlers.install)
    reactor.addSystemEventTrigger("after", "shutdown", log.finish)
    return handlers
