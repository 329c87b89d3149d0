"""One process of game servers: start its parts, and stop them at SIGTERM."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import SystemRandom
from shutil import which
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.clock import WallClock
from echoserver.commandline import StartErrors
from echoserver.descriptors import DescriptorLimit, raiseDescriptorLimit
from echoserver.ec2.identity import Instance
from echoserver.ec2.interruption import InterruptionPoller
from echoserver.ec2.metadata import InstanceMetadata, NoIdentity, NoMetadata, makeHTTPClient
from echoserver.game.listener import describe
from echoserver.gamelift.client import GameLift, IdleExitThreadPool
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.idstore import prepare
from echoserver.gamelift.service import FleetIQ
from echoserver.logwriter import RunnerLog
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
from echoserver.server.status import summary
from echoserver.servicemanager import ServiceManager

if TYPE_CHECKING:
    from echoserver.local.service import LocalFleetIQ
    from echoserver.server.statusport import StatusPort

_log = Logger(namespace="fleetiq.server")

WRONG_SETTING = 1
REFUSED = 3
BETWEEN_SERVERS = 0.005
FLUSH_TIMEOUT = 1.0


class ServerProcess(Service):
    """
    Starts the parts of the process concurrently, and stops them in this order: game servers,
    threads, local FleetIQ.

    @param makeFactory: makes the protocol factory of a game server.
    @param command: the command of twistd, for error messages.
    @param options: the options of the command line, for the game.
    @param log: the log of twistd, which this service starts; None if there is none.
    @ivar exitCode: the exit code of the process, if it is neither 0 nor a signal.
    @ivar signalled: whether the process stops because of a signal.
    @ivar stopping: whether it stops, for any reason.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        environ: Mapping[str, str],
        makeFactory: Callable[[Any], IProtocolFactory],
        command: str,
        options: Mapping[str, Any],
        log: RunnerLog | None = None,
    ) -> None:
        self._reactor = reactor
        self._runnerLog = log or RunnerLog(None)
        self._startErrors = StartErrors(settings.foreground, settings.pidFile)
        self._settings = settings
        self._environ = environ
        self._command = command
        self._pool = IdleExitThreadPool(len(settings.listen))
        self._local: LocalFleetIQ | None = None
        self._starting: Deferred[None] | None = None
        self._poller: InterruptionPoller | None = None
        self._registrar: Registrar | None = None
        self._statusPort: StatusPort | None = None
        self._statusEndpoint: IStreamServerEndpoint | None = None
        if settings.status is not None:
            example = "tcp:8080:interface=127.0.0.1"
            self._statusEndpoint = endpointOf(reactor, settings.status, "status", example, command)
        self._discovered: dict[str, str | None] = {}
        self._callEnded: Callable[[str, str, float], None] = lambda *_: None
        self._startupError = ""
        self._registered = 0
        self._manager = ServiceManager(reactor, environ, self._summary)
        self.signalled = False
        self.stopping = False
        self.exitCode = 0
        self._descriptors = DescriptorLimit(reactor, raiseDescriptorLimit())
        self._servers = [
            GameServer(
                reactor,
                endpointOf(reactor, description, command=command),
                makeFactory,
                self._descriptors,
                settings.gameServer,
                options,
            )
            for description in settings.listen
        ]

    def setServiceParent(self, parent: Any) -> None:
        """Attach to the application of twistd, and give it the log observer of L{RunnerLog}."""
        self._runnerLog.addTo(parent)
        super().setServiceParent(parent)

    def startService(self) -> None:
        """@raise SystemExit: with a message and status 1, if a port cannot be bound."""
        self._runnerLog.start()
        super().startService()
        if self._settings.stateDir is not None:
            self._prepareStateDir(Path(self._settings.stateDir))
        self._pool.start()
        target = self._settings.target
        if isinstance(target, EmbeddedTarget):
            target = self._startLocalFleetIQ(target.listen)
        if isinstance(target, LocalTarget):
            _log.info(
                "LOCAL FleetIQ on {url}, AWS is not contacted.",
                url=target.url,
                eventName="process.localFleetiq",
            )
        ports = []
        if self._statusEndpoint is not None:
            self._openStatusPort(self._statusEndpoint)
        for server in self._servers:
            server.startService()
            ports.append(server.listen().addErrback(self._cannotListen))
        if self._startupError:
            raise self._startErrors.error(self._startupError)
        self._startErrors.started()
        self._manager.start()
        self._starting = Deferred.fromCoroutine(self._start(target, ports))
        self._starting.addErrback(self._startFailed, target.hint)
        gatherResults([server.finished for server in self._servers]).addCallback(self._finished)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.stopping = True
        return Deferred.fromCoroutine(self._stop())

    def skipGracePeriod(self) -> None:
        """End the grace period of the running sessions now."""
        _log.info(
            "Second signal received: skipping the grace period.", eventName="process.graceSkipped"
        )
        self._endGracePeriods()

    def stopWithoutGrace(self) -> None:
        """End the grace period of the running sessions now, because SIGQUIT stops the process."""
        _log.info("SIGQUIT received: there is no grace period.", eventName="process.graceSkipped")
        self._endGracePeriods()

    def _endGracePeriods(self) -> None:
        for server in self._servers:
            server.skipGracePeriod()

    def _prepareStateDir(self, stateDir: Path) -> None:
        try:
            prepare(stateDir)
        except ValueError as error:
            raise self._startErrors.error(
                f"twistd {self._command}: --state-dir: {error}"
            ) from error

    def _startLocalFleetIQ(self, listen: str) -> LocalTarget:
        from echoserver.local.service import LocalFleetIQ

        try:
            self._local = LocalFleetIQ(
                self._reactor, listen, maxConnections=self._descriptors.fleetIQConnections
            )
            self._local.onReset = self._localReset
            self._local.startService()
        except ValueError as error:
            raise self._startErrors.error(f"twistd {self._command}: --local: {error}") from error
        except CannotListenError as error:
            raise self._startErrors.error(localNotListening(error, self._command)) from error
        self._local.showPlayers(self._players)
        return LocalTarget(self._local.url, self._local.url)

    def _localReset(self) -> None:
        for server in self._servers:
            server.reportNow()

    def _players(self) -> dict[str, int]:
        """Return the number of players of each game server that is registered."""
        return {
            server.gameServerId: len(server.players)
            for server in self._servers
            if server.gameServerId is not None
        }

    def _openStatusPort(self, endpoint: IStreamServerEndpoint) -> None:
        from echoserver.server.statusport import StatusPort

        def opened(port: IListeningPort) -> None:
            _log.info(
                "Status on {address}.",
                address=describe(port.getHost()),
                eventName="process.statusPort",
            )

        def failed(failure: Failure) -> None:
            self._startupError = statusNotListening(failure.value, self._command)

        self._statusPort = StatusPort(
            self._reactor,
            lambda: [server.status() for server in self._servers],
            lambda: self._discovered,
            lambda: None if self._registrar is None else self._registrar.degraded.since,
            WallClock(self._reactor),
            self._descriptors.statusConnections,
        )
        self._callEnded = self._statusPort.metrics.ended
        self._statusPort.listen(endpoint).addCallbacks(opened, failed)

    def _cannotListen(self, failure: Failure) -> int:
        message = playersNotListening(failure.value, self._command)
        self._startupError = message
        if self._starting is not None:
            self._end(WRONG_SETTING, message)
        return 0

    async def _start(self, target: AWSTarget | LocalTarget, ports: list[Deferred[int]]) -> None:
        http = makeHTTPClient(self._reactor)
        url = partial(target.metadataURL, self._environ)
        metadata = InstanceMetadata(self._reactor, http, url)
        inThread = partial(deferToThreadPool, self._reactor, self._pool)
        gameLift = GameLift(
            self._reactor, inThread, target.endpointConfig(self._environ), ended=self._callEnded
        )
        discovered = await discover(
            target, http, metadata, gameLift, self._settings.connectionInfo, self._environ
        )
        self._discovered = discovered.asDict(gameLift)
        await gatherResults(ports)
        self._registrar = Registrar(
            self._reactor,
            SystemRandom(),
            self._settings,
            FleetIQ(gameLift, discovered.group),
            inThread,
            partial(
                self._registeredOne,
                target.url if isinstance(target, LocalTarget) else None,
                target.playCommand(discovered.region, discovered.group),
            ),
            self._refused,
        )
        for index, server in enumerate(self._servers):
            if index:
                await self._yieldToReactor()
            register = partial(self._register, self._registrar, server, discovered.instance, index)
            registered = server.ready().addCallbacks(register, self._notReady)
            registered.addErrback(self._startFailed, target.hint)
        self._poller = InterruptionPoller(
            self._reactor,
            SystemRandom(),
            metadata,
            partial(self._registrar.instanceStatus, discovered.instance.instanceId),
            self._servers,
            self._settings.interruption,
            statusError=CallFailed,
        )
        self._poller.start()

    def _register(
        self, registrar: Registrar, server: GameServer, instance: Instance, index: int, _: object
    ) -> None:
        if not server.shuttingDown:
            registrar.register(server, instance, index)

    def _notReady(self, failure: Failure) -> None:
        if self.running:
            _log.debug("The game is not ready.", log_failure=failure, eventName="game.notReady")
            self._end(WRONG_SETTING, f"The game cannot serve players: {failure.getErrorMessage()}")

    def _registeredOne(self, pageURL: str | None, playCommand: str) -> None:
        self._registered += 1
        self._manager.ready()
        if self._registered == len(self._servers):
            # If the virtual environment is not activated, the command is beside the interpreter.
            beside = Path(sys.executable).with_name("fleetiq")
            fleetiq = "fleetiq" if which("fleetiq") else os.path.relpath(beside)
            if pageURL is not None:
                _log.info(
                    "See the fleet in a browser: {url}/", url=pageURL, eventName="process.page"
                )
            _log.info(
                "Ready. In another terminal, type: {fleetiq} {command}",
                fleetiq=fleetiq,
                command=playCommand,
                eventName="process.ready",
            )

    def _refused(self, message: str) -> bool:
        if self._registered:
            return False
        self._end(REFUSED, message)
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
                _log.failure(
                    "The start failed by an internal error.",
                    failure=failure,
                    eventName="process.startFailed",
                )
                self._end(WRONG_SETTING, f"Cannot start: {error}")

    def _end(self, code: int, message: str) -> None:
        # Many game servers may be refused at once: the first of them ends the process.
        if self.running and not self.exitCode:
            self.exitCode = code
            _log.critical("{reason}", reason=message, eventName="process.failed")
            self._stopReactor()

    def _finished(self, _: object) -> None:
        if not self.running:
            return
        code = max(server.exitCode for server in self._servers)
        if self._local is None or code:
            _log.info("All game servers are shut down.", eventName="process.finished")
            self.exitCode = code
            self._stopReactor()
        else:
            # The page of the local FleetIQ stays available: it shows the events until now.
            _log.info(
                "All game servers are shut down. The local FleetIQ stays at {url}: press Ctrl-C, or"
                " send SIGTERM, to end it.",
                url=self._local.url,
                eventName="process.finished",
            )

    def _stopReactor(self) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            self._reactor.callWhenRunning(self._reactor.stop)

    def _summary(self) -> str:
        return summary([server.status() for server in self._servers])

    async def _stop(self) -> None:
        self._manager.stopping()
        which = "A second signal" if self.signalled else "A signal"
        _log.info(
            "Stopping. {which} skips the grace period of running sessions.",
            which=which,
            eventName="process.stopping",
        )
        if self._starting is not None:
            self._starting.cancel()
        if self._poller is not None:
            self._poller.stop()
        self._pool.widen(len(self._servers))
        stopping: list[Deferred[None]] = []
        for server in self._servers:
            if stopping:
                await self._yieldToReactor()
            stopping.append(server.stopService())
        await gatherResults(stopping)
        if self._registrar is not None:
            flushed = self._registrar.flushed().addTimeout(FLUSH_TIMEOUT, self._reactor)
            await flushed.addErrback(lambda _: None)
        if self._statusPort is not None:
            await self._statusPort.stop()
        self._pool.stopIfIdle()
        if self._local is not None:
            await self._local.stopService()
        self._manager.stop()

    async def _yieldToReactor(self) -> None:
        """
        Return to the reactor between two game servers, so that it serves players. If it is late,
        the threads use the processor: wait twice the delay.
        """
        began = self._reactor.seconds()
        await deferLater(self._reactor, BETWEEN_SERVERS)
        late = self._reactor.seconds() - began - BETWEEN_SERVERS
        await deferLater(self._reactor, 2 * max(0.0, late))
