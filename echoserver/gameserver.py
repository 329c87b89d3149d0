"""One game server as a Service: a port, a session, and the worker that keeps FleetIQ informed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import ClassVar
from typing import Protocol as Seam

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger

from echoserver.departure import Departure
from echoserver.lifecycle import Known, Wanted, wanted
from echoserver.protocol import FULL, Hooks, Player
from echoserver.session import Session
from echoserver.sockets import describe
from echoserver.worker import Fleet, Identity, Worker


class Players(Seam):
    """
    The protocol factory of a game: L{echoserver.protocol.EchoFactory}, or another one.

    It provides C{IProtocolFactory}, and fires the hooks it was given.
    """

    def closeAll(self, reason: str, within: float) -> Deferred[None]:
        """Let everybody go; fires when nobody is left, at most C{within} seconds later."""


@dataclass(frozen=True, slots=True)
class Rules:
    """
    How a game server behaves.

    @ivar heartbeat: seconds of silence towards FleetIQ before a heartbeat.
    @ivar grace: seconds that a running session gets when the server is told to stop.
    @ivar maxPlayers: None is no limit.
    @ivar oneSession: leave after the first session instead of registering again.
    """

    heartbeat: float = 60.0
    grace: float = 20.0
    maxPlayers: int | None = None
    oneSession: bool = False


class GameServer(Service):
    """
    Serves players, from L{listen} on, and keeps FleetIQ informed of it, from L{enroll} on.

    It is the L{Hooks} of its factory. Bytes never wait for FleetIQ.

    @ivar finished: fires with None when the server has left FleetIQ and closed its port.
    """

    _log: ClassVar = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        dice: Random,
        endpoint: IStreamServerEndpoint,
        factory: Callable[[Hooks], Players],
        rules: Rules,
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._endpoint = endpoint
        self._factory = factory(self)
        self._rules = rules
        self._session = Session()
        self._worker: Worker | None = None
        self._departure = Departure(clock, lambda: self._session.running, self._factory.closeAll)
        self.finished = self._departure.finished

    def listen(self) -> Deferred[int]:
        """Bind; fires with the port's number. Fails with C{CannotListenError}; do not retry."""

        def listening(port: IListeningPort) -> int:
            self._departure.port = port
            host = port.getHost()
            self._log.info("Listening for players on {address}.", address=describe(host))
            return int(getattr(host, "port", 0))

        return self._endpoint.listen(IProtocolFactory(self._factory)).addCallback(listening)

    def enroll(
        self,
        fleet: Fleet,
        identity: Identity,
        registered: Callable[[], None],
        refused: Callable[[str], bool],
    ) -> None:
        """
        Register with FleetIQ, and stay registered.

        @param registered: called when FleetIQ has confirmed it for the first time.
        @param refused: asked, with a sentence, if FleetIQ refuses for good before that: whether to
            give up.
        """
        self._worker = Worker(
            self._clock,
            self._dice,
            fleet,
            identity,
            self._rules.heartbeat,
            self._wants,
            registered,
            refused,
        )
        self._departure.enrolled(self._worker)

    def refusal(self) -> bytes | None:
        return None if self._session.hasRoom(self._rules.maxPlayers) else FULL

    def playerJoined(self, player: Player) -> None:
        self._session = self._session.joined()
        self._log.info(
            "Player {address} joined session {session}; {players} in.",
            address=player.address,
            session=self._session.number,
            players=self._session.players,
        )
        self._changed()

    def playerLeft(self, player: Player, reason: str) -> None:
        self._session = self._session.left()
        self._log.info(
            "Player {address} left: {reason}; {received} bytes; {players} in.",
            address=player.address,
            reason=reason,
            received=player.received,
            players=self._session.players,
        )
        if not self._session.running:
            self._departure.sessionOver()
            if self._rules.oneSession:
                self._departure.begin(self._rules.grace)
        self._changed()

    def hurry(self) -> None:
        """Cut the grace to nothing."""
        self._departure.hurry()

    def stopService(self) -> Deferred[None]:
        """
        Leave FleetIQ and let the players go.

        An idle server stays open until it is deregistered: it may just have been claimed. One in
        play closes its port at once, and its players have the grace.
        """
        super().stopService()
        self._departure.stop(self._rules.grace)
        return self.finished

    def _wants(self, known: Known) -> Wanted | None:
        departure = self._departure
        return None if departure.renounced else wanted(self._session, known, departure.begun)

    def _changed(self) -> None:
        if self._worker is not None:
            self._worker.changed()
