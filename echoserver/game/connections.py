"""A player's bytes: Echo, and its factory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from echoserver.echo import findGoodbye
from echoserver.game.game import Hooks, Player
from echoserver.game.listener import describe, hasEnded, hostOf
from echoserver.game.timeouts import HeldBack, Idleness, Newcomers

_log = Logger(namespace="fleetiq.game")

P = ParamSpec("P")
T = TypeVar("T")

JOIN_AFTER = 0.5
LAST_BYTES = 10.0
_SMALL_Q, _LARGE_Q, _LINE_END = b"qQ\n"


@implementer(IHalfCloseableProtocol, IPushProducer)
class Echo(Protocol):
    """
    Sends back what comes, as it comes, until the player says goodbye.

    It is its transport's producer: a player who does not read stops being read.
    """

    # Without them a player has a dictionary of his own: 0.4 KiB, and slower.
    __slots__ = (
        "_aborting",
        "_calm",
        "_early",
        "_joined",
        "_line",
        "_lineEnded",
        "_reason",
        "connected",
        "factory",
        "received",
        "transport",
    )

    factory: EchoFactory
    transport: Any

    def __init__(self) -> None:
        self.received = 0
        self._joined = False
        self._reason: str | None = None
        # In, not leaving, no goodbye begun, and nobody looks on: to echo is all there is to do.
        self._calm = False
        self._early: tuple[bytes, ...] = ()
        self._line: bytes | None = b""
        self._lineEnded = False
        self._aborting: IDelayedCall | None = None

    @property
    def address(self) -> str:
        """The peer, C{host:port}."""
        return describe(self.transport.getPeer())

    @property
    def host(self) -> str | None:
        """The peer's address alone, if it has one."""
        return hostOf(self.transport.getPeer())

    def connectionMade(self) -> None:
        self.factory.connected(self)
        self.transport.registerProducer(self, True)
        self.factory.newcomers.add(self)

    def dataReceived(self, data: bytes) -> None:
        # What has no q in it says no goodbye, nor begins one.
        if self._calm and _SMALL_Q not in data and _LARGE_Q not in data:
            self._line = b"" if data[-1] == _LINE_END else None
            self.received += len(data)
            self.transport.write(data)
        else:
            self._consider(data)

    def _consider(self, data: bytes) -> None:
        if not self.playing:
            self._notIn(data)
            return
        self.received += len(data)
        if self.factory.seen is not None:
            self.factory.seen(self, data)
        if not self._lineEnded:
            if len(data) == 1 and data in b"qQ":
                # The workshop's client never ends a line: its chunk is its line.
                self.leave("goodbye")
                return
            self._lineEnded = b"\n" in data
        before, self._line = findGoodbye(self._line, data)
        if before < 0:
            # Before it is written: back-pressure or an end may come of that.
            self._calm = self._lineEnded and not self._line and self.factory.seen is None
            self.transport.write(data)
            return
        self.transport.write(data[:before])
        self.leave("goodbye")

    @property
    def playing(self) -> bool:
        """Whether the player is in, and not leaving."""
        return self._joined and self._reason is None

    def leave(self, reason: str, within: float = LAST_BYTES) -> None:
        """
        Let the player go, once all is written; abort whoever has not read it C{within} seconds.

        Our side is closed, and the player's read on, and dropped: closing both with bytes unread
        would reset the connection, and lose what is still on its way. TLS and PROXY wrappers
        cannot close one side alone.
        """
        self.abortIn(within)
        if self._reason is None:
            self._reason = reason
            self._calm = False
            self.transport.unregisterProducer()
            self.transport.resumeProducing()
            if isinstance(self.transport, ProtocolWrapper):
                self.transport.loseConnection()
            else:
                self.transport.loseWriteConnection()

    def pauseProducing(self) -> None:
        self.factory.heldBack.add(self)
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.factory.heldBack.discard(self)
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.transport.stopProducing()

    def endsUnheard(self) -> bool:
        """Whether the player has ended his side, and that waits behind what is not read."""
        return self.playing and hasEnded(self.transport)

    def writeConnectionLost(self) -> None:
        """All is written: the player is gone, though the socket waits for the peer's own end."""
        self._tellLeft()

    def readConnectionLost(self) -> None:
        """The player has no more to say: what is buffered is still delivered."""
        if self._reason is None:
            self._reason = "closed the connection"
            self._calm = False
            self.transport.unregisterProducer()
        self.abortIn(LAST_BYTES)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._aborting is not None and self._aborting.active():
            self._aborting.cancel()
        if self._reason is None:
            clean = reason.check(ConnectionDone)
            why = "closed the connection" if clean else f"vanished ({reason.getErrorMessage()})"
            self._reason = why
        # Out of the set first: who hears that he left may close all who are still in it.
        self.factory.connections.discard(self)
        self.factory.heldBack.discard(self)
        self.factory.newcomers.discard(self)
        self._tellLeft()
        self.factory.disconnected()

    def _notIn(self, data: bytes) -> None:
        """What comes before the player is in waits; what comes after his end is dropped."""
        if self._reason is None:
            self._early += (data,)
            if self.factory.newcomers.discard(self):
                self.knock()

    def knock(self) -> None:
        """Ask to be let in."""
        if self._reason is not None:
            return
        answer = self.factory.tell(self.factory.hooks.admission, self) or succeed(None)
        if not answer.called:
            self.transport.pauseProducing()
        answer.addErrback(self.factory.hookFailed).addCallback(self._answered)

    def _answered(self, refusal: bytes | None) -> None:
        early, self._early = self._early, ()
        if self._reason is not None:
            return
        if refusal is not None:
            self.transport.write(refusal)
            self.leave("refused")
            return
        # Before anything is written: back-pressure may pause it again.
        self.transport.resumeProducing()
        self._joined = True
        self.factory.tell(self.factory.hooks.playerJoined, self)
        for data in early:
            self.dataReceived(data)

    def _tellLeft(self) -> None:
        if self._joined:
            self._joined = False
            self.factory.tell(self.factory.hooks.playerLeft, self, self._reason or "")

    def abortIn(self, seconds: float) -> None:
        """Abort the connection then, unless that is to be sooner already."""
        clock = self.factory.clock
        if self._aborting is not None and self._aborting.active():
            if self._aborting.getTime() <= clock.seconds() + seconds:
                return
            self._aborting.cancel()
        self._aborting = clock.callLater(seconds, self.transport.abortConnection)


