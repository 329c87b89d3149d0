"""Test doubles: a transport, an endpoint, a game server, a listener of connections, FleetIQ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from echoserver.game.connection import Connection
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import GameServerDescription

HERE = IPv4Address("TCP", "127.0.0.1", 5000)


class PlayerTransport(StringTransport):
    """
    The server's side of a player's TCP connection, in memory.

    @ivar flushed: whether written data is sent at once.
    @ivar ended: whether the server has half-closed the connection.
    @ivar aborted: whether the server has aborted the connection.
    @ivar closed: whether the connection is lost.
    """

    def __init__(self, protocol: Any, peer: IAddress, *, flushed: bool = True) -> None:
        super().__init__(hostAddress=HERE, peerAddress=peer)
        self.protocol = protocol
        self.flushed = flushed
        self.ended = False
        self.aborted = False
        self.closed = False

    def loseWriteConnection(self) -> None:
        self.ended = True
        if self.flushed:
            self.protocol.writeConnectionLost()

    def loseConnection(self) -> None:
        super().loseConnection()
        if self.flushed:
            self.lose(ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self.lose(ConnectionAborted())

    def lose(self, why: Exception) -> None:
        """Lose the connection, once."""
        if not self.closed:
            self.closed = True
            self.protocol.connectionLost(Failure(why))


@implementer(IStreamServerEndpoint, IListeningPort)
class MemoryEndpoint:
    """An endpoint in memory, which is also its port."""

    def __init__(self, fails: Exception | None = None) -> None:
        self._fails = fails
        self.factory: IProtocolFactory | None = None
        self._players = 0
        self.listening = False
        self.reading = False
        self.numberAccepts = 100

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        self.factory = factory
        self.listening = True
        return succeed(self)

    def getHost(self) -> IAddress:
        return HERE

    def startListening(self) -> None:
        self.listening = True

    def startReading(self) -> None:
        self.reading = True

    def stopReading(self) -> None:
        self.reading = False

    def stopListening(self) -> Deferred[None]:
        self.listening = False
        return succeed(None)

    def connect(self, *, flushed: bool = True, host: str = "192.0.2.1") -> PlayerTransport:
        """Connect a player, and return the server's side of the connection."""
        assert self.factory is not None and self.listening
        self._players += 1
        peer = IPv4Address("TCP", host, 40_000 + self._players)
        protocol = self.factory.buildProtocol(peer)
        transport = PlayerTransport(protocol, peer, flushed=flushed)
        IProtocol(protocol).makeConnection(transport)
        return transport

    def play(self, data: bytes = b"hello", host: str = "192.0.2.1") -> PlayerTransport:
        """Connect a player that sends data, and so joins."""
        transport = self.connect(host=host)
        transport.protocol.dataReceived(data)
        return transport


class StubGameServer:
    """The game server of a game, with the given options, and the players of the test."""

    gameServerId = "i-0123456789abcdef0-5000-abcdefghij"
    port = 5000
    session: int | None = None
    claimData: str | None = None

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.players: list[Any] = []

    def startSession(self) -> int:
        raise NotImplementedError

    def endSession(self) -> None:
        raise NotImplementedError

    def setData(self, data: str) -> None:
        raise NotImplementedError

    def setReady(self, ready: bool) -> None:
        raise NotImplementedError

    def stop(self, reason: str, exitCode: int = 0) -> None:
        raise NotImplementedError


