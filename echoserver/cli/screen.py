"""The whole screen of a terminal: drawing, keys, and the restoration of its modes."""

from __future__ import annotations

import os
import sys
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console, Group
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure
from zope.interface import implementer

from echoserver.cli.terminalmodes import TerminalModes

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@implementer(IReadDescriptor)
class Screen:
    """
    The alternate screen of a terminal, as a context manager.

    At the end, also at the end by a signal, the former screen and the modes of the terminal are
    restored. Such a signal then ends the process as if this class did not exist.

    @param keys: called with each key, a character, on the reactor thread; not if standard input is
        no terminal.
    """

    def __init__(self, reactor: Any, output: TextIO, keys: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._output = output
        self._keys = keys
        self._console = Console(file=output, highlight=False)
        self._modes: TerminalModes | None = None

    def __enter__(self) -> Screen:
        self._modes = TerminalModes(self._leave)
        if self._modes.isTerminal:
            tty.setcbreak(sys.stdin)
            self._reactor.addReader(self)
        self._output.write(_ENTER)
        self._output.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reactor.removeReader(self)
        if self._modes is not None:
            self._modes.restore()

    @property
    def height(self) -> int:
        """The number of lines."""
        return self._console.height

    def draw(self, *renderables: Any) -> None:
        """Replace what the screen shows. Lines below the end of the screen are not shown."""
        with self._console.capture() as captured:
            self._console.print(Group(*renderables), end="")
        lines = captured.get().splitlines()[: self.height]
        # Without a clear before it, nothing flickers.
        self._output.write("\x1b[H" + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
        self._output.flush()

    def fileno(self) -> int:
        """Return the file descriptor of standard input, for the reactor."""
        return sys.stdin.fileno()

    def doRead(self) -> Any:
        """Read keys, or return that standard input has ended."""
        data = os.read(self.fileno(), 1024)
        for key in data.decode("ascii", "ignore"):
            self._keys(key)
        return None if data else CONNECTION_DONE

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: the terminal is gone, and SIGHUP follows."""

    def logPrefix(self) -> str:
        """Return the prefix of log lines of the reactor."""
        return "fleetiq"

    def _leave(self) -> None:
        # A signal can come in the middle of a write, which the stream does not allow again.
        os.write(self._output.fileno(), _LEAVE.encode())
