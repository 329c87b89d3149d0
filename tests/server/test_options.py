"""Tests of echoserver.server.options: the settings, and the sentence for each invalid value."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.identity import ConnectionInfoTemplate
from echoserver.ec2.interruption import InterruptionConfig
from echoserver.echo import Options as EchoGameOptions
from echoserver.ratelimit import TokenBucket
from echoserver.server.config import GameServerConfig, Settings
from echoserver.server.discovery import AWSTarget, EmbeddedTarget, LocalTarget
from echoserver.server.options import (
    ENDPOINT_VARIABLE,
    GameServerOptions,
    optionsFor,
)
from tests.awsdoubles import INSTANCE_ID
from tests.programdoubles import EchoOptions

EMBEDDED = EmbeddedTarget("tcp:4570:interface=127.0.0.1")
AWS_CONFIG = GameServerConfig(heartbeat=60.0, grace=20.0, maxPlayers=None, oneSession=False)


def settingsOf(*words: str, environ: Mapping[str, str] | None = None) -> Settings:
    options = EchoOptions(environ or {})
    options.parseOptions(words)
    return options.settings


class OptionsTestCase(SynchronousTestCase):
    """A test of the echo server's options."""

    def assertRejected(
        self, words: list[str], *parts: str, environ: Mapping[str, str] | None = None
    ) -> None:
        """Assert that the process ends with 1 and one line that has all of these parts."""
        exit = self.assertRaises(SystemExit, settingsOf, *words, environ=environ)
        sentence = str(exit.code)
        self.assertIsInstance(exit.code, str)
        self.assertTrue(sentence.startswith("twistd fleetiq-echo: "), sentence)
        self.assertTrue(sentence.endswith(".") and "\n" not in sentence, sentence)
        for part in parts:
            self.assertIn(part, sentence)


class DefaultTests(OptionsTestCase):
    """Without options."""

    def test_defaults(self) -> None:
        """One game server on port 5000, with an embedded FleetIQ."""
        self.assertEqual(
            settingsOf(),
            Settings(
                target=EMBEDDED,
                listen=("tcp:5000:interface=127.0.0.1:backlog=4096",),
                connectionInfo=ConnectionInfoTemplate("{host}:{port}"),
                gameServer=GameServerConfig(
                    heartbeat=60.0,
                    grace=3.0,
                    maxPlayers=None,
                    oneSession=False,
                    sessionPolicy="players",
                    claimTimeout=60.0,
                    handshakeTimeout=10.0,
                    idleTimeout=0.0,
                ),
                interruption=InterruptionConfig(drainOnRebalance=False, statusInterval=60.0),
                apiRate=None,
                stateDir=None,
                status=None,
                gameServerId=None,
                gameServerData=None,
                foreground=True,
            ),
        )

    def test_help(self) -> None:
        """The help describes every option, and the defaults that depend on others."""
        text = EchoOptions({}).getUsage()
        for words in [*GameServerOptions.optParameters, *EchoGameOptions.optFlags]:
            self.assertEqual(len(re.findall(rf"(?m)^ +--{words[0]}[= ]", text)), 1, words)
            self.assertTrue(str(words[-1]).endswith((".", ").")), words)
        self.assertIn("(20, embedded 3)", " ".join(text.split()))


class ListenTests(OptionsTestCase):
    """The interface of the game port."""

    def test_default(self) -> None:
        """If FleetIQ is embedded the port is on loopback, else on all interfaces."""
        loopback = "tcp:5000:interface=127.0.0.1:backlog=4096"
        for words, expected in (
            ([], loopback),
            (["--local=tcp:0"], loopback),
            (["--local=http://127.0.0.1:4570"], "tcp:5000:backlog=4096"),
            (["--group=g"], "tcp:5000:backlog=4096"),
            (["--listen=tcp:5000"], "tcp:5000:backlog=4096"),
        ):
            self.assertEqual(settingsOf(*words).listen, (expected,))

    def test_number(self) -> None:
        """A number is a TCP port, with the interface of the default."""
        loopback = tuple(f"tcp:{port}:interface=127.0.0.1:backlog=4096" for port in (5001, 5002))
        self.assertEqual(settingsOf("--listen=5001", "--servers=2").listen, loopback)
        self.assertEqual(
            settingsOf("--group=g", "--listen", "5001").listen, ("tcp:5001:backlog=4096",)
        )
        self.assertRejected(["--listen=70000"], "--listen: 'tcp:70000", "has no port from 0 to")


