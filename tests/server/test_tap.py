"""Options to services: signals, exit codes, the plugin."""

from __future__ import annotations

import atexit
import gc
import signal
from collections.abc import Callable

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase

from echoserver.processsignals import _REOPEN, _STOP
from echoserver.server.options import GameServerOptions
from echoserver.server.process import ServerProcess
from echoserver.server.tap import STARTUP_SECONDS, freezeGarbage, useMonotonicClock
from tests.programdoubles import ProgramTestCase
from twisted.plugins.fleetiq_echo import fleetiqEcho


class Timers(ReactorBase):
    """A reactor that has timers, and no waker."""

    def installWaker(self) -> None:
        """Do nothing: no thread wakes the reactor."""


class MonotonicClockTests(SynchronousTestCase):
    """L{useMonotonicClock}."""

    def test_setBack(self) -> None:
        """A delayed call is called after its time, even if the system clock is set meanwhile."""
        for jump in (-3600.0, 3600.0):
            wall, monotonic = Clock(), Clock()
            wall.advance(1e9)
            reactor = Timers()
            reactor.seconds = wall.seconds
            useMonotonicClock(reactor, monotonic.seconds)
            self.assertEqual(1e9, reactor.seconds())
            called: list[str] = []
            reactor.callLater(60.0, called.append, "heartbeat")
            wall.rightNow += jump
            for seconds, sofar in ((59.0, []), (1.0, ["heartbeat"])):
                monotonic.advance(seconds)
                reactor.runUntilCurrent()
                self.assertEqual(sofar, called)


class FreezeGarbageTests(SynchronousTestCase):
    """L{freezeGarbage}."""

    def test_later(self) -> None:
        """After the start garbage collection is enabled, and older objects are exempt."""
        self.addCleanup(gc.enable)
        self.addCleanup(gc.unfreeze)
        gc.disable()
        # Python 3.12 has some hundred frozen by itself.
        before = gc.get_freeze_count()
        clock = Clock()
        freezeGarbage(clock)
        self.assertEqual((gc.isenabled(), gc.get_freeze_count()), (False, before))
        clock.advance(STARTUP_SECONDS)
        self.assertTrue(gc.isenabled())
        self.assertGreater(gc.get_freeze_count(), before)


class ServiceMakerTests(ProgramTestCase):
    """L{makeService} as twistd calls it."""

    def test_plugin(self) -> None:
        """The options of the plugin make a service, with signal handlers and the exit function."""
        from twisted.internet import reactor

        running: list[Callable[[], None]] = []
        atExit: list[Callable[[], None]] = []
        triggers: list[tuple[str, ...]] = []
        self.patch(reactor, "callWhenRunning", running.append)
        self.patch(reactor, "addSystemEventTrigger", lambda *args: triggers.append(args[:2]))
        for number in (*_STOP, *_REOPEN, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.patch(atexit, "register", atExit.append)
        self.patch(Factory, "noisy", True)
        options = fleetiqEcho.options()
        options.parseOptions([])
        self.addCleanup(gc.enable)
        program = fleetiqEcho.makeService(options)
        self.assertTrue(IPlugin.providedBy(fleetiqEcho) and IService.providedBy(program))
        assert isinstance(program, ServerProcess)
        self.assertFalse(gc.isenabled())
        collect, install = running
        self.assertEqual("install", install.__name__)
        self.assertIs(freezeGarbage, getattr(collect, "func", None))
        self.assertEqual([each.__name__ for each in atExit], ["exit"])
        self.assertEqual(triggers, [("after", "shutdown")])
        self.assertTrue(issubclass(fleetiqEcho.options, GameServerOptions))
