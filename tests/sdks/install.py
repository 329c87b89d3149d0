"""Install the clients of C{make sdks}, each into its own folder, and change nothing else."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).parent


class CannotInstall(Exception):
    """This machine cannot install a client. The message says why."""


def withPip(requirement: str, folder: Path) -> None:
    venv.create(folder, with_pip=True, symlinks=True)
    _run([folder / "bin" / "pip", "install", "--quiet", "--upgrade", requirement])


def withNpm(package: str, program: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Node looks for packages beside the program.
    shutil.copy(HERE / program, folder)
    options = ["--silent", "--no-audit", "--no-fund"]
    _run(["npm", "install", *options, "--prefix", folder, package])


def withDebian(packages: str, folder: Path) -> None:
    """Extract Debian packages and their dependencies into a folder, without installing them."""
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    options = ["--yes", "--quiet=2", "--no-install-recommends", "--download-only"]
    settings = ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=true"]
    _run(["apt-get", "install", *options, *settings, *packages.split()])
    for archive in archives.glob("*.deb"):
        _run(["dpkg-deb", "--extract", archive, folder])


def debianEnvironment(folder: Path) -> dict[str, str]:
    """Return the variables with which programs find the packages that were extracted."""
    go = max(folder.glob("usr/lib/go-*"), default=None)
    variables = {
        "PATH": os.pathsep.join([str(folder / "usr/bin"), os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "usr/lib/python3/dist-packages"),
        "GOPATH": str(folder / "usr/share/gocode"),
        "GO111MODULE": "off",
        "GOFLAGS": "",
    }
    if go is not None:
        variables["GOROOT"] = str(go)
        variables["PATH"] = os.pathsep.join([str(go / "bin"), variables["PATH"]])
    return variables


def _run(command: list[str | Path]) -> None:
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise CannotInstall(f"there is no {command[0]} on PATH") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise CannotInstall(lines[-1]) from None
