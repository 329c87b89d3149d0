"""The modes of the terminal of standard input, which are restored also at the end by a signal."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable
from typing import Any

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class TerminalModes:
    """
    Keeps the modes of the terminal. A signal then restores them, and ends the process as if this
    class did not exist.

    @param restored: called when they have been restored.
    """

    def __init__(self, restored: Callable[[], object] = lambda: None) -> None:
        self.isTerminal = sys.stdin is not None and sys.stdin.isatty()
        self._modes: list[Any] = termios.tcgetattr(sys.stdin) if self.isTerminal else []
        self._restored = restored
        self._handlers = {
            each: signal.signal(each, self._end)
            for each in _SIGNALS
            if signal.getsignal(each) is signal.SIG_DFL
        }

    def restore(self) -> None:
        """Restore the modes and the signals."""
        self._restoreModes()
        for each, handler in self._handlers.items():
            signal.signal(each, handler)

    def _restoreModes(self) -> None:
        if self.isTerminal:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._modes)
        self._restored()

    def _end(self, number: int, _frame: object) -> None:
        self._restoreModes()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
