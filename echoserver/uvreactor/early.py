"""What stands in for uvloop's transport until uvloop has taken the socket over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Early:
    """
    Does what a transport of uvloop's can do before there is one.

    @ivar held: what has been written.
    """

    def __init__(
        self,
        skt: socket.socket,
        pauseReading: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.held: list[bytes] = []
        self._socket = skt
        self._pauseReading = pauseReading
        self._loop = loop
        self._noDelay = False

    def aboutToBeTaken(self) -> None:
        """Keep what uvloop is going to change."""
        self._noDelay = bool(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def handOver(self, transport: Any) -> None:
        """It is uvloop's now."""
        if not self._noDelay:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, False)
        transport.writelines(self.held)

    def write(self, data: bytes) -> None:
        if isinstance(data, str):
            raise TypeError("Data must be bytes")
        self.held.append(data)

    def set_write_buffer_limits(self, high: int, low: int = 0) -> None:
        """None hold yet."""

    def pause_reading(self) -> None:
        """Come again: uvloop reads from the moment it takes over, and this is right after that."""
        self._loop.call_soon(self._pauseReading)

    def resume_reading(self) -> None:
        """It is what uvloop begins with."""

    def abort(self) -> None:
        self._socket.close()
