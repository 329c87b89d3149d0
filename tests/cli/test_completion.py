"""Tests of the completion of the command by shells, in child processes."""

from __future__ import annotations

import os
import subprocess
import sys
from shutil import which

from twisted.trial.unittest import SynchronousTestCase

_SCRIPTS = {"bash": "complete ", "zsh": "compdef ", "fish": "complete "}


def run(*words: str, **environ: str) -> str:
    """Run the command, and return its standard output."""
    line = [sys.executable, "-m", "echoserver.cli", *words]
    done = subprocess.run(
        line, env=os.environ | environ, capture_output=True, check=True, text=True
    )
    return done.stdout


def complete(*words: str) -> list[str]:
    """Return the completions of the last word, as bash receives them."""
    environ = {"COMP_WORDS": " ".join(("fleetiq", *words)), "COMP_CWORD": str(len(words))}
    lines = run(**environ, _FLEETIQ_COMPLETE="bash_complete").splitlines()
    return [line.partition(",")[2] for line in lines]


class CompletionTests(SynchronousTestCase):
    """The scripts, and what they call."""

    def test_scripts(self) -> None:
        """Each shell has a script, which the shell itself accepts if it is installed."""
        for shell, word in _SCRIPTS.items():
            script = run("completion", shell)
            self.assertIn(word, script)
            if which(shell):
                subprocess.run([shell, "-n", "/dev/stdin"], input=script, check=True, text=True)

    def test_words(self) -> None:
        """Commands, subcommands and options are completed."""
        self.assertEqual(complete("li"), ["list"])
        self.assertEqual(complete("local", "f"), ["fault"])
        self.assertEqual(complete("play", "--se"), ["--server", "--send"])
        self.assertEqual(complete("--gr"), ["--group"])
        self.assertEqual(complete("completion", "z"), ["zsh"])
