"""A Twisted reactor on a uvloop loop, with TCP servers on uvloop transports."""

from __future__ import annotations

import asyncio
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import AddressFamily
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.process import reapAllProcesses
from twisted.python import context

from echoserver.uvreactor.tls import PlainConnection
from echoserver.uvreactor.transport import Connection

try:
    import uvloop
except ImportError:
    raise ImportError(
        "uvloop is not installed here: type 'pip install uvloop' (there is none for Windows and"
        " PyPy), or leave --reactor=uvloop out"
    ) from None


class UvloopReactor(AsyncioSelectorReactor):
    """
    TCP ports hand what they accept to uvloop; all else is the stock reactor's.

    @ivar loop: where all of it runs.
    @ivar connections: those that TCP ports have accepted and that are not lost.
    @ivar resets: tells who was reset while nobody read.
    @ivar contexts: the stack of L{twisted.python.context} in the reactor's thread.
    """

    def __init__(self, eventloop: asyncio.AbstractEventLoop | None = None) -> None:
        if eventloop is None:
            eventloop = uvloop.new_event_loop()
            asyncio.set_event_loop(eventloop)
        self.loop = eventloop
        self.connections: set[Connection] = set()
        self.resets = Resets(eventloop)
        self.contexts: list[Any] = []
        super().__init__(eventloop)

    def startRunning(self, installSignalHandlers: bool = True) -> None:
        # The stack is the thread's: take it in the thread that runs the reactor.
        self.contexts = context.theContextTracker.currentContext().contexts
        super().startRunning(installSignalHandlers)
        if installSignalHandlers:
            # Twisted's own wakes it by Python's wake-up descriptor, which uvloop takes for itself.
            signal.signal(signal.SIGCHLD, self._childEnded)

    def _childEnded(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(reapAllProcesses)

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        listening = super().listenTCP(port, factory, backlog, interface)
        listening.transport = PlainConnection
        return listening

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: AddressFamily, factory: Any
    ) -> Any:
        listening = super().adoptStreamPort(fileDescriptor, addressFamily, factory)
        if addressFamily in (AddressFamily.AF_INET, AddressFamily.AF_INET6):
            listening.transport = PlainConnection
        return listening

    def addReader(self, reader: Any) -> None:
        super().addReader(reader)
        # Not in this turn: the reader shall hear of the error itself before he is watched afresh.
        again = partial(self.loop.call_soon, self._watchAgain, reader)
        self.resets.watch(reader, reader.fileno(), again)

    def addWriter(self, writer: Any) -> None:
        try:
            super().addWriter(writer)
        except RuntimeError:
            # An error has just ended uvloop's watch over this descriptor.
            self._watchAgain(writer)
            super().addWriter(writer)

    def removeReader(self, reader: Any) -> None:
        self.resets.forget(reader)
        super().removeReader(reader)

    def removeAll(self) -> list[Any]:
        connections = list(self.connections)
        self.connections.clear()
        for connection in connections:
            connection.stopReading()
        return [*super().removeAll(), *connections]

    def getReaders(self) -> list[Any]:
        return [*super().getReaders(), *(each for each in self.connections if each.reading)]

    def _watchAgain(self, descriptor: Any) -> None:
        """
        Start a watch afresh.

        libuv tells of an error on a descriptor once, and watches it no more; but whoever reads it
        may first find what came before the error.
        """
        for watched, remove, add in (
            (super().getReaders(), self.removeReader, self.addReader),
            (super().getWriters(), self.removeWriter, self.addWriter),
        ):
            if descriptor in watched:
                remove(descriptor)
                add(descriptor)


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
        """InterruptionPoller no more; call it while the descriptor is open."""
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
