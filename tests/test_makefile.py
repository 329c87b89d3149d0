"""The Makefile with a missing or outdated C{.venv}, with scripts that replace Python."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent

# The commands of the Makefile and of PYTHON. Only these are on PATH, no Python of the system.
TOOLS = ("make", "sh", "grep", "rm", "mv", "mkdir", "touch", "cp", "chmod")

# Does what the Makefile needs from Python: it creates the files of a venv and an installation.
PYTHON = """#!/bin/sh
case "$*" in
"-c import venv, ensurepip") {ensurepip} ;;
"-m venv .venv")
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python
    cp "$0" .venv/bin/python{version}
    echo "#!$PWD/.venv/bin/python" > .venv/bin/pip ;;
"-m pip install "*)
    {pip}
    for command in trial twistd fleetiq; do
        printf '#!/bin/sh\\necho "{version} runs ${{0##*/}} $*"\\n' > .venv/bin/$command
        chmod +x .venv/bin/$command
    done ;;
esac
"""

INSTALL_LINES = ("sudo apt install", "sudo dnf install python3.11", "brew install python@3.13")


class MakefileTests(SynchronousTestCase):
    """The Makefile in an empty folder, and the scripts for Python that a test puts on PATH."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.path.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, tool
            (self.path / tool).symlink_to(found)
        self.clone = Path(self.mktemp()).absolute()
        self.clone.mkdir()
        shutil.copy(ROOT / "Makefile", self.clone)
        for name in ("setup.cfg", "pyproject.toml"):
            (self.clone / name).touch()

    def python(self, version: str, ensurepip: str = "exit 0", pip: str = ":") -> Path:
        """Put a script for Python on PATH, with shell commands for its ensurepip and its pip."""
        python = self.path / f"python{version}"
        python.write_text(PYTHON.format(version=version, ensurepip=ensurepip, pip=pip))
        python.chmod(0o755)
        return python

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run make in the clone. If there is a .venv, it is activated."""
        return subprocess.run(
            ["make", *arguments],
            cwd=self.clone,
            env={"PATH": f"{self.clone}/.venv/bin:{self.path}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def change(self, name: str) -> None:
        """Make a file newer than .venv, also if the file system has coarse times."""
        for file, seconds in (
            ("setup.cfg", 1),
            ("pyproject.toml", 1),
            (".venv/made", 2),
            (name, 3),
        ):
            os.utime(self.clone / file, (seconds, seconds))

    def assertMakes(self, version: str) -> None:
        """Check that C{make test} creates a .venv with this version, and runs the tests in it."""
        made = self.make("test")
        self.assertIn(f"Making .venv with python{version} ...\n", made.stdout)
        self.assertIn(f"{version} runs trial tests\n", made.stdout)
        self.assertEqual((made.returncode, made.stderr), (0, ""))

    def assertKeeps(self, version: str) -> None:
        """Check that C{make test} runs only the tests."""
        made = self.make("test")
        self.assertEqual(made.stdout, f".venv/bin/trial tests\n{version} runs trial tests\n")
        self.assertEqual((made.returncode, made.stderr), (0, ""))

    def assertRefuses(self, *words: str) -> None:
        """Check that C{make test} fails with one sentence that contains these words."""
        made = self.make("test")
        self.assertNotEqual(made.returncode, 0)
        sentence, makeError = made.stderr.splitlines()
        for word in words:
            self.assertIn(word, sentence)
        self.assertIn("make: ***", makeError)
        self.assertNotIn("runs trial", made.stdout)

    def test_twice(self) -> None:
        """The first make creates .venv, the second one keeps it."""
        self.python("3.12")
        self.assertMakes("3.12")
        self.assertKeeps("3.12")

    def test_newest(self) -> None:
        """The newest of several versions is used."""
        for version in ("3.11", "3.13", "3.12", "3.10"):
            self.python(version)
        self.assertMakes("3.13")

    def test_shimThatFails(self) -> None:
        """A pyenv shim of an inactive version is not used."""
        (self.path / "python3.14").write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
        (self.path / "python3.14").chmod(0o755)
        self.python("3.11")
        self.assertMakes("3.11")

    def test_newestWithoutVenv(self) -> None:
        """If a version cannot create a venv, an older one is used."""
        self.python("3.13", ensurepip="exit 1")
        self.python("3.12")
        self.assertMakes("3.12")

    def test_noPython(self) -> None:
        """Without Python, the message says how to install it, and no .venv is left."""
        self.python("3.10")
        self.assertRefuses("No python3.11 to python3.14", *INSTALL_LINES)
        self.assertFalse((self.clone / ".venv").exists())

    def test_noVenv(self) -> None:
        """The message has the name of the missing package of Debian for the newest version."""
        self.python("3.11", ensurepip="exit 1")
        self.python("3.12", ensurepip="exit 1")
        self.assertRefuses("python3.12 has no venv", "python3.12-venv", *INSTALL_LINES)
        self.assertFalse((self.clone / ".venv").exists())

    def test_noNetwork(self) -> None:
        """If pip fails, the message has the path of its log. The next make installs again."""
        self.python("3.12", pip="[ -e network ] || { echo no route >&2; exit 1; }")
        self.assertRefuses("pip could not install", ".venv/pip.log")
        self.assertEqual((self.clone / ".venv" / "pip.log").read_text(), "no route\n")
        (self.clone / "network").touch()
        self.assertIn("3.12 runs trial tests", self.make("test").stdout)
        self.assertKeeps("3.12")

    def test_noNetworkLater(self) -> None:
        """A change of setup.cfg without a network keeps the .venv for the next make."""
        self.python("3.12", pip="[ -e network ] || exit 1")
        (self.clone / "network").touch()
        self.assertMakes("3.12")
        (self.clone / "network").unlink()
        self.change("setup.cfg")
        self.assertRefuses("pip could not install")
        (self.clone / "network").touch()
        self.assertNotIn("Making", self.make("test").stdout)
        self.assertKeeps("3.12")

    def test_killed(self) -> None:
        """If pip was killed, the next make creates a new .venv."""
        self.python("3.12", pip="[ -e alive ] || kill -KILL $PPID")
        self.assertNotEqual(self.make("test").returncode, 0)
        (self.clone / "alive").touch()
        self.assertMakes("3.12")

    def test_settingsNewer(self) -> None:
        """If the settings are newer, they are installed into the existing .venv."""
        self.python("3.12")
        for name in ("setup.cfg", "pyproject.toml"):
            self.make("test")
            self.change(name)
            made = self.make("test")
            self.assertNotIn("Making", made.stdout)
            self.assertIn("Installing", made.stdout)
            self.assertKeeps("3.12")

    def test_moved(self) -> None:
        """A clone that was moved, here to a path with a space, gets a new .venv."""
        self.python("3.12")
        self.assertMakes("3.12")
        self.clone = self.clone.rename(f"{self.clone} moved")
        self.assertMakes("3.12")
        self.assertKeeps("3.12")

    def test_pythonGone(self) -> None:
        """If the Python of a .venv was removed, a new .venv is created with another version."""
        self.python("3.12")
        self.assertMakes("3.12")
        (self.clone / ".venv" / "bin" / "python").unlink()
        (self.path / "python3.12").unlink()
        self.python("3.11")
        self.assertMakes("3.11")

    def test_arguments(self) -> None:
        """C{ARGS} are passed to the game server, the player and the tests."""
        self.python("3.12")
        for target, command in (
            ("run", "twistd -n fleetiq-echo"),
            ("play", "fleetiq play"),
            ("test", "trial"),
        ):
            made = self.make(target, "ARGS=--some thing")
            self.assertIn(f"3.12 runs {command} --some thing\n", made.stdout)

    def test_help(self) -> None:
        """C{make} without arguments prints the targets, and creates nothing."""
        printed = self.make().stdout
        for target in ("run", "play", "test", "lint", "coverage"):
            self.assertIn(f"make {target} ", printed)
        self.assertFalse((self.clone / ".venv").exists())


class ActivatedTests(SynchronousTestCase):
    """The commands after C{. .venv/bin/activate}."""

    def test_commandsAreFound(self) -> None:
        """The commands of the README are found without their path."""
        bin = Path(sysconfig.get_path("scripts"))
        script = (
            f". '{bin}/activate' && command -v twistd && command -v trial && command -v fleetiq"
        )
        found = subprocess.run(
            ["/bin/sh", "-c", script], env={}, capture_output=True, text=True, check=True
        )
        expected = [str(bin / name) for name in ("twistd", "trial", "fleetiq")]
        self.assertEqual(found.stdout.splitlines(), expected)
