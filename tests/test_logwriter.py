"""The log writer: it never blocks, counts what it drops, and is finished in time."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import Application
from twisted.logger import ILogObserver, Logger, LogPublisher, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from echoserver.logwriter import (
    DescriptorSink,
    LogFileSink,
    LogWriter,
    RunnerLog,
    SpecialFileSink,
    SyslogSink,
    sinkOf,
)

DEADLINE = 30.0


class Reader:
    """
    A sink whose reader reads when the test wants.

    @ivar lines: the lines that were read.
    @ivar reads: set while the reader reads.
    @ivar asked: set when a write has begun.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.reads = threading.Event()
        self.asked = threading.Event()
        self.error: OSError | None = None
        self.reopened = 0

    def write(self, lines: Sequence[str]) -> None:
        self.asked.set()
        self.reads.wait()
        if self.error is not None:
            raise self.error
        self.lines += lines

    def reopen(self) -> None:
        self.reopened += 1
        if self.error is not None:
            raise self.error


class WriterTests(SynchronousTestCase):
    """A writer, and a reader that the test controls."""

    def setUp(self) -> None:
        self.reader = Reader()
        self.addCleanup(self.reader.reads.set)
        self.logged: list[str] = []
        observer: Any = self.observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "fleetiq.log":
            self.logged.append(event["log_format"].format(**event))

    def writer(self, longest: int = 1000) -> LogWriter:
        writer = LogWriter(self.reader, longest)
        self.addCleanup(writer.finish)
        self.addCleanup(self.reader.reads.set)
        return writer

    def test_order(self) -> None:
        """Lines that were written before the thread starts are kept, and all are in order."""
        writer = self.writer()
        self.reader.reads.set()
        for number in range(100):
            writer.write(f"{number}\n")
        writer.start()
        for number in range(100, 200):
            writer.write(f"{number}\n")
        writer.finish()
        self.assertEqual(self.reader.lines, [f"{number}\n" for number in range(200)])

    def test_stalled(self) -> None:
        """
        While the reader does not read, a write returns at once. Lines beyond the limit are dropped,
        and their number is logged when it reads again.
        """
        writer = self.writer(longest=10)
        writer.start()
        writer.write("first\n")
        self.assertTrue(self.reader.asked.wait(DEADLINE))
        for number in range(25):
            writer.write(f"{number}\n")
        self.assertEqual(self.reader.lines, [])
        self.reader.reads.set()
        writer.finish()
        self.assertEqual(self.reader.lines, ["first\n", *(f"{n}\n" for n in range(10))])
        self.assertEqual(
            self.logged,
            ["15 log lines were dropped because the reader of the log did not read."],
        )

    def test_finishStalled(self) -> None:
        """If the reader never reads, the end does not wait for it."""
        writer = self.writer()
        writer.write("first\n")
        writer.finish()
        writer.write("last\n")
        writer.finish()
        self.assertEqual(self.reader.lines, [])

    def test_afterFinish(self) -> None:
        """A line after the end of the reactor is written before the call returns."""
        writer = self.writer()
        self.reader.reads.set()
        writer.finish()
        writer.write("Server Shut Down.\n")
        self.assertEqual(self.reader.lines, ["Server Shut Down.\n"])

    def test_error(self) -> None:
        """Lines that cannot be written are counted, and logged when one can be."""
        writer = self.writer()
        self.reader.error = OSError(28, "No space left on device")
        self.reader.reads.set()
        writer.write("lost\n")
        writer.finish()
        self.reader.error = None
        writer.write("kept\n")
        writer.finish()
        self.assertEqual(self.reader.lines, ["kept\n"])
        self.assertEqual(
            self.logged,
            [
                (
                    "1 log lines were lost because the log could not be written:"
                    " [Errno 28] No space left on device."
                )
            ],
        )

    def test_reopen(self) -> None:
        """The thread opens the file again. A failure of that is logged."""
        writer = self.writer()
        self.reader.reads.set()
        writer.reopen()
        writer.finish()
        self.assertEqual((self.reader.reopened, self.logged), (1, []))
        self.reader.error = OSError(13, "Permission denied")
        writer.reopen()
        writer.finish()
        self.assertEqual(
            self.logged, ["The log cannot be opened again: [Errno 13] Permission denied."]
        )


