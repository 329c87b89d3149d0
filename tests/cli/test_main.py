"""Tests of the fleetiq command: its target, requests, output and exit status."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from click import UsageError
from twisted.internet.error import ConnectError
from twisted.trial.unittest import SynchronousTestCase

from echoserver.cli.command import Group
from echoserver.cli.endpoint import resolveEndpoint
from echoserver.cli.main import fleetiq, parseCommandLine
from echoserver.cli.output import CommandFailed, Console
from echoserver.cli.target import MAX_LIST, MAX_PAGES, everyPage
from echoserver.gamelift.client import EndpointConfig
from echoserver.gamelift.errors import CallFailed, NotFoundException
from tests.clidoubles import (
    GROUPS,
    INSTANCE,
    LOCAL_LINE,
    SERVER,
    BrokenPipe,
    CommandTestCase,
    MemoryConnection,
    Response,
)
from tests.doubles import callFailed


class TargetTests(CommandTestCase):
    """The endpoint and the group that a command uses."""

    def test_endpoint(self) -> None:
        """An endpoint comes first, then a group in AWS, then the local FleetIQ."""
        remote = "https://gamelift.example.com"
        loopback = "http://localhost:4571"
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
            (
                (None, None, loopback),
                {"AWS_REGION": "a"},
                EndpointConfig(None, loopback, local=True),
            ),
            (("g", None, None), {variable: loopback}, EndpointConfig(None, loopback, local=True)),
            ((None, "r", "http://[::1]:1"), {}, EndpointConfig("r", "http://[::1]:1", local=True)),
            (
                (None, None, remote),
                {variable: loopback, "AWS_REGION": "a"},
                EndpointConfig("a", remote),
            ),
            (("g", None, None), {"AWS_ENDPOINT_URL": remote}, EndpointConfig(None, remote)),
            (("g", None, None), {"AWS_ENDPOINT_URL": ""}, EndpointConfig()),
            (
                ("g", None, None),
                {"AWS_ENDPOINT_URL": loopback, variable: remote},
                EndpointConfig(None, remote),
            ),
            (
                (None, None, None),
                {"AWS_ENDPOINT_URL": remote},
                EndpointConfig(endpoint="http://127.0.0.1:4570", local=True),
            ),
        ]
        for (group, region, endpoint), environ, config in cases:
            self.assertEqual(resolveEndpoint(group, region, endpoint, environ), config)

    def test_invalidOptions(self) -> None:
        """Options that are empty, invalid or contradictory are rejected."""
        for group, region, endpoint, part in (
            (None, "r", None, "--group"),
            ("", None, None, "--group is empty"),
            ("g", "", None, "--region is empty"),
            ("g", None, "", "--endpoint-url is empty"),
            ("g", None, "localhost:4570", "http://HOST:PORT"),
            ("g", None, "http://h:port", "http://HOST:PORT"),
        ):
            error = self.assertRaises(UsageError, resolveEndpoint, group, region, endpoint, {})
            self.assertIn(part, str(error))

    def test_firstLine(self) -> None:
        """The first line on standard error describes the target."""
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
            self.connection = MemoryConnection()
            self.connection.respond("DescribeGameServer", {"GameServer": SERVER})
            self.assertEqual(self.run_(*words, "describe", "gs-1"), 0)
            self.assertEqual(self.stderr.getvalue(), line)

    def test_noRegion(self) -> None:
        """AWS without a region is wrong usage, and the message names the option."""
        self.connection = MemoryConnection(region=None)
        self.assertEqual(self.run_("--group", "g", "list"), 2)
        self.assertIn("--region", self.err)

    def test_onlyGroup(self) -> None:
        """Without a group, or with several, the message says how to continue."""
        self.groups.clear()
        self.assertEqual(self.run_("list"), 1)
        self.assertTrue(self.err.endswith("has no game server group: create one.\n"))
        self.groups += ["local", "b"]
        for environ, hint in (
            ({}, ": fleetiq --endpoint-url http://127.0.0.1:4570 --group NAME ...\n"),
            ({"AWS_ENDPOINT_URL_GAMELIFT": "https://example.com"}, " with --group.\n"),
        ):
            self.connection.respond(
                "ListGameServerGroups",
                GROUPS | {"NextToken": "t"},
                {"GameServerGroups": [{"GameServerGroupName": "b"}]},
            )
            self.assertEqual(self.run_("list", environ=environ), 2)
            self.assertTrue(
                self.err.endswith(f"2 game server groups, local, b: name one{hint}"), self.err
            )

    def test_noLocalFleetIQ(self) -> None:
        """If no local FleetIQ runs at the default endpoint, the message says how to start one."""
        self.http.response = ConnectError()
        self.assertEqual(self.run_("list"), 1)
        for part in ("http://127.0.0.1:4570", "make run", "twistd -n fleetiq-local", "--group"):
            self.assertIn(part, self.err)
        self.assertEqual(self.run_("--endpoint-url", "http://127.0.0.1:1", "list"), 1)
        self.assertNotIn("--group", self.err)
        other = self.err
        refused = CallFailed(
            "ListGameServers", "EndpointConnectionError", "so", retry=True, mayHaveHappened=False
        )
        self.connection.respond("ListGameServers", refused, refused)
        self.assertEqual(
            self.run_("--endpoint-url", "http://127.0.0.1:1", "--group", "g", "list"), 1
        )
        self.assertTrue(self.err.endswith(other), self.err)
        for part in ("http://127.0.0.1:1:", "make run", "twistd -n fleetiq-local"):
            self.assertIn(part, other)
        self.assertEqual(self.run_("--group", "g", "list"), 1)
        self.assertTrue(self.err.endswith("\nso\n"))

    def test_groupOfControls(self) -> None:
        """The group of a local FleetIQ is found without a call that a fault could affect."""
        self.connection.respond("ClaimGameServer", {"GameServer": SERVER})
        self.assertEqual(self.run_("claim"), 0)
        self.assertEqual([name for name, _ in self.connection.requests], ["ClaimGameServer"])
        self.assertEqual(self.http.requests, ["GET http://127.0.0.1:4570/_local/state"])

    def test_otherEmulator(self) -> None:
        """A local endpoint without controls is another emulator: its groups are listed."""
        self.http.response = Response(404, b"<html>")
        self.connection.respond("ListGameServers", {"GameServers": []})
        self.assertEqual(self.run_("list"), 0)
        names = [name for name, _ in self.connection.requests]
        self.assertEqual(names, ["ListGameServerGroups", "ListGameServers"])

    def test_localGroupWithoutEndpoint(self) -> None:
        """If --group selects AWS by mistake, the message says how to name the local FleetIQ."""
        hint = "For a group of the local FleetIQ, add --endpoint-url http://127.0.0.1:4570.\n"
        self.connection.respond(
            "ListGameServers",
            CallFailed("x", "NoCredentialsError", "so", retry=False, mayHaveHappened=False),
        )
        self.assertEqual(self.run_("--group", "local", "list"), 1)
        self.assertTrue(self.err.endswith(f"so {hint}"))
        self.connection = MemoryConnection(region=None)
        self.assertEqual(self.run_("--group", "local", "list"), 2)
        self.assertTrue(self.err.endswith(hint))

    def test_malformedRegion(self) -> None:
        """A region of a form that no AWS region has is wrong usage; an emulator's may have any."""
        for region in ("ap northeast 2", "Seoul", "ap-northeast2", "'ap-northeast-2'", "us-east-"):
            self.assertEqual(self.run_("--group", "g", "--region", region, "list"), 2)
            self.assertIn(repr(region), self.err)
        self.assertEqual(self.connection.requests, [])
        self.connection.respond("ListGameServers", {"GameServers": []})
        emulator = ("--endpoint-url", "http://emulator:1", "--group", "g", "list")
        self.assertEqual(self.run_("--region", "Seoul", *emulator), 0)
        self.assertEqual(self.run_("--region", "ap northeast 2", *emulator), 2)


