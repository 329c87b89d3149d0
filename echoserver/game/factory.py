"""Wrap the protocol factory of a game, and own its connections and their timeouts."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from zope.interface import implementer

from echoserver.game.connection import CLOSE_TIMEOUT, Connection, PlayerListener, callHook
from echoserver.game.listener import logPrefixOf
from echoserver.game.timeouts import (
    HandshakeTimeout,
    IdleTimeout,
    PausedConnections,
    PendingConnections,
)

# Seconds that a TLS handshake or a PROXY header may take.
HANDSHAKE_TIMEOUT = 10.0
# Seconds without data after which a connection requests admission, and a session may start.
ADMISSION_DELAY = 0.5


@implementer(IProtocolFactory, ILoggingContext)
class ConnectionFactory:
    """
    Wraps the protocol factory of a game: each connection is a L{Connection}.

    @param factory: the game's own: any C{IProtocolFactory}.
    @param idleTimeout: seconds without data after which a player is disconnected; 0 for never.
    @param handshakeTimeout: seconds for a TLS handshake or a PROXY header.
    @ivar listener: decides on admissions and is notified of players.
    @ivar open: all connections, admitted or not.
    @ivar handshakes: those whose TLS handshake or PROXY header is not complete.
    @ivar pending: those that have not sent data yet.
    @ivar paused: those whose input is not read, because of back-pressure.
    """

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        factory: IProtocolFactory,
        listener: PlayerListener,
        idleTimeout: float = 0.0,
        handshakeTimeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self.clock = clock
        self.listener = listener
        self.open: set[Connection] = set()
        self.paused = PausedConnections(clock, CLOSE_TIMEOUT)
        self.handshakes = HandshakeTimeout(clock, handshakeTimeout)
        self.pending = PendingConnections(clock, ADMISSION_DELAY)
        self._factory = factory
        self._idle = IdleTimeout(clock, idleTimeout, self._players) if idleTimeout else None
        self._waitingForEmpty: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress) -> IProtocol:
        return Connection(self)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def logPrefix(self) -> str:
        return logPrefixOf(self._factory)

    def closeAll(self, closePlayers: Callable[[], object], within: float) -> Deferred[None]:
        """
        Close all connections.

        @param closePlayers: called first: the game's hook, which closes its players.
        @param within: seconds after which connections that are still open are aborted.
        @return: fires with None when none is left.
        """
        callHook(closePlayers)
        for connection in list(self.open):
            if connection.joined:
                connection.abortIn(within)
            elif self.handshakes.discard(connection):
                connection.abortConnection()
            else:
                connection.close("the server stops", within)
        empty: Deferred[None] = Deferred()
        self._waitingForEmpty.append(empty)
        self.fireIfEmpty()
        return empty

    def buildGameProtocol(self, address: IAddress) -> IProtocol | None:
        """Return the game's protocol for a player; None if the game rejects the player."""
        return self._factory.buildProtocol(address)

    def connected(self, connection: Connection, *, handshake: bool) -> None:
        """
        Watch a new connection.

        @param handshake: whether L{handshakeCompleted} is called before data arrives.
        """
        self.open.add(connection)
        (self.handshakes if handshake else self.pending).add(connection)
        if self._idle is not None:
            self._idle.start()

    def handshakeCompleted(self, connection: Connection) -> None:
        """Expect the first data of a connection. It requests admission then, or after 0.5 s."""
        if self.handshakes.discard(connection):
            self.pending.add(connection)

    def stopWaiting(self, connection: Connection) -> None:
        """Stop the timeouts of a connection that requests no admission any more."""
        self.handshakes.discard(connection)
        self.pending.discard(connection)

    def disconnected(self, connection: Connection) -> None:
        """Stop watching a connection that is lost."""
        self.open.discard(connection)
        self.paused.discard(connection)
        self.stopWaiting(connection)

    def fireIfEmpty(self) -> None:
        """Stop the timers and fire what L{closeAll} returned, if no connection is left."""
        if not self.open:
            self.paused.stop()
            self.handshakes.stop()
            self.pending.stop()
            if self._idle is not None:
                self._idle.stop()
            waiting, self._waitingForEmpty = self._waitingForEmpty, []
            for empty in waiting:
                empty.callback(None)

    def _players(self) -> list[Connection]:
        return [each for each in self.open if each.joined and each.reason is None]
