"""The service, embedded in another program."""

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.values import instanceIdOf
from echoserver.local.service import LocalFleetIQ
from tests.groupcontract import NEW_GROUP
from tests.local.inmemory import MemoryFleetIQ


class EmbeddedTests(SynchronousTestCase):
    """The service, embedded in another program."""

    def test_groups(self) -> None:
        """Each group has its instances; /latest is the first instance of the first group."""
        fleetIQ = MemoryFleetIQ(groups=("b", "a"), instances=3)
        self.assertEqual(6, len(fleetIQ.state()["instances"]))
        first = fleetIQ.request("GET", "/latest/meta-data/instance-id").body.decode()
        self.assertEqual(instanceIdOf("b", 0), first)

    def test_healthTimeout(self) -> None:
        """Game servers are dropped after the configured health timeout, without a call."""
        fleetIQ = MemoryFleetIQ(healthTimeout=5.0)
        fleetIQ.call(
            "RegisterGameServer",
            GameServerGroupName="local",
            GameServerId="srv-1",
            InstanceId=instanceIdOf("local", 0),
        )
        fleetIQ.clock.pump([1] * 7)
        self.assertEqual([], fleetIQ.clock.getDelayedCalls()[1:])
        self.assertEqual([], fleetIQ.state()["gameServers"])

    def test_log(self) -> None:
        """Each event is one log line. Calls that change nothing are not logged."""
        fleetIQ = MemoryFleetIQ()
        one = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
        with capturedLogs() as events:
            fleetIQ.call(
                "RegisterGameServer",
                InstanceId=instanceIdOf("local", 0),
                GameServerData="secret",
                **one,
            )
            fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
            fleetIQ.call("UpdateGameServer", HealthCheck="HEALTHY", **one)
            fleetIQ.call("DescribeGameServer", **one)
            fleetIQ.call("UpdateGameServer", UtilizationStatus="UTILIZED", **one)
            fleetIQ.clock.advance(200)
            fleetIQ.request("DELETE", "/_local/faults")
        self.assertEqual(
            [
                f"srv-1 registered on {instanceIdOf('local', 0)}, AVAILABLE",
                "srv-1 CLAIMED for 60 s",
                "srv-1 UTILIZED",
                "srv-1 dropped: last health report 200 s ago",
                "all faults ended",
            ],
            [formatEvent(event) for event in events],
        )

    def test_logOfGroup(self) -> None:
        """The status of a group changes, and is logged, without calls."""
        fleetIQ = MemoryFleetIQ()
        with capturedLogs() as events:
            fleetIQ.call("CreateGameServerGroup", **NEW_GROUP)
            fleetIQ.clock.pump([1] * 6)
        self.assertEqual(
            ["is NEW", "is ACTIVATING", "is ACTIVE with 1 instance"],
            [formatEvent(event).removeprefix("fleetiq-contract ") for event in events],
        )
        statuses = [each["Status"] for each in fleetIQ.state()["groups"]]
        self.assertEqual(["ACTIVE", "ACTIVE"], statuses)
        self.assertEqual([], fleetIQ.clock.getDelayedCalls())

    def test_url(self) -> None:
        """The URL connects on this machine, for any interface."""
        for listen, url in (
            ("tcp:4570:interface=127.0.0.1", "http://127.0.0.1:4570"),
            ("tcp:1234", "http://127.0.0.1:1234"),
            ("tcp6:1234", "http://[::1]:1234"),
            ("tcp6:1234:interface=\\:\\:1", "http://[::1]:1234"),
        ):
            service = LocalFleetIQ(MemoryReactorClock(), listen)
            service.startService()
            self.assertEqual(url, service.url)

    def test_wrongListen(self) -> None:
        """A wrong endpoint description is a ValueError in the constructor."""
        self.assertRaises(ValueError, LocalFleetIQ, MemoryReactorClock(), "tcp:x")

    def test_wrongOptions(self) -> None:
        """A wrong option is a ValueError with a sentence."""
        for options, sentence in (
            ({"timeScale": 0.0}, "The time scale is 0: it must be above 0, at most 3600."),
            ({"timeScale": float("nan")}, "The time scale is nan: it must be above 0"),
            ({"imds": "v3"}, "imds is 'v3': it must be v1, v2, both."),
        ):
            error = self.assertRaises(ValueError, MemoryFleetIQ, **options)
            self.assertIn(sentence, str(error))

    def test_stopWithoutStart(self) -> None:
        """Stopping a service that was never started is done at once."""
        service = LocalFleetIQ(MemoryReactorClock())
        self.successResultOf(service.stopService())
