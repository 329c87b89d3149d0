"""C{makeService} of the twistd plugins."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory

from echoserver.processsignals import runWithSignals
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
    log = options.log
    process = ServerProcess(
        reactor, options.settings, os.environ, options.makeFactory, options.command, options, log
    )
    runWithSignals(reactor, process, log, options.foreground)
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
