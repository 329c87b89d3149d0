"""Who is in, when a session begins and ends, who may come in."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.session import Session


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

    def test_theNextIsAnother(self) -> None:
        """Who comes after the end begins the next session."""
        self.assertEqual(Session(2, 1), Session().joined().left().joined())

    def test_nobodyCannotLeave(self) -> None:
        """A player who leaves must have been in."""
        self.assertRaises(ValueError, Session().left)

    def test_room(self) -> None:
        """There is room below the limits, of all and of an address, and always without one."""
        two = Session(1, 2)
        for maxPlayers, sameAddress, maxPerAddress, room in (
            (None, 2, None, True),
            (3, 2, None, True),
            (2, 0, None, False),
            (None, 1, 2, True),
            (None, 2, 2, False),
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
