"""Tests of the subcommand template: the files that it prints, and the parameters in them."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from echoserver.cli import template
from tests.clidoubles import CommandTestCase

FOLDER = Path(template.__file__).parent / "templates"
FILES = {
    "cloudformation": "cloudformation/fleetiq-echo.yaml",
    "systemd": "systemd/fleetiq-echo.service",
    "systemd-instance": "systemd/fleetiq-echo@.service",
    "dockerfile": "docker/Dockerfile",
}


class TemplateTests(CommandTestCase):
    """The subcommand, from its words to its output."""

    def printed(self, *words: str) -> str:
        """Run C{fleetiq template} with these words, and return its output."""
        self.assertEqual(self.run_("template", *words), 0, self.err)
        return self.out

    def changes(self, name: str, *words: str) -> list[str]:
        """Return the lines that are not in the file of this template."""
        lines = self.printed(name, *words).splitlines()
        return [line for line in lines if line not in (FOLDER / FILES[name]).read_text()]

    def test_defaults(self) -> None:
        """Without parameters, a template is the file."""
        for name, path in FILES.items():
            self.assertEqual(self.printed(name), (FOLDER / path).read_text())
        self.assertEqual(self.connection.requests, [])

    def test_cloudFormation(self) -> None:
        """A value replaces the default of a parameter, or becomes its default."""
        values = ("VpcId=vpc-1", "HopLimit=2", "PackageKey=a/b-1.whl")
        self.assertEqual(
            self.changes("cloudformation", "--group", "Mine", *values),
            [f'    Default: "{value}"' for value in ("Mine", "vpc-1", "a/b-1.whl", "2")],
        )

    def test_userData(self) -> None:
        """The user data has the values of the CloudFormation template's parameters."""
        data = self.printed("user-data", "--group", "Mine", "Servers=7")
        self.assertTrue(data.startswith("#cloud-config\n"))
        self.assertIn('"log_group_name": "/fleetiq/Mine",\n', data)
        self.assertIn("for port in $(seq 5000 7 $last); do\n", data)
        self.assertNotIn("${", data)

    def test_policies(self) -> None:
        """A policy is for one group, in all Regions and accounts unless they are given."""
        policy = json.loads(self.printed("iam", "--group", "Mine"))
        [statement] = policy["Statement"]
        self.assertEqual(statement["Resource"], "arn:aws:gamelift:*:*:gameservergroup/Mine")
        self.assertIn("gamelift:RegisterGameServer", statement["Action"])
        words = ("Policy=Client", "AccountId=123456789012", "Partition=aws-cn", "--region", "cn-x")
        [statement] = json.loads(self.printed("iam", *words))["Statement"]
        arn = "arn:aws-cn:gamelift:cn-x:123456789012:gameservergroup/MyGroup"
        self.assertEqual(statement["Resource"], arn)
        self.assertIn("gamelift:ClaimGameServer", statement["Action"])

    def test_unit(self) -> None:
        """A unit waits 15 s longer than the grace period before SIGKILL."""
        command = "COMMAND=fleetiq-game --factory shout.makeFactory"
        expected = [
            'Environment="GROUP=Mine"',
            f'Environment="{command}"',
            'Environment="ARGUMENTS=-- ./server {port}"',
            'Environment="GRACE=20"',
            "TimeoutStopSec=35",
        ]
        for name in ("systemd", "systemd-instance"):
            printed = self.changes(
                name, "--group", "Mine", "GRACE=20", command, "ARGUMENTS=-- ./server {port}"
            )
            self.assertEqual(printed, expected)

    def test_dockerfile(self) -> None:
        """The version of Python is a parameter."""
        self.assertEqual(self.changes("dockerfile", "PYTHON=3.12"), ['ARG PYTHON="3.12"'])

    def test_wrongUsage(self) -> None:
        """A wrong template, parameter or value has a message with what is allowed."""
        for words, sentence in (
            ((), "name a template: cloudformation, user-data, iam, systemd, systemd-instance, "),
            (("terraform",), "name a template: cloudformation, "),
            (("systemd", "GROUP"), "'GROUP' is not PARAMETER=VALUE."),
            (("systemd", "Group=a"), "'Group' is not a parameter of this template. Its parameters"),
            (("dockerfile", "--group", "a"), "'GroupName' is not a parameter of this template."),
            (("systemd", "GROUP=$(x)"), "GROUP is '$(x)': use only letters, digits, blanks and "),
            (("systemd", "GROUP=a\nb"), r"GROUP is 'a\nb': use only letters, "),
            (("systemd", "GRACE=1.5"), "GRACE is '1.5': it must be a number of whole seconds."),
            (("iam", "Policy=Log"), "Policy is 'Log': it must be GameServer or Client."),
        ):
            self.assertEqual(self.run_("template", *words), 2)
            self.assertIn(f"fleetiq template: {sentence}", self.err)
            self.assertEqual(self.out, "")


class ParameterTests(SynchronousTestCase):
    """The parameters that a file declares."""

    def test_filled(self) -> None:
        """Each declared parameter can be filled in, and is then the new default."""
        for path, syntax in (
            ("cloudformation/fleetiq-echo.yaml", template.CLOUDFORMATION),
            ("systemd/fleetiq-echo.service", template.SYSTEMD),
            ("systemd/fleetiq-echo@.service", template.SYSTEMD),
            ("docker/Dockerfile", template.DOCKERFILE),
        ):
            text = (FOLDER / path).read_text()
            values = {name: f"value-{name}" for name in syntax.defaults(text)}
            self.assertGreater(len(values), 0)
            filled = syntax.fill(text, values)
            for name, value in values.items():
                self.assertEqual(filled.count(value), 1, name)
