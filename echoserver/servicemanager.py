"""
Messages to the service manager that started the process: systemd, for C{Type=notify}.

The protocol is that of sd_notify(3): datagrams to the UNIX socket in C{NOTIFY_SOCKET}. Without the
variable, nothing is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

_log = Logger(namespace="fleetiq.log")

# Seconds between two messages, if the watchdog does not need more.
INTERVAL = 5.0
# Seconds that the manager waits for the next message while the process stops.
STOP_EXTENSION = 30.0

Send = Callable[[str, bytes], None]


def sendDatagram(path: str, data: bytes) -> None:
    """
    Send one datagram to a UNIX socket, and never block.

    @param path: the path of the socket; the abstract namespace begins with C{@}.
    @raise OSError: if it cannot be sent now.
    """
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
        sending.setblocking(False)
        sending.sendto(data, address)


class ServiceManager:
    """
    Reports the state of the process to systemd: ready, status, watchdog, stopping.

    The watchdog is on the reactor: if the reactor hangs, systemd restarts the process. All methods
    run on the reactor thread.
    """

    def __init__(
        self,
        clock: Any,
        environ: Mapping[str, str],
        status: Callable[[], str],
        send: Send = sendDatagram,
    ) -> None:
        """
        @param clock: the reactor.
        @param environ: has C{NOTIFY_SOCKET}, and C{WATCHDOG_USEC} if the manager has a watchdog.
        @param status: returns the status of the process, as one line.
        """
        self._clock = clock
        self._path = environ.get("NOTIFY_SOCKET", "")
        self._status = status
        self._send = send
        self._shown = ""
        self._ready = self._stopping = self._failing = False
        self._watchdog = _watchdogSeconds(environ)
        # systemd recommends half of its limit.
        self._interval = min(INTERVAL, (self._watchdog or 2 * INTERVAL) / 2)
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Start to send the status, and the signal of the watchdog."""
        if self._path:
            self._tick()

    def ready(self) -> None:
        """Report that the process serves. Only the first call sends a message."""
        if not self._ready:
            self._ready = True
            self._notify("READY=1", *self._newStatus())

    def stopping(self) -> None:
        """Report that the process stops, and prolong its time until L{stop} is called."""
        self._stopping = True
        self._notify("STOPPING=1", *self._extension(), *self._newStatus())

    def stop(self) -> None:
        """Send no more messages."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _tick(self) -> None:
        self._call = self._clock.callLater(self._interval, self._tick)
        watchdog = ["WATCHDOG=1"] if self._watchdog else []
        self._notify(*watchdog, *self._extension(), *self._newStatus())

    def _extension(self) -> list[str]:
        return [f"EXTEND_TIMEOUT_USEC={STOP_EXTENSION * 1e6:.0f}"] if self._stopping else []

    def _newStatus(self) -> list[str]:
        if not self._path:
            return []
        status = " ".join(self._status().split())
        if status == self._shown:
            return []
        self._shown = status
        return [f"STATUS={status}"]

    def _notify(self, *assignments: str) -> None:
        if not self._path or not assignments:
            return
        try:
            self._send(self._path, "\n".join(assignments).encode())
        except OSError as error:
            # The next message has the status again.
            self._shown = ""
            if not self._failing:
                _log.warn(
                    "Cannot notify the service manager at {path}: {error}.",
                    path=self._path,
                    error=error,
                    eventName="process.notNotified",
                )
            self._failing = True
        else:
            self._failing = False


def _watchdogSeconds(environ: Mapping[str, str]) -> float | None:
    """Return the limit of the watchdog; None if there is none, or if it is for another process."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not (microseconds.isdecimal() and microseconds.isascii() and int(microseconds)):
        return None
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6