class TargetTests(OptionsTestCase):
    """--group, --local, --region and --instance-id, alone and together."""

    def test_aws(self) -> None:
        """With a group the target is AWS, and the grace period is 20 s."""
        result = settingsOf("--group", "my-group.1")
        self.assertEqual(result.target, AWSTarget("my-group.1", None, None))
        self.assertEqual(result.gameServer, AWS_CONFIG)
        result = settingsOf("--group=g", "--region=us-gov-west-1", f"--instance-id={INSTANCE_ID}")
        self.assertEqual(result.target, AWSTarget("g", "us-gov-west-1", INSTANCE_ID))

    def test_groups(self) -> None:
        """A group is a name or an ARN, as in FleetIQ's API."""
        arn = "arn:aws:gamelift:us-east-1::gameservergroup/group"
        for group in ("a", "a" * 128, arn):
            self.assertEqual(settingsOf("--group", group).target, AWSTarget(group, None, None))
        for group in ("", " ", "my group", "a" * 129, "g\n", "a_b", arn + "/"):
            self.assertRejected(["--group", group], "--group is '", "write 1 to 128 letters, ")

    def test_regions(self) -> None:
        """A region has the form of an AWS region."""
        for region in ("", "us", "US-EAST-1", "us east 1", "us-east-1\n", "-"):
            self.assertRejected(
                ["--group=g", f"--region={region}"], f"--region is {region!r}: write a region such"
            )

    def test_instanceIds(self) -> None:
        """An instance id has the form that FleetIQ accepts."""
        for instanceId in (
            "",
            "i-1234abcd",
            INSTANCE_ID + "0",
            INSTANCE_ID.upper(),
            "i-" + "-" * 17,
        ):
            self.assertRejected(
                ["--group=g", f"--instance-id={instanceId}"],
                f"--instance-id is '{instanceId}': write 'i-' and 17 letters or digits.",
            )

    def test_withoutGroup(self) -> None:
        """An option for AWS needs a group, because without one it would be ignored."""
        for words in (["--region", "us-east-1"], ["--instance-id", INSTANCE_ID]):
            for more in ([], ["--local=tcp:4571"], ["--local=http://h:1"]):
                self.assertRejected(
                    words + more,
                    f"{words[0]} is for AWS: give --group too, or leave out {words[0]} to use the",
                )

    def test_endpointVariable(self) -> None:
        """The endpoint variable needs a group, because without one it would be ignored."""
        environ = {ENDPOINT_VARIABLE: "http://127.0.0.1:9"}
        self.assertRejected(
            [],
            "AWS_ENDPOINT_URL_GAMELIFT is 'http://127.0.0.1:9', but there is no --group",
            "give --group, or unset the variable",
            environ=environ,
        )
        self.assertRejected(["--local=tcp:4571"], ENDPOINT_VARIABLE, environ=environ)
        target = AWSTarget("g", endpoint="http://127.0.0.1:9")
        self.assertEqual(settingsOf("--group=g", environ=environ).target, target)
        self.assertEqual(settingsOf(environ={ENDPOINT_VARIABLE: ""}).target, EMBEDDED)

    def test_groupAndLocal(self) -> None:
        """--group and --local exclude each other."""
        self.assertRejected(
            ["--group=g", "--local=tcp:4571"],
            "--group is for AWS, and --local is for a local FleetIQ: leave one of them out.",
        )

    def test_embedded(self) -> None:
        """An endpoint description is the port of the embedded FleetIQ."""
        result = settingsOf("--local", "tcp:4571")
        self.assertEqual(
            (result.target, result.gameServer.grace), (EmbeddedTarget("tcp:4571"), 3.0)
        )

    def test_local(self) -> None:
        """A URL is that of a local FleetIQ to join; it can have an instance id."""
        for url, api in [
            ("http://127.0.0.1:4570", "http://127.0.0.1:4570"),
            ("http://127.0.0.1:4570/", "http://127.0.0.1:4570"),
            ("http://fleet_iq.local:1", "http://fleet_iq.local:1"),
            ("http://[::1]:65535", "http://[::1]:65535"),
            (f"http://h:80/instances/{INSTANCE_ID}", "http://h:80"),
            (f"http://h:80/instances/{INSTANCE_ID}/", "http://h:80"),
        ]:
            result = settingsOf("--local", url)
            self.assertEqual(result.target, LocalTarget(api, url.rstrip("/")))
            self.assertEqual(result.gameServer.grace, 20.0)

    def test_invalidURL(self) -> None:
        """A URL of another form is rejected with the forms that are allowed."""
        for url in (
            "http:",
            "http://",
            "http://h",
            "http://:4570",
            "http://h:0",
            "http://h:65536",
            "http://h:x",
            "http://h:4570:1",
            "http://user:pw@h:4570",
            "http://h:4570/latest",
            "http://h:4570//",
            "http://h:4570?q",
            "http://h:4570#f",
            "http://h:4570/instances/",
            "http://h:4570/instances/i-1",
            "http://[::1:4570",
            "http://a b:4570",
            "http://h:4570\n",
            "https://h:4570",
        ):
            self.assertRejected(
                ["--local", url],
                f"--local is {url!r}: write http://HOST:PORT, or http://HOST:PORT/instances/ID.",
            )


