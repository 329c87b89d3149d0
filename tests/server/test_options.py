"""The command line of C{twistd fleetiq-echo}: what comes of it, and what it says of mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.identity import ConnectionInfoTemplate
from echoserver.ec2.interruption import InterruptionConfig
from echoserver.ratelimit import TokenBucket
from echoserver.server.config import GameServerConfig, Settings
from echoserver.server.discovery import AWSTarget, EmbeddedTarget, LocalTarget
from echoserver.server.options import ENDPOINT_VARIABLE, optionsFor
from tests.awsdoubles import INSTANCE_ID
from tests.programdoubles import EchoOptions

EMBEDDED = EmbeddedTarget("tcp:4570:interface=127.0.0.1")
AWS_RULES = GameServerConfig(heartbeat=60.0, grace=20.0, maxPlayers=None, oneSession=False)


def settingsOf(*words: str, environ: Mapping[str, str] | None = None) -> Settings:
    options = EchoOptions(environ or {})
    options.parseOptions(words)
    return options.settings


class OptionsTestCase(SynchronousTestCase):
    def assertRefused(
        self, words: list[str], *parts: str, environ: Mapping[str, str] | None = None
    ) -> None:
        """One line, with all of these parts in it; the process ends with 1."""
        exit = self.assertRaises(SystemExit, settingsOf, *words, environ=environ)
        said = str(exit.code)
        self.assertIsInstance(exit.code, str)
        self.assertTrue(said.startswith("twistd fleetiq-echo: "), said)
        self.assertTrue(said.endswith(".") and "\n" not in said, said)
        for part in parts:
            self.assertIn(part, said)


class DefaultTests(OptionsTestCase):
    """Without options."""

    def test_defaults(self) -> None:
        """A game server on port 5000, with a FleetIQ of its own."""
        self.assertEqual(
            settingsOf(),
            Settings(
                target=EMBEDDED,
                listen=("tcp:5000:backlog=4096",),
                connectionInfo=ConnectionInfoTemplate("{host}:{port}"),
                gameServer=GameServerConfig(
                    heartbeat=60.0, grace=3.0, maxPlayers=None, oneSession=False
                ),
                interruption=InterruptionConfig(leaveOnRebalance=False, statusEvery=60.0),
                apiRate=None,
                stateDir=None,
                status=None,
                gameServerId=None,
                gameServerData=None,
                foreground=True,
            ),
        )

    def test_help(self) -> None:
        """Every option says what it is for, and the defaults that are worked out."""
        text = EchoOptions({}).getUsage()
        for words in EchoOptions.optParameters + EchoOptions.optFlags:
            self.assertIn(f"--{words[0]}", text)
            self.assertTrue(words[-1].endswith((".", ").")), words)
        self.assertIn("(20, embedded 3)", " ".join(text.split()))


class FleetTests(OptionsTestCase):
    """--group, --local, --region, --instance-id, and what they say together."""

    def test_aws(self) -> None:
        """A group is one of AWS, with 20 s of grace."""
        said = settingsOf("--group", "my-group.1")
        self.assertEqual(said.target, AWSTarget("my-group.1", None, None))
        self.assertEqual(said.gameServer, AWS_RULES)
        said = settingsOf("--group=g", "--region=us-gov-west-1", f"--instance-id={INSTANCE_ID}")
        self.assertEqual(said.target, AWSTarget("g", "us-gov-west-1", INSTANCE_ID))

    def test_groups(self) -> None:
        """A group is what FleetIQ takes for one: a name, or an ARN."""
        arn = "arn:aws:gamelift:us-east-1::gameservergroup/group"
        for group in ("a", "a" * 128, arn):
            self.assertEqual(settingsOf("--group", group).target, AWSTarget(group, None, None))
        for group in ("", " ", "my group", "a" * 129, "g\n", "a_b", arn + "/"):
            self.assertRefused(["--group", group], "--group is '", "write 1 to 128 letters, ")

    def test_regions(self) -> None:
        """A region looks like one."""
        for region in ("", "us", "US-EAST-1", "us east 1", "us-east-1\n", "-"):
            self.assertRefused(
                ["--group=g", f"--region={region}"], f"--region is {region!r}: write a region such"
            )

    def test_instanceIds(self) -> None:
        """An instance id is what FleetIQ takes for one."""
        for instanceId in (
            "",
            "i-1234abcd",
            INSTANCE_ID + "0",
            INSTANCE_ID.upper(),
            "i-" + "-" * 17,
        ):
            self.assertRefused(
                ["--group=g", f"--instance-id={instanceId}"],
                f"--instance-id is '{instanceId}': write 'i-' and 17 letters or digits.",
            )

    def test_withoutGroup(self) -> None:
        """What is said of AWS needs a group: it would be ignored without, and AWS is meant."""
        for words in (["--region", "us-east-1"], ["--instance-id", INSTANCE_ID]):
            for more in ([], ["--local=tcp:4571"], ["--local=http://h:1"]):
                self.assertRefused(
                    words + more, f"{words[0]} is for AWS: name a --group too, or leave it out"
                )

    def test_endpointVariable(self) -> None:
        """A variable that sends other tools elsewhere is not overruled in silence."""
        environ = {ENDPOINT_VARIABLE: "http://127.0.0.1:9"}
        self.assertRefused(
            [],
            "AWS_ENDPOINT_URL_GAMELIFT is 'http://127.0.0.1:9', but no --group is named",
            "name one, or unset it",
            environ=environ,
        )
        self.assertRefused(["--local=tcp:4571"], ENDPOINT_VARIABLE, environ=environ)
        elsewhere = AWSTarget("g", endpoint="http://127.0.0.1:9")
        self.assertEqual(settingsOf("--group=g", environ=environ).target, elsewhere)
        self.assertEqual(settingsOf(environ={ENDPOINT_VARIABLE: ""}).target, EMBEDDED)

    def test_groupAndLocal(self) -> None:
        """A group of AWS and a FleetIQ of this machine exclude each other."""
        self.assertRefused(
            ["--group=g", "--local=tcp:4571"],
            "--group is for AWS, --local for the FleetIQ of this machine: give one.",
        )

    def test_embedded(self) -> None:
        """An endpoint description is where the embedded one listens."""
        said = settingsOf("--local", "tcp:4571")
        self.assertEqual((said.target, said.gameServer.grace), (EmbeddedTarget("tcp:4571"), 3.0))

    def test_joined(self) -> None:
        """A URL joins the one that runs there; it may name the instance to be."""
        for url, api in [
            ("http://127.0.0.1:4570", "http://127.0.0.1:4570"),
            ("http://127.0.0.1:4570/", "http://127.0.0.1:4570"),
            ("http://fleet_iq.local:1", "http://fleet_iq.local:1"),
            ("http://[::1]:65535", "http://[::1]:65535"),
            (f"http://h:80/instances/{INSTANCE_ID}", "http://h:80"),
            (f"http://h:80/instances/{INSTANCE_ID}/", "http://h:80"),
        ]:
            said = settingsOf("--local", url)
            self.assertEqual(said.target, LocalTarget(api, url.rstrip("/")))
            self.assertEqual(said.gameServer.grace, 20.0)

    def test_noURL(self) -> None:
        """A URL of another form is refused, with the form it must have."""
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
            self.assertRefused(
                ["--local", url],
                f"--local is {url!r}: write http://HOST:PORT, or http://HOST:PORT/instances/ID.",
            )


class ServerTests(OptionsTestCase):
    """What is said of the game servers."""

    def test_listen(self) -> None:
        """Each game server has a description of its own."""
        said = settingsOf("--listen=haproxy:tcp:7000:interface=h", "--servers=2")
        self.assertEqual(
            said.listen,
            (
                "haproxy:tcp:7000:interface=h:backlog=4096",
                "haproxy:tcp:7001:interface=h:backlog=4096",
            ),
        )

    def test_noListen(self) -> None:
        """What is wrong with the ports is said with the option's name."""
        self.assertRefused(["--listen=tcp:x"], "--listen: 'tcp:x' has no port from 0 to 65535")
        self.assertRefused(["--listen=tcp:65535", "--servers=2"], "no ports for 2 servers")
        self.assertRefused(["--listen=unix:/x", "--servers=2"], "no consecutive ports for 2")

    def test_wholeNumbers(self) -> None:
        """Counts are whole numbers in decimal."""
        self.assertEqual(len(settingsOf("--servers=3").listen), 3)
        self.assertEqual(settingsOf("--max-players=65535").gameServer.maxPlayers, 65535)
        self.assertEqual(settingsOf("--max-players-per-address=2").gameServer.maxPerAddress, 2)
        for option in ("--servers", "--max-players", "--max-players-per-address"):
            for value in ("", "0", "-1", "+1", "1.5", "1e3", "two", "65536", " 1", "\u0665"):
                self.assertRefused(
                    [option, value],
                    f"{option} is {value!r}: write a whole number from 1 to 65535.",
                )
            self.assertRefused([option, "9" * 5000], f"{option} is '999", "...': write")

    def test_seconds(self) -> None:
        """Durations are seconds, in decimal; a grace may be none at all."""
        rules = settingsOf("--heartbeat=1", "--grace=0").gameServer
        self.assertEqual((rules.heartbeat, rules.grace), (1.0, 0.0))
        rules = settingsOf("--group=g", "--heartbeat=0030.5", "--grace=999999").gameServer
        self.assertEqual((rules.heartbeat, rules.grace), (30.5, 999999.0))
        for option, least in (("--heartbeat", 1), ("--grace", 0)):
            for value in ("", "-1", "1m", "nan", "inf", "1e2", "1.", ".5", "1000000", "\u0665"):
                self.assertRefused(
                    [option, value],
                    f"{option} is {value!r}: write seconds from {least} to 999999, for instance 60",
                )
        self.assertRefused(["--heartbeat=0.9"], "--heartbeat is '0.9': write seconds from 1 to")

    def test_watching(self) -> None:
        """What a rebalance recommendation does; less than 1 s is not taken."""
        said = settingsOf("--on-rebalance=drain", "--instance-status=0").interruption
        self.assertEqual(said, InterruptionConfig(leaveOnRebalance=True, statusEvery=0.0))
        self.assertEqual(settingsOf("--instance-status=1").interruption.statusEvery, 1.0)
        self.assertEqual(settingsOf("--idle-timeout=1.5").gameServer.idleTimeout, 1.5)
        for words, sentence in (
            ("--on-rebalance=leave", "--on-rebalance is 'leave': write log or drain."),
            (
                "--instance-status=0.5",
                "--instance-status is '0.5': write 1 or more, or 0 for never.",
            ),
            ("--idle-timeout=0.9", "--idle-timeout is '0.9': write 1 or more, or 0 for never."),
            ("--instance-status=-1", "--instance-status is '-1': write seconds from 0 to 999999"),
        ):
            self.assertRefused([words], sentence)

    def test_acceptRate(self) -> None:
        """Connections a second, and at once."""
        self.assertIsNone(settingsOf().gameServer.acceptRate)
        self.assertEqual(
            settingsOf("--accept-rate=100").gameServer.acceptRate, TokenBucket(100.0, 400.0)
        )
        self.assertEqual(
            settingsOf("--accept-rate=0.5,7").gameServer.acceptRate, TokenBucket(0.5, 7.0)
        )
        self.assertRefused(["--accept-rate=fast"], "--accept-rate is 'fast': write RATE or RATE,")

    def test_admission(self) -> None:
        """Who may come in: everybody, or whom a claim sent."""
        self.assertFalse(settingsOf("--admission=open").gameServer.claimedOnly)
        self.assertTrue(settingsOf("--admission=claimed").gameServer.claimedOnly)
        self.assertRefused(["--admission=token"], "--admission is 'token': write open or claimed.")

    def test_apiRate(self) -> None:
        """Calls a second, and at once; for a local FleetIQ only if it is given."""
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
            self.assertRefused(
                ["--api-rate", value],
                f"--api-rate is {value!r}: write RATE or RATE,BURST, from 0.1 and 1 to 9999, for"
                " instance 5 or 5,20.",
            )

    def test_stateDir(self) -> None:
        """The option, else the first folder that systemd names."""
        environ = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}
        self.assertEqual(settingsOf(environ=environ).stateDir, "/var/lib/a")
        self.assertEqual(settingsOf("--state-dir=x:y", environ=environ).stateDir, "x:y")
        self.assertIsNone(settingsOf(environ={"STATE_DIRECTORY": ""}).stateDir)
        self.assertRefused(["--state-dir="], "--state-dir is '': write a folder that this user")

    def test_session(self) -> None:
        """After a session: again, or the end."""
        self.assertFalse(settingsOf("--session=reregister").gameServer.oneSession)
        self.assertTrue(settingsOf("--session=exit").gameServer.oneSession)
        for value in ("", "EXIT", "once"):
            self.assertRefused(
                ["--session", value], f"--session is '{value}': write reregister or exit."
            )

    def test_gameServerId(self) -> None:
        """A fixed id is what FleetIQ takes for one."""
        for value in ("abc", "a" * 128, "a.b-C9"):
            self.assertEqual(settingsOf("--game-server-id", value).gameServerId, value)
        for value in ("", "ab", "a" * 129, "a_bc", "a bc", "abc\n"):
            self.assertRefused(
                ["--game-server-id", value],
                "--game-server-id is '",
                ": write 3 to 128 letters, digits, '.' or '-'.",
            )

    def test_gameServerIdOfTwo(self) -> None:
        """An id is one game server's."""
        self.assertRefused(
            ["--game-server-id=abc", "--servers=2"],
            "--game-server-id names one game server, --servers asks for 2: leave one of them out.",
        )

    def test_gameServerData(self) -> None:
        """FleetIQ accepts 1 to 1024 characters of data."""
        for data in ("x", "x" * 1024, '{"map": "도시"}'):
            self.assertEqual(settingsOf("--game-server-data", data).gameServerData, data)
        for data in ("", " \n", "a\nb", "x" * 1025, "x" * 2000):
            self.assertRefused(
                ["--game-server-data", data],
                f"--game-server-data has {len(data)} characters: FleetIQ accepts 1 to 1024 in one"
                " line, and not blanks alone. Shorten it, or leave it out.",
            )

    def test_gameServerDataIsNotShown(self) -> None:
        """Data refused is not repeated: logs keep what is said."""
        exit = self.assertRaises(SystemExit, settingsOf, "--game-server-data", "secret" * 500)
        self.assertNotIn("secret", str(exit.code))

    def test_connectionInfo(self) -> None:
        """The template is kept; a wrong one is refused with the option's name."""
        info = settingsOf("--connection-info", "{host}").connectionInfo
        self.assertEqual(info, ConnectionInfoTemplate("{host}"))
        for template, part in [
            ("{hots}", "'{hots}' has the field {hots}; there are {host}, {port}, "),
            ("{", "'{' is no template: "),
            ("", "it is blank"),
            ("x" * 600, "it has 600 characters; FleetIQ takes 1 to 512."),
        ]:
            self.assertRefused(["--connection-info", template], f"--connection-info: {part}")

    def test_showBytes(self) -> None:
        """A flag."""
        options = EchoOptions({})
        options.parseOptions(["--show-bytes"])
        self.assertTrue(options["show-bytes"])