class SinkTests(SynchronousTestCase):
    """The sinks."""

    def test_descriptor(self) -> None:
        """A pipe gets all bytes, also if it is non-blocking and full; surrogates are escaped."""
        read, write = os.pipe()
        os.set_blocking(write, False)
        received = bytearray()

        def drain() -> None:
            while data := os.read(read, 65536):
                received.extend(data)

        thread = threading.Thread(target=drain)
        thread.start()
        DescriptorSink(write).write(["x" * 1_000_000, "\udcff한\n"])
        os.close(write)
        thread.join(DEADLINE)
        os.close(read)
        self.assertEqual(bytes(received), b"x" * 1_000_000 + "\\udcff한\n".encode())

    def test_file(self) -> None:
        """A file that was renamed is opened again by its name; one that is there is appended to."""
        path = Path(self.mktemp())
        path.write_text("before\n")
        sink = sinkOf(str(path))
        self.assertIsInstance(sink, LogFileSink)
        sink.write(["one\n"])
        path.rename(f"{path}.old")
        sink.write(["two\n"])
        sink.reopen()
        sink.write(["three\n"])
        self.assertEqual(Path(f"{path}.old").read_text(), "before\none\ntwo\n")
        self.assertEqual(path.read_text(), "three\n")

    def test_fileGone(self) -> None:
        """If the file cannot be opened again, the old one is kept."""
        folder = Path(self.mktemp())
        folder.mkdir()
        sink = sinkOf(str(folder / "log"))
        folder.rename(f"{folder}.old")
        self.assertRaises(OSError, sink.reopen)
        sink.write(["kept\n"])
        self.assertEqual((Path(f"{folder}.old") / "log").read_text(), "kept\n")

    def test_fullDisk(self) -> None:
        """A device without space raises OSError, and the next write does so again."""
        sink = sinkOf("/dev/full")
        self.assertIsInstance(sink, SpecialFileSink)
        self.assertRaises(OSError, sink.write, ["lost\n"])
        self.assertRaises(OSError, sink.write, ["lost\n"])
        sink.reopen()

    def test_fifo(self) -> None:
        """To make the sink of a FIFO does not wait for a reader."""
        path = self.mktemp()
        os.mkfifo(path)
        sink = sinkOf(path)
        read = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        sink.write(["one\n"])
        sink.reopen()
        sink.write(["two\n"])
        self.assertEqual(os.read(read, 100), b"one\ntwo\n")
        sink.reopen()
        os.close(read)

    def test_syslog(self) -> None:
        """A line for syslog has its priority, and the text is not changed."""
        import syslog

        sent: list[tuple[int, str]] = []
        self.patch(syslog, "syslog", lambda *args: sent.append(args))
        SyslogSink().write(["<30>[-] a > b", "<25>x"])
        SyslogSink().reopen()
        self.assertEqual(sent, [(30, "[-] a > b"), (25, "x")])


class RunnerTests(SynchronousTestCase):
    """The log of twistd and of twist."""

    def twistd(self, **options: Any) -> dict[str, Any]:
        return {
            "nodaemon": True,
            "logger": None,
            "syslog": False,
            "logfile": None,
            "prefix": "twisted",
            **options,
        }

    def observer(self, log: RunnerLog) -> Any:
        application = Application("test")
        log.addTo(application)
        self.addCleanup(log.finish)
        return application.getComponent(ILogObserver, None)

    def test_file(self) -> None:
        """The application of twistd gets an observer that writes the file."""
        path = self.mktemp()
        log = RunnerLog(self.twistd(logfile=path))
        observer = self.observer(log)
        log.start()
        Logger("test", observer=LogPublisher(observer)).info("Hello, {name}.", name="log")
        log.reopen()
        log.finish()
        self.assertRegex(Path(path).read_text(), r"^\S+ \[test#info\] Hello, log\.\n$")

    def test_syslog(self) -> None:
        """With --syslog the observer queues lines for syslog."""
        import syslog

        sent: list[tuple[int, str]] = []
        self.patch(syslog, "syslog", lambda *args: sent.append(args))
        log = RunnerLog(self.twistd(syslog=True))
        observer = self.observer(log)
        self.addCleanup(syslog.closelog)
        Logger("test", observer=LogPublisher(observer)).info("Hello.")
        log.finish()
        self.assertEqual(sent, [(syslog.LOG_INFO, "[-] Hello.")])

    def test_notOurs(self) -> None:
        """An observer of --logger, and a daemon that shall log to standard output, are twistd's."""
        for runner in (
            None,
            self.twistd(logger=print),
            self.twistd(logfile="-", nodaemon=False),
        ):
            log = RunnerLog(runner)
            self.assertIsNone(self.observer(log))
            log.start()
            log.reopen()
            self.assertIsNone(log.writer)

    def test_cannotOpen(self) -> None:
        """A log file that cannot be opened ends twistd with a sentence."""
        log = RunnerLog(self.twistd(logfile=f"{self.mktemp()}/log"))
        error = self.assertRaises(SystemExit, self.observer, log)
        self.assertRegex(str(error.code), "--logfile is '.*', which cannot be opened")

    def test_twist(self) -> None:
        """The factory of twist is called with a writer in place of its file."""
        path = Path(self.mktemp())
        made: list[LogWriter] = []
        with path.open("w") as file:
            runner: dict[str, Any] = {"fileLogObserverFactory": made.append}
            log = RunnerLog(runner)
            log.start()
            runner["fileLogObserverFactory"](file)
            made[0].write("line\n")
            log.finish()
        self.assertEqual(path.read_text(), "line\n")
