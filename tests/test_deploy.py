"""The files in deploy/: checked by the tools that read them, and compared with the code."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from string import Template
from typing import Any

from cfnlint.decode import cfn_yaml
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from echoserver.cli.command import TextAction
from echoserver.cli.main import CommandLine, parseCommandLine
from echoserver.cli.output import Console
from echoserver.cli.template import CLOUDFORMATION, TEMPLATES, policies
from echoserver.gamelift.service import FleetIQ
from echoserver.local.tap import Options as LocalOptions
from echoserver.wrap.tap import Options as WrapOptions
from tests.clidoubles import SERVER, CommandTestCase
from tests.programdoubles import EchoOptions

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
GUIDE = (ROOT / "docs" / "deploy.md").read_text()
STACK = DEPLOY / "cloudformation" / "fleetiq-echo.yaml"
UNITS = ("fleetiq-echo.service", "fleetiq-echo@.service")
ARN = "arn:${AWS::Partition}:gamelift:${AWS::Region}:${AWS::AccountId}:gameservergroup/${GroupName}"
LINT = "import sys; from cfnlint.runner import main; sys.exit(main())"
AGENT = "-a fetch-config -m ec2 -s -c file:/etc/fleetiq-echo-log.json"
# Values for the parameters that have no default, and for those whose default removes something.
VALUES = {
    "VpcId": "vpc-0123456789abcdef0",
    "Subnets": "subnet-0123456789abcdef0",
    "PackageBucket": "my-bucket",
    "PackageKey": "fleetiq_echo-0.1.0-py3-none-any.whl",
    "TerminationHookSeconds": "600",
    "AlarmTopic": "arn:aws:sns:us-east-1:123456789012:alarms",
}


def run(*command: str | Path, **options: Any) -> tuple[int, str]:
    """Run a command, and return its exit status and its output."""
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    return ended.returncode, ended.stdout


def need(tool: str, package: str) -> None:
    """Skip the test if a tool of the system is missing."""
    if shutil.which(tool) is None:
        raise SkipTest(f"{tool} is not installed: it is in Debian's package {package}.")


class RecordingCalls:
    """
    Records calls to FleetIQ, which never return.

    @ivar operations: the operations that were called.
    """

    def __init__(self) -> None:
        self.operations: list[str] = []

    def call(self, operation: str, **request: Any) -> Deferred[dict[str, Any]]:
        self.operations.append(operation)
        return Deferred()


class FilesTests(SynchronousTestCase):
    """The folder."""

    def test_links(self) -> None:
        """The folders of the templates are those of the package: there is one source."""
        for name in ("cloudformation", "systemd", "docker"):
            self.assertEqual(
                (DEPLOY / name).resolve(), ROOT / "echoserver" / "cli" / "templates" / name
            )


class CloudFormationTests(SynchronousTestCase):
    """The CloudFormation template."""

    def test_lint(self) -> None:
        """C{cfn-lint} finds nothing, with the defaults and with other values."""
        filled = Path(self.mktemp())
        filled.write_text(TEMPLATES["cloudformation"](VALUES))
        lint = (sys.executable, "-c", LINT, "--regions", "us-east-1", "ap-northeast-2", "--")
        self.assertEqual(run(*lint, STACK, filled), (0, ""))

    def test_parameters(self) -> None:
        """The command finds each parameter, with its default."""
        declared = cfn_yaml.load(str(STACK))["Parameters"]
        self.assertEqual(
            CLOUDFORMATION.defaults(STACK.read_text()),
            {name: str(each.get("Default", "")) for name, each in declared.items()},
        )

    def test_metadata(self) -> None:
        """The instance metadata needs a token, and its hop limit is a parameter."""
        resources = cfn_yaml.load(str(STACK))["Resources"]
        options = resources["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["MetadataOptions"]
        self.assertEqual(options["HttpTokens"], "required")
        self.assertEqual(options["HttpPutResponseHopLimit"], {"Ref": "HopLimit"})


class PolicyTests(CommandTestCase):
    """The policies allow the operations that the code calls on the group, and no others."""

    def assertAllows(self, role: str, operations: set[str]) -> None:
        """Check what a role of the CloudFormation template may do in GameLift."""
        properties = cfn_yaml.load(str(STACK))["Resources"][role]["Properties"]
        self.assertNotIn("ManagedPolicyArns", properties)
        allowed: list[str] = []
        for each in properties["Policies"]:
            policy = each["Fn::If"][1] if "Fn::If" in each else each
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                actions = [actions] if isinstance(actions, str) else actions
                self.assertEqual(statement["Effect"], "Allow")
                self.assertFalse([action for action in actions if "*" in action])
                self.assertNotEqual(statement["Resource"], "*")
                if any(action.startswith("gamelift:") for action in actions):
                    self.assertEqual(statement["Resource"], {"Fn::Sub": ARN})
                    self.assertEqual(set(statement), {"Effect", "Action", "Resource"})
                    allowed += actions
        self.assertEqual(sorted(allowed), sorted(f"gamelift:{each}" for each in operations))

    def test_gameServer(self) -> None:
        """The game servers may call each operation of L{FleetIQ} but the claim."""
        calls = RecordingCalls()
        fleetIQ = FleetIQ(calls, "MyGroup")
        for name, method in inspect.getmembers(fleetIQ, inspect.ismethod):
            if not name.startswith("_") and name != "claim":
                required = [
                    each
                    for each in inspect.signature(method).parameters.values()
                    if each.default is each.empty
                ]
                method(*("x" for _ in required))
        self.assertAllows("GameServerRole", set(calls.operations))

    def test_onlyFleetIQCalls(self) -> None:
        """Of the packages of the game servers, only L{FleetIQ} names operations. None claims."""
        for path in (ROOT / "echoserver").rglob("*.py"):
            package = path.relative_to(ROOT / "echoserver").parts[0]
            if package in ("cli", "local", "client.py") or path.name == "service.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(func=ast.Attribute(attr="claim")):
                        self.fail(f"{path} claims")
                    case ast.Call(func=ast.Attribute(attr="call"), args=[ast.Constant(str()), *_]):
                        self.fail(f"{path} calls {ast.unparse(node)}")

    def test_client(self) -> None:
        """A client may call what the commands to play, claim, list and describe call."""
        self.connection.respond("ListGameServers", *[{"GameServers": []}] * 2)
        self.connection.respond("DescribeGameServer", {"GameServer": SERVER})
        self.connection.respond("ClaimGameServer", *[{"GameServer": SERVER}] * 2)
        for words in (("play", "--send", "x"), ("claim",), ("list",), ("describe", "gs-1")):
            self.assertEqual(self.run_("--group", "g", "--region", "us-east-1", *words), 0)
        called = {operation for operation, _ in self.connection.requests}
        self.assertAllows("ClientRole", called)

    def test_printed(self) -> None:
        """The policies that the command prints are those of the roles."""
        self.assertEqual(list(policies(STACK.read_text())), ["GameServer", "Client"])


class UserDataTests(SynchronousTestCase):
    """The user data of an instance."""

    def setUp(self) -> None:
        self.data = TEMPLATES["user-data"]({**VALUES, "GroupName": "Mine", "Grace": "30"})

    def test_schema(self) -> None:
        """C{cloud-init schema} accepts it."""
        need("cloud-init", "cloud-init")
        path = Path(self.mktemp())
        path.write_text(self.data)
        status, output = run("cloud-init", "schema", "--config-file", path)
        self.assertEqual((status, output), (0, f"Valid cloud-config: {path}\n"))

    def test_log(self) -> None:
        """The configuration of the CloudWatch agent is JSON, for the log group of the stack."""
        content = cfn_yaml.loads(self.data)["write_files"][0]["content"]
        [collected] = json.loads(content)["logs"]["logs_collected"]["files"]["collect_list"]
        self.assertEqual(collected["log_group_name"], "/fleetiq/Mine")

    def test_script(self) -> None:
        """It installs the wheel, and starts a unit for each of two cores."""
        folder = Path(self.mktemp()).absolute()
        home = folder / "opt" / "bin"
        home.mkdir(parents=True)
        [script] = cfn_yaml.loads(self.data)["runcmd"]
        for path, replacement in (
            ("/opt/fleetiq-echo", home.parent),
            ("/etc/systemd/system", folder),
            ("/opt/aws/amazon-cloudwatch-agent/bin", home),
        ):
            script = script.replace(path, str(replacement))
        log = folder / "log"
        tools = ("python3.11", "aws", "pip", "twistd", "systemctl", "amazon-cloudwatch-agent-ctl")
        for tool in tools:
            (home / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >>{log}\n')
        (home / "nproc").write_text("#!/bin/sh\necho 2\n")
        command = "import sys; from echoserver.cli.main import main; sys.exit(main())"
        (home / "fleetiq").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{command}" "$@"\n')
        for each in home.iterdir():
            each.chmod(0o755)
        environ = {"PATH": f"{home}:{os.defpath}", "PYTHONPATH": str(ROOT)}
        self.assertEqual(run("sh", "-c", script, env=environ), (0, ""))
        wheel = VALUES["PackageKey"]
        self.assertEqual(
            log.read_text().replace(f"{home.parent}/", "/").splitlines(),
            [
                f"python3.11 -m venv {home.parent}",
                f"aws s3 cp s3://my-bucket/{wheel} /",
                "pip install --no-cache-dir /*.whl",
                "twistd --help",
                "systemctl daemon-reload",
                "systemctl enable --now rsyslog",
                "systemctl enable --now fleetiq-echo@5000",
                "systemctl enable --now fleetiq-echo@5010",
                f"amazon-cloudwatch-agent-ctl {AGENT}",
            ],
        )
        unit = (folder / "fleetiq-echo@.service").read_text()
        for line in ('Environment="GROUP=Mine"', 'Environment="GRACE=30"', "TimeoutStopSec=45"):
            self.assertIn(f"{line}\n", unit)


class UnitTests(SynchronousTestCase):
    """The systemd units."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def installed(self, name: str) -> Path:
        """Return a copy of a unit whose program exists. An instance has the name 5000."""
        text = (DEPLOY / "systemd" / name).read_text()
        path = self.folder / name.replace("@.", "@5000.")
        path.write_text(text.replace("/opt/fleetiq-echo/bin/twistd", "/bin/true"))
        return path

    def test_verify(self) -> None:
        """C{systemd-analyze verify} finds nothing."""
        need("systemd-analyze", "systemd")
        for name in UNITS:
            self.assertEqual(run("systemd-analyze", "verify", self.installed(name)), (0, ""))

    def test_security(self) -> None:
        """The exposure level of C{systemd-analyze security} is at most 1.5."""
        need("systemd-analyze", "systemd")
        for name in UNITS:
            analyze = ("systemd-analyze", "security", "--offline=true", "--threshold=15")
            status, output = run(*analyze, "--no-pager", self.installed(name))
            self.assertEqual(status, 0, output)

    def test_sameHardening(self) -> None:
        """The template unit differs from the unit only in what each instance has for itself."""
        plain, instance = ((DEPLOY / "systemd" / name).read_text() for name in UNITS)
        withoutInstance = (
            instance.replace("fleetiq-echo-%i", "fleetiq-echo")
            .replace(" from port %i", "")
            .replace("LISTEN=tcp:%i", "LISTEN=tcp:5000")
        )
        self.assertEqual(plain.split("[Unit]")[1], withoutInstance.split("[Unit]")[1])

    def test_options(self) -> None:
        """The game server accepts the options of the units."""
        for name in UNITS:
            text = (DEPLOY / "systemd" / name).read_text()
            values = dict(re.findall(r"^Environment=([A-Z]+)=(.*)$", text, re.MULTILINE))
            line = re.search(r"^ExecStart=.* \$COMMAND (.*)$", text, re.MULTILINE)
            assert line is not None
            for options, arguments in (
                (EchoOptions({}), ""),
                (WrapOptions({}), "-- ./server --port {port}"),
            ):
                words = Template(line[1].replace("$ARGUMENTS", arguments)).substitute(values)
                options.parseOptions(words.replace("%t", "/run").replace("%i", "5000").split())
                self.assertEqual(options.settings.gameServer.grace, 60)


