"""Options to services: signals, exit codes, the plugin."""

from __future__ import annotations

import atexit
import gc
import os
import signal
from collections.abc import Callable

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase

from echoserver.server.options import GameServerOptions
from echoserver.server.process import ServerProcess
from echoserver.server.tap import STARTUP_SECONDS, SignalHandlers, freezeGarbage, useMonotonicClock
from tests.awsdoubles import told
from tests.programdoubles import Part, ProgramTestCase
from twisted.plugins.fleetiq_echo import fleetiqEcho


class Twisteds:
    """Twisted's own handler: it writes down what it sees."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, number: int, frame: object) -> None:
        self.seen.append(number)


class Timers(ReactorBase):
    """A reactor of Twisted's that has timers, and nothing to wake it."""

    def installWaker(self) -> None:
        """Nothing wakes it."""


class SteadyTests(SynchronousTestCase):
    """Timers do not depend on the machine's clock."""

    def test_setBack(self) -> None:
        """A call is made when its time has passed, though the machine's clock is set meanwhile."""
        for jump in (-3600.0, 3600.0):
            wall, monotonic = Clock(), Clock()
            wall.advance(1e9)
            reactor = Timers()
            reactor.seconds = wall.seconds
            useMonotonicClock(reactor, monotonic.seconds)
            self.assertEqual(1e9, reactor.seconds())
            made: list[str] = []
            reactor.callLater(60.0, made.append, "heartbeat")
            wall.rightNow += jump
            for seconds, sofar in ((59.0, []), (1.0, ["heartbeat"])):
                monotonic.advance(seconds)
                reactor.runUntilCurrent()
                self.assertEqual(sofar, made)


class GarbageTests(SynchronousTestCase):
    """The start is not held up by looking for garbage in what is there to stay."""

    def test_later(self) -> None:
        """Garbage is collected again after the start, and what the start made left alone."""
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


class SignalTests(ProgramTestCase):
    """The first signal is Twisted's, the second ours."""

    def test_second(self) -> None:
        """The first goes to Twisted's handler alone; the second, through the reactor, to us."""
        for first, second in [
            (signal.SIGTERM, signal.SIGTERM),
            (signal.SIGINT, signal.SIGINT),
            (signal.SIGTERM, signal.SIGINT),
        ]:
            twisteds = Twisteds()
            for number in (signal.SIGTERM, signal.SIGINT):
                self.addCleanup(signal.signal, number, signal.getsignal(number))
                signal.signal(number, twisteds)
            program = self.program()
            self.order.clear()
            self.reactor.fromThreads.clear()
            self.patch(program, "_servers", [Part("one", self.order), Part("two", self.order)])
            SignalHandlers(self.reactor, program).install()
            signal.raise_signal(first)
            self.assertEqual((twisteds.seen, self.reactor.fromThreads), ([first], []))
            with capturedLogs() as events:
                signal.raise_signal(second)
            self.assertEqual(twisteds.seen, [first])
            self.assertEqual(len(self.reactor.fromThreads), 1)
            self.assertEqual(self.order, ["one without grace", "two without grace"])
            self.assertEqual(told(events), ["Second signal received: skipping the grace period."])

    def test_whileStopping(self) -> None:
        """When it stops for another reason, the first signal cuts the grace."""
        program = self.program()
        self.patch(program, "_servers", [Part("one", self.order)])
        twisteds = Twisteds()
        program.stopService()
        SignalHandlers(self.reactor, program).onSignal(twisteds, signal.SIGINT, None)
        self.assertEqual((twisteds.seen, len(self.reactor.fromThreads)), ([], 1))

    def test_ignored(self) -> None:
        """A signal that is ignored, as under nohup, stays so."""
        self.addCleanup(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        SignalHandlers(self.reactor, self.program()).install()
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_IGN)


class ExitTests(ProgramTestCase):
    """The process's own end."""

    def test_codes(self) -> None:
        """Only a code of ours cuts Python's own end short."""
        ended: list[int] = []
        self.patch(os, "_exit", ended.append)
        program = self.program()
        ending = SignalHandlers(self.reactor, program)
        ending.exit()
        self.assertEqual(ended, [])
        program.exitCode = 3
        ending.exit()
        self.assertEqual(ended, [3])


class ServiceMakerTests(ProgramTestCase):
    """What twistd makes of the plugin."""

    def test_plugin(self) -> None:
        """The plugin's options make a service, with its exit code and signals seen to."""
        from twisted.internet import reactor

        running: list[Callable[[], None]] = []
        atExit: list[Callable[[], None]] = []
        self.patch(reactor, "callWhenRunning", running.append)
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
        self.assertTrue(issubclass(fleetiqEcho.options, GameServerOptions))
