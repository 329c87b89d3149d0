"""What the game servers of one process share towards FleetIQ."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.service import FleetIQ
from echoserver.server.options import GameServerOptions
from echoserver.server.registrar import Registrar
from tests.awsdoubles import INSTANCE_ID, RecordedCalls, atOnce, told
from tests.programdoubles import EchoOptions


def registrar(clock: Clock, options: GameServerOptions, calls: RecordedCalls) -> Registrar:
    """Return the registrar of a process with these options."""
    fleetIQ = FleetIQ(calls, "group")
    return Registrar(
        clock, Random(1), options.settings, fleetIQ, atOnce, lambda: None, lambda _: False
    )


class InstanceStatusTests(SynchronousTestCase):
    """What FleetIQ thinks of the instance."""

    def test_asApiRateAllows(self) -> None:
        """It is asked for as C{--api-rate} allows."""
        options = EchoOptions({})
        options.parseOptions(["--group=group", "--api-rate=1"])
        clock = Clock()
        calls = RecordedCalls({"GameServerInstances": [{"InstanceStatus": "ACTIVE"}]})
        shared = registrar(clock, options, calls)
        asked = [shared.instanceStatus(INSTANCE_ID) for _ in range(30)]
        atFirst = len(calls.made)
        self.assertLess(atFirst, 30)
        clock.advance(1.0)
        self.assertEqual(len(calls.made), atFirst + 1)
        self.assertEqual(self.successResultOf(asked[atFirst]), "ACTIVE")


class LateHeartbeatsTests(SynchronousTestCase):
    """A rate that cannot carry the heartbeats."""

    def test_warned(self) -> None:
        """It is said at the start, with what to raise; one that carries them is not."""
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
            lines = told(events)
            self.assertEqual(len(lines), late, words)
            if late:
                self.assertIn("500 game servers need 8.3 calls a second, and --api-rate", lines[0])
