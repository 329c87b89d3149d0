"""Operations on game servers and instances, where there are two groups of them."""

from collections.abc import Iterable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.actions import Actions
from echoserver.local.state import FleetState
from echoserver.local.values import Refusal, instanceIdOf

MANY = 20


class TwoGroupsTests(SynchronousTestCase):
    """What one group is asked never shows the other."""

    def setUp(self) -> None:
        clock = Clock()
        state = FleetState(lambda _event: None)
        for name in ("a", "b"):
            state.addGroup(name, MANY, clock.seconds())
        self.actions = Actions(state, clock.seconds)
        for number in range(4):
            name = "ab"[number % 2]
            self.perform(
                "RegisterGameServer",
                name,
                GameServerId=f"srv-{number}",
                InstanceId=instanceIdOf(name, 0),
            )

    def perform(self, operation: str, group: str, **request: Any) -> Any:
        return self.actions.perform(operation, {"GameServerGroupName": group, **request})

    def instances(self, group: str, **request: Any) -> list[str]:
        """The ids on all pages of three."""
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
        """A page's token continues the list of its own group alone."""
        for operation in ("ListGameServers", "DescribeGameServerInstances"):
            token = self.perform(operation, "a", Limit=1)["NextToken"]
            self.perform(operation, "a", NextToken=token)
            refusal = self.assertRaises(Refusal, self.perform, operation, "b", NextToken=token)
            self.assertEqual("InvalidRequestException", refusal.code)
            self.assertIn("NextToken is not one of this list", refusal.sentence)

    def test_listsOfOneGroup(self) -> None:
        """Game servers are those of the group that was named."""
        reply = self.perform("ListGameServers", "b")
        self.assertEqual(
            ["srv-1", "srv-3"], [server["GameServerId"] for server in reply["GameServers"]]
        )

    def test_instancesOfAnotherGroup(self) -> None:
        """Who names another group's instance does not see it, and his own once."""
        ours, theirs = instanceIdOf("a", 0), instanceIdOf("b", 0)
        self.assertEqual([ours], self.instances("a", InstanceIds=[ours, theirs, ours]))
        self.assertEqual([], self.instances("a", InstanceIds=[theirs]))

    def test_instancesInPages(self) -> None:
        """All instances, or the named ones, are each on one page, whatever order they came in."""
        launched = [instanceIdOf("a", index) for index in range(MANY)]
        self.assertNotEqual(sorted(launched), launched)
        self.assertEqual(sorted(launched), self.instances("a"))
        self.assertEqual(sorted(launched), self.instances("a", InstanceIds=launched))

    def test_nullFilter(self) -> None:
        """A filter that is null, or says null, is none: AWS reads null as absent."""
        filters: Iterable[Any] = (None, {}, {"InstanceStatuses": None})
        for group, given in zip("aba", filters, strict=True):
            reply = self.perform("ClaimGameServer", group, FilterOption=given)
            self.assertEqual("CLAIMED", reply["GameServer"]["ClaimStatus"])
