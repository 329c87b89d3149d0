"""C{makeService} of the twistd plugins; signals and exit codes."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory

from echoserver.server.options import GameServerOptions
from echoserver.server.process import ServerProcess

__all__ = ["makeService"]

STARTUP_SECONDS = 2.0


def makeService(options: GameServerOptions) -> IService:
    """Make the service of one process of game servers."""
    from twisted.internet import reactor

    # Each HTTP request to the metadata service would log a line about its factory.
    Factory.noisy = False
    useMonotonicClock(reactor)
    gc.disable()
    reactor.callWhenRunning(partial(freezeGarbage, reactor))
    process = ServerProcess(
        reactor, options.settings, os.environ, options.makeFactory, options.command, options
    )
    signals = SignalHandlers(reactor, process)
    atexit.register(signals.exit)
    reactor.callWhenRunning(signals.install)
    return process


def useMonotonicClock(
    reactor: Any,
    monotonic: Callable[[], float] = time.monotonic,  # noqa: TID251 # for the reactor itself
) -> None:
    """
    Make the reactor's clock monotonic, from its present value on. By default Twisted's timers
    follow the system clock, which may be set back or ahead.
    """
    ahead = reactor.seconds() - monotonic()
    reactor.seconds = lambda: ahead + monotonic()


def freezeGarbage(reactor: IReactorTime) -> None:
    """
    Enable garbage collection 2 s after the start, and exempt the objects created until then:
    scanning them costs 10 % of the start and 30 ms in each full collection.
    """

    def enable() -> None:
        gc.freeze()
        gc.enable()

    reactor.callLater(STARTUP_SECONDS, enable)


class SignalHandlers:
    """The handlers of SIGINT and SIGTERM, and the exit code of the process."""

    def __init__(self, reactor: Any, process: ServerProcess) -> None:
        self._reactor = reactor
        self._process = process

    def install(self) -> None:
        """Wrap Twisted's handlers: the second signal skips the grace period."""
        for number in (signal.SIGINT, signal.SIGTERM):
            twistedHandler = signal.getsignal(number)
            if callable(twistedHandler):
                signal.signal(number, partial(self.onSignal, twistedHandler))

    def onSignal(
        self,
        twistedHandler: Callable[[int, FrameType | None], Any],
        number: int,
        frame: FrameType | None,
    ) -> None:
        """Handle a signal: the first is passed to Twisted's handler."""
        if self._process.signalled or self._process.stopping:
            self._reactor.callFromThread(self._process.skipGracePeriod)
            return
        self._process.signalled = True
        twistedHandler(number, frame)

    def exit(self) -> None:
        """Exit with the process's code: twistd has no API for exit codes."""
        if self._process.exitCode:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._process.exitCode)
