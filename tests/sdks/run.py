"""
Check that AWS's own SDKs, and other clients of the metadata, work with the local FleetIQ:
C{make sdks}.

Each is installed into a folder of its own below C{.sdks}, from its package registry. It runs its
C{calls_of_...}, C{metadata_of_...} or Go program against a new local FleetIQ, with nothing but the
variables that point there and name a region. C{.venv/bin/python -m tests.sdks.run javascript} runs
one of them. If this machine cannot install one, a line says so.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from echoserver.local.testing import RunningFleetIQ
from tests.sdks.install import (
    HERE,
    CannotInstall,
    debianEnvironment,
    withDebian,
    withNpm,
    withPip,
)

INSTALLED = Path(".sdks").absolute()
OPERATIONS = 17
# Repeating a call that failed by FleetIQ's fault is the SDK's work, and shows that it saw as much.
FAULT = {"operation": "ListTagsForResource", "kind": "error", "code": "InternalServiceException"}


def venvEnvironment(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


@dataclass(frozen=True, slots=True)
class Client:
    """
    @ivar install: installs the client into a folder.
    @ivar command: runs its calls, in that folder.
    @ivar environment: returns the variables that it needs there.
    @ivar operations: how many operations it calls; a client of the metadata calls none.
    @ivar imds: the versions of the metadata that it gets.
    @ivar isOld: whether it does not know the variable of the endpoint, and needs a slash at the end
        of that of the metadata.
    """

    install: Callable[[Path], None]
    command: Sequence[str]
    environment: Callable[[Path], Mapping[str, str]] = venvEnvironment
    operations: int = OPERATIONS
    imds: str = "v2"
    isOld: bool = False


def _program(name: str) -> str:
    return str(HERE / name)


def _go(version: str, package: str) -> Client:
    return Client(
        partial(withDebian, f"golang-go {package}"),
        ("go", "run", _program(f"{version}/main.go")),
        debianEnvironment,
    )


BOTO3 = ("bin/python", _program("calls_of_boto3.py"))
CLI = ("bash", _program("calls_of_cli.sh"))
JAVASCRIPT = ("node", "calls_of_javascript.mjs")
withClient = partial(withNpm, "@aws-sdk/client-gamelift", "calls_of_javascript.mjs")
CLIENTS = {
    "boto3-1.34": Client(partial(withPip, "boto3==1.34.*"), BOTO3),
    "boto3": Client(partial(withPip, "boto3"), BOTO3),
    "cli": Client(partial(withPip, "awscli"), CLI),
    "cli-2": Client(partial(withDebian, "awscli"), CLI, debianEnvironment, isOld=True),
    "javascript": Client(withClient, JAVASCRIPT),
    "javascript-cbor": Client(withClient, (*JAVASCRIPT, "cbor")),
    "go-1": _go("go1", "golang-github-aws-aws-sdk-go-dev"),
    "go-2": _go("go2", "golang-github-aws-aws-sdk-go-v2-dev"),
    "metadata-botocore": Client(
        partial(withPip, "botocore"),
        ("bin/python", _program("metadata_of_botocore.py")),
        operations=0,
    ),
    "metadata-javascript": Client(
        partial(withNpm, "@aws-sdk/credential-providers", "metadata_of_javascript.mjs"),
        ("node", "metadata_of_javascript.mjs"),
        operations=0,
    ),
    "metadata-cloud-init": Client(
        partial(withDebian, "cloud-init"),
        ("/usr/bin/python3", _program("metadata_of_cloudinit.py")),
        debianEnvironment,
        operations=0,
    ),
}


def main(names: Sequence[str]) -> int:
    """Run these clients, or all. Return 1 if one failed."""
    if unknown := set(names) - set(CLIENTS):
        raise SystemExit(f"There is no {', '.join(unknown)}: choose of {', '.join(CLIENTS)}.")
    return max([run(name, CLIENTS[name]) for name in names or CLIENTS])


def run(name: str, client: Client) -> int:
    """Install and run one client. Return 1 if it failed."""
    folder = INSTALLED / name
    try:
        client.install(folder)
    except CannotInstall as error:
        sys.stdout.write(f"skipped: {name} cannot be installed here: {error}\n")
        return 0
    with RunningFleetIQ(imds=client.imds) as fleetIQ:
        fleetIQ.fault(count=1, **FAULT)
        began = perf_counter()
        done = subprocess.run(
            [str(folder / part) if part.startswith("bin/") else part for part in client.command],
            cwd=folder,
            env={"HOME": str(folder), **client.environment(folder), **_variables(fleetIQ, client)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        calls = fleetIQ.state()["calls"]
    repeated = client.operations == 0 or calls.get(str(FAULT["operation"]), 0) > 2
    passed = done.returncode == 0 and len(calls) == client.operations and repeated
    counts = f"{len(calls)} of {client.operations} operations, {sum(calls.values())} calls, "
    sys.stdout.write(
        f"{'passed' if passed else 'FAILED'}: {name}, {counts if client.operations else ''}"
        f"{'' if repeated else 'nothing repeated, '}"
        f"{perf_counter() - began:.0f} s: {done.stdout}\n".replace("\n\n", "\n")
    )
    return int(not passed)


def _variables(fleetIQ: RunningFleetIQ, client: Client) -> dict[str, str]:
    # Credentials come from the instance metadata.
    variables = {name: value for name, value in fleetIQ.environment.items() if "KEY" not in name}
    if client.isOld:
        variables["ENDPOINT_URL"] = variables.pop("AWS_ENDPOINT_URL_GAMELIFT")
        variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] += "/"
    return variables


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