class ServerTests(OptionsTestCase):
    """The options of the game servers."""

    def test_listen(self) -> None:
        """Each game server has its own endpoint description."""
        result = settingsOf("--listen=haproxy:tcp:7000:interface=h", "--servers=2")
        self.assertEqual(
            result.listen,
            (
                "haproxy:tcp:7000:interface=h:backlog=4096",
                "haproxy:tcp:7001:interface=h:backlog=4096",
            ),
        )

    def test_invalidListen(self) -> None:
        """The sentence for an invalid port names the option."""
        self.assertRejected(["--listen=tcp:x"], "--listen: 'tcp:x' has no port from 0 to 65535")
        self.assertRejected(["--listen=tcp:65535", "--servers=2"], "no ports for 2 servers")
        self.assertRejected(["--listen=unix:/x", "--servers=2"], "no consecutive ports for 2")

    def test_wholeNumbers(self) -> None:
        """Counts are decimal whole numbers."""
        self.assertEqual(len(settingsOf("--servers=3").listen), 3)
        self.assertEqual(settingsOf("--max-players=65535").gameServer.maxPlayers, 65535)
        self.assertEqual(settingsOf("--max-players-per-address=2").gameServer.maxPerAddress, 2)
        for option in ("--servers", "--max-players", "--max-players-per-address"):
            for value in ("", "0", "-1", "+1", "1.5", "1e3", "two", "65536", " 1", "\u0665"):
                self.assertRejected(
                    [option, value],
                    f"{option} is {value!r}: write a whole number from 1 to 65535.",
                )
            self.assertRejected([option, "9" * 5000], f"{option} is '999", "...': write")

    def test_seconds(self) -> None:
        """Durations are decimal seconds; the grace period can be 0."""
        config = settingsOf("--heartbeat=1", "--grace=0").gameServer
        self.assertEqual((config.heartbeat, config.grace), (1.0, 0.0))
        config = settingsOf("--group=g", "--heartbeat=0030.5", "--grace=999999").gameServer
        self.assertEqual((config.heartbeat, config.grace), (30.5, 999999.0))
        for option, least in (("--heartbeat", 1), ("--grace", 0)):
            for value in ("", "-1", "1m", "nan", "inf", "1e2", "1.", ".5", "1000000", "\u0665"):
                self.assertRejected(
                    [option, value],
                    f"{option} is {value!r}: write seconds from {least} to 999999, for example 60",
                )
        self.assertRejected(["--heartbeat=0.9"], "--heartbeat is '0.9': write seconds from 1 to")

    def test_interruption(self) -> None:
        """--on-rebalance is log or drain. An interval is 0, or 1 s or more."""
        result = settingsOf("--on-rebalance=drain", "--instance-status=0").interruption
        self.assertEqual(result, InterruptionConfig(drainOnRebalance=True, statusInterval=0.0))
        self.assertEqual(settingsOf("--instance-status=1").interruption.statusInterval, 1.0)
        self.assertEqual(settingsOf("--idle-timeout=1.5").gameServer.idleTimeout, 1.5)
        self.assertEqual(settingsOf("--log-players=none").gameServer.logPlayers, "none")
        self.assertEqual(settingsOf("--handshake-timeout=2").gameServer.handshakeTimeout, 2.0)
        for words, sentence in (
            ("--on-rebalance=leave", "--on-rebalance is 'leave': write log or drain."),
            (
                "--instance-status=0.5",
                "--instance-status is '0.5': write 1 or more, or 0 for never.",
            ),
            (
                "--handshake-timeout=0",
                "--handshake-timeout is '0': write seconds from 1 to 999999, for example 60.",
            ),
            ("--idle-timeout=0.9", "--idle-timeout is '0.9': write 1 or more, or 0 for never."),
            ("--instance-status=-1", "--instance-status is '-1': write seconds from 0 to 999999"),
        ):
            self.assertRejected([words], sentence)

    def test_acceptRate(self) -> None:
        """The accept rate is RATE or RATE,BURST; the default is no limit."""
        self.assertIsNone(settingsOf().gameServer.acceptRate)
        self.assertEqual(
            settingsOf("--accept-rate=100").gameServer.acceptRate, TokenBucket(100.0, 400.0)
        )
        self.assertEqual(
            settingsOf("--accept-rate=0.5,7").gameServer.acceptRate, TokenBucket(0.5, 7.0)
        )
        self.assertRejected(["--accept-rate=fast"], "--accept-rate is 'fast': write RATE or RATE,")

    def test_admission(self) -> None:
        """--admission is open or claimed."""
        self.assertFalse(settingsOf("--admission=open").gameServer.claimedOnly)
        self.assertTrue(settingsOf("--admission=claimed").gameServer.claimedOnly)
        self.assertRejected(["--admission=token"], "--admission is 'token': write open or claimed.")

    def test_apiRate(self) -> None:
        """The API rate has a default for AWS, and no limit for a local FleetIQ."""
        self.assertEqual(settingsOf("--group=g").apiRate, TokenBucket(5.0, 20))
        self.assertIsNone(settingsOf("--local=http://h:1").apiRate)
        for value, bucket in (
            ("5", TokenBucket(5.0, 20)),
            ("0.1", TokenBucket(0.1, 1)),
            ("2.5,7", TokenBucket(2.5, 7)),
            ("9999,9999", TokenBucket(9999.0, 9999)),
        ):
            self.assertEqual(settingsOf("--api-rate", value).apiRate, bucket)
        for value in ("", "0", "0.09", "-1", "5,0", "5,", ",5", "5,1.5", "1e3", "inf", "5 ,2"):
            self.assertRejected(
                ["--api-rate", value],
                f"--api-rate is {value!r}: write RATE or RATE,BURST, from 0.1 and 1 to 9999, for"
                " example 5 or 5,20.",
            )

    def test_stateDir(self) -> None:
        """The option, or else the first directory in STATE_DIRECTORY."""
        environ = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}
        self.assertEqual(settingsOf(environ=environ).stateDir, "/var/lib/a")
        self.assertEqual(settingsOf("--state-dir=x:y", environ=environ).stateDir, "x:y")
        self.assertIsNone(settingsOf(environ={"STATE_DIRECTORY": ""}).stateDir)
        self.assertRejected(["--state-dir="], "--state-dir is '': write a directory that this user")

    def test_session(self) -> None:
        """--session is reregister or exit."""
        self.assertFalse(settingsOf("--session=reregister").gameServer.oneSession)
        self.assertTrue(settingsOf("--session=exit").gameServer.oneSession)
        for value in ("", "EXIT", "once"):
            self.assertRejected(
                ["--session", value], f"--session is '{value}': write reregister or exit."
            )

    def test_sessionPolicy(self) -> None:
        """--session-policy is players, manual or claim; --claim-timeout is in seconds."""
        for policy in ("players", "manual", "claim"):
            result = settingsOf("--session-policy", policy).gameServer
            self.assertEqual((result.sessionPolicy, result.claimTimeout), (policy, 60.0))
        result = settingsOf("--session-policy=claim", "--claim-timeout=2.5").gameServer
        self.assertEqual(result.claimTimeout, 2.5)
        for word, sentence in (
            (
                "--session-policy=auto",
                "--session-policy is 'auto': write players, manual or claim.",
            ),
            ("--claim-timeout=0", "--claim-timeout is '0': write seconds from 1 to 999999"),
        ):
            self.assertRejected([word], sentence)

    def test_gameServerId(self) -> None:
        """A fixed id has the form that FleetIQ accepts."""
        for value in ("abc", "a" * 128, "a.b-C9"):
            self.assertEqual(settingsOf("--game-server-id", value).gameServerId, value)
        for value in ("", "ab", "a" * 129, "a_bc", "a bc", "abc\n"):
            self.assertRejected(
                ["--game-server-id", value],
                "--game-server-id is '",
                ": write 3 to 128 letters, digits, '.' or '-'.",
            )

    def test_gameServerIdOfTwo(self) -> None:
        """A fixed id is for one game server only."""
        self.assertRejected(
            ["--game-server-id=abc", "--servers=2"],
            "--game-server-id is for one game server, and --servers is 2: leave one of them out.",
        )

    def test_gameServerData(self) -> None:
        """GameServerData is one line of 1 to 1024 characters, and not only spaces."""
        for data in ("x", "x" * 1024, '{"map": "도시"}'):
            self.assertEqual(settingsOf("--game-server-data", data).gameServerData, data)
        for data in ("", " \n", "a\nb", "x" * 1025, "x" * 2000):
            self.assertRejected(
                ["--game-server-data", data],
                f"--game-server-data has {len(data)} characters: FleetIQ accepts 1 to 1024 in one"
                " line, and not blanks alone. Shorten it, or leave it out.",
            )

    def test_gameServerDataIsNotShown(self) -> None:
        """The sentence for invalid data does not have the data, which may be secret."""
        exit = self.assertRaises(SystemExit, settingsOf, "--game-server-data", "secret" * 500)
        self.assertNotIn("secret", str(exit.code))

    def test_connectionInfo(self) -> None:
        """An invalid template is rejected with the option's name."""
        info = settingsOf("--connection-info", "{host}").connectionInfo
        self.assertEqual(info, ConnectionInfoTemplate("{host}"))
        for template, part in [
            ("{hots}", "'{hots}' has the unknown field {hots}; the fields are {host}, {port}, "),
            ("{", "'{' is not a valid template: "),
            ("", "it is blank"),
            ("x" * 600, "it has 600 characters; FleetIQ allows 1 to 512."),
        ]:
            self.assertRejected(["--connection-info", template], f"--connection-info: {part}")

    def test_showBytes(self) -> None:
        """--show-bytes is a flag."""
        options = EchoOptions({})
        options.parseOptions(["--show-bytes"])
        self.assertTrue(options["show-bytes"])


