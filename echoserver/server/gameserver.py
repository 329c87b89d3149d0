"""One game server as a Service: a port, a session, and the worker that keeps FleetIQ informed."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random
from typing import Protocol as TypingProtocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger

from echoserver.game.admission import Admission
from echoserver.game.game import CLAIM_FIRST, FULL, Hooks, Player
from echoserver.game.listener import Descriptors, Gate, describe, keepAlive
from echoserver.game.session import Neighbours, Session
from echoserver.gamelift.lifecycle import Absent, Known, Wanted, wanted
from echoserver.gamelift.registration import Registration, RegistrationConfig
from echoserver.server.config import GameServerConfig
from echoserver.server.shutdown import Shutdown
from echoserver.server.status import GameServerStatus, withRegistration

_log = Logger(namespace="fleetiq.server")

BEFORE_DEADLINE = 5.0


class Players(TypingProtocol):
    """
    The protocol factory of a game: L{echoserver.game.connections.EchoFactory}, or another one.

    It provides C{IProtocolFactory}, and fires the hooks it was given.
    """

    def closeAll(self, reason: str, within: float) -> Deferred[None]:
        """Let everybody go; fires when nobody is left, at most C{within} seconds later."""

    def claimed(self, data: str) -> None:
        """
        The session was claimed, with this GameServerData, maybe empty. At most once a session: with
        C{--admission claimed} before its first player is in, else once FleetIQ says UTILIZED.
        """

    def draining(self, deadline: float | None, reason: str) -> None:
        """
        The session that runs is the last one here.

        @param deadline: when whoever is still in is let go, in seconds of the reactor's clock; None
            if nobody knows.
        """


class GameServer(Service):
    """
    Serves players, from L{listen} on, and keeps FleetIQ informed of it, from L{enroll} on.

    It is the L{Hooks} of its factory. Bytes never wait for FleetIQ.

    @ivar finished: fires with None when the server has left FleetIQ and closed its port.
    """

    def __init__(
        self,
        clock: IReactorTime,
        rng: Random,
        endpoint: IStreamServerEndpoint,
        factory: Callable[[Hooks], Players],
        descriptors: Descriptors,
        rules: GameServerConfig,
    ) -> None:
        self._clock = clock
        self._dice = rng
        self._endpoint = endpoint
        self._factory = factory(self)
        self._gate = Gate(
            clock, IProtocolFactory(self._factory), rules.acceptRate, descriptors, self._changed
        )
        self._rules = rules
        self._session = Session()
        self._portNumber = 0
        self._in: set[Player] = set()
        self._received = self._refused = 0
        self._neighbours = Neighbours(limited=rules.maxPerAddress is not None)
        self._drainingSince: int | None = None
        self._worker: Registration | None = None
        self._admission = Admission(clock, self._isClaimed)
        self._departure = Shutdown(clock, lambda: self._session.running, self._factory.closeAll)
        self.finished = self._departure.finished

    def listen(self) -> Deferred[int]:
        """Bind; fires with the port's number. Fails with C{CannotListenError}; do not retry."""

        def listening(port: IListeningPort) -> int:
            self._departure.port = port
            keepAlive(port)
            self._gate.guard(port)
            host = port.getHost()
            _log.info("Listening for players on {address}.", address=describe(host))
            self._portNumber = int(getattr(host, "port", 0))
            return self._portNumber

        return self._endpoint.listen(self._gate).addCallback(listening)

    def enroll(self, registrationConfig: RegistrationConfig) -> None:
        """Register with FleetIQ, and stay registered."""
        self._worker = Registration(
            self._clock,
            self._dice,
            registrationConfig,
            self._rules.heartbeat,
            self._wants,
            self._utilized,
        )
        self._departure.enrolled(self._worker)

    def admission(self, player: Player) -> Deferred[bytes | None]:
        if self._rules.claimedOnly and not self._session.running:
            return self._admission.knock().addCallback(self._refusal, player)
        return succeed(self._refusal(True, player))

    def playerJoined(self, player: Player) -> None:
        # Who comes to others changes nothing for FleetIQ.
        begins = not self._session.running
        self._session = self._session.joined()
        self._in.add(player)
        self._neighbours.joined(player)
        if self._rules.claimedOnly and self._session.players == 1 and self._worker is not None:
            self._tellClaim(self._worker.claims.data or "")
        _log.info(
            "Player {address} joined session {session}; {players} in.",
            address=player.address,
            session=self._session.number,
            players=self._session.players,
        )
        if begins:
            self._changed()

    def playerLeft(self, player: Player, reason: str) -> None:
        self._session = self._session.left()
        self._in.discard(player)
        self._neighbours.left(player)
        self._received += player.received
        _log.info(
            "Player {address} left: {reason}; {received} bytes; {players} in.",
            address=player.address,
            reason=reason,
            received=player.received,
            players=self._session.players,
        )
        if not self._session.running:
            if self._rules.oneSession:
                self._departure.begin(self._rules.grace)
            self._changed()

    def terminate(self, deadline: float | None, reason: str) -> None:
        """
        The instance goes away: leave as soon as nobody plays, and 5 s before that at the latest.

        @param deadline: when it goes, in seconds of the reactor's clock; None if nobody knows.
        """
        if deadline is None:
            self._tellPlayers(None, reason)
            self._departure.begin(inf, inf)
        else:
            self._tellPlayers(deadline - BEFORE_DEADLINE, reason)
            left = deadline - BEFORE_DEADLINE - self._clock.seconds()
            self._departure.begin(left, left)
        self._changed()

    def drain(self, reason: str) -> None:
        """FleetIQ drains the instance: a session that ends from now on was the last one."""
        if self._drainingSince is None:
            self._drainingSince = self._session.ended
            self._tellPlayers(None, reason)

    def cancelDrain(self) -> None:
        """FleetIQ no longer drains the instance."""
        self._drainingSince = None
        self._changed()

    def status(self) -> GameServerStatus:
        """Where it stands now."""
        shutdown, session = self._departure, self._session
        return withRegistration(
            GameServerStatus(
                port=self._portNumber,
                players=session.players,
                session=session.number,
                receivedBytes=self._received + sum(player.received for player in self._in),
                refused=self._refused,
                accepting=shutdown.port is not None and self._gate.open,
                draining=shutdown.begun or self._drainingSince is not None,
            ),
            self._worker,
            self._wants,
        )

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

    def _isClaimed(self) -> Deferred[bool]:
        if self._worker is None:
            return succeed(False)
        return Deferred.fromCoroutine(self._worker.claimed())

    def _refusal(self, claimed: bool, player: Player) -> bytes | None:
        rules, same = self._rules, self._neighbours.of(player)
        if claimed and self._session.hasRoom(rules.maxPlayers, same, rules.maxPerAddress):
            return None
        self._refused += 1
        return FULL if claimed else CLAIM_FIRST

    def _utilized(self, data: str) -> None:
        if not self._rules.claimedOnly:
            self._tellClaim(data)

    def _tellClaim(self, data: str) -> None:
        try:
            self._factory.claimed(data)
        except Exception:  # noqa: BLE001 # what the game makes of it changes nothing here
            _log.failure("The game could not be told of its claim.")

    def _wants(self, known: Known) -> Wanted | None:
        shutdown = self._departure
        if shutdown.renounced:
            return None
        want = wanted(
            self._session,
            known,
            leaving=shutdown.begun,
            drainingSince=self._drainingSince,
            accepting=self._gate.open,
        )
        return None if shutdown.begun and want == Absent() else want

    def _changed(self) -> None:
        self._departure.changed()
        if self._worker is not None:
            self._worker.changed()

    def _tellPlayers(self, deadline: float | None, reason: str) -> None:
        if self._session.running:
            try:
                self._factory.draining(deadline, reason)
            except Exception:  # noqa: BLE001 # a game that fails to say so must not keep us here
                _log.failure("The players could not be told.")
