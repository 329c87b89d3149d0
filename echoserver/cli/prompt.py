"""The lines that a player types on a terminal, with line editing and a history by readline."""

from __future__ import annotations

import readline  # noqa: F401 (input() uses it as soon as it is imported)
from collections.abc import Callable
from threading import Thread

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from echoserver.cli.terminalmodes import TerminalModes

_PROMPT = "> "


class PromptLines:
    """
    L{Lines<echoserver.client.Lines>} from a terminal. readline waits in a thread, a daemon, because
    nothing can end this wait: the thread ends with the process.

    @param read: writes a prompt and returns the line, or raises C{EOFError}.
    """

    midLine = False

    def __init__(
        self,
        reactor: IReactorFromThreads,
        modes: TerminalModes,
        read: Callable[[str], str] = input,
    ) -> None:
        self._reactor = reactor
        self._modes = modes
        self._read = read
        self._pending: Deferred[bytes | None] | None = None
        self._ended = False

    def next(self) -> Deferred[bytes | None]:
        """Fire with the line that is typed, or with None at the end of input."""
        pending: Deferred[bytes | None] = Deferred()
        self._pending = pending
        if self._ended:
            self._deliver(None)
        else:
            Thread(target=self._wait, daemon=True).start()
        return pending

    def end(self) -> None:
        """Restore the terminal. A pending L{next} fires with None."""
        if not self._ended:
            self._ended = True
            self._modes.restore()
        self._deliver(None)

    def _wait(self) -> None:
        try:
            line = self._read(_PROMPT).encode("utf-8", "surrogateescape")
        except EOFError:
            self._reactor.callFromThread(self._deliver, None)
        else:
            self._reactor.callFromThread(self._deliver, line)

    def _deliver(self, line: bytes | None) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.callback(line)
