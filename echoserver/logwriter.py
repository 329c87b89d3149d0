"""
The log writer: a thread that writes the log, so that the reactor never waits for its reader.

Twisted writes each log line on the reactor thread. If nobody reads a pipe or a terminal, or a disk
hangs, that write blocks, and with it all players and SIGTERM. Here the lines go to a bounded queue.
"""

from __future__ import annotations

import atexit
import os
import select
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from io import TextIOBase
from queue import SimpleQueue
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.logger import ILogObserver, Logger
from twisted.python.logfile import LogFile

from echoserver.logformat import fileObserver, filtered, syslogObserver

_log = Logger(namespace="fleetiq.log")

LONGEST_QUEUE = 10_000
FINISH_SECONDS = 1.0
_BATCH = 1000


class Sink(TypingProtocol):
    """The destination of the lines. All methods run in the thread of the writer, and may block."""

    def write(self, lines: Sequence[str]) -> None:
        """Write these lines, or raise OSError."""

    def reopen(self) -> None:
        """Open the file again by its name, or raise OSError."""


class LogWriter(TextIOBase):
    """
    A file for a log observer. C{write} never blocks; a thread writes the lines.

    If the queue is full, new lines are dropped. Their number is logged when the sink takes lines
    again. Safe in any thread, and in a signal handler.
    """

    def __init__(self, sink: Sink, longest: int = LONGEST_QUEUE) -> None:
        """@param longest: the number of lines that wait at most."""
        super().__init__()
        self._sink = sink
        self._longest = longest
        # SimpleQueue is reentrant: a signal handler may log while a line is put.
        self._queue: SimpleQueue[str | Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._finish: float | None = None
        self._dropped = 0
        self._failed = 0
        self._error: OSError | None = None

    def write(self, text: str) -> int:
        """Queue a line, or drop it. After L{finish}, wait until it is written."""
        if self._queue.qsize() >= self._longest:
            self._dropped += 1
        else:
            self._queue.put(text)
        if self._finish is not None:
            self._wait()
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def start(self) -> None:
        """Start the thread. A daemon calls this after its fork: no thread survives one."""
        if self._thread is None:
            # A daemon thread: one that hangs in a write does not keep the process.
            self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
            self._thread.start()

    def reopen(self) -> None:
        """Have the thread open the file again, for a program that rotates logs."""
        self._queue.put(self._reopen)

    def finish(self) -> None:
        """Wait until all lines are written, in this call and later ones together at most 1 s."""
        self.start()
        if self._finish is None:
            self._finish = FINISH_SECONDS
        self._wait()
        # The thread logs the number of dropped lines after a write: those lines are last.
        self._wait()

    def _wait(self) -> None:
        now = time.monotonic  # noqa: TID251 # the reactor has stopped, and its clock
        left = self._finish or 0.0
        if left > 0 and threading.current_thread() is not self._thread:
            written = threading.Event()
            self._queue.put(written.set)
            began = now()
            written.wait(left)
            self._finish = max(0.0, left - (now() - began))

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            lines: list[str] = []
            for each in batch:
                if isinstance(each, str):
                    lines.append(each)
                else:
                    self._write(lines)
                    lines.clear()
                    each()
            self._write(lines)

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        try:
            self._sink.write(lines)
        except OSError as error:
            self._failed += len(lines)
            self._error = error
        else:
            self._report()

    def _report(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            _log.warn(
                "{count} log lines were dropped because the reader of the log did not read.",
                count=dropped,
                eventName="log.dropped",
            )
        failed, self._failed = self._failed, 0
        if failed:
            _log.warn(
                "{count} log lines were lost because the log could not be written: {error}.",
                count=failed,
                error=self._error,
                eventName="log.lost",
            )

    def _reopen(self) -> None:
        try:
            self._sink.reopen()
        except OSError as error:
            _log.warn(
                "The log cannot be opened again: {error}.", error=error, eventName="log.notReopened"
            )


class DescriptorSink:
    """Writes to an open descriptor: standard output, a pipe, a terminal."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self._descriptor = descriptor
        self._encoding = encoding

    def write(self, lines: Sequence[str]) -> None:
        data = memoryview("".join(lines).encode(self._encoding, "backslashreplace"))
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Another process that shares the pipe or terminal has made it non-blocking.
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()

    def reopen(self) -> None:
        """Do nothing: the descriptor has no name."""


class SpecialFileSink:
    """Writes to a FIFO or a device by its name. Opening a FIFO waits for its reader."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def write(self, lines: Sequence[str]) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
        DescriptorSink(self._descriptor).write(lines)

    def reopen(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class LogFileSink:
    """Writes to a file that Twisted rotates at 1 MB."""

    def __init__(self, path: str) -> None:
        """@raise OSError: if the file cannot be opened."""
        self._path = os.path.abspath(path)
        self._file: Any = LogFile.fromFullPath(self._path)

    def write(self, lines: Sequence[str]) -> None:
        self._file.write("".join(lines).encode("utf-8", "backslashreplace"))

    def reopen(self) -> None:
        reopened = LogFile.fromFullPath(self._path)
        self._file.close()
        self._file = reopened


class SyslogSink:
    """Writes to syslog. A line begins with its priority, as in C{<30>text}."""

    def write(self, lines: Sequence[str]) -> None:
        import syslog

        for line in lines:
            priority, _, text = line[1:].partition(">")
            syslog.syslog(int(priority), text)

    def reopen(self) -> None:
        """Do nothing: this process has no file for syslog."""


def sinkOf(path: str) -> Sink:
    """
    Return the sink of a path.

    @raise OSError: if it cannot be opened.
    """
    try:
        special = not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        special = False
    return SpecialFileSink(path) if special else LogFileSink(path)


class RunnerLog:
    """
    The log of C{twistd} or C{twist}, written by a L{LogWriter}.

    @ivar writer: the writer; None until the runner has started to log, and if the log is written
        by an observer of C{--logger}.
    """

    def __init__(self, runner: Any, format: str | None = None, level: str = "info") -> None:
        """
        @param runner: the options of C{twistd} or C{twist}; None if there are none.
        @param format: C{text} or C{json}; None for that of the runner.
        @param level: the lowest level that is logged.
        """
        self._runner = runner or {}
        self._format = format or "text"
        self._level = level
        self._started = False
        self.writer: LogWriter | None = None
        if "fileLogObserverFactory" in self._runner:
            # twist calls the factory with its file when the reactor runs.
            factory = self._runner["fileLogObserverFactory"]

            def observer(file: Any) -> ILogObserver:
                writer = self._open(file)
                return filtered(factory(writer), level) if format is None else self._to(writer)

            self._runner["fileLogObserverFactory"] = observer

    def addTo(self, application: Any) -> None:
        """
        Give the application of C{twistd} an observer, which twistd takes in place of its own.

        @raise SystemExit: with a sentence, if the log cannot be opened.
        """
        if "nodaemon" not in self._runner or self._runner["logger"]:
            return
        if self._runner["syslog"]:
            application.setComponent(ILogObserver, self._syslogObserver())
        elif observer := self._fileObserver():
            application.setComponent(ILogObserver, observer)

    def start(self) -> None:
        """Start to write. For a daemon, after its fork; for twist, before it makes its file."""
        self._started = True
        if self.writer is not None:
            self.writer.start()

    def reopen(self) -> None:
        """Open the log file again by its name."""
        if self.writer is not None:
            self.writer.reopen()

    def finish(self) -> None:
        """Wait until the log is written, at most 1 s."""
        if self.writer is not None:
            self.writer.finish()

    def _fileObserver(self) -> ILogObserver | None:
        path, foreground = self._runner["logfile"], self._runner["nodaemon"]
        if path == "-" or (foreground and not path):
            # A daemon has no standard output: twistd itself rejects the option.
            return self._to(self._open(sys.stdout)) if foreground else None
        try:
            return self._to(self._use(sinkOf(path or "twistd.log")))
        except OSError as error:
            raise SystemExit(
                f"twistd: --logfile is {path!r}, which cannot be opened ({error.strerror}): name a"
                " file that this user may write."
            ) from error

    def _syslogObserver(self) -> ILogObserver:
        import syslog

        from twisted.logger import LegacyLogObserverWrapper
        from twisted.python.syslog import DEFAULT_FACILITY, DEFAULT_OPTIONS, SyslogObserver

        writer = self._use(SyslogSink())
        if self._format == "json":
            syslog.openlog(self._runner["prefix"], DEFAULT_OPTIONS, DEFAULT_FACILITY)
            return syslogObserver(writer, self._level)

        class Observer(SyslogObserver):
            def syslog(self, priority: int, text: str) -> None:
                writer.write(f"<{priority}>{text}")

        observer: Any = Observer(self._runner["prefix"])
        return filtered(LegacyLogObserverWrapper(observer.emit), self._level)

    def _to(self, writer: LogWriter) -> ILogObserver:
        return fileObserver(writer, self._format, self._level)

    def _open(self, file: Any) -> LogWriter:
        encoding = getattr(file, "encoding", None) or "utf-8"
        return self._use(DescriptorSink(file.fileno(), encoding))

    def _use(self, sink: Sink) -> LogWriter:
        self.writer = LogWriter(sink)
        atexit.register(self.writer.finish)
        if self._started:
            self.writer.start()
        return self.writer
