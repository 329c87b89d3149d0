"""The interface between a game and its game server: L{Game}, L{GameServer}, L{Player}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol


class Player(TypingProtocol):
    """
    A connection that was admitted.

    @ivar protocol: the game's protocol on this connection, made by the game's factory.
    @ivar transport: the transport of that protocol: write to it, or close it. C{writeBytes} is
        C{write} without a check of the type: 0.1 us less on the uvloop reactor.
    @ivar bytesReceived: bytes that the player has sent so far.
    """

    protocol: IProtocol

    @property
    def bytesReceived(self) -> int: ...
    @property
    def transport(self) -> Any: ...

    @property
    def address(self) -> str:
        """Return the peer's address, C{host:port}. Behind C{haproxy:} it is the player's own."""

    @property
    def host(self) -> str | None:
        """Return the peer's host alone; None where it has none, for instance on a UNIX socket."""

    def close(self, reason: str) -> None:
        """
        Close the connection once all that was written is sent. Bytes that arrive from now on are
        dropped. A peer that has not read the rest within 10 s is disconnected.

        @param reason: completes the log line C{Player 192.0.2.7:4242 left: …}.
        """


class GameServer(TypingProtocol):
    """
    One game server, as its game sees it. Call it on the reactor thread.

    @ivar gameServerId: the id registered with FleetIQ; None before the first registration. Each
        registration has a new id.
    @ivar port: the port that players connect to; 0 before it is bound.
    @ivar options: the options of the command line, those of the game among them, by name.
    @ivar players: the players who are connected now, in the order in which they joined.
    @ivar session: the number of the session that runs, from 1 on; None while none runs.
    @ivar claimData: the GameServerData of the last claim; None before one.
    """

    @property
    def gameServerId(self) -> str | None: ...
    @property
    def port(self) -> int: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def players(self) -> Sequence[Player]: ...
    @property
    def session(self) -> int | None: ...
    @property
    def claimData(self) -> str | None: ...

    def startSession(self) -> int:
        """
        Start a session, and return its number. FleetIQ then gets UTILIZED. If a session runs
        already, return its number.

        @raise RuntimeError: if the session policy is not C{manual}.
        """

    def endSession(self) -> None:
        """
        End the session that runs, if one does. The game server is then registered anew.

        @raise RuntimeError: if the session policy is C{players}.
        """

    def setData(self, data: str) -> None:
        """
        Publish this GameServerData with the registration: at once if registered, and with each
        registration that follows. A failed call is repeated.

        @param data: 1 to 1,024 characters in one line.
        @raise ValueError: if FleetIQ would not accept it.
        """

    def setReady(self, ready: bool) -> None:
        """
        Set whether the game can serve players, after L{Game.ready} has fired. While it cannot, a
        game server without a session is not registered, so that clients cannot claim it.
        """

    def stop(self, reason: str, exitCode: int = 0) -> None:
        """
        Shut this game server down: the session that runs is its last one and has the grace period
        (C{--grace}) to end. The process exits after its last game server.

        @param exitCode: the exit code of the process; the highest of all its game servers counts.
        """


class Game:
    """
    The hooks of a game. A protocol factory that also inherits from this class implements those
    that it needs; each does nothing by default.

    All hooks run on the reactor thread. An exception that a hook raises is logged; the players stay
    connected.

    @ivar gameServer: the game server that this factory serves.
    @cvar fullMessage: bytes sent to a connection that is rejected because a limit is reached. Empty
        bytes close it without a message.
    @cvar claimFirstMessage: bytes sent to a connection that is rejected because no claim is active
        (C{--admission claimed}).
    """

    fullMessage: bytes = b"FULL\n"
    claimFirstMessage: bytes = b"CLAIM FIRST\n"

    def __init__(self, gameServer: GameServer) -> None:
        self.gameServer = gameServer

    def ready(self) -> Deferred[Any] | None:
        """
        Return a Deferred that fires when the game can serve players, or None if it can already.

        The game server registers with FleetIQ then. If the Deferred fails, the process exits
        with 1.
        """
        return None

    def stopped(self) -> Deferred[Any] | None:
        """
        The game server is deregistered, and its players are disconnected.

        @return: a Deferred for which the process waits before it exits, or None. A second signal
            cancels it.
        """
        return None

    def sessionStarted(self, number: int) -> None:
        """A session has started. The first session of a game server has number 1."""

    def sessionEnded(self, number: int) -> None:
        """The session with this number has ended."""

    def claimed(self, data: str) -> None:
        """
        FleetIQ has confirmed a claim for this session. Called at most once a session.

        With C{--admission claimed} it is called before the first player joins, else once FleetIQ
        has confirmed UTILIZED.

        @param data: the GameServerData of the claim; it may be empty.
        """

    def playerJoined(self, player: Player) -> None:
        """A connection was admitted. Its protocol is connected and has not received data yet."""

    def playerLeft(self, player: Player, reason: str) -> None:
        """
        A player has left. Called exactly once for each L{playerJoined}.

        @param reason: for the log, for instance C{closed the connection}.
        """

    def draining(self, deadline: float | None, reason: str) -> None:
        """
        The session that runs is the last one of this game server.

        @param deadline: when the players are disconnected, in seconds of the reactor's clock; None
            if that is not known.
        @param reason: for the log, for instance C{Spot interruption}.
        """

    def healthy(self) -> bool | Deferred[bool]:
        """
        Return whether the game can serve players. Called before each heartbeat.

        If the result is False or a failure, or if it does not arrive within 5 s, the heartbeat is
        skipped. FleetIQ drops a game server after 180 s without a heartbeat.
        """
        return True

    def closePlayers(self, reason: str) -> None:
        """
        Close the connections of all players, because the game server shuts down. By default each
        transport's C{loseConnection} is called. Connections that stay open are aborted soon after.
        """
        for player in self.gameServer.players:
            player.close(reason)
