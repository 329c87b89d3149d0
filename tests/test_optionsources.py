"""The sources of options: environment, file, and the list of --print-config."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.tap import Options as LocalOptions
from echoserver.optionsources import OptionNames, asTOML, fromEnvironment, fromFile, variableOf
from tests.programdoubles import EchoOptions

NAMES = OptionNames(["max-players", "listen", "group"], ["quotas"], ["group"])


class SourcesTestCase(SynchronousTestCase):
    """A test with a configuration file."""

    def file(self, content: str | bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def assertPrinted(self, options: Any, words: list[str]) -> dict[str, tuple[Any, str]]:
        """Return what --print-config prints, as values and sources."""
        printed: list[str] = []

        def show(text: str) -> None:
            printed.append(text)
            raise SystemExit(0)

        self.patch(options, "_show", show)
        error = self.assertRaises(SystemExit, options.parseOptions, [*words, "--print-config"])
        self.assertEqual(error.code, 0)
        values = tomllib.loads(printed[0])
        found = {}
        for line in printed[0].splitlines():
            setting, _, source = line.rpartition(" # ")
            name = setting.removeprefix("# ").split()[0]
            found[name] = (values.get(name), source)
        return found


class EnvironmentTests(SynchronousTestCase):
    """Environment variables."""

    def test_names(self) -> None:
        """Each option has a variable; others are ignored."""
        self.assertEqual(variableOf("max-players"), "FLEETIQ_MAX_PLAYERS")
        [found] = fromEnvironment({"FLEETIQ_MAX_PLAYERS": "3", "FLEETIQ_PORT": "5"}, NAMES)
        self.assertEqual(found.words(), ["--max-players=3"])

    def test_flags(self) -> None:
        """A flag is on, off, or wrong."""
        for value, expected in (("1", [["--quotas"]]), ("true", [["--quotas"]]), ("0", [])):
            found = fromEnvironment({"FLEETIQ_QUOTAS": value}, NAMES)
            self.assertEqual([each.words() for each in found], expected)
        error = self.assertRaises(ValueError, fromEnvironment, {"FLEETIQ_QUOTAS": "x"}, NAMES)
        self.assertEqual(str(error), "FLEETIQ_QUOTAS is 'x': write 1 or 0.")


class FileTests(SourcesTestCase):
    """Configuration files."""

    def test_values(self) -> None:
        """Strings, numbers, flags, and lists for options that may be repeated."""
        path = self.file('max-players = 3\nquotas = true\ngroup = ["a", "b"]\nlisten = "tcp:1"\n')
        self.assertEqual(
            [each.words() for each in fromFile(path, NAMES)],
            [["--max-players=3"], ["--quotas"], ["--group=a", "--group=b"], ["--listen=tcp:1"]],
        )
        self.assertEqual(fromFile(self.file("quotas = false"), NAMES), [])

    def test_wrong(self) -> None:
        """A wrong file ends with a sentence that has the line and the key."""
        option = "is not an option"
        for content, sentence in (
            ("\n\nmax-playrs = 1", f"line 3: max-playrs {option}: did you mean max-players?"),
            ("max_players = 1", f"line 1: max_players {option}: did you mean max-players?"),
            ("[a]\nb = 1", f"line 1: a {option}; '--help' lists the options."),
            ("# x\nquotas = 1", "line 2: quotas is 1: write true or false."),
            ("listen = true", "line 1: listen is true: write a string or a number."),
            ("listen = 2020-01-01", "line 1: listen is 2020-01-01: write a string or a number."),
            ("[listen]", "line 1: listen is a table: write a string or a number."),
            ("group = [1]", 'line 1: group is [1]: write strings, as in ["a", "b"].'),
            (
                "\nlisten = ",
                "line 2: not TOML (Invalid value): write for example max-players = 10.",
            ),
            ("listen = [", "line 1: not TOML (Invalid value): write for example max-players = 10."),
            (b"# \xff", "line 1: it is not UTF-8: write it in UTF-8."),
        ):
            path = self.file(content)
            error = self.assertRaises(ValueError, fromFile, path, NAMES)
            self.assertEqual(str(error), f"{path}, {sentence}")

    def test_cannotRead(self) -> None:
        """A file that cannot be read, and one that is too large, end with a sentence."""
        for path, part in (
            (self.mktemp(), "cannot be read (No such file or directory): name a TOML file."),
            ("a\0b", "cannot be read (embedded null byte): name a TOML file."),
            ("/dev/zero", "/dev/zero has more than 1000000 bytes: name a TOML file."),
        ):
            self.assertIn(part, str(self.assertRaises(ValueError, fromFile, path, NAMES)))

    @settings(deadline=None)
    @given(st.text(), st.lists(st.text()))
    def test_anyText(self, value: str, values: list[str]) -> None:
        """Each value is printed as TOML that has the same value."""
        printed = asTOML([("a", value, "default"), ("b", values, "default"), ("c", None, "x")])
        self.assertEqual(tomllib.loads(printed), {"a": value, "b": values})


class PrecedenceTests(SourcesTestCase):
    """Which of several sources has precedence."""

    def test_order(self) -> None:
        """Command line, environment, file, default."""
        path = self.file("max-players = 1\nservers = 2\nidle-timeout = 3.5\n")
        environ = {
            "FLEETIQ_CONFIG": path,
            "FLEETIQ_MAX_PLAYERS": "4",
            "FLEETIQ_SERVERS": "5",
            "STATE_DIRECTORY": "/var/lib/x",
        }
        found = self.assertPrinted(EchoOptions(environ), ["--servers", "6"])
        for name, expected in {
            "servers": ("6", "command line"),
            "max-players": ("4", "environment FLEETIQ_MAX_PLAYERS"),
            "idle-timeout": ("3.5", f"{path}, line 3"),
            "grace": ("3", "default"),
            "state-dir": ("/var/lib/x", "environment STATE_DIRECTORY"),
            "show-bytes": (False, "default"),
            "group": (None, "default"),
        }.items():
            self.assertEqual(found[name], expected)
        known = {words[0] for words in EchoOptions.optParameters} - {"config"}
        self.assertLessEqual(known, {*found})

    def test_local(self) -> None:
        """A repeated option of the command line replaces all of its values in the file."""
        path = self.file('group = ["a", "b"]\nquotas = true\nsetting = "scale-target=50"\n')
        found = self.assertPrinted(LocalOptions({}), [f"--config={path}"])
        self.assertEqual(found["group"], (["a", "b"], f"{path}, line 1"))
        self.assertEqual(found["quotas"], (True, f"{path}, line 2"))
        found = self.assertPrinted(LocalOptions({}), [f"--config={path}", "--group=c"])
        self.assertEqual(found["group"], (["c"], "command line"))

    def test_printedIsInput(self) -> None:
        """What is printed is a configuration file with the same values."""
        options = EchoOptions({})
        printed: list[str] = []
        self.patch(options, "_show", printed.append)
        options.parseOptions(["--max-players=3", "--show-bytes", "--print-config"])
        again = EchoOptions({})
        again.parseOptions([f"--config={self.file(printed[0])}"])
        self.assertEqual(again.settings, options.settings)
        self.assertTrue(again["show-bytes"])

    def test_wrongValue(self) -> None:
        """The sentence names the source of a wrong value."""
        path = self.file("\nmax-players = 'x'\n")
        for environ, words, subject in (
            ({"FLEETIQ_MAX_PLAYERS": "x"}, [], "FLEETIQ_MAX_PLAYERS"),
            ({}, ["--config", path], f"{path}, line 2: max-players"),
            ({}, ["--max-players=x"], "--max-players"),
        ):
            error = self.assertRaises(SystemExit, EchoOptions(environ).parseOptions, words)
            self.assertEqual(
                str(error),
                f"twistd fleetiq-echo: {subject} is 'x': write a whole number from 1 to 65535.",
            )

    def test_wrongOption(self) -> None:
        """A misspelled option is answered with the nearest right one."""
        error = self.assertRaises(SystemExit, EchoOptions({}).parseOptions, ["--max-playrs=3"])
        self.assertEqual(
            str(error),
            "twistd fleetiq-echo: option --max-playrs not recognized: did you mean max-players?",
        )
