"""The child process of fleetiq-wrap: its start, its output in the log, its end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.ratelimit import TokenBucket

_log = Logger(namespace="fleetiq.wrap")

SUBREAPER = str(Path(__file__).with_name("subreaper.py"))
CONTROL = 3
# Rate, in lines a second, and burst of the output that is logged.
OUTPUT_RATE = TokenBucket(100.0, 1000)
MAX_LINE = 2000


@dataclass(frozen=True, slots=True)
class Exit:
    """
    How a child process has ended.

    @ivar code: its exit code; None if a signal has ended it.
    @ivar signal: the number of that signal, or None.
    """

    code: int | None
    signal: int | None = None

    @property
    def crashed(self) -> bool:
        """Return whether it ended by a signal or with an exit code other than 0."""
        return self.code != 0

    @property
    def status(self) -> int:
        """Return the exit code as in a shell: 128 + N for the signal N."""
        return 128 + (self.signal or 0) if self.code is None else self.code

    def __str__(self) -> str:
        if self.code is None:
            return f"ended by {signal.Signals(self.signal or 0).name}"
        return f"exited with {self.code}"


class Output:
    """
    Logs the output of a child, one event a line, escaped. Lines beyond a rate are dropped.

    @param port: the port of the game server, for the prefix.
    """

    def __init__(self, clock: IReactorTime, port: int, rate: TokenBucket = OUTPUT_RATE) -> None:
        self._clock = clock
        self._port = port
        self._rate = rate
        self._unfinished = {1: b"", 2: b""}
        self._dropped = 0

    def received(self, descriptor: int, data: bytes) -> None:
        """Log the lines that are complete. A line of more than 2,000 bytes is logged in parts."""
        *lines, rest = (self._unfinished[descriptor] + data).split(b"\n")
        while len(rest) > MAX_LINE:
            lines.append(rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        self._unfinished[descriptor] = rest
        for line in lines:
            self._write(line)

    def finish(self) -> None:
        """Log what is left."""
        for descriptor, line in self._unfinished.items():
            if line:
                self._write(line)
            self._unfinished[descriptor] = b""
        self._reportDropped()

    def _write(self, line: bytes) -> None:
        now = self._clock.seconds()
        if self._rate.delay(now):
            self._dropped += 1
            return
        self._rate = self._rate.consume(now)
        self._reportDropped()
        text = line[:MAX_LINE].rstrip(b"\r").decode("utf-8", "backslashreplace")
        _log.info(
            "[child {port}] {line}", port=self._port, line=_escaped(text), eventName="child.output"
        )

    def _reportDropped(self) -> None:
        if self._dropped:
            _log.warn(
                "[child {port}] {count} lines of output were dropped: more than {rate:g} a second.",
                port=self._port,
                count=self._dropped,
                rate=self._rate.rate,
                eventName="child.outputDropped",
            )
            self._dropped = 0


def _escaped(text: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class Child(ProcessProtocol):
    """
    One run of a command, in a separate process group, as a child of L{echoserver.wrap.subreaper}.

    @ivar ended: fires with an L{Exit} when it has ended.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self.ended: Deferred[Exit] = Deferred()
        self.running = False

    def start(self, reactor: Any, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start the command. If it cannot be run, it ends with 126 or 127, as in a shell."""
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-I", "-S", SUBREAPER, *command],
                dict(environ),
                childFDs={0: null, 1: "r", 2: "r", CONTROL: "w"},
            )
        finally:
            os.close(null)
        self.running = True

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the group."""
        if self.running and self.transport is not None:
            self.transport.writeToChild(CONTROL, bytes([number]))

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._output.received(childFD, data)

    def processEnded(self, reason: Failure) -> None:
        self.running = False
        self._output.finish()
        value: Any = reason.value
        self.ended.callback(Exit(value.exitCode, value.signal))


def fill(command: Sequence[str], values: Mapping[str, object]) -> list[str]:
    """Return the words of a command with each C{{name}} of C{values} replaced."""
    filled = []
    for word in command:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", str(value))
        filled.append(word)
    return filled
