"""Truths of an object that share one attribute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.uvreactor.flags import Flag


class Lamps:
    """Three of them, and something else."""

    __slots__ = ("flags",)

    red = Flag()
    name = "lamps"
    green = Flag()
    blue = Flag()

    def __init__(self) -> None:
        self.flags = 0


class FlagTests(SynchronousTestCase):
    """Each is its own."""

    @given(st.lists(st.tuples(st.sampled_from(["red", "green", "blue"]), st.booleans())))
    def test_asAttributes(self, sets: list[tuple[str, bool]]) -> None:
        """They behave as attributes that are false at first."""
        lamps, others = Lamps(), Lamps()
        expected = {"red": False, "green": False, "blue": False}
        for name, on in sets:
            setattr(lamps, name, on)
            expected[name] = on
            self.assertEqual(expected, {each: getattr(lamps, each) for each in expected})
        self.assertEqual(0, others.flags)

    def test_order(self) -> None:
        """The first that is declared is the lowest bit."""
        lamps = Lamps()
        for name, flags in (("red", 1), ("green", 3), ("blue", 7)):
            setattr(lamps, name, True)
            self.assertEqual(flags, lamps.flags)
