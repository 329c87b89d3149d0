"""Options of C{twistd fleetiq-echo} to services; signals and exit codes."""

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

from echoserver.server.options import Options
from echoserver.server.process import ServerProcess

__all__ = ["Options", "makeService"]

STARTED = 2.0


def makeService(options: Options) -> IService:
    """The services of one process."""
    from twisted.internet import reactor

    # One event a line: the start of each of treq's factories is none that a learner asks for.
    Factory.noisy = False
    steady(reactor)
    gc.disable()
    reactor.callWhenRunning(partial(collectLater, reactor))
    program = ServerProcess(reactor, options.settings, os.environ)
    ending = Ending(reactor, program)
    atexit.register(ending.exit)
    reactor.callWhenRunning(ending.listenForSignals)
    return program


def steady(reactor: Any, monotonic: Callable[[], float] = time.monotonic) -> None:  # noqa: TID251 # the reactor's own
    """
    Have the reactor's clock go on evenly from where it is: Twisted's timers follow it, and the
    machine's, which it is by default, may be set back or ahead.
    """
    ahead = reactor.seconds() - monotonic()
    reactor.seconds = lambda: ahead + monotonic()


def collectLater(reactor: IReactorTime) -> None:
    """
    Have garbage collected again, from 2 s on. What is imported by then is all there to stay: to
    look through it costs a tenth of the start, and whoever plays later a pause of 30 ms each time.
    """

    def collect() -> None:
        gc.freeze()
        gc.enable()

    reactor.callLater(STARTED, collect)


class Ending:
    """How the process ends: its second signal, and its exit code."""

    def __init__(self, reactor: Any, program: ServerProcess) -> None:
        self._reactor = reactor
        self._program = program

    def listenForSignals(self) -> None:
        """Have the second signal end the grace; the first stays Twisted's. See L{signal.signal}."""
        for number in (signal.SIGINT, signal.SIGTERM):
            twisteds = signal.getsignal(number)
            if callable(twisteds):
                signal.signal(number, partial(self.onSignal, twisteds))

    def onSignal(
        self, twisteds: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None
    ) -> None:
        """A signal has come, for which Twisted has this handler."""
        if self._program.signalled or self._program.stopping:
            self._reactor.callFromThread(self._program.hurry)
            return
        self._program.signalled = True
        twisteds(number, frame)

    def exit(self) -> None:
        """End the process with the program's code, at its very end: twistd knows no codes."""
        if self._program.exitCode:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._program.exitCode)
