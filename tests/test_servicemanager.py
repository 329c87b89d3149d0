"""Messages to systemd: ready, status, watchdog, stopping."""

from __future__ import annotations

import os
import socket

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.servicemanager import INTERVAL, ServiceManager, sendDatagram
from tests.awsdoubles import logLines

EXTENSION = "EXTEND_TIMEOUT_USEC=30000000"


class ManagerTests(SynchronousTestCase):
    """What is sent, and when."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[list[str]] = []
        self.status = "starting"
        self.error: OSError | None = None

    def manager(self, **environ: str) -> ServiceManager:
        manager = ServiceManager(self.clock, environ, lambda: self.status, self.send)
        self.addCleanup(manager.stop)
        return manager

    def send(self, path: str, data: bytes) -> None:
        self.assertEqual(path, "/socket")
        if self.error is not None:
            raise self.error
        self.sent.append(data.decode().splitlines())

    def take(self) -> list[list[str]]:
        sent, self.sent = self.sent, []
        return sent

    def test_noSocket(self) -> None:
        """Without NOTIFY_SOCKET nothing is sent, and there is no timer."""
        manager = self.manager(WATCHDOG_USEC="1000000")
        manager.start()
        manager.ready()
        manager.stopping()
        self.assertEqual((self.sent, self.clock.getDelayedCalls()), ([], []))

    def test_life(self) -> None:
        """A process starts, becomes ready once, changes its status, stops."""
        manager = self.manager(NOTIFY_SOCKET="/socket")
        manager.start()
        self.assertEqual(self.take(), [["STATUS=starting"]])
        self.status = "AVAILABLE\n1"
        manager.ready()
        manager.ready()
        self.assertEqual(self.take(), [["READY=1", "STATUS=AVAILABLE 1"]])
        self.clock.advance(INTERVAL)
        self.assertEqual(self.take(), [])
        self.status = "players: 1"
        self.clock.advance(INTERVAL)
        self.assertEqual(self.take(), [["STATUS=players: 1"]])
        manager.stopping()
        self.assertEqual(self.take(), [["STOPPING=1", EXTENSION]])
        self.clock.advance(INTERVAL)
        self.assertEqual(self.take(), [[EXTENSION]])
        manager.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_watchdog(self) -> None:
        """The watchdog gets a signal at half of its interval, also while the process stops."""
        manager = self.manager(
            NOTIFY_SOCKET="/socket", WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid())
        )
        manager.start()
        self.assertEqual(self.take(), [["WATCHDOG=1", "STATUS=starting"]])
        self.clock.pump([1.5, 1.5])
        self.assertEqual(self.take(), [["WATCHDOG=1"], ["WATCHDOG=1"]])
        manager.stopping()
        self.take()
        self.clock.advance(1.5)
        self.assertEqual(self.take(), [["WATCHDOG=1", EXTENSION]])

    def test_otherWatchdog(self) -> None:
        """A watchdog of another process, or a wrong interval, is ignored."""
        for environ in (
            {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "0"},
            {"WATCHDOG_USEC": "x"},
        ):
            self.manager(NOTIFY_SOCKET="/socket", **environ).start()
            self.assertEqual(self.take(), [["STATUS=starting"]])

    def test_error(self) -> None:
        """An error is logged once, and the status is sent again."""
        manager = self.manager(NOTIFY_SOCKET="/socket")
        self.error = OSError(111, "Connection refused")
        with capturedLogs() as events:
            manager.start()
            self.clock.advance(INTERVAL)
        self.assertEqual(
            logLines(events),
            ["Cannot notify the service manager at /socket: [Errno 111] Connection refused."],
        )
        self.error = None
        self.clock.advance(INTERVAL)
        self.assertEqual(self.take(), [["STATUS=starting"]])


class SendTests(SynchronousTestCase):
    """Real UNIX sockets."""

    def test_path(self) -> None:
        """A datagram arrives at a path, and at a name of the abstract namespace."""
        path = f"{self.mktemp()[-40:].replace('/', '-')}.sock"
        for address, name in ((path, path), (f"\0{path}", f"@{path}")):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
                receiving.settimeout(30)
                receiving.bind(address)
                sendDatagram(name, b"READY=1")
                self.assertEqual(receiving.recv(100), b"READY=1")

    def test_full(self) -> None:
        """If the queue of the manager is full, the call fails and does not wait."""
        path = f"full-{os.getpid()}.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
            receiving.bind(path)
            self.addCleanup(os.unlink, path)

            def fill() -> None:
                for _ in range(100_000):
                    sendDatagram(path, b"x")

            self.assertRaises(BlockingIOError, fill)