class UsageTests(CommandTestCase):
    """Wrong usage gives a message and exit status 2."""

    def test_messages(self) -> None:
        """Each message says what is wrong, and which help to read."""
        port = "is not a port: use 1 to 65535"
        seconds = "is not a number of seconds: use 0 or more"
        ids = "is not a game server id: use 3 to 128 letters, digits, '-' and '.'"
        group = (
            "is not a game server group: use its name (1 to 128 letters, digits, '-' and '.') or "
            "its ARN"
        )
        instance = "is not an instance id: use i- and 17 letters or digits"
        commands = (
            "play, claim, list, instances, groups, watch, bots, describe, register, update, "
            "deregister, local, template, completion"
        )
        for words, command, what in (
            ("", "", f"name a command: {commands}"),
            ("dance", "", "No such command 'dance'"),
            ("list --xyz", " list", "No such option '--xyz'"),
            ("list gs-1", " list", "Got unexpected extra argument (gs-1)"),
            ("play --port 0", " play", f"--port '0' {port}"),
            ("play --port x", " play", f"--port 'x' {port}"),
            ("play --wait -1", " play", f"--wait '-1' {seconds}"),
            ("play --wait nan", " play", f"--wait 'nan' {seconds}"),
            ("play --wait soon", " play", f"--wait 'soon' {seconds}"),
            ("play --send=", " play", "--send is empty; give a text to send"),
            ("describe", " describe", "name one game server id, not 0"),
            ("claim a b", " claim", "name one game server id or none, not 2"),
            ("register gs-1 --connection c", " register", "--instance is missing"),
            (f"register gs-1 --instance {INSTANCE}", " register", "--connection is missing"),
            ("--group my_group list", "", f"'my_group' {group}"),
            ("list --group a/b", " list", f"'a/b' {group}"),
            ("describe ab", " describe", f"'ab' {ids}"),
            ("claim a_b_c", " claim", f"'a_b_c' {ids}"),
            ("deregister gs-1 한국어", " deregister", f"'한국어' {ids}"),
            ("play --server a/../b", " play", f"'a/../b' {ids}"),
            ("play --id ab", " play", f"'ab' {ids}"),
            ("deregister --instance i-1", " deregister", f"'i-1' {instance}"),
            ("register gs-1 --instance x", " register", f"'x' {instance}"),
            (
                "register gs-1 --connection=",
                " register",
                "--connection has 0 characters: use 1 to 512, not only blanks",
            ),
            (
                f"claim --data {'x' * 1025}",
                " claim",
                (
                    "--data cannot be sent: GameServerData has 1025 characters: FleetIQ accepts 1 "
                    "to 1024 in one line, and not blanks alone"
                ),
            ),
            ("update gs-1", " update", "add --utilized, --available, --healthy or --data"),
            (
                "update gs-1 --utilized --available",
                " update",
                "--utilized and --available contradict each other",
            ),
            (
                "deregister --yes",
                " deregister",
                "name at least one game server id, or else --instance",
            ),
            (
                f"deregister --instance {INSTANCE} gs-1",
                " deregister",
                "name at least one game server id, or else --instance",
            ),
        ):
            self.assertEqual(self.run_(*words.split()), 2)
            self.assertEqual(
                self.err, f"fleetiq{command}: {what}. Try 'fleetiq{command} --help'.\n"
            )
        self.assertEqual(self.connection.requests, [])

    def test_optionAfterCommand(self) -> None:
        """The options that select the target and the output may follow the command."""
        for words in (
            ("--group", "g", "--json", "list"),
            ("list", "--group", "g", "--json"),
            ("--group", "other", "list", "--group=g", "--json"),
        ):
            self.connection.respond("ListGameServers", {"GameServers": [SERVER]})
            self.assertEqual(self.run_(*words), 0)
            self.assertEqual(self.connection.requests[-1][1], {"GameServerGroupName": "g"})
            self.assertEqual(json.loads(self.out)["GameServerId"], "gs-1")
        self.assertEqual(self.run_("list", "--region", "eu-west-1"), 2)
        self.assertIn("--region eu-west-1 selects AWS", self.err)

    def test_help(self) -> None:
        """Each form of the help is written, and starts with how to type the command."""
        for words, synopsis in (
            (("--help",), "fleetiq COMMAND [options]"),
            (("-h",), "fleetiq COMMAND [options]"),
            (("help",), "fleetiq COMMAND [options]"),
            (("help", "play"), "fleetiq play [options]"),
            (("list", "-h"), "fleetiq list [options]"),
            (("help", "local"), "fleetiq local COMMAND [options]"),
            (("local", "help", "state"), "fleetiq local state [options]"),
            (("help", "local", "interrupt"), "fleetiq local interrupt [options] INSTANCE"),
        ):
            self.assertEqual(self.run_(*words), 0)
            self.assertEqual(self.out.splitlines()[0], f"Usage: {synopsis}")
            self.assertIn("\nExample", self.out)
            self.assertEqual(self.err, "")
        self.assertEqual(self.run_("--version"), 0)
        self.assertRegex(self.out, r"^\d+\.\d+")

    def test_helpNotWritten(self) -> None:
        """An error of standard output is kept for the exit status, also for the help."""
        self.makeStdout = BrokenPipe
        self.run_("--help")
        self.assertIsInstance(self.console.writeError, BrokenPipeError)

    def test_similarCommand(self) -> None:
        """A misspelled command gives the command that is meant."""
        for words, meant in (
            ("plya", "play"),
            ("lst", "list"),
            ("local evnts", "events"),
        ):
            self.assertEqual(self.run_(*words.split()), 2)
            self.assertTrue(self.err.endswith(f" Did you mean '{meant}'?\n"), self.err)

    def test_similarOption(self) -> None:
        """A misspelled option gives the option that is meant."""
        self.assertEqual(self.run_("list", "--jsn"), 2)
        self.assertEqual(self.err, "fleetiq list: No such option '--jsn'. Did you mean '--json'?\n")

    def test_examples(self) -> None:
        """The help of each command has an example, which is a valid command line."""
        groups: list[tuple[Group, tuple[str, ...]]] = [(fleetiq, ())]
        while groups:
            group, words = groups.pop()
            context = group.make_context("fleetiq", [], resilient_parsing=True)
            for name in group.list_commands(context):
                command: Any = group.get_command(context, name)
                self.assertTrue(command.examples, name)
                self.assertIn("\n\nExample", self.help(*words, name))
                if isinstance(command, Group):
                    groups.append((command, (*words, name)))
                for example in command.examples:
                    line = shlex.split(example.partition(" > ")[0])
                    console = Console(StringIO(), stderr := StringIO())
                    parseCommandLine([word.encode() for word in line], console)
                    self.assertEqual(stderr.getvalue(), "", example)

    def help(self, *words: str) -> str:
        """Return the help of a command."""
        self.assertEqual(self.run_(*words, "--help"), 0)
        return self.out

    def test_wrongValue(self) -> None:
        """A value that boto3 or FleetIQ rejects is wrong usage."""
        for code in ("ParamValidationError", "ValidationException"):
            wrong = CallFailed("x", code, "so", retry=False, mayHaveHappened=False)
            self.connection.respond("DescribeGameServer", wrong)
            self.assertEqual(self.run_("describe", "gs-1"), 2)
            self.assertEqual(self.err, "so\n")

    def test_otherLocale(self) -> None:
        """An argument is UTF-8, also if the locale says otherwise."""
        self.connection.respond("ClaimGameServer", {"GameServer": SERVER})
        self.assertEqual(
            self.run_("claim", "--data", "한".encode().decode("ascii", "surrogateescape")), 0
        )
        self.assertEqual(self.connection.requests[-1][1]["GameServerData"], "한")

    def test_bytes(self) -> None:
        """An argument that is not UTF-8 is rejected, and written with escapes."""
        self.assertEqual(self.run_("describe", "한\udcff"), 2)
        self.assertEqual(self.err, "fleetiq: '한\\xff' is not UTF-8. Try 'fleetiq --help'.\n")
        self.assertEqual(self.connection.requests, [])

    def test_bug(self) -> None:
        """A bug gives a message instead of a traceback."""
        self.connection.respond("ListGameServers", RuntimeError("oops"))
        self.assertEqual(self.run_("list"), 1)
        self.assertEqual(
            self.err, "fleetiq list failed unexpectedly, this is a bug: RuntimeError('oops')\n"
        )