class WordTests(OptionsTestCase):
    """Words that are no options of ours."""

    def test_unknown(self) -> None:
        """An unknown option, or one without its value, is pointed to the list."""
        for words, part in [
            (["--nonsense"], "option --nonsense not recognized; "),
            (["-z"], "option -z not recognized; "),
            (["--listen"], "option --listen requires argument; "),
            (["--show-bytes=1"], "option --show-bytes must not have an argument; "),
        ]:
            self.assertRefused(words, part, "'twistd fleetiq-echo --help' lists the options.")

    def test_stray(self) -> None:
        """A stray word is shown: blanks without quotes make them."""
        self.assertRefused(
            ["--game-server-data", "my", "data"],
            "'data' is one word too many: options begin with --, and a value with"
            " blanks stands in quotes.",
        )

    @settings(deadline=None, max_examples=150)
    @given(st.sampled_from([words[0] for words in EchoOptions.optParameters]), st.text())
    def test_anyValue(self, option: str, value: str) -> None:
        """Any value of any option is taken, or refused in a sentence."""
        try:
            settingsOf(f"--{option}", value)
        except SystemExit as exit:
            self.assertTrue(str(exit.code).startswith(f"twistd fleetiq-echo: --{option}"))


class PidFileTests(OptionsTestCase):
    """In the foreground, a pid file only keeps a second program out of the folder."""

    def pidfile(self, **twistd: Any) -> str:
        options, options.parent = EchoOptions({}), usage.Options()
        options.parent.update(twistd)
        options.parseOptions([])
        return str(options.parent["pidfile"])

    def test_foreground(self) -> None:
        """With -n there is none."""
        self.assertEqual(self.pidfile(nodaemon=1, pidfile="twistd.pid"), "")

    def test_asked(self) -> None:
        """One that was asked for stays."""
        self.assertEqual(self.pidfile(nodaemon=1, pidfile="/run/echo.pid"), "/run/echo.pid")

    def test_daemon(self) -> None:
        """A daemon has one."""
        self.assertEqual(self.pidfile(nodaemon=0, pidfile="twistd.pid"), "twistd.pid")


