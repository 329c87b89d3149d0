"""The metrics of FleetIQ, with CloudWatch's names, in Prometheus's format."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.values import instanceIdOf
from tests.local.inmemory import MemoryFleetIQ

FIRST, SECOND = (instanceIdOf("local", index) for index in range(2))
LOCAL = (("GameServerGroupName", "local"),)


class MetricsControlTests(SynchronousTestCase):
    """C{GET /_local/metrics} of a complete local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def register(self, gameServerId: str, instanceId: str, isUtilized: bool) -> None:
        one = {"GameServerGroupName": "local", "GameServerId": gameServerId}
        self.fleetIQ.call("RegisterGameServer", InstanceId=instanceId, **one)
        if isUtilized:
            self.fleetIQ.call("UpdateGameServer", UtilizationStatus="UTILIZED", **one)

    def values(self) -> dict[tuple[object, ...], float]:
        """Return the values by name and labels, as Prometheus's own parser reads them."""
        # Only this parser adds _total to the names of counters.
        response = self.fleetIQ.request("GET", "/_local/metrics")
        self.assertEqual(200, response.status)
        self.assertTrue(response.headers["content-type"].startswith("text/plain; version=0.0.4"))
        return {
            (sample.name.removesuffix("_total"), *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(response.body.decode())
            for sample in family.samples
        }

    def test_counts(self) -> None:
        """Game servers are counted by their status and that of their instance."""
        for index, (instanceId, isUtilized) in enumerate(
            [(FIRST, False), (FIRST, True), (FIRST, True), (SECOND, False), (SECOND, True)]
        ):
            self.register(f"srv-{index}", instanceId, isUtilized)
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        self.fleetIQ.control("interrupt", {"InstanceId": SECOND, "kind": "draining"})
        values = self.values()
        for name, expected in (
            ("AvailableGameServers", 1),
            ("UtilizedGameServers", 2),
            ("DrainingAvailableGameServers", 1),
            ("DrainingUtilizedGameServers", 1),
            ("PercentUtilizedGameServers", 60),
            ("GameServerInterruptions", 0),
        ):
            self.assertEqual(expected, values[name, *LOCAL], name)

    def test_empty(self) -> None:
        """Without game servers all are 0."""
        self.assertEqual({0.0}, set(self.values().values()))

    def test_interruptions(self) -> None:
        """Spot notices are counted by instance type, others are not; a reset forgets them."""
        self.register("srv-1", FIRST, False)
        self.register("srv-2", FIRST, True)
        self.register("srv-3", SECOND, True)
        self.fleetIQ.control("interrupt", {"InstanceId": SECOND, "kind": "autoscaling"})
        self.fleetIQ.control("interrupt", {"InstanceId": FIRST})
        self.fleetIQ.control("interrupt", {"InstanceId": FIRST})
        self.fleetIQ.clock.advance(600)
        values = self.values()
        self.assertEqual(2, values["GameServerInterruptions", *LOCAL])
        [key] = [key for key in values if key[0] == "InstanceInterruptions"]
        self.assertEqual(LOCAL, key[1:2])
        self.assertIn(key[2], [("InstanceType", each) for each in ("c5.large", "c5a.large")])
        self.assertEqual(1, values[key])
        self.fleetIQ.control("reset", {})
        self.assertEqual(0, self.values()["GameServerInterruptions", *LOCAL])
