"""What an install brings: a wheel and an editable one offer our twistd commands and C{fleetiq}."""

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
OURS = {"fleetiq-echo", "fleetiq-local"}


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed, and whose environment knows no checkout."""
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
    """What twistd finds in C{twisted/plugins}."""

    def test_everyPluginLoads(self) -> None:
        """Each of our plugins is a service maker whose module and options can be imported."""
        found = {p.tapname: p for p in getPlugins(IServiceMaker) if p.tapname in OURS}
        self.assertEqual(found.keys(), OURS)
        for plugin in found.values():
            verifyObject(IServiceMaker, plugin)
            plugin.options()

    def test_reactor(self) -> None:
        """C{twistd --reactor=uvloop} is there, and listing it imports no uvloop."""
        [installer] = [r for r in getPlugins(IReactorInstaller) if r.shortName == "uvloop"]
        verifyObject(IReactorInstaller, installer)

    def test_listingImportsNoServer(self) -> None:
        """Each twistd and trial on the machine lists our plugins: that costs it nothing."""
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
    """The real build backend and the real pip, in a fresh environment, without a network."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.source = self.folder / "source"
        # A copy, because building leaves build/ and egg-info behind.
        unwanted = shutil.ignore_patterns(
            ".*", "_trial_temp*", "__pycache__", "*.egg-info", "build"
        )
        shutil.copytree(ROOT, self.source, ignore=unwanted)

    def build(self, hook: str) -> Path:
        """The wheel that pip would install, by the build backend's C{hook}."""
        script = f"from setuptools import build_meta; build_meta.{hook}('..')"
        run(sys.executable, "-c", script, cwd=self.source)
        [wheel] = self.folder.glob("*.whl")
        return wheel

    def install(self, wheel: Path) -> Path:
        """The scripts of a fresh environment with C{wheel} in it and our dependencies in reach."""
        environment = self.folder / "environment"
        venv.create(environment)
        python = environment / "bin" / "python"
        pip = (sys.executable, "-m", "pip", "--python", python, "--isolated")
        run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=self.folder)
        # Only now, or pip would take the running environment's install for its own.
        [site] = environment.glob("lib/python*/site-packages")
        ours = sysconfig.get_path("purelib"), sysconfig.get_path("platlib")
        (site / "dependencies.pth").write_text("\n".join(ours))
        return python.parent

    def assertOffersTheCommands(self, bin: Path) -> None:
        """C{twistd} there knows both commands, and their options; C{fleetiq} starts."""
        twistd = bin / "python", Path(sysconfig.get_path("scripts"), "twistd")
        offered = run(*twistd, "--help", cwd=self.folder)
        for name in OURS:
            self.assertIn(f" {name} ", offered)
            self.assertIn("--listen", run(*twistd, name, "--help", cwd=self.folder))
        self.assertIn("play", run(bin / "fleetiq", "--help", cwd=self.folder))

    def test_wheel(self) -> None:
        """C{pip install .} offers the commands, from code that needs no checkout."""
        wheel = self.build("build_wheel")
        shutil.rmtree(self.source)
        self.assertOffersTheCommands(self.install(wheel))

    def test_editable(self) -> None:
        """C{pip install -e .} offers the commands: Twisted finds no plugins behind a finder."""
        self.assertOffersTheCommands(self.install(self.build("build_editable")))

    def test_wheelHoldsOurFilesAndNoOthers(self) -> None:
        """All of C{echoserver/} and one plugin: a C{twisted/__init__.py} would hide Twisted."""
        with ZipFile(self.build("build_wheel")) as wheel:
            held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        ours = {
            str(path.relative_to(self.source))
            for path in (self.source / "echoserver").rglob("*")
            if path.is_file()
        }
        self.assertEqual(held, ours | {"twisted/plugins/fleetiq_echo.py"})
