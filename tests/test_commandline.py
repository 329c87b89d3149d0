"""Arguments that are not UTF-8, help into a closed pipe, and errors at the start."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from twisted.logger import capturedLogs
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from echoserver.commandline import StartErrors, decoded
from tests.awsdoubles import logLines

COMMANDS = ("fleetiq-echo", "fleetiq-local")


class DecodedTests(SynchronousTestCase):
    """Arguments as Python decodes them."""

    def test_utf8(self) -> None:
        """UTF-8 is decoded, whatever the locale was when Python started."""
        korean = "--game-server-data=한국어"
        self.assertEqual(decoded([korean]), [korean])
        undecoded = korean.encode().decode("ascii", "surrogateescape")
        self.assertEqual(decoded(["-x", undecoded]), ["-x", korean])

    def test_notUTF8(self) -> None:
        """Other bytes are an error that names the option."""
        bad = os.fsdecode(b"\xff")
        for words, subject in (
            ([f"--game-server-data={bad}"], "--game-server-data is"),
            (["--group", bad], "--group is"),
            ([bad], "An argument is"),
            (["x", bad], "An argument is"),
            ([f"--{bad}", "x"], "An argument is"),
        ):
            error = self.assertRaises(usage.UsageError, decoded, words)
            self.assertIn(subject, str(error))
            self.assertIn("which is not UTF-8", str(error))
            self.assertTrue(str(error).isascii())


class StartErrorsTests(SynchronousTestCase):
    """How an error at the start reaches the terminal."""

    def test_foreground(self) -> None:
        """In the foreground the sentence is that of a SystemExit."""
        error = StartErrors(foreground=True).error("No.")
        self.assertIsInstance(error, SystemExit)
        self.assertEqual(str(error), "No.")

    def test_pidFile(self) -> None:
        """In the foreground the pid file is removed, unless it is of another process."""
        path = Path(self.mktemp())
        for pid, kept in ((str(os.getpid()), False), ("1", True), ("x", True)):
            path.write_text(pid)
            StartErrors(foreground=True, pidFile=str(path)).error("No.")
            self.assertEqual(path.exists(), kept)

    def test_daemon(self) -> None:
        """A daemon writes the whole sentence to the standard error that it had, and closes it."""
        errors = StartErrors(foreground=False)
        read, write = os.pipe()
        errors.started()
        self.patch(errors, "_stderr", write)
        with capturedLogs() as events:
            error: Any = errors.error("No. " * 100)
        self.assertIsInstance(error, RuntimeError)
        self.assertEqual(os.read(read, 1000), b"No. " * 100 + b"\n")
        self.assertEqual(os.read(read, 1), b"")
        os.close(read)
        self.assertEqual(logLines(events), ["No. " * 100])


class ProcessTests(SynchronousTestCase):
    """Real processes of twistd."""

    def run_(self, *words: bytes, **environ: str) -> tuple[int, str]:
        twistd = os.path.join(os.path.dirname(sys.executable), "twistd")
        process = Popen(
            [twistd.encode(), b"-n", *words],
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env={"PATH": os.defpath, **environ},
        )
        output, errors = process.communicate(timeout=60)
        return process.returncode, (output + errors).decode()

    def test_version(self) -> None:
        """The versions of this project and of Twisted."""
        expected = f"fleetiq-echo {version('fleetiq-echo')}, Twisted {version('twisted')}\n"
        for command in COMMANDS:
            self.assertEqual(self.run_(command.encode(), b"--version"), (0, expected))

    def test_usageError(self) -> None:
        """A wrong option is one sentence, without the help."""
        for command in COMMANDS:
            status, output = self.run_(command.encode(), b"--nope")
            self.assertEqual((status, output.count("\n")), (1, 1), output)
            self.assertIn("option --nope not recognized", output)

    def test_help(self) -> None:
        """Help into a pipe that is closed prints no traceback."""
        twistd = os.path.join(os.path.dirname(sys.executable), "twistd")
        for command in COMMANDS:
            read, write = os.pipe()
            os.close(read)
            process = Popen([twistd, "-n", command, "--help"], stdout=write, stderr=PIPE)
            os.close(write)
            _, errors = process.communicate(timeout=60)
            self.assertEqual((process.returncode, errors), (0, b""), command)

    def test_bytes(self) -> None:
        """Bytes that are not UTF-8 end with a sentence and status 1, in each locale."""
        for locale in ({}, {"LC_ALL": "C", "PYTHONUTF8": "0"}):
            for command, option in (
                (b"fleetiq-echo", b"--game-server-data"),
                (b"fleetiq-echo", b"--listen"),
                (b"fleetiq-local", b"--group"),
            ):
                status, output = self.run_(command, option, b"\xff", **locale)
                self.assertEqual(status, 1)
                self.assertIn(f"{option.decode()} is b'\\xff', which is not UTF-8", output)
                self.assertNotIn("Traceback", output)
