"""Who was reset while nobody reads from him."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress


class Resets:
    """
    Watches descriptors for errors alone, whether or not anybody reads or writes them.

    By epoll, so on Linux; elsewhere nothing is watched, and a reset is noticed by whoever next
    reads or writes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll: select.epoll | None = None
        self._descriptors: dict[object, int] = {}
        self._tell: dict[int, Callable[[], object]] = {}

    def watch(self, who: object, descriptor: int, tell: Callable[[], object]) -> None:
        """Have C{tell} called, in a turn of its own, when there is an error on this descriptor."""
        if who in self._descriptors or descriptor in self._tell or not hasattr(select, "epoll"):
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop.add_reader(self._epoll.fileno(), self._look)
        # A file has no errors to wait for, and epoll says so.
        with suppress(OSError):
            # Edges: a connection that both sides have shut shows that for ever, and means nothing.
            self._epoll.register(descriptor, select.EPOLLET)
            self._descriptors[who] = descriptor
            self._tell[descriptor] = tell

    def forget(self, who: object) -> None:
        """Watch no more; call it while the descriptor is open."""
        descriptor = self._descriptors.pop(who, None)
        if descriptor is not None and self._epoll is not None:
            del self._tell[descriptor]
            with suppress(OSError):
                self._epoll.unregister(descriptor)

    def _look(self) -> None:
        assert self._epoll is not None
        for descriptor, events in self._epoll.poll(0):
            tell = self._tell.get(descriptor)
            if tell is not None and events & select.EPOLLERR:
                tell()