class GameOptions(usage.Options):
    """The options of a game."""

    optParameters = [["map", None, "desert", "Map to play on."]]  # noqa: RUF012 # as usage.Options
    optFlags = [["night", None, "Play at night."]]  # noqa: RUF012 # as usage.Options

    def postOptions(self) -> None:
        if self["map"] == "nowhere":
            raise usage.UsageError("--map is 'nowhere': write desert or forest.")


class GameTests(SynchronousTestCase):
    """The options of commands for other games."""

    def parse(self, *words: str, **arguments: Any) -> Any:
        """Return the parsed options of the command C{chess}."""
        make: dict[str, Any] = {
            "factory": "echoserver.echo.makeFactory",
            "gameOptions": GameOptions,
            **arguments,
        }
        options = optionsFor("chess", make.pop("factory"), "Chess.", **make)({})
        options.parseOptions(words)
        return options

    def error(self, *words: str, **arguments: Any) -> str:
        """Return the message of the error."""
        return str(self.assertRaises(SystemExit, self.parse, *words, **arguments).code)

    def test_gameOptions(self) -> None:
        """The game's options stand beside those of the game server."""
        options = self.parse("--map=forest", "--night", "--max-players=2")
        self.assertEqual(("forest", 1), (options["map"], options["night"]))
        self.assertEqual(2, options.settings.gameServer.maxPlayers)
        self.assertEqual("desert", self.parse()["map"])

    def test_gamesPostOptions(self) -> None:
        """The game checks its own options; the message names the command."""
        message = "twistd chess: --map is 'nowhere': write desert or forest."
        self.assertEqual(message, self.error("--map=nowhere"))

    def test_clash(self) -> None:
        """An option of the game with the name of one of ours is an error of the programmer."""

        class Clash(usage.Options):
            optParameters = [["grace", None, "1", "Ours."]]  # noqa: RUF012 # as usage.Options

        error = self.assertRaises(TypeError, self.parse, gameOptions=Clash)
        self.assertIn("grace", str(error))

    def test_sessionPolicy(self) -> None:
        """The policy is the command's default, or the option."""
        for words, policy in (([], "manual"), (["--session-policy=claim"], "claim")):
            options = self.parse(*words, sessionPolicy="manual")
            self.assertEqual(policy, options.settings.gameServer.sessionPolicy)
        self.assertIn("write players or manual or claim", self.error("--session-policy=x"))
        options = self.parse("--claim-timeout=5")
        self.assertEqual(5.0, options.settings.gameServer.claimTimeout)

    def test_factory(self) -> None:
        """With --factory any callable makes the factories."""
        options = self.parse("--factory=echoserver.echo.makeFactory", factory=None)
        self.assertEqual("makeFactory", options.makeFactory.__name__)

    def test_wrongFactory(self) -> None:
        """A factory that is missing, cannot be imported or called is one sentence."""
        for words, part in (
            ([], "--factory is missing"),
            (["--factory=nothing.here"], "'nothing.here' cannot be imported (ObjectNotFound"),
            (["--factory=nothing"], "cannot be imported"),
            (["--factory=echoserver.echo.nothing"], "cannot be imported (AttributeError"),
            (["--factory="], "cannot be imported"),
            (["--factory=echoserver.echo.re"], "is not callable"),
        ):
            message = self.error(*words, factory=None)
            self.assertTrue(message.startswith("twistd chess: --factory"), message)
            self.assertIn(part, message)
            self.assertNotIn("\n", message)
