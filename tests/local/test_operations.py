"""Operations in two groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.operations import Operations
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import FleetIQError, instanceIdOf

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
