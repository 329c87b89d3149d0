"""The command on a pseudo terminal, with a game server in another process."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import struct
import sys
import termios
from pathlib import Path
from typing import Any

from tests.endtoend.processes import Child, EndToEndTestCase

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LEAVE = "\x1b[?25h\x1b[?1049l"


class Terminal(Child):
    """
    A child process on a pseudo terminal.

    @ivar output: all that it wrote, with escape sequences.
    """

    transport: Any

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.output = ""

    def outReceived(self, data: bytes) -> None:
        """Keep the output."""
        self.output += data.decode(errors="replace")
        self.changed()

    def describe(self) -> str:
        """Return the output."""
        return f"{self.output!r}"

    async def shows(self, pattern: str) -> None:
        """Wait for a text, without escape sequences, after that of earlier calls."""
        await self.until(pattern, lambda: re.search(pattern, self.text) and True)

    @property
    def text(self) -> str:
        """The output without escape sequences."""
        return _ESCAPES.sub("", self.output)

    def type(self, keys: str) -> None:
        """Type keys."""
        self.transport.write(keys.encode())


class TerminalTestCase(EndToEndTestCase):
    """Start the command on a pseudo terminal."""

    async def setUpGame(self) -> None:
        """Start a game server, and wait until it is registered."""
        self.game, self.fleet, self.port = await self.embedded()
        await self.game.available()

    def open(self, *words: str, **environ: str) -> Terminal:
        """Start C{fleetiq} with the local FleetIQ on a terminal of 120 columns."""
        terminal = Terminal(self.reactor)
        command = str(Path(sys.executable).parent / "fleetiq")
        self.assertIsNotNone(shutil.which(command))
        url = f"--endpoint-url={self.fleet.url}"
        process = self.reactor.spawnProcess(
            terminal,
            command,
            ("fleetiq", url, *words),
            env={"PATH": os.defpath, "HOME": str(self.home), "TERM": "xterm-256color", **environ},
            path=str(self.folder),
            usePTY=True,
        )
        size = struct.pack("HHHH", 30, 120, 0, 0)
        fcntl.ioctl(process.fileno(), termios.TIOCSWINSZ, size)
        self.addCleanup(terminal.kill)
        return terminal


class TableTests(TerminalTestCase):
    """Tables and live views."""

    async def test_list(self) -> None:
        """A table has colors and what is left of a claim; NO_COLOR turns the colors off."""
        await self.setUpGame()
        await self.fleet.claim()
        listed = self.open("list")
        self.assertEqual(await listed.exitStatus(), 0, listed.describe())
        self.assertIn("CLAIM ENDS IN", listed.text)
        self.assertRegex(listed.text, r"CLAIMED +[56]\d s ")
        self.assertIn("\x1b[33m", listed.output)
        plain = self.open("list", NO_COLOR="1")
        self.assertEqual(await plain.exitStatus(), 0, plain.describe())
        self.assertNotIn("\x1b[33m", plain.output)

    async def test_dumb(self) -> None:
        """A terminal without escape sequences shows what a pipe receives."""
        await self.setUpGame()
        listed = self.open("list", TERM="dumb")
        self.assertEqual(await listed.exitStatus(), 0, listed.describe())
        self.assertIn("ID", listed.text)
        self.assertIn("CONNECTION", listed.text)
        self.assertNotIn("\x1b", listed.output)

    async def test_watch(self) -> None:
        """A live view changes with the group, reacts to keys, and restores the screen."""
        await self.setUpGame()
        listing = self.open("list", "--watch")
        await listing.shows("AVAILABLE +-")
        listing.type("q")
        self.assertEqual(await listing.exitStatus(), 0, listing.describe())
        watching = self.open("watch")
        await watching.shows("AVAILABLE +-")
        watching.type("s")
        await watching.shows(r"By claim\.")
        watching.type("ff")
        await watching.shows("only CLAIMED")
        await self.fleet.claim()
        await watching.shows(r"CLAIMED +\d+ s")
        watching.type("q")
        self.assertEqual(await watching.exitStatus(), 0, watching.describe())
        self.assertIn(LEAVE, watching.output)

    async def test_interrupted(self) -> None:
        """Ctrl-C ends a live view by the signal, after the screen is restored."""
        await self.setUpGame()
        watching = self.open("watch")
        await watching.shows("AVAILABLE")
        watching.type("\x03")
        self.assertEqual(await watching.exitStatus(), -2, watching.describe())
        self.assertTrue(watching.output.endswith(LEAVE), watching.describe())


class PlayTests(TerminalTestCase):
    """The subcommand play."""

    async def test_prompt(self) -> None:
        """There is a prompt with line editing, a history, and the latency of each echo."""
        await self.setUpGame()
        playing = self.open("play")
        await playing.shows("Connected to .*\n> ")
        playing.type("helo\x02l\r")  # Ctrl-B moves the cursor one character to the left
        await playing.shows(r"\nhello  \(\d+\.\d ms\)\r\n> ")
        playing.type("\x10\r")  # Ctrl-P is the last line of the history
        await playing.shows(r"(?s)\nhello  \(.*\nhello  \(\d+\.\d ms\)\r\n> ")
        playing.type("한글\r")
        await playing.shows(r"\n한글  \(")
        playing.type("q\r")
        self.assertEqual(await playing.exitStatus(), 0, playing.describe())

    async def test_ends(self) -> None:
        """Ctrl-D quits, and Ctrl-C ends by the signal; both restore the terminal."""
        for key, status in (("\x04", 0), ("\x03", -2)):
            await self.setUpGame()
            playing = self.open("play")
            await playing.shows("Connected to .*\n> ")
            playing.type(key)
            self.assertEqual(await playing.exitStatus(), status, playing.describe())

    async def test_serverCloses(self) -> None:
        """If the server ends while the prompt waits, play ends too."""
        await self.setUpGame()
        playing = self.open("play")
        await playing.shows("Connected to .*\n> ")
        self.game.kill()
        self.assertEqual(await playing.exitStatus(), 1, playing.describe())
        self.assertIn("closed the connection before you quit.", playing.text)