class EchoFactory(Factory):
    """
    Makes an L{Echo} for each connection.

    @ivar hooks: who hears of players.
    @param idleTimeout: seconds without a byte after which a player is let go; 0 for never.
    @ivar connections: everybody who is connected, joined or not.
    @ivar heldBack: those of them who are not read.
    @ivar newcomers: those of them who have sent nothing yet.
    @ivar seen: called with a player and what has come from him, if somebody wants to see it.
    """

    protocol = Echo  # type: ignore[assignment] # Twisted asks for a callable; a class is one
    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        hooks: Hooks,
        seen: Callable[[Player, bytes], None] | None = None,
        idleTimeout: float = 0.0,
    ) -> None:
        self.clock = clock
        self.seen = seen
        self.connections: set[Echo] = set()
        self.hooks = hooks
        self.heldBack = HeldBack(clock, LAST_BYTES)
        self.newcomers = Newcomers(clock, JOIN_AFTER)
        self._awaitingEmpty: list[Deferred[None]] = []
        self._idleness = Idleness(clock, idleTimeout, self._playing) if idleTimeout else None

    def connected(self, echo: Echo) -> None:
        """Somebody has connected."""
        self.connections.add(echo)
        if self._idleness is not None:
            self._idleness.start()

    def tell(self, hook: Callable[P, T], *args: P.args, **kw: P.kwargs) -> T | None:
        """Call a hook. What it raises is logged, and comes back as None."""
        try:
            return hook(*args, **kw)
        except Exception:  # noqa: BLE001 # whatever it is, it changes nothing for the player
            self.hookFailed(Failure())
            return None

    def hookFailed(self, failure: Failure) -> None:
        """Log it."""
        _log.failure("A hook failed.", failure)

    def closeAll(self, reason: str, within: float) -> Deferred[None]:
        """Let everybody go; fires when nobody is left, at most C{within} seconds later."""
        for echo in list(self.connections):
            echo.leave(reason, within)
        empty: Deferred[None] = Deferred()
        self._awaitingEmpty.append(empty)
        self.disconnected()
        return empty

    def draining(self, deadline: float | None, reason: str) -> None:
        """Log it: an echo's bytes are only ever the player's own."""
        when = ""
        if deadline is not None:
            when = f" in {max(0.0, deadline - self.clock.seconds()):.0f} s"
        _log.info("The players must go{when}: {reason}.", when=when, reason=reason)

    def claimed(self, data: str) -> None:
        """Nothing: an echo needs no data."""

    def disconnected(self) -> None:
        """Somebody has gone: if it was the last of them, L{closeAll} is done."""
        if not self.connections:
            self.heldBack.stop()
            self.newcomers.stop()
            if self._idleness is not None:
                self._idleness.stop()
            awaiting, self._awaitingEmpty = self._awaitingEmpty, []
            for empty in awaiting:
                empty.callback(None)

    def _playing(self) -> list[Echo]:
        return [echo for echo in self.connections if echo.playing]
