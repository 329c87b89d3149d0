"""One connection: admission, join and leave, closing, back-pressure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    ILoggingContext,
    INegotiated,
    IProtocol,
    IPushProducer,
    ISSLTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from echoserver.game.forwarding import forwardingClass
from echoserver.game.listener import describe, hostOf, logPrefixOf, peerHasClosed
from echoserver.game.proxyheader import hasHandshake

if TYPE_CHECKING:  # at run time the factory imports this module
    from echoserver.game.factory import ConnectionFactory

P = ParamSpec("P")

_log = Logger(namespace="fleetiq.game")

# Seconds that a peer has to read what is left when its connection closes.
CLOSE_TIMEOUT = 10.0


def callHook(hook: Callable[P, object], *args: P.args, **kw: P.kwargs) -> None:
    """Call a hook of the game. An exception is logged, and changes nothing for the players."""
    try:
        hook(*args, **kw)
    except Exception:  # noqa: BLE001 # the game's error must not reach the player's connection
        _log.failure("A hook of the game failed.", eventName="game.hookFailed")


class PlayerListener(TypingProtocol):
    """Decides on connections and is notified of players: the game server."""

    def admission(self, connection: Connection) -> Deferred[bytes | None]:
        """
        Decide whether the connection becomes a player. Fires with None if it does, else with the
        message to send before it is closed. Until then the connection is not read.
        """

    def playerJoining(self, connection: Connection) -> None:
        """The connection was admitted; its protocol is connected next."""

    def playerJoined(self, connection: Connection) -> None:
        """The protocol of a player is connected; data follows."""

    def playerLeft(self, connection: Connection, reason: str) -> None:
        """A connection for which L{playerJoining} was called has ended."""


@implementer(IHalfCloseableProtocol, IHandshakeListener, ILoggingContext, IProtocol, IPushProducer)
class Connection:
    """
    One connection: the protocol of the transport, and the transport of the game's protocol.

    The game's protocol is made and connected when the connection is admitted. Its transport is this
    object, which has the interfaces and attributes of the real transport, with three differences:

     - While the game's protocol registers no producer, this object is the transport's producer. So
       the server does not read from a peer that does not read.
     - After C{loseConnection} no more data is delivered, and C{connectionLost} is called as soon as
       all data is written.
     - After a FIN of the peer, buffered data is still sent, within 10 s.

    @ivar protocol: the game's protocol; None until the connection is admitted.
    @ivar bytesReceived: the number of bytes that the peer has sent.
    @ivar reason: why the connection closes or has closed; None while it is open.
    @ivar joined: whether it is a player.
    """

    # Without slots each connection would have a dictionary: 0.4 KiB, and slower access.
    __slots__ = (
        "_abortCall",
        "_ownsProducer",
        "_parent",
        "_pendingData",
        "_received",
        "_transport",
        "dataReceived",
        "joined",
        "protocol",
        "reason",
        "write",
        "writeBytes",
    )

    _transport: Any
    dataReceived: Callable[[bytes], None]
    write: Callable[[bytes], None]
    writeBytes: Callable[[bytes], None]
    protocol: Any

    def __init__(self, parent: ConnectionFactory) -> None:
        self._parent = parent
        self._transport = None
        self._abortCall: IDelayedCall | None = None
        self._ownsProducer = False
        self._pendingData: tuple[bytes, ...] = ()
        self._received = 0
        self.joined = False
        self.protocol = None
        self.reason: str | None = None

    # The protocol of the transport.

    def makeConnection(self, transport: Any) -> None:
        self._transport = transport
        self._setReceive(self._bufferUntilAdmitted)
        self.connectionMade()

    def connectionMade(self) -> None:
        self._parent.connected(self, handshake=hasHandshake(self._transport))

    def handshakeCompleted(self) -> None:
        """
        The TLS handshake or the PROXY header is complete. Only now data may arrive, and admission
        may be requested. If the game's protocol is an C{IHandshakeListener}, it is notified.
        """
        self._parent.handshakeCompleted(self)
        if self.joined:  # the game's protocol has called startTLS
            self._handshakeCompleted()

    def _handshakeCompleted(self) -> None:
        if IHandshakeListener.providedBy(self.protocol):
            self.protocol.handshakeCompleted()

    def _setReceive(self, receive: Callable[[bytes], None]) -> None:
        """
        Pass received data to C{receive}, and count its bytes.

        A connection of the uvloop reactor counts them itself, which saves a call: 0.07 us an echo.
        """
        self.dataReceived = receive if self._transportCounts else partial(self._count, receive)

    @property
    def _transportCounts(self) -> bool:
        # Check the class, because a wrapper forwards the attributes of the transport inside.
        counts = hasattr(type(self._transport), "bytesReceived")
        return counts and not ISSLTransport.providedBy(self._transport)

    def _count(self, receive: Callable[[bytes], None], data: bytes) -> None:
        self._received += len(data)
        receive(data)

    @property
    def bytesReceived(self) -> int:
        received: int = self._transport.bytesReceived if self._transportCounts else self._received
        return received

    def readConnectionLost(self) -> None:
        """
        The peer has sent FIN. Close the connection, unless the game's protocol is an
        C{IHalfCloseableProtocol}.
        """
        if self.joined and self.reason is None and IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
            return
        if self.reason is None:
            self._stopReceiving("closed the connection")
        self.abortIn(CLOSE_TIMEOUT)
        self._transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        All written data is sent, and a FIN after it. If the server closes the connection, the
        player has left now, even if the socket still waits for the peer's FIN.
        """
        if self.reason is not None:
            self._leave(Failure(ConnectionDone()))
        elif self.joined and IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._abortCall is not None and self._abortCall.active():
            self._abortCall.cancel()
        if self.reason is None:
            clean = reason.check(ConnectionDone)
            self.reason = (
                "closed the connection" if clean else f"vanished ({reason.getErrorMessage()})"
            )
        # Remove it first: the hook playerLeft may close all other connections.
        self._parent.disconnected(self)
        self._leave(reason)
        self._parent.fireIfEmpty()

    def logPrefix(self) -> str:
        return type(self).__name__ if self.protocol is None else logPrefixOf(self.protocol)

    # The producer of the transport.

    def pauseProducing(self) -> None:
        self._parent.paused.add(self)
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._parent.paused.discard(self)
        self._transport.resumeProducing()
        if self._pendingData and self.joined:
            self._deliverPending()

    def stopProducing(self) -> None:
        self._transport.stopProducing()

    def peerHasClosed(self) -> bool:
        return self.joined and self.reason is None and peerHasClosed(self._transport)

    # The transport of the game's protocol.

    def transportChanged(self) -> None:
        """Take over the attributes and methods of the transport, which have changed."""
        transport = self._transport
        self.__class__ = forwardingClass(Connection, transport)
        # The transport's own methods: a method of this class would cost each echo 1 %.
        self.write = transport.write
        # Check the class, because a wrapper forwards to the transport inside, below TLS.
        direct = hasattr(type(transport), "writeBytes")
        self.writeBytes = transport.writeBytes if direct else transport.write
        if not self._transportCounts and not isinstance(self.dataReceived, partial):
            self._received = transport.bytesReceived  # TLS has started: count on from here
        if self.joined and self.reason is None:
            self._setReceive(self.protocol.dataReceived)

    @property
    def transport(self) -> Connection:
        """Return the transport of the game's protocol. See L{Player<echoserver.game.Player>}."""
        return self

    @property
    def address(self) -> str:
        return describe(self._transport.getPeer())

    @property
    def host(self) -> str | None:
        return hostOf(self._transport.getPeer())

    @property
    def disconnecting(self) -> bool:
        return self.reason is not None or bool(getattr(self._transport, "disconnecting", False))

    def loseConnection(self) -> None:
        self.close("closed by the server")

    def abortConnection(self) -> None:
        if self.reason is None:
            self._stopReceiving("aborted by the server")
        self._transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Replace this connection as the transport's producer."""
        self._unregisterOwnProducer()
        self._transport.registerProducer(producer, streaming)
        self.transportChanged()

    def unregisterProducer(self) -> None:
        if not self._ownsProducer:
            self._transport.unregisterProducer()
            self._registerOwnProducer()

    def close(self, reason: str, within: float = CLOSE_TIMEOUT) -> None:
        """
        Close the connection once all is written; abort it if the peer has not read it in time.

        Only the write side is closed, and the peer's data is read and dropped: if a socket with
        unread data is closed, the kernel resets the connection, and data in flight is lost. TLS and
        PROXY wrappers cannot close one side only.

        @param within: seconds.
        """
        self.abortIn(within)
        if self.reason is None:
            self._stopReceiving(reason)
            self._parent.paused.discard(self)
            self._transport.resumeProducing()
            isTLS = getattr(self._transport, "TLS", False)
            if isTLS or isinstance(self._transport, ProtocolWrapper):
                self._transport.loseConnection()
            else:
                self._transport.loseWriteConnection()

    def replace(self, message: bytes) -> None:
        """
        Remove a player that has sent nothing, because another connection takes its place. Send this
        message, and close the connection.
        """
        self._transport.write(message)
        self.close("sent nothing, and another connection took its place")
        self._leave(Failure(ConnectionDone()))

    def abortIn(self, seconds: float) -> None:
        """Abort the connection after this time, unless an earlier abort is set."""
        clock = self._parent.clock
        if self._abortCall is not None and self._abortCall.active():
            if self._abortCall.getTime() <= clock.seconds() + seconds:
                return
            self._abortCall.cancel()
        self._abortCall = clock.callLater(seconds, self._transport.abortConnection)

    # Admission, join and leave.

    def requestAdmission(self) -> None:
        if self.reason is not None:
            return
        try:
            decision = self._parent.listener.admission(self)
        except Exception:  # noqa: BLE001 # an internal error must not reject a player
            _log.failure(
                "The admission of a connection failed.", eventName="player.admissionFailed"
            )
            decision = succeed(None)
        if not decision.called:
            self._transport.pauseProducing()
        decision.addErrback(self._admissionFailed).addCallback(self._decided)

    def _admissionFailed(self, failure: Failure) -> None:
        _log.failure(
            "The admission of a connection failed.", failure, eventName="player.admissionFailed"
        )

    def _decided(self, message: bytes | None) -> None:
        if self.reason is not None:
            self._pendingData = ()
            return
        # Resume first: the write below may pause it again.
        self._transport.resumeProducing()
        if message is not None:
            self._pendingData = ()
            self._transport.write(message)
            self.close("rejected")
            return
        self._join()

    def _join(self) -> None:
        self.joined = True
        self._parent.listener.playerJoining(self)
        try:
            self.protocol = self._parent.buildGameProtocol(self._transport.getPeer())
            if self.protocol is None:
                self.close("rejected by the game")
                return
            self.transportChanged()
            self.protocol.makeConnection(self)
            if INegotiated.providedBy(self._transport):
                self._handshakeCompleted()
        except Exception:  # noqa: BLE001 # as an exception in dataReceived, it ends this connection
            _log.failure(
                "The game's protocol failed when it was connected.", eventName="game.protocolFailed"
            )
            self._transport.abortConnection()
            return
        if self.reason is None:
            self._registerOwnProducer()
        self._parent.listener.playerJoined(self)
        self._deliverPending()

    def _bufferUntilAdmitted(self, data: bytes) -> None:
        self._pendingData += (data,)
        if self._parent.pending.discard(self):
            self.requestAdmission()

    def _deliverPending(self) -> None:
        while self._pendingData and self not in self._parent.paused:
            data, *rest = self._pendingData
            self._pendingData = tuple(rest)
            self.protocol.dataReceived(data)

    def _stopReceiving(self, reason: str) -> None:
        self.reason = reason
        self._pendingData = ()
        self._setReceive(_drop)
        self._parent.stopWaiting(self)
        self._unregisterOwnProducer()

    def _leave(self, failure: Failure) -> None:
        if self.joined:
            self.joined = False
            if self.protocol is not None:
                callHook(self.protocol.connectionLost, failure)
            self._parent.listener.playerLeft(self, self.reason or "")

    def _registerOwnProducer(self) -> None:
        if getattr(self._transport, "producer", None) is None and self.reason is None:
            self._ownsProducer = True
            self._transport.registerProducer(self, True)

    def _unregisterOwnProducer(self) -> None:
        # With a producer, TLS connections and paused ones would never close.
        if self._ownsProducer:
            self._ownsProducer = False
            self._transport.unregisterProducer()


def _drop(data: bytes) -> None:
    """Drop data that arrives while the connection closes."""
