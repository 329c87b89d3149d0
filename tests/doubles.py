"""What stands in at the seams: a player's transport, who hears of players, FleetIQ, an endpoint."""

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

from echoserver.game.connections import Connection
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import GameServerDescription

HERE = IPv4Address("TCP", "127.0.0.1", 5000)


class PlayerTransport(StringTransport):
    """
    The server's side of a player's TCP connection, in memory.

    @ivar flushed: whether all that is written is taken by the network at once.
    @ivar ended: whether our side is closed, once all is written.
    @ivar aborted: whether the connection was reset by us.
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
        """The connection is gone."""
        if not self.closed:
            self.closed = True
            self.protocol.connectionLost(Failure(why))


@implementer(IStreamServerEndpoint, IListeningPort)
class MemoryEndpoint:
    """An endpoint, and its port, that players reach in memory."""

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
        """A player connects."""
        assert self.factory is not None and self.listening
        self._players += 1
        peer = IPv4Address("TCP", host, 40_000 + self._players)
        protocol = self.factory.buildProtocol(peer)
        transport = PlayerTransport(protocol, peer, flushed=flushed)
        IProtocol(protocol).makeConnection(transport)
        return transport

    def play(self, said: bytes = b"hello", host: str = "192.0.2.1") -> PlayerTransport:
        """A player connects and joins."""
        transport = self.connect(host=host)
        transport.protocol.dataReceived(said)
        return transport


class StubGameServer:
    """What a game sees of its game server, with these players and options."""

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

    def stop(self, reason: str) -> None:
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
    """Dice that always give the longest pause and the shortest heartbeat."""

    def uniform(self, a: float, b: float) -> float:
        return b


@dataclass
class Call:
    """One call to L{PendingFleet}, and its answer to come."""

    operation: str
    gameServerId: str
    answer: Deferred[Any]
    rest: tuple[Any, ...] = ()


class PendingFleet:
    """
    A FleetIQ that answers when it is told to.

    @ivar made: every operation so far, in order.
    """

    def __init__(self) -> None:
        self.made: list[str] = []
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

    def theCall(self) -> Call:
        """The one call that is out; there never is a second."""
        [call] = self.waiting
        return call

    def reply(self, **members: Any) -> Call:
        """Answer the call that is out, with a game server as it asked for."""
        call = self.theCall()
        self.waiting = []
        if call.operation == "deregister":
            call.answer.callback(None)
        else:
            wanted: dict[str, Any] = {"utilized": call.operation == "utilize"}
            call.answer.callback(gameServer(call.gameServerId, **(wanted | members)))
        return call

    def fail(self, error: Exception) -> Call:
        """Fail the call that is out."""
        call = self.theCall()
        self.waiting = []
        call.answer.errback(error)
        return call

    def _call(self, operation: str, gameServerId: str, *rest: Any) -> Deferred[Any]:
        call = Call(operation, gameServerId, Deferred(), rest)
        self.made.append(operation)
        self.waiting.append(call)
        return call.answer


def gameServer(gameServerId: str = "gs-1", **members: Any) -> GameServerDescription:
    """A game server of ours, as FleetIQ replies with it."""
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
    """A failure of a call."""
    return kind(
        "AnOperation",
        "SomeException",
        "AnOperation was refused: SomeException.",
        retry=retry,
        mayHaveHappened=mayHaveHappened,
    )
