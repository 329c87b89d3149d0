"""The order of untargeted claims."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.placement import CLAIMABLE_STATUSES, ClaimState, Placement


class PlacementTests(SynchronousTestCase):
    """Which serial is claimed next."""

    def setUp(self) -> None:
        self.placement = Placement()
        for instanceId in ("a", "b"):
            self.placement.addInstance(instanceId, "ACTIVE")

    def put(self, instanceId: str, *serials: int) -> None:
        for serial in serials:
            self.placement.move(instanceId, serial, ClaimState.UNREGISTERED, ClaimState.FREE)

    def best(self, *statuses: str) -> int | None:
        return self.placement.best(statuses or CLAIMABLE_STATUSES)

    def test_empty(self) -> None:
        """Where nothing is free there is nothing to claim."""
        self.assertIsNone(self.best())

    def test_lowestInstanceThenOldest(self) -> None:
        """Among equals the lowest instance id wins, then the oldest registration."""
        self.put("b", 1)
        self.put("a", 3, 2)
        self.assertEqual(2, self.best())

    def test_busiestInstance(self) -> None:
        """The instance that hosts most wins, until it hosts no more than the others."""
        self.put("a", 1)
        self.put("b", 2, 3)
        self.placement.move("b", 3, ClaimState.FREE, ClaimState.BUSY)
        self.assertEqual(2, self.best())
        self.placement.move("b", 3, ClaimState.BUSY, ClaimState.UNREGISTERED)
        self.assertEqual(1, self.best())

    def test_drainingComesLast(self) -> None:
        """A DRAINING instance is used when no ACTIVE one is free, unless it is filtered out."""
        self.put("a", 1)
        self.put("b", 2)
        self.placement.setStatus("a", "DRAINING")
        self.assertEqual(2, self.best())
        self.placement.move("b", 2, ClaimState.FREE, ClaimState.BUSY)
        self.assertEqual(1, self.best())
        self.assertIsNone(self.best("ACTIVE"))

    def test_spotTerminatingIsNeverUsed(self) -> None:
        """Nothing new starts on an instance that is about to go; it may return."""
        self.put("a", 1)
        self.placement.setStatus("a", "SPOT_TERMINATING")
        self.assertIsNone(self.best())
        self.placement.setStatus("a", "ACTIVE")
        self.assertEqual(1, self.best())