class ParseTests(OptionsTestCase):
    """Arguments that cannot be parsed, and arbitrary values."""

    def test_unknown(self) -> None:
        """An unknown option, or an option without its value, is rejected with a hint."""
        for words, part in [
            (["--nonsense"], "option --nonsense not recognized; "),
            (["-z"], "option -z not recognized; "),
            (["--listen"], "option --listen requires argument; "),
            (["--show-bytes=1"], "option --show-bytes must not have an argument; "),
        ]:
            self.assertRejected(words, part, "'twistd fleetiq-echo --help' lists the options.")

    def test_argument(self) -> None:
        """An argument that is not an option is shown; a value without quotes can cause it."""
        self.assertRejected(
            ["--game-server-data", "my", "data"],
            "'data' is not an option: options begin with --, and a value with spaces needs quotes.",
        )

    @settings(deadline=None, max_examples=150)
    @given(st.sampled_from([words[0] for words in EchoOptions.optParameters]), st.text())
    def test_anyValue(self, option: str, value: str) -> None:
        """Any value of any option is accepted, or rejected with a sentence."""
        try:
            settingsOf(f"--{option}", value)
        except SystemExit as exit:
            self.assertTrue(str(exit.code).startswith(f"twistd fleetiq-echo: --{option}"))


class PidFileTests(OptionsTestCase):
    """In the foreground, a pid file would prevent a second process in the directory."""

    def pidfile(self, **twistd: Any) -> str:
        options, options.parent = EchoOptions({}), usage.Options()
        options.parent.update(twistd)
        options.parseOptions([])
        return str(options.parent["pidfile"])

    def test_foreground(self) -> None:
        """With -n there is no pid file."""
        self.assertEqual(self.pidfile(nodaemon=1, pidfile="twistd.pid"), "")

    def test_explicit(self) -> None:
        """A pid file that is named on the command line is kept."""
        self.assertEqual(self.pidfile(nodaemon=1, pidfile="/run/echo.pid"), "/run/echo.pid")

    def test_daemon(self) -> None:
        """A daemon has a pid file."""
        self.assertEqual(self.pidfile(nodaemon=0, pidfile="twistd.pid"), "twistd.pid")


