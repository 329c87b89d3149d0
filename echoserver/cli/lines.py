"""What a player says: lines typed or piped to standard input, or the texts of a command line."""

from __future__ import annotations

import os
from collections.abc import Iterable

from twisted.internet import protocol
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocol, IReactorFDSet
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

# What has no line end by then is sent as it is: a player's memory is not filled by a pipe.
LONGEST_LINE = 65536


class Script:
    """Lines known beforehand."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._texts = iter(texts)

    def next(self) -> Deferred[bytes | None]:
        """Fires at once."""
        return succeed(next(self._texts, None))

    def end(self) -> None:
        """Forget the rest."""
        self._texts = iter(())


class Typed(protocol.Protocol):
    """Lines from standard input, which is read only while one is waited for."""

    transport: StandardIO

    def __init__(self) -> None:
        self._unread = bytearray()
        self._over = False
        self._awaited: Deferred[bytes | None] | None = None

    def next(self) -> Deferred[bytes | None]:
        """Fires with a line, without its C{\\n} or C{\\r\\n}; with None at the end of input."""
        awaited: Deferred[bytes | None] = Deferred()
        self._awaited = awaited
        if not self._over:
            self.transport.resumeProducing()
        self._deliver()
        return awaited

    def end(self) -> None:
        """Stop reading: what is unread stays there for the next program."""
        self._unread.clear()
        self._over = True
        self.transport.pauseProducing()
        self._deliver()

    def dataReceived(self, data: bytes) -> None:
        """Keep it until a line is complete and asked for."""
        self._unread += data
        self._deliver()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """The input ended; a last line needs no line end."""
        self._over = True
        self._deliver()

    def _deliver(self) -> None:
        length = self._unread.find(b"\n")
        complete = length >= 0 or len(self._unread) >= LONGEST_LINE or self._over
        if not complete:
            return
        if not self._over:
            self.transport.pauseProducing()
        if self._awaited is None:
            return
        line: bytes | None = None
        if length >= 0:
            line = bytes(self._unread[:length]).removesuffix(b"\r")
            del self._unread[: length + 1]
        elif self._unread:
            line = bytes(self._unread)
            self._unread.clear()
        awaited, self._awaited = self._awaited, None
        awaited.callback(line)


def openStandardInput(reactor: IReactorFDSet, stdin: int, typed: IProtocol) -> None:
    """
    Connect a protocol to a terminal, a pipe or a file, by a copy of its descriptor.

    StandardIO makes it non-blocking for everybody who shares the terminal: our own output, and
    the shell after us. It need not be, as it is read only when there is something.
    """
    unused = os.open(os.devnull, os.O_WRONLY)
    StandardIO(typed, os.dup(stdin), unused, reactor=reactor)  # type: ignore[call-arg,misc] # Windows'
    os.set_blocking(stdin, True)
