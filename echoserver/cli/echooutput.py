"""What play writes of received bytes: text for a person, or JSON for a program."""

from __future__ import annotations

import codecs
from collections.abc import Callable

from echoserver.cli.output import Console


class EchoOutput:
    """
    Writes received bytes as UTF-8 text, however TCP splits them. Invalid bytes are escaped.

    @ivar onWriteError: called after standard output could not be written to.
    """

    def __init__(self, console: Console) -> None:
        self.onWriteError: Callable[[], object] = lambda: None
        self._console = console
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._midLine = False

    def write(self, data: bytes) -> None:
        """Write received bytes at once: a game server may send at any time."""
        self._write(self._decoder.decode(data))

    def endLine(self, seconds: float | None) -> None:
        """
        Start a new line, unless the output is at the start of one.

        @param seconds: the latency of the echo, which a terminal shows; None if there is none.
        """
        self._write(self._decoder.decode(b"", final=True))
        if self._midLine:
            latency = ""
            if seconds is not None and self._console.isTerminal:
                latency = f"  ({seconds * 1000:.1f} ms)"
            self._write(f"{latency}\n")

    def _write(self, text: str) -> None:
        if text:
            self._midLine = not text.endswith("\n")
            self._console.write(text)
            if self._console.writeError is not None:
                self.onWriteError()


class JSONOutput:
    """
    Writes an object for what came back of each line.

    @ivar onWriteError: called after standard output could not be written to.
    """

    def __init__(self, console: Console) -> None:
        self.onWriteError: Callable[[], object] = lambda: None
        self._console = console
        self._received = bytearray()

    def write(self, data: bytes) -> None:
        """Keep received bytes until the line has come back."""
        self._received += data

    def endLine(self, seconds: float | None) -> None:
        """
        Write what was received.

        @param seconds: the latency of the echo; None at the end.
        """
        if not self._received and seconds is None:
            return
        text = self._received.decode("utf-8", "backslashreplace")
        self._received.clear()
        self._console.writeJSON({"event": "echo", "text": text, "seconds": seconds})
        if self._console.writeError is not None:
            self.onWriteError()
