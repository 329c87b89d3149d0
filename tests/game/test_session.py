"""When a session starts and ends, and how many players an address has."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.game.session import PlayersByAddress, Session


class SessionTests(SynchronousTestCase):
    """Transitions of the value."""

    def test_start(self) -> None:
        """Starting a session increases the number; starting it twice changes nothing."""
        started = Session().started()
        self.assertEqual(Session(1, True, 0), started)
        self.assertIs(started, started.started())

    def test_finish(self) -> None:
        """A session that has ended keeps its number and its players."""
        ended = Session(1, True, 2).finished()
        self.assertEqual(Session(1, False, 2), ended)
        self.assertEqual(ended, ended.finished())

    def test_players(self) -> None:
        """Joining and leaving change the number of players alone."""
        self.assertEqual(Session(1, True, 2), Session(1, True, 1).joined())
        self.assertEqual(Session(1, True, 2), Session(1, True, 3).left())

    def test_ended(self) -> None:
        """Each session that started has ended, except the one that runs."""
        sessions = Session(0), Session(2, True, 1), Session(3, True, 0), Session(3, False, 2)
        self.assertEqual([0, 1, 2, 3], [session.ended for session in sessions])

    def test_next(self) -> None:
        """The session after the end has the next number."""
        self.assertEqual(Session(2, True), Session(1, False).started())

    def test_noPlayerToLeave(self) -> None:
        """Leaving without a player is an error."""
        self.assertRaises(ValueError, Session().left)

    def test_value(self) -> None:
        """A session does not change in place and has its fields only."""
        session = Session()
        self.assertFalse(hasattr(session, "__dict__"))
        for name in session.__slots__:
            with self.assertRaises(FrozenInstanceError):
                setattr(session, name, 1)

    @given(st.lists(st.sampled_from(["start", "finish", "join", "leave"]), max_size=50))
    def test_numberCountsStarts(self, moves: list[str]) -> None:
        """The number is how many sessions have started, in any order of events."""
        session, starts, players = Session(), 0, 0
        for move in moves:
            match move:
                case "start":
                    starts += not session.running
                    session = session.started()
                case "finish":
                    session = session.finished()
                case "join":
                    players += 1
                    session = session.joined()
                case _ if players:
                    players -= 1
                    session = session.left()
            self.assertEqual((starts, players), (session.number, session.players))
            self.assertIn(starts - session.ended, (0, 1))


class PlayersByAddressTests(SynchronousTestCase):
    """L{PlayersByAddress}."""

    def test_count(self) -> None:
        """Each address is counted by itself."""
        peers = PlayersByAddress(counting=True)
        self.assertEqual(0, peers.count("192.0.2.1"))
        for player, host in enumerate(("192.0.2.1", "192.0.2.1", "192.0.2.2")):
            peers.add(player, host)
        self.assertEqual((2, 1), (peers.count("192.0.2.1"), peers.count("192.0.2.2")))
        peers.remove(0)
        peers.remove(2)
        self.assertEqual((1, 0), (peers.count("192.0.2.1"), peers.count("192.0.2.2")))

    def test_addressAtTheJoin(self) -> None:
        """A player is counted under the address of its join until it leaves."""
        peers = PlayersByAddress(counting=True)
        peers.add("late", "10.0.0.1")
        peers.remove("late")
        self.assertEqual(0, peers.count("10.0.0.1"))

    def test_withoutAddress(self) -> None:
        """A connection without an address, on a UNIX socket, is not counted."""
        peers = PlayersByAddress(counting=True)
        peers.add("player", None)
        self.assertEqual(0, peers.count(None))
        peers.remove("player")

    def test_withoutLimit(self) -> None:
        """Without a limit nothing is counted."""
        peers = PlayersByAddress(counting=False)
        peers.add("player", "192.0.2.1")
        self.assertEqual(0, peers.count("192.0.2.1"))
        peers.remove("player")
