"""The subcommand C{template}: prints the files of a deployment, with its parameters filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import takewhile
from textwrap import dedent
from typing import Any

import click
from click import UsageError

from echoserver.cli.command import Command, Settings, TextAction

# Seconds that a supervisor has to wait after the grace period: docs/operations.md.
SECONDS_AFTER_GRACE = 15
# Characters that need no quotes in a unit, in a shell, in YAML and in a Dockerfile.
_VALUE = re.compile(r"[a-zA-Z0-9 _.,:=/@+*{}-]*")


@dataclass(frozen=True, slots=True)
class Syntax:
    """
    How a kind of file declares a parameter and its default.

    @ivar declaration: has the groups C{name} and C{default}.
    @ivar declare: returns the declaration with another default.
    """

    declaration: re.Pattern[str]
    declare: Callable[[re.Match[str], str], str]

    def defaults(self, text: str) -> dict[str, str]:
        """Return the default of each parameter; an empty string if it has none."""
        declared = self.declaration.finditer(text)
        return {each["name"]: (each["default"] or "").strip('"') for each in declared}

    def fill(self, text: str, values: Mapping[str, str]) -> str:
        """Return the text with these values as defaults."""

        def declare(match: re.Match[str]) -> str:
            name = match["name"]
            return self.declare(match, values[name]) if name in values else match[0]

        return self.declaration.sub(declare, text)


CLOUDFORMATION = Syntax(
    re.compile(
        r"^(?P<before>  (?P<name>\w+):\n    Description: .*\n    Type: .*\n"
        r"(?:    (?!Default:).*\n)*)"
        r"(?:    Default: (?P<default>.*)\n)?",
        re.MULTILINE,
    ),
    lambda match, value: f'{match["before"]}    Default: "{value}"\n',
)
SYSTEMD = Syntax(
    re.compile(r"^Environment=(?P<name>[A-Z]+)=(?P<default>.*)$", re.MULTILINE),
    lambda match, value: f'Environment="{match["name"]}={value}"',
)
DOCKERFILE = Syntax(
    re.compile(r"^ARG (?P<name>[A-Z]+)=(?P<default>.*)$", re.MULTILINE),
    lambda match, value: f'ARG {match["name"]}="{value}"',
)


def userData(template: str) -> str:
    """Return the user data of the CloudFormation template, with the defaults of its parameters."""
    [_, block] = template.split("Fn::Base64: !Sub |\n")
    lines = block.splitlines(keepends=True)
    indent = len(lines[0]) - len(lines[0].lstrip())
    text = dedent("".join(takewhile(lambda line: not line[:indent].strip(), lines))).rstrip()
    values = CLOUDFORMATION.defaults(template)
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], text) + "\n"


def policies(template: str) -> dict[str, Any]:
    """Return the policies in JSON of the CloudFormation template, by their names."""
    starts = re.finditer(r"PolicyName: (\w+)\n +PolicyDocument: (?=\{)", template)
    decoder = json.JSONDecoder()
    return {start[1]: decoder.raw_decode(template, start.end())[0] for start in starts}


def _policy(template: str, values: Mapping[str, str]) -> str:
    """Return a policy without CloudFormation's functions."""
    policy = policies(template)[values["Policy"]]
    for statement in policy["Statement"]:
        statement["Resource"] = re.sub(
            r"\$\{(?:AWS::)?(\w+)\}",
            lambda match: values[match[1]],
            statement["Resource"]["Fn::Sub"],
        )
    return json.dumps(policy, indent=2) + "\n"


def _read(path: str) -> str:
    return (files("echoserver.cli") / "templates" / path).read_text()


def _fill(path: str, syntax: Syntax, values: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return a file with these values, and all its parameters."""
    text = _read(path)
    defaults = syntax.defaults(text)
    check(values, defaults)
    return syntax.fill(text, values), {**defaults, **values}


def check(values: Mapping[str, str], defaults: Mapping[str, str]) -> None:
    """@raise UsageError: if a parameter does not exist, or has a value that needs quotes."""
    for name, value in values.items():
        if name not in defaults:
            raise UsageError(
                f"{name!r} is not a parameter of this template. Its parameters are "
                f"{', '.join(defaults)}."
            )
        if not _VALUE.fullmatch(value):
            raise UsageError(
                f"{name} is {value!r}: use only letters, digits, blanks and _.,:=/@+*{{}}- in it."
            )


def _formatUnit(path: str, values: Mapping[str, str]) -> str:
    text, all = _fill(path, SYSTEMD, values)
    if not re.fullmatch(r"[0-9]{1,6}", all["GRACE"]):
        raise UsageError(f"GRACE is {all['GRACE']!r}: it must be a number of whole seconds.")
    stop = int(all["GRACE"]) + SECONDS_AFTER_GRACE
    return re.sub(r"(?m)^TimeoutStopSec=.*$", f"TimeoutStopSec={stop}", text)


def _formatStack(values: Mapping[str, str]) -> str:
    return _fill("cloudformation/fleetiq-echo.yaml", CLOUDFORMATION, values)[0]


def _formatPolicy(values: Mapping[str, str]) -> str:
    template = _formatStack({})
    names = policies(template)
    defaults = {
        "GroupName": CLOUDFORMATION.defaults(template)["GroupName"],
        "Policy": next(iter(names)),
        "Region": "*",
        "AccountId": "*",
        "Partition": "aws",
    }
    check(values, defaults)
    if values.get("Policy", "GameServer") not in names:
        raise UsageError(f"Policy is {values['Policy']!r}: it must be {' or '.join(names)}.")
    return _policy(template, {**defaults, **values})


TEMPLATES: dict[str, Callable[[Mapping[str, str]], str]] = {
    "cloudformation": _formatStack,
    "user-data": lambda values: userData(_formatStack(values)),
    "iam": _formatPolicy,
    "systemd": lambda values: _formatUnit("systemd/fleetiq-echo.service", values),
    "systemd-instance": lambda values: _formatUnit("systemd/fleetiq-echo@.service", values),
    "dockerfile": lambda values: _fill("docker/Dockerfile", DOCKERFILE, values)[0],
}


@click.command(
    cls=Command,
    examples=[
        "--group MyGroup template cloudformation VpcId=vpc-0123456789abcdef0",
        "template systemd GRACE=60",
    ],
    help=(
        f"Print a file for a deployment: {', '.join(TEMPLATES)}. Its parameters and their defaults "
        "are in the file. It needs no FleetIQ. See docs/deploy.md."
    ),
)
@click.argument("words", nargs=-1, metavar="NAME [PARAMETER=VALUE ...]")
def template(words: Sequence[str]) -> TextAction:
    """Print a file for a deployment."""
    name, *pairs = words or ("",)
    if name not in TEMPLATES:
        raise UsageError(f"name a template: {', '.join(TEMPLATES)}.")
    parameters: dict[str, str] = {}
    for pair in pairs:
        parameter, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair!r} is not PARAMETER=VALUE.")
        parameters[parameter] = value

    def text(settings: Settings) -> str:
        group = "GROUP" if name.startswith("systemd") else "GroupName"
        named = {group: settings.group, "Region": settings.region}
        given = {each: value for each, value in named.items() if value is not None}
        return TEMPLATES[name]({**given, **parameters})

    return TextAction(text)
