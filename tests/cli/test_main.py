"""The fleetiq command: where it speaks, what it asks, what it shows, how it ends."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from echoserver.cli.paging import everyPage
from echoserver.cli.where import chooseWhere
from echoserver.gamelift.client import EndpointConfig
from echoserver.gamelift.errors import CallFailed, NotFoundException
from tests.clidoubles import GROUPS, INSTANCE, LOCAL_LINE, SERVER, CommandTestCase, Door
from tests.doubles import callFailed


class WhereTests(CommandTestCase):
    """An endpoint; else a group of AWS; else the local FleetIQ."""

    def test_choice(self) -> None:
        """Each of the ways to say where."""
        far = "https://gamelift.example.com"
        loop = "http://localhost:4571"
        variable = "AWS_ENDPOINT_URL_GAMELIFT"
        cases: list[
            tuple[tuple[str | None, str | None, str | None], dict[str, str], EndpointConfig]
        ] = [
            ((None, None, None), {}, EndpointConfig(endpoint="http://127.0.0.1:4570", local=True)),
            (
                (None, None, None),
                {variable: ""},
                EndpointConfig(endpoint="http://127.0.0.1:4570", local=True),
            ),
            (
                (None, None, None),
                {"AWS_REGION": "a"},
                EndpointConfig(endpoint="http://127.0.0.1:4570", local=True),
            ),
            (("g", None, None), {}, EndpointConfig()),
            (("g", "r", None), {"AWS_REGION": "a"}, EndpointConfig("r")),
            (
                ("g", None, None),
                {"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"},
                EndpointConfig("a"),
            ),
            (("g", None, None), {"AWS_REGION": "", "AWS_DEFAULT_REGION": "b"}, EndpointConfig("b")),
            ((None, None, loop), {"AWS_REGION": "a"}, EndpointConfig(None, loop, local=True)),
            (("g", None, None), {variable: loop}, EndpointConfig(None, loop, local=True)),
            ((None, "r", "http://[::1]:1"), {}, EndpointConfig("r", "http://[::1]:1", local=True)),
            ((None, None, far), {variable: loop, "AWS_REGION": "a"}, EndpointConfig("a", far)),
            (("g", None, None), {"AWS_ENDPOINT_URL": far}, EndpointConfig(None, far)),
            (("g", None, None), {"AWS_ENDPOINT_URL": ""}, EndpointConfig()),
            (
                ("g", None, None),
                {"AWS_ENDPOINT_URL": loop, variable: far},
                EndpointConfig(None, far),
            ),
            (
                (None, None, None),
                {"AWS_ENDPOINT_URL": far},
                EndpointConfig(endpoint="http://127.0.0.1:4570", local=True),
            ),
        ]
        for (group, region, endpoint), environ, where in cases:
            self.assertEqual(chooseWhere(group, region, endpoint, environ), where)

    def test_wrong(self) -> None:
        """Each of the ways to say it wrong."""
        for group, region, endpoint, part in (
            (None, "r", None, "--group"),
            ("", None, None, "--group is empty"),
            ("g", "", None, "--region is empty"),
            ("g", None, "", "--endpoint-url is empty"),
            ("g", None, "localhost:4570", "http://HOST:PORT"),
            ("g", None, "http://h:port", "http://HOST:PORT"),
        ):
            error = self.assertRaises(UsageError, chooseWhere, group, region, endpoint, {})
            self.assertIn(part, str(error))

    def test_firstLine(self) -> None:
        """It says where it speaks, before anything else."""
        for words, line in (
            ((), LOCAL_LINE),
            (
                ("--group", "MyGroup", "--region", "ap-northeast-2"),
                "AWS FleetIQ in ap-northeast-2, group MyGroup\n",
            ),
            (
                ("--group", "MyGroup", "--endpoint-url", "https://example.com"),
                "FleetIQ on https://example.com in us-east-1, group MyGroup\n",
            ),
        ):
            self.door = Door()
            self.door.answers("DescribeGameServer", {"GameServer": SERVER})
            self.assertEqual(self.run_(*words, "describe", "gs-1"), 0)
            self.assertEqual(self.stderr.getvalue(), line)

    def test_noRegion(self) -> None:
        """AWS without a region is wrong usage, and says what to name."""
        self.door = Door(region=None)
        self.assertEqual(self.run_("--group", "g", "list"), 2)
        self.assertIn("--region", self.said)

    def test_onlyGroup(self) -> None:
        """With no group or several, they are named, and so is how to name one there."""
        self.door.answers("ListGameServerGroups", {})
        self.assertEqual(self.run_("list"), 1)
        self.assertTrue(self.said.endswith("has no game server group: make one.\n"))
        for environ, how in (
            ({}, ": fleetiq --endpoint-url http://127.0.0.1:4570 --group NAME ...\n"),
            ({"AWS_ENDPOINT_URL_GAMELIFT": "https://example.com"}, " with --group.\n"),
        ):
            self.door.answers(
                "ListGameServerGroups",
                GROUPS | {"NextToken": "t"},
                {"GameServerGroups": [{"GameServerGroupName": "b"}]},
            )
            self.assertEqual(self.run_("list", environ=environ), 2)
            self.assertTrue(
                self.said.endswith(f"2 game server groups, local, b: name one{how}"), self.said
            )

    def test_nothingListens(self) -> None:
        """Without a local FleetIQ it says how to start one, unless an endpoint was named."""
        refused = CallFailed(
            "ListGameServerGroups",
            "EndpointConnectionError",
            "so",
            retry=True,
            mayHaveHappened=False,
        )
        self.door.answers("ListGameServerGroups", refused, refused)
        self.assertEqual(self.run_("list"), 1)
        for part in ("http://127.0.0.1:4570", "make run", "twistd -n fleetiq-local", "--group"):
            self.assertIn(part, self.said)
        self.assertEqual(self.run_("--endpoint-url", "http://127.0.0.1:1", "list"), 1)
        self.assertEqual(self.said, "so\n")


class UsageTests(CommandTestCase):
    """Wrong usage is a sentence, and exit status 2."""

    def test_sentences(self) -> None:
        """Each says what, and where to read more."""
        port = "is no port: it should be from 1 to 65535"
        seconds = "is no number of seconds: it should be 0 or more"
        commands = "play, claim, list, describe, register, update, deregister, local"
        for words, command, what in (
            ("", "", f"name a command: {commands}"),
            ("dance", "", "Unknown command: dance"),
            ("list --color", " list", "option --color not recognized"),
            ("list gs-1", " list", "'gs-1' is not understood"),
            ("--json play", " play", "--json is for the other commands; --send serves scripts"),
            ("play --port 0", " play", f"--port '0' {port}"),
            ("play --port x", " play", f"--port 'x' {port}"),
            ("play --wait -1", " play", f"--wait '-1' {seconds}"),
            ("play --wait nan", " play", f"--wait 'nan' {seconds}"),
            ("play --wait soon", " play", f"--wait 'soon' {seconds}"),
            ("play --send=", " play", "--send is empty; there is nothing to send"),
            ("describe", " describe", "name one game server id, not 0"),
            ("claim a b", " claim", "name one game server id or none, not 2"),
            ("register a --connection c", " register", "--instance is missing"),
            ("register a --instance i", " register", "--connection is missing"),
            ("update a", " update", "add --utilized, --available, --healthy or --data"),
            (
                "update a --utilized --available",
                " update",
                "--utilized and --available contradict each other",
            ),
            (
                "deregister --yes",
                " deregister",
                "name at least one game server id, or else --instance",
            ),
            (
                "deregister --instance i-1 gs-1",
                " deregister",
                "name at least one game server id, or else --instance",
            ),
        ):
            self.assertEqual(self.run_(*words.split()), 2)
            self.assertEqual(
                self.said, f"fleetiq{command}: {what}. Try 'fleetiq{command} --help'.\n"
            )
        self.assertEqual(self.door.asked, [])

    def test_tooLate(self) -> None:
        """An option that goes before the command is told its place."""
        self.assertEqual(self.run_("list", "--json"), 2)
        self.assertEqual(
            self.said,
            "fleetiq list: option --json not recognized. "
            "It goes before the command: 'fleetiq --json ... list'.\n",
        )

    def test_bytes(self) -> None:
        """A word that is no text is shown, its bytes escaped; FleetIQ could not be told it."""
        self.assertEqual(self.run_("describe", "한\udcff"), 2)
        self.assertEqual(self.said, "fleetiq: '한\\xff' is not UTF-8. Try 'fleetiq --help'.\n")
        self.assertEqual(self.door.asked, [])

    def test_bug(self) -> None:
        """What should not happen is a sentence, too."""
        self.door.answers("ListGameServers", RuntimeError("oops"))
        self.assertEqual(self.run_("list"), 1)
        self.assertEqual(
            self.said, "fleetiq list failed, and should not have: RuntimeError('oops')\n"
        )


class CallTests(CommandTestCase):
    """One operation each: the request, and the reply as it came."""

    def test_requests(self) -> None:
        """What is asked, for what is typed; options may follow the id."""
        for words, operation, request in (
            ("claim", "ClaimGameServer", {}),
            (
                "claim gs-1 --data d",
                "ClaimGameServer",
                {"GameServerId": "gs-1", "GameServerData": "d"},
            ),
            ("describe gs-1", "DescribeGameServer", {"GameServerId": "gs-1"}),
            (
                "register --instance i gs-1 --connection c --data d",
                "RegisterGameServer",
                {
                    "GameServerId": "gs-1",
                    "InstanceId": "i",
                    "ConnectionInfo": "c",
                    "GameServerData": "d",
                },
            ),
            (
                "update gs-1 --utilized --healthy",
                "UpdateGameServer",
                {"GameServerId": "gs-1", "UtilizationStatus": "UTILIZED", "HealthCheck": "HEALTHY"},
            ),
            (
                "update gs-1 --available",
                "UpdateGameServer",
                {"GameServerId": "gs-1", "UtilizationStatus": "AVAILABLE"},
            ),
            (
                "update gs-1 --data=d",
                "UpdateGameServer",
                {"GameServerId": "gs-1", "GameServerData": "d"},
            ),
            ("deregister gs-1 --yes", "DeregisterGameServer", {"GameServerId": "gs-1"}),
        ):
            self.door.answers(operation, {"GameServer": SERVER})
            self.assertEqual(self.run_("--group", "g", *words.split()), 0)
            self.assertEqual(
                self.door.asked.pop(), (operation, {"GameServerGroupName": "g", **request})
            )

    def test_shown(self) -> None:
        """The operation and its request on a line, then the reply, with its dates and its data."""
        self.door.answers("DescribeGameServer", {"GameServer": SERVER})
        self.run_("describe", "gs-1")
        first, _, reply = self.out.partition("\n")
        self.assertEqual(
            first, 'DescribeGameServer {"GameServerGroupName": "local", "GameServerId": "gs-1"}'
        )
        self.assertEqual(json.loads(reply)["GameServer"]["GameServerId"], "gs-1")
        self.assertIn('    "RegistrationTime": "2025-12-31T23:50:00.000+00:00"', reply)
        self.assertIn("한글", reply)

    def test_json(self) -> None:
        """For machines: the game server, on one line of ASCII."""
        self.door.answers("ClaimGameServer", {"GameServer": SERVER})
        self.run_("--json", "claim")
        [line] = self.out.splitlines()
        self.assertEqual(json.loads(line)["GameServerData"], "한글")
        self.assertTrue(line.isascii())
        self.door.answers("ListGameServerGroups", GROUPS)
        self.door.answers("DeregisterGameServer", {})
        self.run_("--json", "deregister", "gs-1", "--yes")
        self.assertEqual(
            json.loads(self.out), {"GameServerGroupName": "local", "GameServerId": "gs-1"}
        )

    def test_refused(self) -> None:
        """A refusal is what was asked, for people; its sentence; and exit status 1."""
        group = '"GameServerGroupName": "local"'
        for words, shown in (
            ("describe gs-1", f'DescribeGameServer {{{group}, "GameServerId": "gs-1"}}\n'),
            ("list", f"ListGameServers {{{group}}}\n"),
            ("--json describe gs-1", ""),
            ("--json list", ""),
        ):
            self.door = Door()
            self.door.answers("DescribeGameServer", callFailed(NotFoundException))
            self.door.answers("ListGameServers", callFailed(NotFoundException))
            self.assertEqual(self.run_(*words.split()), 1)
            self.assertEqual((self.out, self.said), (shown, f"{callFailed(NotFoundException)}\n"))


class ListTests(CommandTestCase):
    """All game servers, a line each."""

    def test_columns(self) -> None:
        """Their states and ages, over all pages."""
        second = {
            "GameServerId": "a-longer-id",
            "InstanceId": INSTANCE,
            "UtilizationStatus": "AVAILABLE",
            "ClaimStatus": "CLAIMED",
            "RegistrationTime": datetime(2025, 12, 25, tzinfo=UTC),
            "LastClaimTime": datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC),
        }
        third = {
            "GameServerId": "gs-3",
            "InstanceId": INSTANCE,
            "UtilizationStatus": "UTILIZED",
            "ClaimStatus": "CLAIMED",
        }
        self.door.answers(
            "ListGameServers",
            {"GameServers": [SERVER], "NextToken": "t"},
            {"GameServers": [second, third]},
        )
        self.assertEqual(self.run_("list"), 0)
        self.assertEqual(self.door.asked[-1][1], {"GameServerGroupName": "local", "NextToken": "t"})
        rows = [re.split("  +", line) for line in self.out.splitlines()]
        self.assertEqual(
            rows,
            [
                ['ListGameServers {"GameServerGroupName": "local"}'],
                ["ID", "STATE", "CONNECTION", "INSTANCE", "REGISTERED", "HEALTHY", "CLAIMED"],
                ["gs-1", "AVAILABLE", "localhost:7000", INSTANCE, "10m ago", "30s ago", "-"],
                ["a-longer-id", "CLAIMED", "-", INSTANCE, "7d ago", "-", "0s ago"],
                ["gs-3", "UTILIZED", "-", INSTANCE, "-", "-", "-"],
            ],
        )

    def test_none(self) -> None:
        """An empty group says so."""
        self.door.answers("ListGameServers", {})
        self.run_("list")
        self.assertTrue(self.out.endswith("\nNo game server is registered.\n"))

    def test_json(self) -> None:
        """For machines, a game server a line, and no line else."""
        self.door.answers("ListGameServers", {"GameServers": [SERVER, SERVER]})
        self.run_("--json", "list")
        self.assertEqual(
            [json.loads(line)["GameServerId"] for line in self.out.splitlines()], ["gs-1", "gs-1"]
        )


class DeregisterTests(CommandTestCase):
    """Several at once, none of them in play unless that is meant."""

    def test_inPlay(self) -> None:
        """One in play and one that is not there are refused; the rest goes."""
        described = {"GameServer": SERVER | {"UtilizationStatus": "UTILIZED"}}
        self.door.answers(
            "DescribeGameServer", described, callFailed(NotFoundException), {"GameServer": SERVER}
        )
        self.door.answers("DeregisterGameServer", {})
        self.assertEqual(self.run_("deregister", "gs-1", "gs-2", "gs-3"), 1)
        asked = [request["GameServerId"] for name, request in self.door.asked if name[:3] == "Der"]
        self.assertEqual(asked, ["gs-3"])
        first, second = self.said.splitlines()
        self.assertTrue(first.startswith("gs-1: It is UTILIZED"))
        self.assertIn("--yes", first)
        self.assertEqual(second, f"gs-2: {callFailed(NotFoundException)}")

    def test_yes(self) -> None:
        """With --yes it is not even looked at."""
        self.door.answers("DeregisterGameServer", {})
        self.assertEqual(self.run_("deregister", "--yes", "gs-1"), 0)
        self.assertEqual(self.out.splitlines()[1:], ["{}"])

    def test_instance(self) -> None:
        """With --instance, all of one instance: of each page of the list, and of no other."""
        other = SERVER | {"GameServerId": "other", "InstanceId": INSTANCE[:-1] + "1"}
        self.door.answers(
            "ListGameServers",
            {"GameServers": [SERVER, other], "NextToken": "more"},
            {"GameServers": [SERVER | {"GameServerId": "gs-2"}]},
        )
        inPlay = {"GameServer": SERVER | {"UtilizationStatus": "UTILIZED"}}
        self.door.answers("DescribeGameServer", {"GameServer": SERVER}, inPlay)
        self.door.answers("DeregisterGameServer", {})
        self.assertEqual(self.run_("deregister", "--instance", INSTANCE), 1)
        asked = [request["GameServerId"] for name, request in self.door.asked if name[:3] == "Der"]
        self.assertEqual(asked, ["gs-1"])
        self.assertTrue(self.said.startswith("gs-2: It is UTILIZED"))

    def test_nothingOfInstance(self) -> None:
        """Nothing to deregister is said, and no failure."""
        self.door.answers("ListGameServers", {"GameServers": [SERVER]})
        self.assertEqual(self.run_("deregister", "--instance=i-1", "--yes"), 0)
        self.assertEqual(self.said, "No game server of i-1 is registered.\n")


class EveryPageTests(SynchronousTestCase):
    """Lists are read to their end."""

    def test_tokens(self) -> None:
        """Each page is asked for with the token of the one before; empty ones are no end."""
        door = Door()
        door.answers(
            "ListThings",
            {"Things": [{"n": 1}], "NextToken": "a"},
            {"NextToken": "b"},
            {"Things": [{"n": 2}]},
        )
        found = self.successResultOf(everyPage(door, "ListThings", "Things", Of="x"))
        self.assertEqual(found, [{"n": 1}, {"n": 2}])
        self.assertEqual(
            [request for _, request in door.asked],
            [{"Of": "x"}, {"Of": "x", "NextToken": "a"}, {"Of": "x", "NextToken": "b"}],
        )
