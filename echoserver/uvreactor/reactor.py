"""A Twisted reactor on a uvloop loop, whose TCP servers use uvloop's transports."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import AddressFamily
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.base import ReactorBase
from twisted.python import context

from echoserver.uvreactor.children import ChildWatcher
from echoserver.uvreactor.tls import PlainConnection
from echoserver.uvreactor.transport import Connection, CurrentConnection

try:
    import uvloop
except ImportError:
    raise ImportError(
        "uvloop is not installed: type 'pip install uvloop' (not available for Windows and PyPy),"
        " or remove the option --reactor=uvloop"
    ) from None


class UvloopReactor(AsyncioSelectorReactor):
    """
    Twisted's asyncio reactor on a uvloop loop, with TCP server connections on uvloop's transports.

    @ivar loop: the uvloop loop.
    @ivar connections: the open connections that TCP ports have accepted.
    @ivar errors: reports errors of descriptors whose reading is paused.
    @ivar children: reaps the children of C{spawnProcess}.
    @ivar current: the connection whose data is received now, for the log context.
    """

    def __init__(self, eventloop: asyncio.AbstractEventLoop | None = None) -> None:
        if eventloop is None:
            eventloop = uvloop.new_event_loop()
            asyncio.set_event_loop(eventloop)
        self.loop = eventloop
        self.connections: set[Connection] = set()
        self.errors = ErrorWatcher(eventloop)
        self.children = ChildWatcher(eventloop)
        self.current = CurrentConnection()
        super().__init__(eventloop)

    def startRunning(self, installSignalHandlers: bool = True) -> None:
        # Each thread has its own stack of contexts, and the reactor can run in another thread.
        contexts = context.theContextTracker.currentContext().contexts
        if self.current not in contexts:
            contexts.append(self.current)
            self.addSystemEventTrigger("after", "shutdown", contexts.remove, self.current)
        super().startRunning(installSignalHandlers)

    def _signalsFactory(self) -> Any:
        """Return Twisted's handling of signals without SIGCHLD, whose handler is libuv's."""
        return ReactorBase._signalsFactory(self)

    def spawnProcess(self, *args: Any, **kw: Any) -> Any:
        process = super().spawnProcess(*args, **kw)
        self.children.watch(process)
        return process

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        listeningPort = super().listenTCP(port, factory, backlog, interface)
        listeningPort.transport = PlainConnection
        return listeningPort

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: AddressFamily, factory: Any
    ) -> Any:
        listeningPort = super().adoptStreamPort(fileDescriptor, addressFamily, factory)
        if addressFamily in (AddressFamily.AF_INET, AddressFamily.AF_INET6):
            listeningPort.transport = PlainConnection
        return listeningPort

    def addReader(self, reader: Any) -> None:
        super().addReader(reader)
        # Re-register it in the next iteration, after the reader has read the error.
        report = partial(self.loop.call_soon, self._reregister, reader)
        self.errors.watch(reader, reader.fileno(), report)

    def addWriter(self, writer: Any) -> None:
        try:
            super().addWriter(writer)
        except RuntimeError:
            # uvloop has just removed this descriptor because of an error.
            self._reregister(writer)
            super().addWriter(writer)

    def removeReader(self, reader: Any) -> None:
        self.errors.unwatch(reader)
        super().removeReader(reader)

    def removeAll(self) -> list[Any]:
        connections = list(self.connections)
        self.connections.clear()
        for connection in connections:
            connection.stopReading()
        return [*super().removeAll(), *connections]

    def getReaders(self) -> list[Any]:
        return [*super().getReaders(), *(each for each in self.connections if each.reading)]

    def _reregister(self, descriptor: Any) -> None:
        """
        Remove a descriptor from the loop, and add it again.

        libuv reports an error of a descriptor once, and then no longer polls the descriptor. But a
        reader can have data to read before it finds the error.
        """
        for registered, remove, add in (
            (super().getReaders(), self.removeReader, self.addReader),
            (super().getWriters(), self.removeWriter, self.addWriter),
        ):
            if descriptor in registered:
                remove(descriptor)
                add(descriptor)


class ErrorWatcher:
    """
    Report errors of descriptors, whether or not the loop polls them for reading or writing.

    It uses epoll, so it works on Linux only. On other systems nothing is watched, and the next read
    or write finds the error.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll: select.epoll | None = None
        self._descriptors: dict[object, int] = {}
        self._reports: dict[int, Callable[[], object]] = {}

    def watch(self, owner: object, descriptor: int, report: Callable[[], object]) -> None:
        """
        Call C{report} when there is an error on the descriptor.

        @param owner: the key for L{unwatch}.
        """
        if (
            owner in self._descriptors
            or descriptor in self._reports
            or not hasattr(select, "epoll")
        ):
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop.add_reader(self._epoll.fileno(), self._poll)
        # epoll rejects regular files, which have no such errors.
        with suppress(OSError):
            # Edge-triggered: a socket that is shut down both ways reports EPOLLHUP all the time.
            self._epoll.register(descriptor, select.EPOLLET)
            self._descriptors[owner] = descriptor
            self._reports[descriptor] = report

    def unwatch(self, owner: object) -> None:
        """Stop watching the owner's descriptor. Call this before the descriptor is closed."""
        descriptor = self._descriptors.pop(owner, None)
        if descriptor is not None and self._epoll is not None:
            del self._reports[descriptor]
            with suppress(OSError):
                self._epoll.unregister(descriptor)

    def _poll(self) -> None:
        assert self._epoll is not None
        for descriptor, events in self._epoll.poll(0):
            report = self._reports.get(descriptor)
            if report is not None and events & select.EPOLLERR:
                report()
