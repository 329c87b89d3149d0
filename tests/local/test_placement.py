"""The order of untargeted claims."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.placement import CLAIMABLE_STATUSES, ClaimState, Placement


class PlacementTests(SynchronousTestCase):
    """The game server that is claimed next, by its serial."""

    def setUp(self) -> None:
        self.placement = Placement()
        for instanceId in ("a", "b"):
            self.placement.addInstance(instanceId, "ACTIVE")

    def register(self, instanceId: str, *serials: int) -> None:
        for serial in serials:
            self.placement.move(instanceId, serial, ClaimState.UNREGISTERED, ClaimState.FREE)

    def best(self, *statuses: str) -> int | None:
        return self.placement.best(statuses or CLAIMABLE_STATUSES)

    def test_empty(self) -> None:
        """Without a free game server, nothing can be claimed."""
        self.assertIsNone(self.best())

    def test_lowestInstanceThenOldest(self) -> None:
        """Equally busy instances are ordered by id, and their game servers by age."""
        self.register("b", 1)
        self.register("a", 3, 2)
        self.assertEqual(2, self.best())

    def test_busiestInstance(self) -> None:
        """The instance with most busy game servers comes first."""
        self.register("a", 1)
        self.register("b", 2, 3)
        self.placement.move("b", 3, ClaimState.FREE, ClaimState.BUSY)
        self.assertEqual(2, self.best())
        self.placement.move("b", 3, ClaimState.BUSY, ClaimState.UNREGISTERED)
        self.assertEqual(1, self.best())

    def test_drainingComesLast(self) -> None:
        """A DRAINING instance comes last, and is not used if the filter excludes it."""
        self.register("a", 1)
        self.register("b", 2)
        self.placement.setStatus("a", "DRAINING")
        self.assertEqual(2, self.best())
        self.placement.move("b", 2, ClaimState.FREE, ClaimState.BUSY)
        self.assertEqual(1, self.best())
        self.assertIsNone(self.best("ACTIVE"))

    def test_spotTerminatingIsNeverUsed(self) -> None:
        """A SPOT_TERMINATING instance is not used."""
        self.register("a", 1)
        self.placement.setStatus("a", "SPOT_TERMINATING")
        self.assertIsNone(self.best())
        self.placement.setStatus("a", "ACTIVE")
        self.assertEqual(1, self.best())
