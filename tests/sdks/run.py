"""
Whether AWS's own SDKs drive every operation of the local FleetIQ: C{make sdks}.

Installs each into a folder of its own below C{.sdks}, from its package registry, and runs its
C{calls_of_...} against a fresh local FleetIQ, with nothing but the variables that point there and
name a region. C{.venv/bin/python -m tests.sdks.run javascript} runs one of them.
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
# Repeating a call that failed by FleetIQ's fault is the SDK's work, and shows that it saw as much.
FAULT = {"operation": "ListTagsForResource", "kind": "error", "code": "InternalServiceException"}


@dataclass(frozen=True, slots=True)
class Sdk:
    """
    @ivar install: puts the SDK into a folder.
    @ivar command: runs its calls, there.
    """

    install: Callable[[Path], None]
    command: Sequence[str]


def withPip(requirement: str, folder: Path) -> None:
    venv.create(folder, with_pip=True, symlinks=True)
    pip: list[str | Path] = [folder / "bin" / "pip", "install", "--quiet", "--upgrade", requirement]
    subprocess.run(pip, check=True)


def withNpm(package: str, folder: Path) -> None:
    if shutil.which("npm") is None:
        raise SystemExit("The JavaScript SDK needs Node.js: there is no npm on PATH.")
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
    """Run these, or all; 1 if one failed."""
    if unknown := set(names) - set(SDKS):
        raise SystemExit(f"There is no {', '.join(unknown)}: choose of {', '.join(SDKS)}.")
    return max([run(name, SDKS[name]) for name in names or SDKS])


def run(name: str, sdk: Sdk) -> int:
    folder = INSTALLED / name
    sdk.install(folder)
    with RunningFleetIQ() as fleetIQ:
        fleetIQ.fault(count=1, **FAULT)
        # Credentials come from the instance metadata.
        where = {name: value for name, value in fleetIQ.environment.items() if "KEY" not in name}
        began = perf_counter()
        done = subprocess.run(
            [str(folder / part) if part.startswith("bin/") else part for part in sdk.command],
            cwd=folder,
            env={
                **where,
                "HOME": str(folder),
                "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            },
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        calls = fleetIQ.state()["calls"]
    repeated = calls.get(str(FAULT["operation"]), 0) > 2
    passed = done.returncode == 0 and len(calls) == OPERATIONS and repeated
    sys.stdout.write(
        f"{'passed' if passed else 'FAILED'}: {name}, {len(calls)} of {OPERATIONS} operations, "
        f"{sum(calls.values())} calls{'' if repeated else ', nothing repeated'}, "
        f"{perf_counter() - began:.0f} s: {done.stdout}\n".replace("\n\n", "\n")
    )
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