class RecordingListener:
    """
    The listener of connections: it records what they report.

    @ivar decision: the message of the rejection, None to admit; a Deferred while it is open.
    @ivar failing: whether each method raises after it has recorded the call.
    """

    def __init__(
        self, decision: Deferred[bytes | None] | bytes | None = None, *, failing: bool = False
    ) -> None:
        self.decision = decision
        self.failing = failing
        self.calls: list[tuple[str, ...]] = []
        self.gameServer = StubGameServer()

    def admission(self, connection: Connection) -> Deferred[bytes | None]:
        if self.failing:
            raise ValueError("an admission that fails")
        decision = self.decision
        return decision if isinstance(decision, Deferred) else succeed(decision)

    def playerJoining(self, connection: Connection) -> None:
        self.calls.append(("joining", connection.address))

    def playerJoined(self, connection: Connection) -> None:
        self.gameServer.players.append(connection)
        self.calls.append(("joined", connection.address))

    def playerLeft(self, connection: Connection, reason: str) -> None:
        if connection in self.gameServer.players:
            self.gameServer.players.remove(connection)
        self.calls.append(("left", connection.address, reason, str(connection.bytesReceived)))


class LongRandom(Random):
    """A random source with the longest pause and the shortest heartbeat."""

    def uniform(self, a: float, b: float) -> float:
        return b


@dataclass
class Call:
    """One call to L{PendingFleet}, and the Deferred of its reply."""

    operation: str
    gameServerId: str
    result: Deferred[Any]
    rest: tuple[Any, ...] = ()


class PendingFleet:
    """
    A FleetIQ whose replies are sent by the test.

    @ivar operations: the operations of all calls, in order.
    @ivar waiting: the calls without a reply.
    """

    def __init__(self) -> None:
        self.operations: list[str] = []
        self.waiting: list[Call] = []

    def register(self, gameServerId: str, *rest: Any) -> Deferred[GameServerDescription]:
        return self._call("register", gameServerId, *rest)

    def utilize(self, gameServerId: str) -> Deferred[GameServerDescription]:
        return self._call("utilize", gameServerId)

    def heartbeat(
        self, gameServerId: str, data: str | None = None
    ) -> Deferred[GameServerDescription]:
        return self._call("heartbeat", gameServerId, *([] if data is None else [data]))

    def describe(self, gameServerId: str) -> Deferred[GameServerDescription]:
        return self._call("describe", gameServerId)

    def deregister(self, gameServerId: str) -> Deferred[None]:
        return self._call("deregister", gameServerId)

    def pendingCall(self) -> Call:
        """Return the call without a reply. There is never more than one."""
        [call] = self.waiting
        return call

    def reply(self, **members: Any) -> Call:
        """Reply to the call with the game server that it requests."""
        call = self.pendingCall()
        self.waiting = []
        if call.operation == "deregister":
            call.result.callback(None)
        else:
            wanted: dict[str, Any] = {"utilized": call.operation == "utilize"}
            call.result.callback(gameServer(call.gameServerId, **(wanted | members)))
        return call

    def fail(self, error: Exception) -> Call:
        """Fail the call without a reply."""
        call = self.pendingCall()
        self.waiting = []
        call.result.errback(error)
        return call

    def _call(self, operation: str, gameServerId: str, *rest: Any) -> Deferred[Any]:
        call = Call(operation, gameServerId, Deferred(), rest)
        self.operations.append(operation)
        self.waiting.append(call)
        return call.result


def gameServer(gameServerId: str = "gs-1", **members: Any) -> GameServerDescription:
    """Return a game server, as in a reply of FleetIQ."""
    usual: dict[str, Any] = {
        "group": "local",
        "gameServerId": gameServerId,
        "instanceId": "i-0123456789abcdef0",
        "connectionInfo": "localhost:5000",
        "gameServerData": "",
        "claimed": False,
        "utilized": False,
        "registered": datetime(2026, 1, 1, tzinfo=UTC),
        "lastClaim": None,
        "lastHealthReport": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return GameServerDescription(**(usual | members))


def callFailed(
    kind: type[CallFailed] = CallFailed, *, retry: bool = True, mayHaveHappened: bool = False
) -> CallFailed:
    """Return the error of a failed call."""
    return kind(
        "AnOperation",
        "SomeException",
        "AnOperation was refused: SomeException.",
        retry=retry,
        mayHaveHappened=mayHaveHappened,
    )
