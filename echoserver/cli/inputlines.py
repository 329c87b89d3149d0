"""The lines that a player sends: known in advance, or read from standard input."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from twisted.internet import protocol
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocol, IReactorFDSet, IReactorTime
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

from echoserver.client import Lines

_ENDING_SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}
# A longer line is sent in chunks of this size, so that a pipe cannot fill the memory.
CHUNK_LENGTH = 65536
# The rest of a line is never so short that the server could take it for the quit command.
_SHORTEST_REST = 3


class FixedLines:
    """L{Lines} that are known in advance: the texts of C{--send}."""

    midLine = False

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._texts = iter(texts)

    def next(self) -> Deferred[bytes | None]:
        """Return a Deferred that has fired."""
        return succeed(next(self._texts, None))

    def end(self) -> None:
        """Discard the remaining lines."""
        self._texts = iter(())


class TimedLines:
    """
    L{Lines}, and the time since the last one of them was sent.
    """

    def __init__(self, lines: Lines, clock: IReactorTime) -> None:
        self._lines = lines
        self._clock = clock
        self._sent = clock.seconds()

    @property
    def midLine(self) -> bool:
        """Whether the last result of L{next} is a part of a line that goes on."""
        return self._lines.midLine

    @property
    def elapsed(self) -> float:
        """Seconds since the last line."""
        return self._clock.seconds() - self._sent

    def next(self) -> Deferred[bytes | None]:
        """Fire with the next line."""

        def received(line: bytes | None) -> bytes | None:
            self._sent = self._clock.seconds()
            return line

        return self._lines.next().addCallback(received)

    def end(self) -> None:
        """Stop reading."""
        self._lines.end()


class InputLines(protocol.Protocol):
    """
    L{Lines} from standard input, which is read only while L{next} is pending.

    @ivar midLine: whether the last result of L{next} is a part of a line that goes on.
    """

    transport: StandardIO

    def __init__(self) -> None:
        self.midLine = False
        self._buffer = bytearray()
        self._ended = False
        self._pending: Deferred[bytes | None] | None = None

    def next(self) -> Deferred[bytes | None]:
        """
        Fire with a line or a part of a long one, or with None at the end of input. A line has no
        C{\\n} or C{\\r\\n}.
        """
        pending: Deferred[bytes | None] = Deferred()
        self._pending = pending
        if not self._ended:
            self.transport.resumeProducing()
        self._deliver()
        return pending

    def end(self) -> None:
        """Stop reading. Unread input stays available to the next program."""
        self._buffer.clear()
        self._ended = True
        self.transport.pauseProducing()
        self._deliver()

    def dataReceived(self, data: bytes) -> None:
        """Buffer the input until it has a complete line and L{next} is pending."""
        self._buffer += data
        self._deliver()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Deliver the rest of the input. The last line needs no line ending."""
        self._ended = True
        self._deliver()

    def _deliver(self) -> None:
        length = self._buffer.find(b"\n")
        isLong = (
            max(length, len(self._buffer) if length < 0 else 0) >= CHUNK_LENGTH + _SHORTEST_REST
        )
        complete = length >= 0 or isLong or self._ended
        if not complete:
            return
        if not self._ended:
            self.transport.pauseProducing()
        if self._pending is None:
            return
        line: bytes | None = None
        self.midLine = isLong
        if isLong:
            line = bytes(self._buffer[:CHUNK_LENGTH])
            del self._buffer[:CHUNK_LENGTH]
        elif length >= 0:
            line = bytes(self._buffer[:length]).removesuffix(b"\r")
            del self._buffer[: length + 1]
        elif self._buffer:
            line = bytes(self._buffer)
            self._buffer.clear()
        pending, self._pending = self._pending, None
        pending.callback(line)


def openStandardInput(reactor: IReactorFDSet, stdin: int, lines: IProtocol) -> None:
    """
    Connect a protocol to a terminal, a pipe or a file, through a copy of its file descriptor.

    StandardIO makes the descriptor non-blocking. This affects every program that shares the
    terminal: this command's output, and the shell afterwards. The descriptor is made blocking
    again, which is safe because it is read only when input is available.
    """
    unused = os.open(os.devnull, os.O_WRONLY)
    # A signal that ends the command must not leave the terminal non-blocking.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    try:
        StandardIO(lines, os.dup(stdin), unused, reactor=reactor)  # type: ignore[call-arg,misc] # Windows'
    finally:
        os.set_blocking(stdin, True)
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
