"""Pages of lists that change."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.paging import cutPage, readToken, writeToken

names = st.integers(100, 160).map(str)


class PageTests(SynchronousTestCase):
    """Cutting pages."""

    @settings(deadline=None)
    @given(
        stay=st.sets(names),
        comeAndGo=st.lists(st.sets(names), min_size=1),
        limit=st.integers(1, 7),
    )
    def test_nobodyMissedOrTwice(
        self, stay: set[str], comeAndGo: list[set[str]], limit: int
    ) -> None:
        """Whoever is there all along is on exactly one page, whoever else comes and goes."""
        seen: list[str] = []
        after, more, turn = None, True, 0
        while more:
            keys = sorted(stay | comeAndGo[turn % len(comeAndGo)])
            page, more = cutPage(keys, after, limit)
            self.assertLessEqual(len(page), limit)
            seen += page
            after, turn = (page[-1] if page else after), turn + 1
        self.assertEqual(sorted(set(seen)), seen)
        self.assertEqual(set(), stay - set(seen))

    def test_lastPage(self) -> None:
        """A page that ends with the list says that nothing follows."""
        self.assertEqual((["a", "b"], False), cutPage(["a", "b"], None, 2))


class TokenTests(SynchronousTestCase):
    """Tokens between pages."""

    def test_roundTrip(self) -> None:
        """A token gives back the key, to its own list."""
        self.assertEqual("17", readToken("servers/a", writeToken("servers/a", 17)))

    def test_longestName(self) -> None:
        """A token never has more characters than the API allows."""
        self.assertLess(len(writeToken(f"servers/{'g' * 128}/descending", 2**63)), 1024)

    def test_foreign(self) -> None:
        """A token of another list is refused, and one with more in it than was written."""
        token = writeToken("servers/a", 17)
        self.assertRaises(ValueError, readToken, "servers/b", token)
        self.assertRaises(ValueError, readToken, "servers/a", f"!{token}")

    @settings(deadline=None)
    @given(st.text(max_size=50))
    def test_garbage(self, token: str) -> None:
        """What is not a token is refused, and nothing worse happens."""
        self.assertRaises(ValueError, readToken, "servers/a", token)
