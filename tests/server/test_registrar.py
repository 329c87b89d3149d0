"""The rate limit and the heartbeats of the game servers of one process."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.service import FleetIQ
from echoserver.server.options import GameServerOptions
from echoserver.server.registrar import Registrar
from tests.awsdoubles import INSTANCE_ID, RecordedCalls, inThisThread, logLines
from tests.programdoubles import EchoOptions


def registrar(clock: Clock, options: GameServerOptions, calls: RecordedCalls) -> Registrar:
    """Return the registrar of a process with these options."""
    fleetIQ = FleetIQ(calls, "group")
    return Registrar(
        clock, Random(1), options.settings, fleetIQ, inThisThread, lambda: None, lambda _: False
    )


class InstanceStatusTests(SynchronousTestCase):
    """L{Registrar.instanceStatus}."""

    def test_apiRate(self) -> None:
        """The calls for the status have the rate of C{--api-rate}."""
        options = EchoOptions({})
        options.parseOptions(["--group=group", "--api-rate=1"])
        clock = Clock()
        calls = RecordedCalls({"GameServerInstances": [{"InstanceStatus": "ACTIVE"}]})
        shared = registrar(clock, options, calls)
        statuses = [shared.instanceStatus(INSTANCE_ID) for _ in range(30)]
        burst = len(calls.requests)
        self.assertLess(burst, 30)
        clock.advance(1.0)
        self.assertEqual(len(calls.requests), burst + 1)
        self.assertEqual(self.successResultOf(statuses[burst]), "ACTIVE")


class LateHeartbeatsTests(SynchronousTestCase):
    """An --api-rate that is too low for the heartbeats."""

    def test_warned(self) -> None:
        """A rate that is too low is logged at the start, with the options to raise."""
        for words, late in (
            (["--servers=500"], True),
            (["--servers=300"], False),
            (["--servers=500", "--heartbeat=120"], False),
            (["--servers=500", "--api-rate=10"], False),
        ):
            options = EchoOptions({})
            options.parseOptions(["--group=group", *words])
            with capturedLogs() as events:
                registrar(Clock(), options, RecordedCalls())
            lines = logLines(events)
            self.assertEqual(len(lines), late, words)
            if late:
                self.assertIn("500 game servers need 8.3 calls a second, and --api-rate", lines[0])
