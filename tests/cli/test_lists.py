"""Tests of the lists, of their order, and of their repetition."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from echoserver.cli.watch import Changes
from echoserver.gamelift.errors import NotFoundException, OutOfCapacityException
from tests.clidoubles import INSTANCE, SERVER, CommandTestCase
from tests.doubles import callFailed

CLAIM = SERVER["LastHealthCheckTime"]
# In FleetIQ's order.
SERVERS: list[dict[str, Any]] = [
    SERVER | {"GameServerId": "gs-2", "UtilizationStatus": "UTILIZED", "ConnectionInfo": "c:1"},
    SERVER | {"GameServerId": "gs-3", "ClaimStatus": "CLAIMED", "LastClaimTime": CLAIM},
    SERVER
    | {
        "GameServerId": "gs-4",
        "ClaimStatus": "CLAIMED",
        "LastClaimTime": CLAIM + timedelta(seconds=9),  # type: ignore[operator] # a date
        "ConnectionInfo": "a:1",
        "InstanceId": "i-00000000000000000",
    },
    SERVER,
]


class ListTests(CommandTestCase):
    """The subcommands list, instances and groups."""

    def ids(self, *words: str) -> list[str]:
        """Return the ids in the order of C{list --json}."""
        self.connection.respond("ListGameServers", {"GameServers": SERVERS})
        self.assertEqual(self.run_("list", "--json", *words), 0)
        return [json.loads(line)["GameServerId"] for line in self.out.splitlines()]

    def test_sort(self) -> None:
        """Game servers are sorted by a column, then by their id; else the order is FleetIQ's."""
        self.assertEqual(self.ids(), ["gs-2", "gs-3", "gs-4", "gs-1"])
        for column, ids in (
            ("state", ["gs-1", "gs-3", "gs-4", "gs-2"]),
            ("claim", ["gs-3", "gs-4", "gs-1", "gs-2"]),
            ("health", ["gs-1", "gs-2", "gs-3", "gs-4"]),
            ("address", ["gs-4", "gs-2", "gs-1", "gs-3"]),
            ("instance", ["gs-4", "gs-1", "gs-2", "gs-3"]),
            ("id", ["gs-1", "gs-2", "gs-3", "gs-4"]),
        ):
            self.assertEqual(self.ids("--sort", column), ids, column)

    def test_wrongSort(self) -> None:
        """An unknown column is wrong usage, and the message has the columns."""
        self.assertEqual(self.run_("list", "--sort", "age"), 2)
        self.assertIn("'state', 'claim', 'health'", self.err)

    def test_instances(self) -> None:
        """Instances are a table sorted by id, or one JSON object each."""
        other = {"InstanceId": "i-0", "InstanceStatus": "DRAINING", "GameServerGroupName": "local"}
        instances = [other | {"InstanceId": INSTANCE, "InstanceStatus": "ACTIVE"}, other]
        replies = [{"GameServerInstances": instances}] * 2
        self.connection.respond("DescribeGameServerInstances", *replies)
        self.assertEqual(self.run_("instances"), 0)
        self.assertEqual(
            [line.split() for line in self.out.splitlines()],
            [
                ["INSTANCE", "STATUS", "GROUP"],
                ["i-0", "DRAINING", "local"],
                [INSTANCE, "ACTIVE", "local"],
            ],
        )
        self.assertEqual(self.run_("instances", "--json"), 0)
        self.assertEqual(json.loads(self.out.splitlines()[0]), other)

    def test_groups(self) -> None:
        """Groups are listed without --group, and in AWS with --region alone."""
        arn = "arn:aws:autoscaling:eu-west-1:1:autoScalingGroup:x:autoScalingGroupName/fleet"
        groups = [
            {"GameServerGroupName": "b", "Status": "ACTIVE", "AutoScalingGroupArn": arn},
            {"GameServerGroupName": "a", "Status": "NEW"},
        ]
        self.connection.respond("ListGameServerGroups", *[{"GameServerGroups": groups}] * 2)
        self.assertEqual(self.run_("groups"), 0)
        rows = [line.split() for line in self.out.splitlines()]
        self.assertEqual(
            rows[1:], [["a", "NEW", "-", "-", "-"], ["b", "ACTIVE", "-", "-", "fleet"]]
        )
        self.assertEqual(self.connection.requests, [("ListGameServerGroups", {})])
        self.assertEqual(self.run_("groups", "--region", "eu-west-1"), 0)
        self.assertEqual(self.err, "AWS FleetIQ in eu-west-1\n")

    def test_empty(self) -> None:
        """An empty list is a sentence."""
        self.connection.respond("DescribeGameServerInstances", {"GameServerInstances": []})
        self.connection.respond("ListGameServerGroups", {"GameServerGroups": []})
        self.run_("instances")
        self.assertEqual(self.out, "The group has no instance.\n")
        self.run_("groups")
        self.assertEqual(self.out, "There is no game server group.\n")


