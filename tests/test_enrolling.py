"""What the game servers of one process share towards FleetIQ."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.enrolling import Enrolling
from echoserver.fleetiq import FleetIQ
from echoserver.options import Options
from tests.awsdoubles import INSTANCE_ID, RecordedCalls, atOnce


class InstanceStatusTests(SynchronousTestCase):
    """What FleetIQ thinks of the instance."""

    def test_asApiRateAllows(self) -> None:
        """It is asked for as C{--api-rate} allows."""
        options = Options({})
        options.parseOptions(["--group=group", "--api-rate=1"])
        clock = Clock()
        calls = RecordedCalls({"GameServerInstances": [{"InstanceStatus": "ACTIVE"}]})
        enrolling = Enrolling(clock, options.settings, FleetIQ(calls, "group"), atOnce)
        asked = [enrolling.instanceStatus(INSTANCE_ID) for _ in range(30)]
        atFirst = len(calls.made)
        self.assertLess(atFirst, 30)
        clock.advance(1.0)
        self.assertEqual(len(calls.made), atFirst + 1)
        self.assertEqual(self.successResultOf(asked[atFirst]), "ACTIVE")