def makeFactory(gameServer: object) -> object:
    """A factory for L{FactoryTests}."""
    return gameServer


notCallable = "a string"


class FactoryTests(SynchronousTestCase):
    """The option --factory, and the factory of a plugin."""

    def parse(self, *words: str, factory: str | None = None) -> GameServerOptions:
        options = optionsFor("fleetiq-game", factory, "Any game.")({})
        options.parseOptions(words)
        return options

    def rejection(self, *words: str, factory: str | None = None) -> str:
        exit = self.assertRaises(SystemExit, self.parse, *words, factory=factory)
        return str(exit.code)

    def test_factory(self) -> None:
        """The callable is imported; the other options are those of every game."""
        options = self.parse(f"--factory={__name__}.makeFactory", "--servers=2")
        self.assertIs(options.makeFactory, makeFactory)
        self.assertEqual(options.command, "fleetiq-game")
        self.assertIn("--factory=", options.getUsage())
        self.assertEqual(len(options.settings.listen), 2)

    def test_missing(self) -> None:
        """The option is required."""
        self.assertEqual(
            self.rejection(),
            "twistd fleetiq-game: --factory is missing: give --factory MODULE.CALLABLE, for example"
            " tictactoe.makeFactory.",
        )

    def test_notImportable(self) -> None:
        """A name that cannot be imported is rejected with the reason, in one line."""
        for name, reason in (
            ("", "InvalidName: "),
            ("..", "InvalidName: "),
            ("no_such_module.f", "'no_such_module.f' does not name an object"),
            ("no such module", "'no such module'"),
            (f"{__name__}.missing", "has no attribute 'missing'"),
            ("x" * 300, "xxx..."),
            ("nothing", "ModuleNotFound: "),
            ("nothing.here", "ObjectNotFound: "),
            ("echoserver.echo.nothing", "AttributeError: "),
        ):
            sentence = self.rejection("--factory", name)
            self.assertTrue(sentence.startswith("twistd fleetiq-game: --factory is '"), sentence)
            self.assertIn(", which cannot be imported (", sentence)
            self.assertIn(reason, sentence)
            self.assertIn("): write MODULE.CALLABLE, for example tictactoe.makeFactory.", sentence)
            self.assertIn("The module must be installed, or in this directory.", sentence)
            self.assertNotIn("\n", sentence)

    def test_importRaises(self) -> None:
        """A module that raises an exception when it is imported is rejected with the exception."""
        self.enterDirectoryWith("raises_when_imported.py", "1 / 0\n")
        self.assertIn(
            "(ZeroDivisionError: division by zero)",
            self.rejection("--factory=raises_when_imported.makeFactory"),
        )

    def test_currentDirectory(self) -> None:
        """A module in the current directory needs no PYTHONPATH."""
        self.enterDirectoryWith("in_this_directory.py", "def makeFactory(gameServer): ...\n")
        options = self.parse("--factory=in_this_directory.makeFactory")
        self.assertEqual(options.makeFactory.__name__, "makeFactory")

    def enterDirectoryWith(self, name: str, text: str) -> None:
        """Change to a new directory with one module; afterwards, restore it and sys.path."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / name).write_text(text)
        self.addCleanup(os.chdir, Path.cwd())
        self.addCleanup(sys.path.__setitem__, slice(None), sys.path[:])
        os.chdir(directory)

    def test_notCallable(self) -> None:
        """An object that is not callable is rejected."""
        name = f"{__name__}.notCallable"
        self.assertEqual(
            self.rejection("--factory", name),
            f"twistd fleetiq-game: --factory is '{name}', which is not callable: write"
            " MODULE.CALLABLE, for example tictactoe.makeFactory.",
        )
        self.assertIn("not callable", self.rejection("--factory=echoserver.echo.re"))

    def test_command(self) -> None:
        """Each sentence names the command, also if the options cannot be parsed."""
        self.assertEqual(
            self.rejection("--nonsense"),
            "twistd fleetiq-game: option --nonsense not recognized; 'twistd fleetiq-game --help'"
            " lists the options.",
        )
        self.assertTrue(self.rejection("--servers=0").startswith("twistd fleetiq-game: --servers "))

    def test_notEcho(self) -> None:
        """--show-bytes is an option of the echo server only."""
        self.assertIn("option --show-bytes not recognized", self.rejection("--show-bytes"))

    def test_plugin(self) -> None:
        """A plugin names its factory, and its command has no option --factory."""
        options = self.parse(factory=f"{__name__}.makeFactory")
        self.assertIs(options.makeFactory, makeFactory)
        self.assertNotIn("--factory", options.getUsage())
        self.assertTrue(
            self.rejection(factory="nothing.here").startswith(
                "twistd fleetiq-game: the plugin's factory is 'nothing.here', which cannot be"
                " imported (ObjectNotFound: "
            )
        )


MAKE_FACTORY = f"{__name__}.makeFactory"


class ChessOptions(usage.Options):
    """The options of a game."""

    optParameters = [["clock", "c", "300", "Seconds of each player."]]  # noqa: RUF012 # read by usage.Options
    optFlags = [["blitz", None, "Play fast."]]  # noqa: RUF012 # read by usage.Options
    compData = usage.Completions(optActions={"clock": usage.CompleteList(["60", "300"])})

    def opt_opening(self, name: str) -> None:
        """The opening to play."""
        self["opening"] = name.upper()

    def postOptions(self) -> None:
        if self["clock"] == "0":
            raise usage.UsageError("--clock is '0': write 1 or more.")
        self["seconds"] = int(self["clock"])


class OptionsForTests(SynchronousTestCase):
    """L{optionsFor}: the options of a game beside those of every game."""

    def parse(self, *words: str) -> GameServerOptions:
        options = optionsFor("chess", MAKE_FACTORY, "A game of chess.", ChessOptions)({})
        options.parseOptions(words)
        return options

    def test_oneMapping(self) -> None:
        """Both kinds of options are in one mapping, and both are checked."""
        options = self.parse("--max-players=2", "-c", "60", "--blitz", "--opening=e4")
        self.assertEqual((options["clock"], options["seconds"]), ("60", 60))
        self.assertEqual((options["blitz"], options["opening"]), (1, "E4"))
        self.assertEqual(options["max-players"], "2")
        self.assertEqual(options.settings.gameServer.maxPlayers, 2)
        self.assertEqual(options.command, "chess")
        self.assertIsInstance(options, ChessOptions)

    def test_defaults(self) -> None:
        """The defaults of both kinds apply."""
        options = self.parse()
        self.assertEqual((options["clock"], options["blitz"]), ("300", 0))
        self.assertEqual(options.settings.target, EMBEDDED)

    def test_help(self) -> None:
        """The help has the description, and both kinds of options."""
        text = optionsFor("chess", MAKE_FACTORY, "A game of chess.", ChessOptions)({}).getUsage()
        for part in ("A game of chess.", "--clock", "--blitz", "--opening", "--session-policy"):
            self.assertIn(part, text)

    def test_completion(self) -> None:
        """The game's completions for the shell are kept."""
        options: Any = optionsFor("chess", MAKE_FACTORY, "", ChessOptions)
        self.assertIs(options.compData, ChessOptions.compData)

    def test_gameRejects(self) -> None:
        """A usage error of the game is one sentence that names the command."""
        exit = self.assertRaises(SystemExit, self.parse, "--clock=0")
        self.assertEqual(exit.code, "twistd chess: --clock is '0': write 1 or more.")

    def test_noGameOptions(self) -> None:
        """A game without options of its own has those of every game."""
        options = optionsFor("go", MAKE_FACTORY, "A game of go.")({})
        options.parseOptions(["--servers=2"])
        self.assertEqual(options.command, "go")
        self.assertIn("A game of go.", options.getUsage())
        exit = self.assertRaises(SystemExit, options.parseOptions, ["--clock=0"])
        self.assertTrue(str(exit.code).startswith("twistd go: option --clock not recognized"))

    def test_sameName(self) -> None:
        """An option of the game with the name of an existing one is a TypeError."""

        class Parameter(usage.Options):
            optParameters = [["listen", None, "", ""]]  # noqa: RUF012 # read by usage.Options

        class Flag(usage.Options):
            optFlags = [["max-players", None, ""]]  # noqa: RUF012 # read by usage.Options

        class Method(usage.Options):
            def opt_state_dir(self, value: str) -> None:
                """Not called."""

        for options, name in ((Parameter, "listen"), (Flag, "max-players"), (Method, "state-dir")):
            error = self.assertRaises(TypeError, optionsFor, "chess", MAKE_FACTORY, "", options)
            self.assertEqual(
                str(error),
                f"{options.__qualname__} has the option --{name}, which the command chess"
                " has already: rename it.",
            )

    def test_factoryIsTaken(self) -> None:
        """If --factory is an option of the command, the game cannot define it."""

        class Factory(usage.Options):
            optParameters = [["factory", None, "", ""]]  # noqa: RUF012 # read by usage.Options

        optionsFor("chess", MAKE_FACTORY, "", Factory)
        error = self.assertRaises(TypeError, optionsFor, "chess", None, "", Factory)
        self.assertIn("has the option --factory", str(error))

    def test_sessionPolicy(self) -> None:
        """The default of --session-policy is the command's; the option overrides it."""
        chess = optionsFor("chess", MAKE_FACTORY, "", sessionPolicy="manual")
        for words, policy in (([], "manual"), (["--session-policy=claim"], "claim")):
            options = chess({})
            options.parseOptions(words)
            self.assertEqual(policy, options.settings.gameServer.sessionPolicy)

    def test_arguments(self) -> None:
        """A game whose options take arguments is a TypeError."""

        class Arguments(usage.Options):
            def parseArgs(self, *names: str) -> None:
                """Not called."""

        error = self.assertRaises(TypeError, optionsFor, "chess", MAKE_FACTORY, "", Arguments)
        self.assertIn("has a parseArgs method", str(error))
