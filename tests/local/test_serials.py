"""Serials that come in order and leave in any."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.serials import Serials


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
