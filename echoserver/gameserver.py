"""One game server as a Service: a port, a session, and the worker that keeps FleetIQ informed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import ClassVar
from typing import Protocol as Seam

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.alarm import Alarm
from echoserver.lifecycle import Absent, Known, Utilized, Wanted, wanted
from echoserver.protocol import FULL, LAST_BYTES, Hooks, Player, describe
from echoserver.session import Session
from echoserver.worker import Fleet, Identity, Worker

IN_FLIGHT = 8.0
LAST_STEP = 3.0
ABORT_AFTER = 1.0


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
        self._port: IListeningPort | None = None
        self._worker: Worker | None = None
        self._working: Deferred[None] | None = None
        self._leaving = False
        self._renounced = False
        self._hurried = False
        self._stopping = False
        self._abandoned = False
        self._grace = Alarm(clock)
        self.finished: Deferred[None] = Deferred()

    def listen(self) -> Deferred[int]:
        """Bind; fires with the port's number. Fails with C{CannotListenError}; do not retry."""

        def listening(port: IListeningPort) -> int:
            self._port = port
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
        self._working = self._worker.work().addErrback(self._workFailed)

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
            self._grace.ring()
            if self._rules.oneSession:
                self._leave()
        self._changed()

    def hurry(self) -> None:
        """Cut the grace to nothing."""
        self._hurried = True
        self._grace.ring()

    def stopService(self) -> Deferred[None]:
        """
        Leave FleetIQ and let the players go.

        An idle server stays open until it is deregistered: it may just have been claimed. One in
        play closes its port at once, and its players have the grace.
        """
        super().stopService()
        self._stopping = True
        if self._leaving:
            self._closeAll()
        self._leave()
        return self.finished

    def _wants(self, known: Known) -> Wanted:
        return Absent() if self._renounced else wanted(self._session, known, self._leaving)

    def _changed(self) -> None:
        if self._worker is not None:
            self._worker.changed()

    def _leave(self) -> None:
        if not self._leaving:
            self._leaving = True
            done = Deferred.fromCoroutine(self._depart())
            done.addErrback(self._departureFailed)
            done.chainDeferred(self.finished)

    def _workFailed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            self._abandoned = True
        else:
            self._log.failure("The worker ended by a fault of ours.", failure=failure)

    def _departureFailed(self, failure: Failure) -> None:
        self._log.failure("Leaving failed by a fault of ours.", failure=failure)

    async def _depart(self) -> None:
        graceEnds = self._clock.seconds() + self._rules.grace
        known = self._worker.registration.known if self._worker else Absent()
        if not self._session.running and not isinstance(known, Utilized):
            await self._renounce()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        left = graceEnds - self._clock.seconds()
        if self._session.running and not self._hurried:
            self._log.info("The session has {seconds:.0f} s to end.", seconds=left)
            await self._grace.sleep(left)
        await self._closeAll()
        await self._renounce()

    def _closeAll(self) -> Deferred[None]:
        within = ABORT_AFTER if self._stopping else LAST_BYTES
        return self._factory.closeAll("the server stops", within)

    async def _renounce(self) -> None:
        """Deregister, within the caps: 8 s for a call that is out, 3 s after it."""
        self._renounced = True
        if self._worker is None or self._working is None:
            return
        working, self._working = self._working, None
        calling = self._worker.calling
        self._worker.hasten()
        if calling:
            inFlight = self._worker.stepDone().addTimeout(IN_FLIGHT, self._clock)
            await inFlight.addErrback(lambda _: working.cancel())
        await working.addTimeout(LAST_STEP, self._clock)
        if self._abandoned:
            self._log.warn(
                "FleetIQ did not answer in time: {id} may stay until its health lapses.",
                id=self._worker.registration.gameServerId,
            )
