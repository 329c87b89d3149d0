"""The wheel and the editable installation: both have the twistd commands and C{fleetiq}."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

from twisted.application.reactors import IReactorInstaller
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

ROOT = Path(__file__).parent.parent
COMMANDS = {"fleetiq-echo", "fleetiq-local"}


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without the variables of the environment, and return its output."""
    ended = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.defpath, "HOME": str(cwd)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise AssertionError(f"{command} exited with {ended.returncode}:\n{ended.stdout}")
    return ended.stdout


class PluginTests(SynchronousTestCase):
    """The plugins of C{twisted/plugins}."""

    def test_everyPluginLoads(self) -> None:
        """Each plugin is a service maker whose module and options can be imported."""
        found = {p.tapname: p for p in getPlugins(IServiceMaker) if p.tapname in COMMANDS}
        self.assertEqual(found.keys(), COMMANDS)
        for plugin in found.values():
            verifyObject(IServiceMaker, plugin)
            plugin.options()

    def test_reactor(self) -> None:
        """C{twistd --reactor=uvloop} exists."""
        [installer] = [r for r in getPlugins(IReactorInstaller) if r.shortName == "uvloop"]
        verifyObject(IReactorInstaller, installer)

    def test_listingImportsNoServer(self) -> None:
        """The list of plugins imports only C{echoserver.game}, no server and no boto3."""
        script = (
            "import sys; from twisted.application.service import IServiceMaker;"
            "from twisted.application.reactors import getReactorTypes;"
            "from twisted.plugin import getPlugins; list(getReactorTypes());"
            "print([p.tapname for p in getPlugins(IServiceMaker)]);"
            "heavy = ('echoserver.', 'boto3', 'treq', 'uvloop');"
            "print(sorted(m for m in sys.modules if m.startswith(heavy)))"
        )
        names, imported = run(sys.executable, "-c", script, cwd=ROOT).splitlines()
        self.assertIn("fleetiq-echo", names)
        game = ["echoserver.game", "echoserver.game.game", "echoserver.game.plugin"]
        self.assertEqual(imported, str(game))


class InstallTests(SynchronousTestCase):
    """Build and install with setuptools and pip, in a new environment, without a network."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.source = self.folder / "source"
        # A copy, because the build writes build/ and egg-info.
        unwanted = shutil.ignore_patterns(
            ".*", "_trial_temp*", "__pycache__", "*.egg-info", "build"
        )
        shutil.copytree(ROOT, self.source, ignore=unwanted)

    def build(self, hook: str) -> Path:
        """Build a wheel with a hook of the build backend, as pip does, and return its path."""
        script = f"from setuptools import build_meta; build_meta.{hook}('..')"
        run(sys.executable, "-c", script, cwd=self.source)
        [wheel] = self.folder.glob("*.whl")
        return wheel

    def install(self, wheel: Path) -> Path:
        """Install the wheel and the dependencies into a new environment. Return its scripts."""
        environment = self.folder / "environment"
        venv.create(environment)
        python = environment / "bin" / "python"
        pip = (sys.executable, "-m", "pip", "--python", python, "--isolated")
        run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=self.folder)
        # After pip: otherwise it would find the installation of the running environment.
        [site] = environment.glob("lib/python*/site-packages")
        folders = sysconfig.get_path("purelib"), sysconfig.get_path("platlib")
        (site / "dependencies.pth").write_text("\n".join(folders))
        return python.parent

    def assertHasCommands(self, bin: Path) -> None:
        """Check that C{twistd} has both commands with their options, and that C{fleetiq} starts."""
        twistd = bin / "python", Path(sysconfig.get_path("scripts"), "twistd")
        plugins = run(*twistd, "--help", cwd=self.folder)
        for name in COMMANDS:
            self.assertIn(f" {name} ", plugins)
            self.assertIn("--listen", run(*twistd, name, "--help", cwd=self.folder))
        self.assertIn("play", run(bin / "fleetiq", "--help", cwd=self.folder))
        # The templates are files of the package.
        self.assertIn("[Service]", run(bin / "fleetiq", "template", "systemd", cwd=self.folder))

    def test_wheel(self) -> None:
        """C{pip install .} installs the commands. They do not need the source folder."""
        wheel = self.build("build_wheel")
        shutil.rmtree(self.source)
        self.assertHasCommands(self.install(wheel))

    def test_editable(self) -> None:
        """C{pip install -e .} installs the commands, with a C{.pth} file that Twisted can read."""
        self.assertHasCommands(self.install(self.build("build_editable")))

    def test_filesOfTheWheel(self) -> None:
        """It has C{echoserver/} and one plugin. C{twisted/__init__.py} would hide Twisted."""
        with ZipFile(self.build("build_wheel")) as wheel:
            files = {name for name in wheel.namelist() if ".dist-info/" not in name}
        expected = {
            str(path.relative_to(self.source))
            for path in (self.source / "echoserver").rglob("*")
            if path.is_file()
        }
        self.assertEqual(files, expected | {"twisted/plugins/fleetiq_echo.py"})
