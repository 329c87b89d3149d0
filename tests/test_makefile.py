"""The Makefile's bad days: what is missing or stale where make is typed, with acted Pythons."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent

# All that the Makefile and PYTHON run, alone on PATH: so this machine's Pythons are not found.
TOOLS = ("make", "sh", "grep", "rm", "mv", "mkdir", "touch", "cp", "chmod")

# Answers what the Makefile asks of a Python, and leaves what it looks for of a venv and an install.
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
    """Our Makefile in a folder of its own, and the Pythons that a test puts on PATH."""

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
        """Put a Python on PATH, with shell commands that act its ensurepip and its pip."""
        python = self.path / f"python{version}"
        python.write_text(PYTHON.format(version=version, ensurepip=ensurepip, pip=pip))
        python.chmod(0o755)
        return python

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Type make in the clone, where .venv is activated if there is one."""
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
        """Make this one file newer than .venv, however coarse the file system's clock is."""
        for file, seconds in (
            ("setup.cfg", 1),
            ("pyproject.toml", 1),
            (".venv/made", 2),
            (name, 3),
        ):
            os.utime(self.clone / file, (seconds, seconds))

    def assertMakes(self, version: str) -> None:
        """C{make test} makes a .venv with this version, and runs the tests in it."""
        made = self.make("test")
        self.assertIn(f"Making .venv with python{version} ...\n", made.stdout)
        self.assertIn(f"{version} runs trial tests\n", made.stdout)
        self.assertEqual((made.returncode, made.stderr), (0, ""))

    def assertKeeps(self, version: str) -> None:
        """C{make test} runs the tests, and nothing before them."""
        made = self.make("test")
        self.assertEqual(made.stdout, f".venv/bin/trial tests\n{version} runs trial tests\n")
        self.assertEqual((made.returncode, made.stderr), (0, ""))

    def assertRefuses(self, *words: str) -> None:
        """C{make test} fails with one sentence that holds these words."""
        made = self.make("test")
        self.assertNotEqual(made.returncode, 0)
        sentence, makesOwn = made.stderr.splitlines()
        for word in words:
            self.assertIn(word, sentence)
        self.assertIn("make: ***", makesOwn)
        self.assertNotIn("runs trial", made.stdout)

    def test_firstAndSecondTime(self) -> None:
        """The first make makes .venv, the second one has nothing to do."""
        self.python("3.12")
        self.assertMakes("3.12")
        self.assertKeeps("3.12")

    def test_newestWins(self) -> None:
        """Of several Pythons the newest is taken."""
        for version in ("3.11", "3.13", "3.12", "3.10"):
            self.python(version)
        self.assertMakes("3.13")

    def test_shimThatFails(self) -> None:
        """A pyenv shim of a version that is not switched on is no Python."""
        (self.path / "python3.14").write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
        (self.path / "python3.14").chmod(0o755)
        self.python("3.11")
        self.assertMakes("3.11")

    def test_newestWithoutVenv(self) -> None:
        """A Python that cannot make a venv stands back for an older one that can."""
        self.python("3.13", ensurepip="exit 1")
        self.python("3.12")
        self.assertMakes("3.12")

    def test_noPython(self) -> None:
        """Without any Python a sentence says how to get one, and nothing is left."""
        self.python("3.10")
        self.assertRefuses("No python3.11 to python3.14", *INSTALL_LINES)
        self.assertFalse((self.clone / ".venv").exists())

    def test_noVenv(self) -> None:
        """As on Debian: the sentence names the package that the newest Python lacks."""
        self.python("3.11", ensurepip="exit 1")
        self.python("3.12", ensurepip="exit 1")
        self.assertRefuses("python3.12 has no venv", "python3.12-venv", *INSTALL_LINES)
        self.assertFalse((self.clone / ".venv").exists())

    def test_noNetwork(self) -> None:
        """When pip fails, a sentence says where its words are; the next make finishes the work."""
        self.python("3.12", pip="[ -e network ] || { echo no route >&2; exit 1; }")
        self.assertRefuses("pip could not install", ".venv/pip.log")
        self.assertEqual((self.clone / ".venv" / "pip.log").read_text(), "no route\n")
        (self.clone / "network").touch()
        self.assertIn("3.12 runs trial tests", self.make("test").stdout)
        self.assertKeeps("3.12")

    def test_noNetworkLater(self) -> None:
        """A change of setup.cfg without a network keeps the .venv until pip can work."""
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
        """What pip was killed in, half unpacked, is made anew."""
        self.python("3.12", pip="[ -e alive ] || kill -KILL $PPID")
        self.assertNotEqual(self.make("test").returncode, 0)
        (self.clone / "alive").touch()
        self.assertMakes("3.12")

    def test_settingsNewer(self) -> None:
        """New settings are installed into the .venv there is."""
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
        """A .venv whose Python was removed is made anew with one that is there."""
        self.python("3.12")
        self.assertMakes("3.12")
        (self.clone / ".venv" / "bin" / "python").unlink()
        (self.path / "python3.12").unlink()
        self.python("3.11")
        self.assertMakes("3.11")

    def test_arguments(self) -> None:
        """C{ARGS} goes to the game server, the player and the tests."""
        self.python("3.12")
        for target, command in (
            ("run", "twistd -n fleetiq-echo"),
            ("play", "fleetiq play"),
            ("test", "trial"),
        ):
            made = self.make(target, "ARGS=--some thing")
            self.assertIn(f"3.12 runs {command} --some thing\n", made.stdout)

    def test_nothingTyped(self) -> None:
        """C{make} alone says what can be typed, and makes nothing."""
        said = self.make().stdout
        for target in ("run", "play", "test", "lint", "coverage"):
            self.assertIn(f"make {target} ", said)
        self.assertFalse((self.clone / ".venv").exists())


class ActivatedTests(SynchronousTestCase):
    """What C{. .venv/bin/activate} brings."""

    def test_commandsAreFound(self) -> None:
        """The README's commands are found by their bare names."""
        bin = Path(sysconfig.get_path("scripts"))
        script = (
            f". '{bin}/activate' && command -v twistd && command -v trial && command -v fleetiq"
        )
        found = subprocess.run(
            ["/bin/sh", "-c", script], env={}, capture_output=True, text=True, check=True
        )
        expected = [str(bin / name) for name in ("twistd", "trial", "fleetiq")]
        self.assertEqual(found.stdout.splitlines(), expected)
