"""Operations in two groups, and pages of lists that change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedList
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.operations import Operations
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import FleetIQError, cutPage, instanceIdOf, readToken, writeToken

MANY = 20


class TwoGroupsTests(SynchronousTestCase):
    """The operations on one group never return items of the other."""

    def setUp(self) -> None:
        clock = Clock()
        state = Fleet(lambda _event: None)
        for name in ("a", "b"):
            state.addGroup(name, MANY, clock.seconds())
        self.operations = Operations(state, clock.seconds)
        for number in range(4):
            name = "ab"[number % 2]
            self.perform(
                "RegisterGameServer",
                name,
                GameServerId=f"srv-{number}",
                InstanceId=instanceIdOf(name, 0),
            )

    def perform(self, operation: str, group: str, **request: Any) -> Any:
        return self.operations.perform(operation, {"GameServerGroupName": group, **request})

    def instances(self, group: str, **request: Any) -> list[str]:
        """Return the ids on all pages, each with three items at most."""
        ids: list[str] = []
        token = None
        for _ in range(MANY):
            page = self.perform(
                "DescribeGameServerInstances", group, Limit=3, NextToken=token, **request
            )
            ids += [each["InstanceId"] for each in page["GameServerInstances"]]
            if "NextToken" not in page:
                return ids
            token = page["NextToken"]
        raise self.failureException(f"The pages do not end: {ids}")

    def test_tokensOfAnotherGroup(self) -> None:
        """A token continues only the list of its own group."""
        for operation in ("ListGameServers", "DescribeGameServerInstances"):
            token = self.perform(operation, "a", Limit=1)["NextToken"]
            self.perform(operation, "a", NextToken=token)
            error = self.assertRaises(FleetIQError, self.perform, operation, "b", NextToken=token)
            self.assertEqual("InvalidRequestException", error.code)
            self.assertIn("NextToken is not one of this list", error.message)

    def test_listsOfOneGroup(self) -> None:
        """ListGameServers returns the game servers of the named group."""
        reply = self.perform("ListGameServers", "b")
        self.assertEqual(
            ["srv-1", "srv-3"], [server["GameServerId"] for server in reply["GameServers"]]
        )

    def test_instancesOfAnotherGroup(self) -> None:
        """An instance of another group is not listed, an own one once."""
        ours, theirs = instanceIdOf("a", 0), instanceIdOf("b", 0)
        self.assertEqual([ours], self.instances("a", InstanceIds=[ours, theirs, ours]))
        self.assertEqual([], self.instances("a", InstanceIds=[theirs]))

    def test_instancesInPages(self) -> None:
        """Each instance is on exactly one page, in the order of the ids."""
        launched = [instanceIdOf("a", index) for index in range(MANY)]
        self.assertNotEqual(sorted(launched), launched)
        self.assertEqual(sorted(launched), self.instances("a"))
        self.assertEqual(sorted(launched), self.instances("a", InstanceIds=launched))

    def test_nullFilter(self) -> None:
        """A filter that is null, or has only null, is no filter: AWS treats null as absent."""
        filters: Iterable[Any] = (None, {}, {"InstanceStatuses": None})
        for group, option in zip("aba", filters, strict=True):
            reply = self.perform("ClaimGameServer", group, FilterOption=option)
            self.assertEqual("CLAIMED", reply["GameServer"]["ClaimStatus"])


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
