"""Pages of sorted lists, and their tokens."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedList
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.pages import cutPage, readToken, writeToken

names = st.integers(100, 160).map(str)


class PageTests(SynchronousTestCase):
    """Cut pages of a list."""

    @settings(deadline=None)
    @given(
        stay=st.sets(names),
        comeAndGo=st.lists(st.sets(names), min_size=1),
        limit=st.integers(1, 7),
    )
    def test_noneMissedOrRepeated(
        self, stay: set[str], comeAndGo: list[set[str]], limit: int
    ) -> None:
        """An item that exists all along is on exactly one page, while others come and go."""
        seen: list[str] = []
        after: str | None = None
        more, turn = True, 0
        while more:
            keys: SortedList[str] = SortedList(stay | comeAndGo[turn % len(comeAndGo)])
            page, more = cutPage(keys, after, limit)
            self.assertLessEqual(len(page), limit)
            seen += page
            after, turn = (page[-1] if page else after), turn + 1
        self.assertEqual(sorted(set(seen)), seen)
        self.assertEqual(set(), stay - set(seen))

    @settings(deadline=None)
    @given(
        keys=st.sets(st.integers(1, 3000), max_size=300),
        after=st.none() | st.integers(0, 3001),
        size=st.integers(1, 400),
        descending=st.booleans(),
    )
    def test_bothDirections(
        self, keys: set[int], after: int | None, size: int, descending: bool
    ) -> None:
        """A page has the next keys in its direction, whether or not the list has the last key."""
        following = sorted(
            (
                each
                for each in keys
                if after is None or (each < after if descending else each > after)
            ),
            reverse=descending,
        )
        self.assertEqual(
            (following[:size], len(following) > size),
            cutPage(SortedList(keys), after, size, descending),
        )

    def test_lastPage(self) -> None:
        """No page follows a page that ends with the list."""
        self.assertEqual((["a", "b"], False), cutPage(SortedList("ab"), None, 2))

    def test_empty(self) -> None:
        """The only page of an empty list is empty, in both directions."""
        for after in (None, 1):
            for descending in (False, True):
                self.assertEqual(([], False), cutPage(SortedList(), after, 1, descending))


class TokenTests(SynchronousTestCase):
    """Tokens for the next page."""

    def test_roundTrip(self) -> None:
        """A token returns its key for its own list."""
        self.assertEqual("17", readToken("servers/a", writeToken("servers/a", 17)))

    def test_longestName(self) -> None:
        """The longest token has no more characters than the API allows."""
        self.assertLess(len(writeToken(f"servers/{'g' * 128}/descending", 2**63)), 1024)

    def test_foreign(self) -> None:
        """A token of another list, or with additional characters, is rejected."""
        token = writeToken("servers/a", 17)
        self.assertRaises(ValueError, readToken, "servers/b", token)
        self.assertRaises(ValueError, readToken, "servers/a", f"!{token}")

    @settings(deadline=None)
    @given(st.text(max_size=50))
    def test_garbage(self, token: str) -> None:
        """Any text that is not a token is rejected with a ValueError."""
        self.assertRaises(ValueError, readToken, "servers/a", token)
