"""
Timeouts of connections. Each timeout has one timer for all connections, so that received data does
not reset a timer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger(namespace="fleetiq.game")

# Deadlines closer together than this, in seconds, share one timer call.
COALESCE = 0.001
CHECKS_PER_TIMEOUT = 10
PAUSED_CHECK_INTERVAL = 1.0


class TimedConnection(TypingProtocol):
    """The part of L{echoserver.game.connection.Connection} that the timeouts use."""

    @property
    def bytesReceived(self) -> int: ...

    def requestAdmission(self) -> None:
        """Request that the connection becomes a player."""

    def close(self, reason: str) -> None:
        """Close the connection."""

    def abortConnection(self) -> None:
        """Close the connection at once."""

    def peerHasClosed(self) -> bool:
        """Return whether the peer has sent FIN; it is not seen while reading is paused."""

    def abortIn(self, seconds: float) -> None:
        """Abort the connection after this time, unless an earlier abort is set."""


class _Timer:
    """One delayed call that can be stopped."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None

    def stop(self) -> None:
        """Cancel the delayed call, because no connection is left."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _callIn(self, seconds: float) -> None:
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._run)

    def _run(self) -> None:
        self._call = None
        self._check()

    def _check(self) -> None:
        """Check the connections. The delayed call calls this."""


class _Deadlines(_Timer):
    """
    One timeout, in seconds, that begins for each connection when it is added.

    @param after: the timeout.
    @cvar interval: the minimum seconds between two checks. A timeout can expire this much late.
    """

    interval = 0.0

    def __init__(self, clock: IReactorTime, after: float) -> None:
        super().__init__(clock)
        self._after = after
        self._deadlines: OrderedDict[TimedConnection, float] = OrderedDict()

    def add(self, connection: TimedConnection) -> None:
        """Start the timeout of a connection."""
        self._deadlines[connection] = self._clock.seconds() + self._after
        self._callNext()

    def discard(self, connection: TimedConnection) -> bool:
        """Stop the timeout of a connection. Return False if it has none, or it has expired."""
        return self._deadlines.pop(connection, None) is not None

    def _check(self) -> None:
        now = self._clock.seconds()
        while self._deadlines and next(iter(self._deadlines.values())) <= now + COALESCE:
            connection, _ = self._deadlines.popitem(last=False)
            try:
                self._expired(connection)
            except Exception:  # noqa: BLE001 # it must not keep the other connections waiting
                _log.failure(
                    "The timeout of a connection failed.", eventName="player.timeoutFailed"
                )
        self._callNext()

    def _expired(self, connection: TimedConnection) -> None:
        """The timeout of a connection has expired."""

    def _callNext(self) -> None:
        if self._deadlines:
            left = next(iter(self._deadlines.values())) - self._clock.seconds()
            self._callIn(max(self.interval, left))


class PendingConnections(_Deadlines):
    """
    Connections that have not sent data yet. After the timeout they request admission without data,
    because in some games the server sends first.

    @param after: seconds from the connection, or its handshake, to the request.
    """

    def _expired(self, connection: TimedConnection) -> None:
        connection.requestAdmission()


class HandshakeTimeout(_Deadlines):
    """
    Abort connections whose TLS handshake or PROXY header is not complete in time, at most a second
    later. One line a second is logged, for any number of them.

    @param after: seconds from the connection; 1 or more.
    """

    interval = 1.0

    _aborted = 0

    def _check(self) -> None:
        super()._check()
        aborted, self._aborted = self._aborted, 0
        if aborted:
            _log.info(
                "Connections aborted, because the TLS handshake or the PROXY header was not"
                " complete after {seconds:g} s: {count}.",
                count=aborted,
                seconds=self._after,
                eventName="player.handshakeTimeout",
            )

    def _expired(self, connection: TimedConnection) -> None:
        self._aborted += 1
        connection.abortConnection()


class IdleTimeout(_Timer):
    """
    Close connections that send nothing for C{seconds}. They are closed at most a fifth of this time
    late.

    @param connections: returns the connections of the players.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: float,
        connections: Callable[[], Iterable[TimedConnection]],
    ) -> None:
        super().__init__(clock)
        self._seconds = seconds
        self._connections = connections
        self._lastProgress: dict[TimedConnection, tuple[int, float]] = {}

    def start(self) -> None:
        """Watch from now on, because there is a connection."""
        self._callIn(self._seconds / CHECKS_PER_TIMEOUT)

    def stop(self) -> None:
        super().stop()
        self._lastProgress = {}

    def _check(self) -> None:
        self.start()
        now = self._clock.seconds()
        before, self._lastProgress = self._lastProgress, {}
        for connection in list(self._connections()):
            received, since = before.get(connection, (-1, now))
            if received != connection.bytesReceived:
                since = now
            self._lastProgress[connection] = (connection.bytesReceived, since)
            if now - since >= self._seconds:
                connection.close(f"sent nothing for {now - since:.0f} s")


class PausedConnections(_Timer):
    """
    Connections whose input is not read, because of back-pressure: while reading is paused, a FIN
    of the peer is not reported.

    @param closeTimeout: seconds that a connection has after its peer's FIN.
    """

    def __init__(self, clock: IReactorTime, closeTimeout: float) -> None:
        super().__init__(clock)
        self._closeTimeout = closeTimeout
        self._connections: set[TimedConnection] = set()

    def __contains__(self, connection: TimedConnection) -> bool:
        return connection in self._connections

    def add(self, connection: TimedConnection) -> None:
        """Watch a connection whose reading was paused."""
        self._connections.add(connection)
        self._callIn(PAUSED_CHECK_INTERVAL)

    def discard(self, connection: TimedConnection) -> None:
        """Stop watching."""
        self._connections.discard(connection)

    def _check(self) -> None:
        # The timer is not cancelled when the set empties: slow readers pause and resume often.
        if self._connections:
            self._callIn(PAUSED_CHECK_INTERVAL)
        for connection in self._connections:
            if connection.peerHasClosed():
                connection.abortIn(self._closeTimeout - PAUSED_CHECK_INTERVAL)
