"""Who is in, when a session begins and ends, who may come in.
Players who come from the same address."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.game.session import Neighbours, Session


class SessionTests(SynchronousTestCase):
    """A session begins with its first player and ends with its last."""

    def test_beginsWithTheFirst(self) -> None:
        """The first player begins session 1; a second joins it."""
        self.assertEqual(Session(1, 2), Session().joined().joined())

    def test_endsWithTheLast(self) -> None:
        """When the last one leaves the session is over, but keeps its number."""
        ended = Session().joined().joined().left().left()
        self.assertEqual(Session(1, 0), ended)
        self.assertFalse(ended.running)

    def test_oneOfThreeLeaves(self) -> None:
        """Who leaves is one; the others play on."""
        self.assertEqual(Session(1, 2), Session(1, 3).left())

    def test_ended(self) -> None:
        """All that began have ended, but for the one that runs."""
        sessions = Session(0, 0), Session(2, 1), Session(3, 2), Session(3, 0)
        self.assertEqual([0, 1, 2, 3], [session.ended for session in sessions])

    def test_theNextIsAnother(self) -> None:
        """Who comes after the end begins the next session."""
        self.assertEqual(Session(2, 1), Session().joined().left().joined())

    def test_nobodyCannotLeave(self) -> None:
        """A player who leaves must have been in."""
        self.assertRaises(ValueError, Session().left)

    def test_value(self) -> None:
        """A session does not change in place, nor carries more than its fields."""
        session = Session()
        self.assertFalse(hasattr(session, "__dict__"))
        for name in session.__slots__:
            with self.assertRaises(FrozenInstanceError):
                setattr(session, name, 1)

    def test_room(self) -> None:
        """There is room below the limits, of all and of an address, and always without one."""
        two = Session(1, 2)
        for maxPlayers, sameAddress, maxPerAddress, room in (
            (None, 2, None, True),
            (3, 2, None, True),
            (2, 0, None, False),
            (1, 0, None, False),
            (None, 1, 2, True),
            (None, 2, 2, False),
            (None, 3, 2, False),
            (3, 2, 2, False),
            (2, 0, 2, False),
        ):
            self.assertEqual(room, two.hasRoom(maxPlayers, sameAddress, maxPerAddress))

    @given(st.lists(st.booleans(), max_size=50))
    def test_numbersCountBeginnings(self, moves: list[bool]) -> None:
        """The number is how often the first player came, whatever the order of coming and going."""
        session, began = Session(), 0
        for joins in moves:
            if joins:
                began += not session.running
                session = session.joined()
            elif session.running:
                session = session.left()
            self.assertEqual(began, session.number)


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