class ContainerTests(SynchronousTestCase):
    """The Dockerfile and the compose file."""

    def setUp(self) -> None:
        self.dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
        self.services = cfn_yaml.load(str(DEPLOY / "compose.yaml"))["services"]

    def test_commands(self) -> None:
        """The programs accept their options. The game server stops in the time that it has."""
        [local, gameServer] = (each["command"] for each in self.services.values())
        LocalOptions().parseOptions(local[1:])
        options = EchoOptions({})
        options.parseOptions(gameServer[1:])
        stop = self.services["game-server"]["stop_grace_period"]
        self.assertEqual(stop, f"{options.settings.gameServer.grace + 15:.0f}s")
        command = re.search(r"^CMD (.*)$", self.dockerfile, re.MULTILINE)
        assert command is not None
        EchoOptions({}).parseOptions(json.loads(command[1])[1:])

    def test_restricted(self) -> None:
        """The user is not root, and the root file system is read-only."""
        self.assertIn("\nUSER 65532:65532\n", self.dockerfile)
        for service in self.services.values():
            self.assertTrue(service["read_only"])
            self.assertEqual(service["cap_drop"], ["ALL"])


class GuideTests(SynchronousTestCase):
    """docs/deploy.md and docs/scaling.md."""

    def test_parameters(self) -> None:
        """The table has each parameter of the CloudFormation template, with its default."""
        shown = re.findall(r"^\| `([A-Z]\w+)` \| (.+?) \| (.+?) \|$", GUIDE, re.MULTILINE)
        declared = cfn_yaml.load(str(STACK))["Parameters"]
        names = {None: "required", "": "none"}
        expected = []
        for name, each in declared.items():
            default = each.get("Default")
            expected.append((name, names.get(default, f"`{default}`"), each["Description"]))
        self.assertEqual(shown, expected)

    def test_templates(self) -> None:
        """The first table has each template."""
        shown = re.findall(r"^\| `([a-z-]+)` \| [^`]*(?:\[deploy|the |one )", GUIDE, re.MULTILINE)
        self.assertEqual(sorted(shown), sorted(TEMPLATES))

    def test_commands(self) -> None:
        """The command prints each template that the pages name, with the values that they give."""
        pages = [(ROOT / "docs" / name).read_text() for name in ("operations.md", "scaling.md")]
        commands = re.findall(r"fleetiq template ([^>`\n]+)", "\n".join([GUIDE, *pages]))
        self.assertGreater(len(commands), 5)
        for command in commands:
            if not command.startswith("NAME"):
                console = Console(StringIO(), errors := StringIO())
                words = [word.encode() for word in ["template", *shlex.split(command)]]
                parsed = parseCommandLine(words, console)
                assert isinstance(parsed, CommandLine), errors.getvalue()
                assert isinstance(parsed.action, TextAction)
                self.assertTrue(parsed.action.text(parsed.settings))