class CallTests(CommandTestCase):
    """Subcommands that call one operation."""

    def test_requests(self) -> None:
        """Each command line sends its request; options may follow the id."""
        for words, operation, request in (
            ("claim", "ClaimGameServer", {}),
            (
                "claim gs-1 --data d",
                "ClaimGameServer",
                {"GameServerId": "gs-1", "GameServerData": "d"},
            ),
            ("describe gs-1", "DescribeGameServer", {"GameServerId": "gs-1"}),
            (
                f"register --instance {INSTANCE} gs-1 --connection c --data d",
                "RegisterGameServer",
                {
                    "GameServerId": "gs-1",
                    "InstanceId": INSTANCE,
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
            self.connection.respond(operation, {"GameServer": SERVER})
            self.assertEqual(self.run_("--group", "g", *words.split()), 0)
            self.assertEqual(
                self.connection.requests.pop(), (operation, {"GameServerGroupName": "g", **request})
            )

    def test_output(self) -> None:
        """The output is the reply with its dates and data; --verbose writes the request before."""
        self.connection.respond("DescribeGameServer", *[{"GameServer": SERVER}] * 2)
        self.run_("describe", "gs-1")
        reply = self.out
        self.assertEqual(self.err, "")
        self.run_("describe", "gs-1", "--verbose")
        self.assertEqual(
            self.err,
            'DescribeGameServer {"GameServerGroupName": "local", "GameServerId": "gs-1"}\n',
        )
        self.assertEqual(self.out, reply)
        self.assertEqual(json.loads(reply)["GameServer"]["GameServerId"], "gs-1")
        self.assertIn('    "RegistrationTime": "2025-12-31T23:50:00.000+00:00"', reply)
        self.assertIn("한글", reply)

    def test_json(self) -> None:
        """With --json, the game server is one line of ASCII."""
        self.connection.respond("ClaimGameServer", {"GameServer": SERVER})
        self.run_("--json", "claim")
        [line] = self.out.splitlines()
        self.assertEqual(json.loads(line)["GameServerData"], "한글")
        self.assertTrue(line.isascii())
        self.connection.respond("ListGameServerGroups", GROUPS)
        self.connection.respond("DeregisterGameServer", {})
        self.run_("--json", "deregister", "gs-1", "--yes")
        self.assertEqual(
            json.loads(self.out), {"GameServerGroupName": "local", "GameServerId": "gs-1"}
        )

    def test_error(self) -> None:
        """An error gives the request (with --verbose), a message, and exit status 1."""
        group = '"GameServerGroupName": "local"'
        for words, request in (
            (
                "--verbose describe gs-1",
                f'DescribeGameServer {{{group}, "GameServerId": "gs-1"}}\n',
            ),
            ("list --verbose", f"ListGameServers {{{group}}}\n"),
            ("--json describe gs-1", ""),
            ("--json list", ""),
        ):
            self.connection = MemoryConnection()
            self.connection.respond("DescribeGameServer", callFailed(NotFoundException))
            self.connection.respond("ListGameServers", callFailed(NotFoundException))
            self.assertEqual(self.run_(*words.split()), 1)
            message = f"{request}{callFailed(NotFoundException)}\n"
            self.assertEqual((self.out, self.err), ("", message))


class ListTests(CommandTestCase):
    """The subcommand list."""

    def test_columns(self) -> None:
        """The table has the states and ages of the game servers of all pages."""
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
        self.connection.respond(
            "ListGameServers",
            {"GameServers": [SERVER], "NextToken": "t"},
            {"GameServers": [second, third]},
        )
        self.assertEqual(self.run_("list"), 0)
        self.assertEqual(
            self.connection.requests[-1][1], {"GameServerGroupName": "local", "NextToken": "t"}
        )
        rows = [re.split("  +", line) for line in self.out.splitlines()]
        self.assertEqual(
            rows,
            [
                ["ID", "STATE", "CONNECTION", "INSTANCE", "REGISTERED", "HEALTHY", "CLAIMED"],
                ["gs-1", "AVAILABLE", "localhost:7000", INSTANCE, "10m ago", "30s ago", "-"],
                ["a-longer-id", "CLAIMED", "-", INSTANCE, "7d ago", "-", "0s ago"],
                ["gs-3", "UTILIZED", "-", INSTANCE, "-", "-", "-"],
            ],
        )

    def test_empty(self) -> None:
        """An empty group gives a message instead of a table."""
        self.connection.respond("ListGameServers", {})
        self.run_("list")
        self.assertEqual(self.out, "No game server is registered.\n")

    def test_forgedRow(self) -> None:
        """A member with a newline, an escape sequence or a bidirectional mark stays in its cell."""
        forged = SERVER | {"ConnectionInfo": "a:1\ngs-2  AVAILABLE\tb:2\x1b[2J\u202e"}
        self.connection.respond("ListGameServers", {"GameServers": [forged]})
        self.run_("list")
        self.assertEqual(self.out.count("\n"), 2)
        self.assertIn(r"a:1\ngs-2  AVAILABLE\tb:2\x1b[2J\u202e  i-", self.out)

    def test_json(self) -> None:
        """With --json, each game server is one line, and there are no other lines."""
        self.connection.respond("ListGameServers", {"GameServers": [SERVER, SERVER]})
        self.run_("--json", "list")
        self.assertEqual(
            [json.loads(line)["GameServerId"] for line in self.out.splitlines()], ["gs-1", "gs-1"]
        )


class DeregisterTests(CommandTestCase):
    """The subcommand deregister."""

    def deregistered(self) -> list[str]:
        """Return the ids for which DeregisterGameServer was called."""
        requests = self.connection.requests
        return [each["GameServerId"] for name, each in requests if name == "DeregisterGameServer"]

    def test_utilized(self) -> None:
        """UTILIZED and unknown game servers give an error; the others are deregistered."""
        described = {"GameServer": SERVER | {"UtilizationStatus": "UTILIZED"}}
        self.connection.respond(
            "DescribeGameServer", described, callFailed(NotFoundException), {"GameServer": SERVER}
        )
        self.connection.respond("DeregisterGameServer", {})
        self.assertEqual(self.run_("deregister", "gs-1", "gs-2", "gs-3"), 1)
        ids = self.deregistered()
        self.assertEqual(ids, ["gs-3"])
        first, second = self.err.splitlines()
        self.assertTrue(first.startswith("gs-1: It is UTILIZED"))
        self.assertIn("--yes", first)
        self.assertEqual(second, f"gs-2: {callFailed(NotFoundException)}")

    def test_yes(self) -> None:
        """With --yes the game server is not described first."""
        self.connection.respond("DeregisterGameServer", {})
        self.assertEqual(self.run_("deregister", "--yes", "gs-1"), 0)
        self.assertEqual(self.out.splitlines(), ["{}"])

    def test_instance(self) -> None:
        """With --instance, the game servers of this instance on all pages are deregistered."""
        other = SERVER | {"GameServerId": "other", "InstanceId": INSTANCE[:-1] + "1"}
        self.connection.respond(
            "ListGameServers",
            {"GameServers": [SERVER, other], "NextToken": "more"},
            {"GameServers": [SERVER | {"GameServerId": "gs-2"}]},
        )
        utilized = {"GameServer": SERVER | {"UtilizationStatus": "UTILIZED"}}
        self.connection.respond("DescribeGameServer", {"GameServer": SERVER}, utilized)
        self.connection.respond("DeregisterGameServer", {})
        questions: list[str] = []

        def ask(question: str) -> str:
            questions.append(question)
            return "y\n"

        self.ask = ask
        self.assertEqual(self.run_("deregister", "--instance", INSTANCE), 1)
        ids = self.deregistered()
        self.assertEqual(ids, ["gs-1"])
        self.assertTrue(self.err.startswith("gs-2: It is UTILIZED"))
        self.assertEqual(
            questions, [f"Deregister 2 game servers of {INSTANCE}, running or not? [y/N] "]
        )

    def test_instanceNotConfirmed(self) -> None:
        """Another answer than yes, or the end of input, changes nothing."""
        for answer in ("", "\n", "n\n", "yes please\n"):
            self.connection.respond("ListGameServers", {"GameServers": [SERVER]})
            self.ask = lambda _question, answer=answer: answer
            self.assertEqual(self.run_("deregister", "--instance", INSTANCE), 1)
            self.assertEqual(self.err, "Not confirmed; nothing was changed.\n")
        self.assertEqual(self.deregistered(), [])

    def test_instanceWithoutTerminal(self) -> None:
        """Without a terminal and without --yes nothing is called; with --yes nothing is asked."""
        self.assertEqual(self.run_("deregister", "--instance", INSTANCE), 2)
        self.assertEqual(
            self.err,
            "fleetiq deregister: this deregisters every game server of the instance. "
            "Without a terminal, confirm it with --yes.\n",
        )
        self.assertEqual((self.connection.requests, self.http.requests), ([], []))
        self.connection.respond("ListGameServers", {"GameServers": [SERVER]})
        self.connection.respond("DeregisterGameServer", {})
        self.assertEqual(self.run_("deregister", "--instance", INSTANCE, "--yes"), 0)
        self.assertEqual(self.deregistered(), ["gs-1"])

    def test_emptyInstance(self) -> None:
        """If the instance has no game servers, a message says so, and the exit status is 0."""
        self.connection.respond("ListGameServers", {"GameServers": [SERVER]})
        other = "i-00000000000000000"
        self.assertEqual(self.run_("deregister", f"--instance={other}", "--yes"), 0)
        self.assertEqual(self.err, f"No game server of {other} is registered.\n")


class EveryPageTests(SynchronousTestCase):
    """Lists are read to the last page."""

    def test_repeatedToken(self) -> None:
        """A token that comes twice is an error, because the list would never end."""
        connection = MemoryConnection()
        connection.respond("ListThings", *[{"NextToken": token} for token in "abca"])
        failure = self.failureResultOf(everyPage(connection, "ListThings", "Things"))
        failure.trap(CommandFailed)
        self.assertIn(
            "ListThings does not end: the endpoint sent the same NextToken", str(failure.value)
        )
        self.assertEqual(len(connection.requests), 4)

    def test_endlessPages(self) -> None:
        """The number of pages and their size are limited."""
        for page, calls, what in (
            ({}, MAX_PAGES, "200 pages"),
            ({"Things": ["x" * (MAX_LIST // 4)]}, 4, "pages of more than 67,108,864 bytes"),
        ):
            connection = MemoryConnection()
            pages = [{**page, "NextToken": str(n)} for n in range(MAX_PAGES + 5)]
            connection.respond("ListThings", *pages)
            failure = self.failureResultOf(everyPage(connection, "ListThings", "Things"))
            failure.trap(CommandFailed)
            self.assertIn(what, str(failure.value))
            self.assertEqual(len(connection.requests), calls)

    def test_tokens(self) -> None:
        """Each request has the token of the last page; an empty page does not end the list."""
        connection = MemoryConnection()
        connection.respond(
            "ListThings",
            {"Things": [{"n": 1}], "NextToken": "a"},
            {"NextToken": "b"},
            {"Things": [{"n": 2}]},
        )
        items = self.successResultOf(everyPage(connection, "ListThings", "Things", Of="x"))
        self.assertEqual(items, [{"n": 1}, {"n": 2}])
        self.assertEqual(
            [request for _, request in connection.requests],
            [{"Of": "x"}, {"Of": "x", "NextToken": "a"}, {"Of": "x", "NextToken": "b"}],
        )
