"""One process: starts all side by side, and stops in sequence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import SystemRandom
from shutil import which
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.clock import WallClock
from echoserver.ec2.interruption import InterruptionPoller
from echoserver.ec2.metadata import InstanceMetadata, NoIdentity, NoMetadata, makeHTTPClient
from echoserver.game.connections import EchoFactory
from echoserver.game.game import Player
from echoserver.game.listener import Descriptors, describe, raiseLimit
from echoserver.gamelift.client import GameLift, IdleExitThreadPool
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.idstore import prepare
from echoserver.gamelift.service import FleetIQ
from echoserver.server.config import Settings
from echoserver.server.discovery import AWSTarget, EmbeddedTarget, LocalTarget, discover
from echoserver.server.endpoints import (
    endpointOf,
    localNotListening,
    playersNotListening,
    statusNotListening,
)
from echoserver.server.gameserver import GameServer
from echoserver.server.registrar import Registrar

_log = Logger(namespace="fleetiq.server")

WRONG_SETTING = 1
REFUSED = 3
BETWEEN_SERVERS = 0.005
_SHOWN = 80
_DISK = 1.0


class ServerProcess(Service):
    """
    Starts all side by side, and stops in sequence: game servers, threads, the local FleetIQ.

    @ivar exitCode: what the process is to end with, where that is neither 0 nor a signal.
    @ivar signalled: whether a signal has told it to stop.
    @ivar stopping: whether it is, for whatever reason.
    """

    def __init__(self, reactor: Any, settings: Settings, environ: Mapping[str, str]) -> None:
        self._reactor = reactor
        self._settings = settings
        self._environ = environ
        self._pool = IdleExitThreadPool(len(settings.listen))
        self._local: Any = None
        self._starting: Deferred[None] | None = None
        self._watch: InterruptionPoller | None = None
        self._enrolling: Registrar | None = None
        self._status: Any = None
        self._statusEndpoint: IStreamServerEndpoint | None = None
        if settings.status is not None:
            such = "tcp:8080:interface=127.0.0.1"
            self._statusEndpoint = endpointOf(reactor, settings.status, "status", such)
        self._where: dict[str, str | None] = {}
        self._ended: Callable[[str, str, float], None] = lambda *_: None
        self._cannotStart = ""
        self._registered = 0
        self.signalled = False
        self.stopping = False
        self.exitCode = 0
        descriptors = Descriptors(reactor, raiseLimit())
        seen = self._show if settings.showBytes else None
        self._servers = [
            GameServer(
                reactor,
                SystemRandom(),
                endpointOf(reactor, description),
                partial(EchoFactory, reactor, seen=seen, idleTimeout=settings.idleTimeout),
                descriptors,
                settings.gameServer,
            )
            for description in settings.listen
        ]

    def startService(self) -> None:
        """@raise SystemExit: with a sentence and status 1, if a port is not to be had."""
        super().startService()
        if self._settings.stateDir is not None:
            self._prepare(Path(self._settings.stateDir))
        self._pool.start()
        fleet = self._settings.target
        if isinstance(fleet, EmbeddedTarget):
            fleet = self._embedded(fleet.listen)
        if isinstance(fleet, LocalTarget):
            _log.info("LOCAL FleetIQ on {url}, AWS is not contacted.", url=fleet.url)
        bound = []
        if self._statusEndpoint is not None:
            self._openStatus(self._statusEndpoint)
        for server in self._servers:
            server.startService()
            bound.append(server.listen().addErrback(self._cannotListen))
        if self._cannotStart:
            raise self._toldByTwistd(self._cannotStart)
        self._starting = Deferred.fromCoroutine(self._start(fleet, bound))
        self._starting.addErrback(self._startFailed, fleet.hint)
        gatherResults([server.finished for server in self._servers]).addCallback(self._finished)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.stopping = True
        return Deferred.fromCoroutine(self._stop())

    def hurry(self) -> None:
        """Cut the grace of running sessions to nothing."""
        _log.info("One more signal: the grace ends now.")
        for server in self._servers:
            server.hurry()

    def _prepare(self, stateDir: Path) -> None:
        try:
            prepare(stateDir)
        except ValueError as error:
            raise self._toldByTwistd(f"twistd fleetiq-echo: --state-dir: {error}") from error

    def _embedded(self, listen: str) -> LocalTarget:
        from echoserver.local.service import LocalFleetIQ

        try:
            self._local = LocalFleetIQ(self._reactor, listen)
            self._local.startService()
        except ValueError as error:
            raise self._toldByTwistd(f"twistd fleetiq-echo: --local: {error}") from error
        except CannotListenError as error:
            raise self._toldByTwistd(localNotListening(error)) from error
        return LocalTarget(self._local.url, self._local.url)

    def _openStatus(self, endpoint: IStreamServerEndpoint) -> None:
        from echoserver.server.statusport import Status

        def opened(port: IListeningPort) -> None:
            _log.info("Status on {address}.", address=describe(port.getHost()))

        def failed(failure: Failure) -> None:
            self._cannotStart = statusNotListening(failure.value)

        self._status = Status(
            self._reactor,
            lambda: [server.status() for server in self._servers],
            lambda: self._where,
            lambda: None if self._enrolling is None else self._enrolling.degraded.since,
            WallClock(self._reactor),
        )
        self._ended = self._status.metrics.ended
        self._status.listen(endpoint).addCallbacks(opened, failed)

    def _toldByTwistd(self, sentence: str) -> BaseException:
        """What ends twistd in C{startService} with that sentence and status 1."""
        # A daemon's parent waits to be told of an Exception; of a SystemExit it never hears.
        return SystemExit(sentence) if self._settings.foreground else RuntimeError(sentence)

    def _cannotListen(self, failure: Failure) -> int:
        sentence = playersNotListening(failure.value)
        self._cannotStart = sentence
        if self._starting is not None:
            self._end(WRONG_SETTING, sentence)
        return 0

    async def _start(self, fleet: AWSTarget | LocalTarget, bound: list[Deferred[int]]) -> None:
        http = makeHTTPClient(self._reactor)
        url = partial(fleet.metadataURL, self._environ)
        metadata = InstanceMetadata(self._reactor, http, url)
        inThread = partial(deferToThreadPool, self._reactor, self._pool)
        where = fleet.endpointConfig(self._environ)
        gameLift = GameLift(self._reactor, inThread, where, ended=self._ended)
        found = await discover(
            fleet, http, metadata, gameLift, self._settings.connectionInfo, self._environ
        )
        self._where = found.asDict(gameLift)
        ports = await gatherResults(bound)
        fleetIQ = FleetIQ(gameLift, found.group)
        self._enrolling = Registrar(self._reactor, self._settings, fleetIQ, inThread)
        registered = partial(self._enrolled, fleet.playCommand(found.region, found.group))
        for index, (server, port) in enumerate(zip(self._servers, ports, strict=True)):
            if index:
                await self._breathe()
            server.enroll(
                self._enrolling.registrationConfig(
                    found.instance, index, port, registered, self._refused
                )
            )
        self._watch = InterruptionPoller(
            self._reactor,
            SystemRandom(),
            metadata,
            partial(self._enrolling.instanceStatus, found.instance.instanceId),
            self._servers,
            self._settings.interruption,
            statusError=CallFailed,
        )
        self._watch.start()

    def _enrolled(self, typed: str) -> None:
        self._registered += 1
        if self._registered == len(self._servers):
            # Where the environment is not activated, the command stands beside our own python.
            beside = Path(sys.executable).with_name("fleetiq")
            fleetiq = "fleetiq" if which("fleetiq") else os.path.relpath(beside)
            _log.info(
                "Ready. In another terminal, type: {fleetiq} {typed}", fleetiq=fleetiq, typed=typed
            )

    def _refused(self, sentence: str) -> bool:
        if self._registered:
            return False
        self._end(REFUSED, sentence)
        return True

    def _startFailed(self, failure: Failure, hint: str) -> None:
        error = failure.value
        match error:
            case NoMetadata():
                self._end(REFUSED, f"{error}{hint}")
            case NoIdentity():
                self._end(REFUSED, str(error))
            case CallFailed():
                self._end(WRONG_SETTING, str(error))
            case CancelledError():
                pass
            case _:
                _log.failure("The start failed by a fault of ours.", failure=failure)
                self._end(WRONG_SETTING, f"Cannot start: {error}")

    def _end(self, code: int, sentence: str) -> None:
        # Many servers may be refused in one turn of the reactor: the first of them ends it.
        if self.running and not self.exitCode:
            self.exitCode = code
            _log.critical("{sentence}", sentence=sentence)
            self._stopReactor()

    def _finished(self, _: object) -> None:
        if self.running:
            _log.info("Every game server has left.")
            self._stopReactor()

    def _stopReactor(self) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            self._reactor.callWhenRunning(self._reactor.stop)

    async def _stop(self) -> None:
        which = "second signal" if self.signalled else "signal"
        _log.info("Stopping. A {which} ends the grace of running sessions.", which=which)
        if self._starting is not None:
            self._starting.cancel()
        if self._watch is not None:
            self._watch.stop()
        self._pool.widen(len(self._servers))
        stopping: list[Deferred[None]] = []
        for server in self._servers:
            if stopping:
                await self._breathe()
            stopping.append(server.stopService())
        await gatherResults(stopping)
        if self._enrolling is not None:
            await self._enrolling.kept().addTimeout(_DISK, self._reactor).addErrback(lambda _: None)
        if self._status is not None:
            await self._status.stop()
        self._pool.stopIfIdle()
        if self._local is not None:
            await self._local.stopService()

    async def _breathe(self) -> None:
        """
        Between two of many servers, let players be served. What comes late, comes late because the
        threads that make the calls need the core too: they are left as much of it again.
        """
        began = self._reactor.seconds()
        await deferLater(self._reactor, BETWEEN_SERVERS)
        late = self._reactor.seconds() - began - BETWEEN_SERVERS
        await deferLater(self._reactor, 2 * max(0.0, late))

    def _show(self, player: Player, data: bytes) -> None:
        _log.info(
            "Player {address} sends {data}",
            address=player.address,
            data=repr(data[:_SHOWN])[2:-1][:_SHOWN],
        )
