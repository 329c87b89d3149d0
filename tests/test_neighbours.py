"""Players who come from the same address."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.players.neighbours import Neighbours


class Comer:
    """One who comes from there."""

    address = ""
    received = 0

    def __init__(self, host: str | None) -> None:
        self.host = host


class NeighboursTests(SynchronousTestCase):
    """They are counted where there is a limit."""

    def test_counted(self) -> None:
        """Each address by itself, from the first who joins to the last who leaves."""
        neighbours = Neighbours(limited=True)
        first, second, other = Comer("192.0.2.1"), Comer("192.0.2.1"), Comer("192.0.2.2")
        self.assertEqual(0, neighbours.of(first))
        for each in (first, second, other):
            neighbours.joined(each)
        self.assertEqual((2, 1), (neighbours.of(first), neighbours.of(other)))
        neighbours.left(first)
        neighbours.left(other)
        self.assertEqual((1, 0), (neighbours.of(first), neighbours.of(other)))

    def test_addressChanges(self) -> None:
        """Who gets another address while he is in leaves the place that he took."""
        neighbours = Neighbours(limited=True)
        late = Comer("10.0.0.1")
        neighbours.joined(late)
        late.host = "203.0.113.9"
        neighbours.left(late)
        self.assertEqual([0, 0], [neighbours.of(Comer(host)) for host in ("10.0.0.1", late.host)])

    def test_withoutAddress(self) -> None:
        """On a UNIX socket nobody has one: they are nobody's neighbours."""
        neighbours = Neighbours(limited=True)
        local = Comer(None)
        neighbours.joined(local)
        self.assertEqual(0, neighbours.of(Comer(None)))
        neighbours.left(local)

    def test_withoutLimit(self) -> None:
        """Where there is no limit they are not even asked for their address."""
        neighbours = Neighbours(limited=False)
        unasked: Any = object()
        neighbours.joined(unasked)
        self.assertEqual(0, neighbours.of(unasked))
        neighbours.left(unasked)
