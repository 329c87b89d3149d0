"""The order of claims.
Serials that come in order and leave in any."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.placement import CLAIMABLE_STATUSES, Placement, Serials, Standing


class PlacementTests(SynchronousTestCase):
    """Which serial is claimed next."""

    def setUp(self) -> None:
        self.placement = Placement()
        for instanceId in ("a", "b"):
            self.placement.addInstance(instanceId, "ACTIVE")

    def put(self, instanceId: str, *serials: int) -> None:
        for serial in serials:
            self.placement.move(instanceId, serial, Standing.ABSENT, Standing.FREE)

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
        self.placement.move("b", 3, Standing.FREE, Standing.BUSY)
        self.assertEqual(2, self.best())
        self.placement.move("b", 3, Standing.BUSY, Standing.ABSENT)
        self.assertEqual(1, self.best())

    def test_drainingComesLast(self) -> None:
        """A DRAINING instance is used when no ACTIVE one is free, unless it is filtered out."""
        self.put("a", 1)
        self.put("b", 2)
        self.placement.setStatus("a", "DRAINING")
        self.assertEqual(2, self.best())
        self.placement.move("b", 2, Standing.FREE, Standing.BUSY)
        self.assertEqual(1, self.best())
        self.assertIsNone(self.best("ACTIVE"))

    def test_spotTerminatingIsNeverUsed(self) -> None:
        """Nothing new starts on an instance that is about to go; it may return."""
        self.put("a", 1)
        self.placement.setStatus("a", "SPOT_TERMINATING")
        self.assertIsNone(self.best())
        self.placement.setStatus("a", "ACTIVE")
        self.assertEqual(1, self.best())


class SerialsTests(SynchronousTestCase):
    """They are what a sorted list is, whatever comes and goes."""

    @settings(deadline=None, max_examples=50)
    @given(
        gone=st.lists(st.integers(1, 700), unique=True),
        more=st.integers(0, 300),
        after=st.none() | st.integers(0, 1100),
        size=st.integers(1, 600),
        descending=st.booleans(),
    )
    def test_asASortedList(
        self, gone: list[int], more: int, after: int | None, size: int, descending: bool
    ) -> None:
        """Some come, some of them leave, some more come: members, number and pages are right."""
        serials, naive = Serials(), list(range(1, 701))
        for serial in naive:
            serials.append(serial)
        for serial in gone:
            serials.remove(serial)
            naive.remove(serial)
        for serial in range(701, 701 + more):
            serials.append(serial)
            naive.append(serial)
        self.assertEqual((naive, len(naive)), (list(serials), len(serials)))
        beyond = [each for each in naive if after is None or (each > after) != descending]
        beyond = sorted(set(beyond) - {after}, reverse=descending)
        self.assertEqual((beyond[:size], len(beyond) > size), serials.page(after, size, descending))

    def test_allLeave(self) -> None:
        """When the last has left there is none, and others may come."""
        serials = Serials()
        serials.append(1)
        serials.remove(1)
        self.assertEqual(([], False), serials.page(None, 1, descending=False))
        self.assertEqual(([], False), serials.page(1, 1, descending=True))
        serials.append(2)
        self.assertEqual([2], list(serials))
        self.assertEqual(([2], False), serials.page(1, 1, descending=False))
