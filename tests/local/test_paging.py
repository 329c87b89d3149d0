"""Pages of lists that change."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.paging import cutPage, readToken, writeToken


class PageTests(SynchronousTestCase):
    """Cutting pages."""

    @settings(deadline=None)
    @given(
        stay=st.sets(st.integers(0, 60)),
        comeAndGo=st.lists(st.sets(st.integers(0, 60)), min_size=1),
        limit=st.integers(1, 7),
        descending=st.booleans(),
    )
    def test_nobodyMissedOrTwice(
        self, stay: set[int], comeAndGo: list[set[int]], limit: int, descending: bool
    ) -> None:
        """Whoever is there all along is on exactly one page, whoever else comes and goes."""
        seen: list[int] = []
        after, more, turn = None, True, 0
        while more:
            keys = sorted(stay | comeAndGo[turn % len(comeAndGo)])
            page, more = cutPage(keys, after, limit, descending)
            self.assertLessEqual(len(page), limit)
            seen += page
            after, turn = (page[-1] if page else after), turn + 1
        self.assertEqual(sorted(set(seen), reverse=descending), seen)
        self.assertEqual(set(), stay - set(seen))

    def test_lastPage(self) -> None:
        """A page that ends with the list says that nothing follows."""
        self.assertEqual(([1, 2], False), cutPage([1, 2], None, 2))
        self.assertEqual(([2, 1], False), cutPage([1, 2], None, 2, descending=True))


class TokenTests(SynchronousTestCase):
    """Tokens between pages."""

    def test_roundTrip(self) -> None:
        """A token gives back the key, to its own list."""
        self.assertEqual("17", readToken("servers/a", writeToken("servers/a", 17)))

    def test_longestName(self) -> None:
        """A token never has more characters than the API allows."""
        self.assertLess(len(writeToken(f"servers/{'g' * 128}/descending", 2**63)), 1024)

    def test_foreign(self) -> None:
        """A token of another list is refused."""
        self.assertRaises(ValueError, readToken, "servers/b", writeToken("servers/a", 17))

    @settings(deadline=None)
    @given(st.text(max_size=50))
    def test_garbage(self, token: str) -> None:
        """What is not a token is refused, and nothing worse happens."""
        self.assertRaises(ValueError, readToken, "servers/a", token)