class WatchTests(CommandTestCase):
    """Lists that are repeated, without a terminal."""

    def test_oneCallASecond(self) -> None:
        """A list of two pages takes two calls, and the next one begins 2 s later."""
        pages: list[dict[str, Any]] = [
            {"GameServers": [SERVER], "NextToken": "t"},
            {"GameServers": []},
        ]
        self.connection.respond(
            "ListGameServers", *pages * 2, callFailed(NotFoundException, retry=False)
        )
        watching = self.start("list", "--watch")
        self.assertEqual(len(self.connection.requests), 2)
        self.clock.advance(1.9)
        self.assertEqual(len(self.connection.requests), 2)
        self.clock.advance(0.1)
        self.assertEqual(len(self.connection.requests), 4)
        self.assertEqual(self.out.count("gs-1"), 2)
        self.assertNoResult(watching)
        self.clock.advance(2)
        self.assertEqual(self.successResultOf(watching), 1)

    def test_temporaryError(self) -> None:
        """After an error that a retry can fix, the list goes on; after another it ends."""
        self.connection.respond(
            "ListGameServers",
            callFailed(OutOfCapacityException, retry=True),
            {"GameServers": [SERVER]},
            callFailed(NotFoundException, retry=False),
        )
        watching = self.start("watch")
        self.assertIn("AnOperation was refused", self.err)
        self.assertNoResult(watching)
        self.clock.pump([1, 1])
        self.assertEqual(self.successResultOf(watching), 1)
        self.assertEqual(self.out.count("registered gs-1 AVAILABLE localhost:7000\n"), 1)

    def test_changes(self) -> None:
        """Each change of a game server is a line, or a JSON object."""
        claimed = SERVER | {"ClaimStatus": "CLAIMED"}
        lists = [[SERVER], [SERVER], [claimed], []]
        for words in ((), ("--json",)):
            self.connection.respond(
                "ListGameServers",
                *[{"GameServers": each} for each in lists],
                callFailed(NotFoundException, retry=False),
            )
            watching = self.start("watch", *words)
            self.clock.pump([1] * 4)
            self.successResultOf(watching)
            lines = self.out.splitlines()
            self.assertEqual(len(lines), 3)
            if words:
                objects = [json.loads(line) for line in lines]
                self.assertEqual(
                    [each["change"] for each in objects], ["registered", "changed", "removed"]
                )
                self.assertEqual(objects[1]["gameServer"]["ClaimStatus"], "CLAIMED")
                self.assertRegex(objects[1]["time"], r"^2026-01-01T00:00:\d\d\.000\+00:00$")
            else:
                self.assertEqual(lines[0][19:], "Z registered gs-1 AVAILABLE localhost:7000")
                self.assertEqual(lines[1][19:], "Z changed gs-1 CLAIMED localhost:7000")
                self.assertEqual(lines[2][19:], "Z removed gs-1 localhost:7000")

    def test_healthReport(self) -> None:
        """A health report alone is no change."""
        changes = Changes()
        changes.since([SERVER])
        later = SERVER["LastHealthCheckTime"] + timedelta(minutes=1)  # type: ignore[operator] # a date
        self.assertEqual(changes.since([SERVER | {"LastHealthCheckTime": later}]), [])
