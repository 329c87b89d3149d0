"""
Call each operation of the local FleetIQ with AWS's own SDKs: C{make sdks}.

Installs each SDK from its package registry into its own folder in C{.sdks}. Runs its
C{calls_of_...} with a new local FleetIQ, and only with the environment variables for its URLs and
a Region. C{.venv/bin/python -m tests.sdks.run javascript} runs one of them.
"""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from echoserver.local.testing import RunningFleetIQ

HERE = Path(__file__).parent
INSTALLED = Path(".sdks").absolute()
OPERATIONS = 17
# An SDK retries a call after this error. The number of calls shows that it did.
FAULT = {"operation": "ListTagsForResource", "kind": "error", "code": "InternalServiceException"}


@dataclass(frozen=True, slots=True)
class Sdk:
    """
    How an SDK is installed and run.

    @ivar install: installs the SDK into a folder.
    @ivar command: the command that runs its calls in this folder.
    """

    install: Callable[[Path], None]
    command: Sequence[str]


def withPip(requirement: str, folder: Path) -> None:
    """Install a Python package into a virtual environment."""
    venv.create(folder, with_pip=True, symlinks=True)
    pip: list[str | Path] = [folder / "bin" / "pip", "install", "--quiet", "--upgrade", requirement]
    subprocess.run(pip, check=True)


def withNpm(package: str, folder: Path) -> None:
    """Install a JavaScript package, and copy the program beside it."""
    if shutil.which("npm") is None:
        raise SystemExit("The JavaScript SDK needs Node.js: npm is not on PATH.")
    folder.mkdir(parents=True, exist_ok=True)
    # Node looks for packages beside the program.
    shutil.copy(HERE / "calls_of_javascript.mjs", folder)
    npm: list[str | Path] = [
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--prefix",
        folder,
        package,
    ]
    subprocess.run(npm, check=True)


BOTO3 = ("bin/python", str(HERE / "calls_of_boto3.py"))
JAVASCRIPT = ("node", "calls_of_javascript.mjs")
withClient = partial(withNpm, "@aws-sdk/client-gamelift")
SDKS = {
    "boto3-1.34": Sdk(partial(withPip, "boto3==1.34.*"), BOTO3),
    "boto3": Sdk(partial(withPip, "boto3"), BOTO3),
    "cli": Sdk(partial(withPip, "awscli"), ("bash", str(HERE / "calls_of_cli.sh"))),
    "javascript": Sdk(withClient, JAVASCRIPT),
    "javascript-cbor": Sdk(withClient, (*JAVASCRIPT, "cbor")),
}


def main(names: Sequence[str]) -> int:
    """Run the named SDKs, by default all. Return 1 if one failed."""
    if unknown := set(names) - set(SDKS):
        raise SystemExit(f"Unknown SDK {', '.join(unknown)}: choose from {', '.join(SDKS)}.")
    return max([run(name, SDKS[name]) for name in names or SDKS])


def run(name: str, sdk: Sdk) -> int:
    """Install and run one SDK, and print the result. Return 1 if it failed."""
    folder = INSTALLED / name
    sdk.install(folder)
    with RunningFleetIQ() as fleetIQ:
        fleetIQ.fault(count=1, **FAULT)
        # The SDK gets its credentials from the instance metadata.
        variables = {key: value for key, value in fleetIQ.environment.items() if "KEY" not in key}
        began = perf_counter()
        done = subprocess.run(
            [str(folder / part) if part.startswith("bin/") else part for part in sdk.command],
            cwd=folder,
            env={
                **variables,
                "HOME": str(folder),
                "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            },
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        calls = fleetIQ.state()["calls"]
    retried = calls.get(str(FAULT["operation"]), 0) > 2
    passed = done.returncode == 0 and len(calls) == OPERATIONS and retried
    sys.stdout.write(
        f"{'passed' if passed else 'FAILED'}: {name}, {len(calls)} of {OPERATIONS} operations, "
        f"{sum(calls.values())} calls{'' if retried else ', without a retry'}, "
        f"{perf_counter() - began:.0f} s: {done.stdout}\n".replace("\n\n", "\n")
    )
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
