"""A TCP transport of Twisted on a transport of uvloop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar
from typing import Protocol as TypingProtocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    ILoggingContext,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python import context
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from zope.interface import implementer

T = TypeVar("T")

_log = Logger(namespace="fleetiq.uvreactor")


class Flagged(TypingProtocol):
    """
    What has flags.

    @ivar flags: all of them, 0 at the start. What has eight or fewer costs nothing besides: Python
        keeps small numbers once.
    """

    flags: int


class Flag:
    """
    One bit of C{flags}, the first that is declared the lowest; all are declared in one class. A
    dozen of them take 8 bytes of each object, where a dozen attributes take 96.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        declared = [each for each in vars(owner).values() if isinstance(each, Flag)]
        self._bit = 1 << declared.index(self)

    def __get__(self, it: Flagged, owner: type) -> bool:
        return bool(it.flags & self._bit)

    def __set__(self, it: Flagged, yes: bool) -> None:
        it.flags = it.flags | self._bit if yes else it.flags & ~self._bit


@implementer(ISystemHandle)
class TCPSocket:
    """
    What a transport over TCP says of its socket.

    @ivar socket: for its options; its bytes are somebody else's.
    @ivar client: the peer's address as the socket had it, or nothing if uvloop knows it.
    """

    __slots__ = ("client", "socket")

    _uv: Any

    def __init__(self, skt: socket.socket, client: tuple[Any, ...]) -> None:
        self.socket = skt
        self.client = client

    def getHandle(self) -> Any:
        return self.socket

    def fileno(self) -> int:
        return self.socket.fileno()

    def getPeer(self) -> IPv4Address | IPv6Address:
        return address(self.client or self._uv.get_extra_info("peername"))

    def getHost(self) -> IPv4Address | IPv6Address:
        name = self.socket.getsockname()
        if len(name) == 4:
            numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            name = (socket.getnameinfo(name, numeric)[0], *name[1:])
        return address(name)

    def getTcpNoDelay(self) -> bool:
        return bool(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        # A socket that was reset already takes no options on some systems, and needs none.
        with suppress(OSError):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def hangUp(self, reset: bool) -> None:
        """Tell the peer that it is over: at once, or by a reset when the socket is closed."""
        with suppress(OSError):
            if reset:
                linger = struct.pack("ii", 1, 0)
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                self.socket.shutdown(socket.SHUT_RDWR)


def address(name: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    """A socket's name, as Twisted writes it."""
    return IPv4Address("TCP", *name) if len(name) == 2 else IPv6Address("TCP", *name)


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


BUFFER = 64 * 1024


def inLogContext(method: Callable[..., T]) -> Callable[..., T]:
    """Run a method of a connection with the log context of this connection."""

    @wraps(method)
    def run(connection: Connection, *args: Any) -> T:
        return context.call(connection, method, connection, *args)  # type: ignore[no-any-return] # context.call has no types

    return run


def discard(data: bytes) -> None:
    """What C{write} does when nobody is there any more."""


@implementer(IConsumer, ILoggingContext, IPushProducer, ITCPTransport)
class Connection(TCPSocket, asyncio.Protocol):
    """
    What a TCP port makes of each socket it accepts.

    uvloop takes the socket over in one of the next turns; what is written until then is kept.
    From then on C{write} I{is} uvloop's, as long as nobody waits for the end of what is written.

    @ivar reading: whether bytes are handed to the protocol as they come.
    @ivar send: writes what goes out as it is; it is C{write}, until TLS starts.
    """

    # A player costs less memory so than on Twisted's own transports.
    __slots__ = (
        "_uv",
        "flags",
        "producer",
        "protocol",
        "send",
        "server",
        "sessionno",
        "write",
    )

    # Those of a connection at rest come first: their number is a small one.
    connected = Flag()
    reading = Flag()
    streamingProducer = Flag()
    disconnecting = Flag()
    _aborting = Flag()
    _awaiting = Flag()
    _blocked = Flag()
    _goingOn = Flag()
    _producerPaused = Flag()
    _readEnded = Flag()
    _writeDisconnected = Flag()
    _writeDisconnecting = Flag()

    write: Callable[[bytes], None]

    def __init__(
        self,
        skt: socket.socket,
        protocol: Any,
        client: tuple[Any, ...],
        server: Any,
        sessionno: int,
        reactor: Any,
    ) -> None:
        super().__init__(skt, client)
        self.protocol = protocol
        self.server = server
        self.sessionno = sessionno
        self.flags = 0
        self.connected = self.reading = True
        self.producer: Any = None
        self._uv: Any = Early(skt, self._pauseReading, reactor.loop)
        self._writeDirectly()
        reactor.connections.add(self)
        reactor.loop.create_task(self._handOver())

    @property
    def reactor(self) -> Any:
        """The port's."""
        return self.server.reactor

    @property
    def disconnected(self) -> bool:
        """Whether it has ended."""
        return not self.connected

    @property
    def logstr(self) -> str:
        """What Twisted's own transports call their log prefix."""
        return self.logPrefix()

    def __repr__(self) -> str:
        if self.disconnected:
            return f"<connection #{self.sessionno}, lost>"
        return f"<{type(self.protocol).__name__} #{self.sessionno} on {self.getHost().port}>"

    def logPrefix(self) -> str:
        protocol = self.protocol
        if ILoggingContext.providedBy(protocol):
            prefix = protocol.logPrefix()
        else:
            prefix = type(protocol).__name__
        return f"{prefix},{self.sessionno},{self.getPeer().host}"

    def __getitem__(self, key: object) -> dict[str, str]:
        """
        Return the log context of this connection.

        While a callback of the protocol runs, this is the top of the stack of contexts that
        L{twisted.python.context} looks keys up in; so the log prefix is made only when it is read.
        """
        if key is ILogContext:
            return {"system": self.logPrefix()}
        raise KeyError(key)

    # What uvloop tells.

    async def _handOver(self) -> None:
        try:
            await self.reactor.loop.connect_accepted_socket(self._taken, self.socket)
        except Exception as failed:  # noqa: BLE001 # whatever it is, the connection has ended
            self.connection_lost(failed)

    def _taken(self) -> Connection:
        self._uv.aboutToBeTaken()
        return self

    def connection_made(self, transport: Any) -> None:
        if self.disconnected:
            transport.abort()
            return
        early, self._uv = self._uv, transport
        # uvloop keeps IPv4 addresses as they are: no need to have them twice.
        if len(self.client) == 2 and transport.get_extra_info("peername") is not None:
            self.client = ()
        if self._aborting:
            return
        self._writeDirectly()
        early.handOver(transport)
        if self._awaiting:
            self._awaitWritten()

    def data_received(self, data: bytes) -> None:
        contexts = self.server.reactor.contexts
        # As context.call, which would make an echo a quarter longer.
        contexts.append(self)
        try:
            self.protocol.dataReceived(data)
        except Exception:  # noqa: BLE001 # whatever a protocol raises ends its connection alone
            self._failed()
        finally:
            contexts.pop()

    @inLogContext
    def eof_received(self) -> bool:
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is None:
            self.connectionLost(Failure(CONNECTION_DONE))
            return True
        self._readEnded = True
        self.stopReading()
        try:
            protocol.readConnectionLost()
        except Exception:  # noqa: BLE001 # as above
            self._failed()
        return True

    def pause_writing(self) -> None:
        self._blocked = True
        self._pauseProducer()

    def resume_writing(self) -> None:
        self._blocked = False
        self._goOn()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.disconnected:
            lost = exc is not None and not isinstance(exc, OSError)
            self.connectionLost(Failure(exc if lost else CONNECTION_LOST))

    # What waits until all is written.

    def _awaitWritten(self) -> None:
        """From now on L{_goOn} is called whenever nothing is left to be written."""
        self._awaiting = True
        if not isinstance(self._uv, Early):
            self.writeBy(self._writeAndGoOn)
            self._uv.set_write_buffer_limits(high=0)
            self._goOnSoon()

    def _writeAndGoOn(self, data: bytes) -> None:
        self._uv.write(data)
        self._goOnSoon()

    def _goOnSoon(self) -> None:
        if not self._blocked and not self._goingOn and not isinstance(self._uv, Early):
            self._goingOn = True
            self.reactor.loop.call_soon(self._goOn)

    @inLogContext
    def _goOn(self) -> None:
        self._goingOn = False
        if self._blocked or self._aborting or self.disconnected:
            return
        try:
            if self.producer is not None and (self._producerPaused or not self.streamingProducer):
                self._producerPaused = False
                self.producer.resumeProducing()
            elif self.disconnecting:
                self.connectionLost(Failure(CONNECTION_DONE))
            elif self._writeDisconnecting and not self._writeDisconnected:
                self._closeWriteConnection()
        except Exception:  # noqa: BLE001 # as above
            self._failed()

    def _closeWriteConnection(self) -> None:
        self._writeDisconnected = True
        self.writeBy(discard)
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is not None:
            protocol.writeConnectionLost()

    # What the protocol may ask for.

    def writeBy(self, write: Callable[[bytes], None]) -> None:
        """Bytes go this way from now on."""
        self.send = self.write = write

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        try:
            data = b"".join(iovec)
        except TypeError:
            raise TypeError("Data must be bytes") from None
        self.write(data)

    def _writeDirectly(self) -> None:
        self.writeBy(self._uv.write)
        self._uv.set_write_buffer_limits(high=BUFFER, low=0)

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            if self._writeDisconnected:
                self.connectionLost(Failure(CONNECTION_DONE))
            else:
                self.disconnecting = True
                self.stopReading()
                self._awaitWritten()

    def loseWriteConnection(self) -> None:
        if self.connected:
            self._writeDisconnecting = True
            self._awaitWritten()

    def abortConnection(self) -> None:
        if self.connected and not self._aborting:
            self._aborting = True
            self.stopReading()
            self.writeBy(discard)
            self.reactor.callLater(0, self.connectionLost, Failure(ConnectionAborted()))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self.producer} was never"
                " unregistered."
            )
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = streaming
        if not streaming:
            self._awaitWritten()
            producer.resumeProducing()
        elif self._blocked:
            self._pauseProducer()

    def _pauseProducer(self) -> None:
        if self.producer is not None and self.streamingProducer:
            self._producerPaused = True
            try:
                self.producer.pauseProducing()
            except Exception:  # noqa: BLE001 # whatever it is, uvloop cannot tell anybody
                _log.failure("A producer failed to pause.")

    def unregisterProducer(self) -> None:
        self.producer = None
        self._producerPaused = False
        if self.connected and self._awaiting:
            if self.disconnecting or self._writeDisconnecting:
                self._goOnSoon()
            else:
                self._awaiting = False
                self._writeDirectly()

    def stopConsuming(self) -> None:
        self.unregisterProducer()
        self.loseConnection()

    def stopReading(self) -> None:
        self.reading = False
        self.reactor.resets.watch(self, self.socket.fileno(), self._reset)
        self._pauseReading()

    def _pauseReading(self) -> None:
        if self.connected and not self.reading:
            self._uv.pause_reading()

    def startReading(self) -> None:
        if self.connected and not self.disconnecting and not self._readEnded:
            self.reading = True
            self.reactor.resets.forget(self)
            self._uv.resume_reading()

    pauseProducing = stopReading
    resumeProducing = startReading

    def stopProducing(self) -> None:
        self.loseConnection()

    # How it ends.

    def _reset(self) -> None:
        self.connectionLost(Failure(CONNECTION_LOST))

    def _failed(self) -> None:
        _log.failure("A protocol failed: {connection}.", connection=self)
        self.connectionLost(Failure())

    @inLogContext
    def connectionLost(self, reason: Failure) -> None:
        """Close it now, whatever is left to be written, and tell the protocol."""
        if self.disconnected:
            return
        self.connected = self.reading = False
        self.writeBy(discard)
        self.reactor.connections.discard(self)
        self.reactor.resets.forget(self)
        producer, self.producer = self.producer, None
        try:
            if producer is not None:
                producer.stopProducing()
        finally:
            self.hangUp(reset=reason.check(ConnectionAborted) is not None)
            self._uv.abort()
            try:
                self.protocol.connectionLost(reason)
            finally:
                self.protocol = None
