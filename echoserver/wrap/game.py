"""The game of fleetiq-wrap: connects a game server with its child process."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.game import Game, GameServer
from echoserver.wrap.channel import Channel
from echoserver.wrap.checks import accepts, commandSucceeds, untilAccepting, urlSucceeds
from echoserver.wrap.child import Child, Exit, Output, fill
from echoserver.wrap.config import WrapConfig
from echoserver.wrap.splice import LOOPBACK, PlayerSide

_log = Logger(namespace="fleetiq.wrap")

# Seconds between two starts of a child that ends at once. After a run of a minute, it is 1 s again.
_FIRST_BACKOFF, _MAX_BACKOFF, _LONG_RUN = 1.0, 30.0, 60.0


class NotReady(Exception):
    """The child does not serve players; the text is a sentence."""


class WrapFactory(Game, Factory):
    """
    The game of one game server. A child process serves the players, on its own port.

    @ivar childPort: the port that the child listens on.
    @ivar proxyProtocol: the version of the PROXY protocol that the child expects, or C{off}.
    """

    noisy = False
    protocol = PlayerSide

    def __init__(self, gameServer: GameServer, config: WrapConfig, reactor: Any) -> None:
        super().__init__(gameServer)
        self.reactor = reactor
        self.childPort = 0
        self.proxyProtocol = config.proxyProtocol
        self._config = config
        self._channel = Channel(self._onEvent)
        self._directory: str | None = None
        self._socket: Any = None
        self._child: Child | None = None
        self._ready: Deferred[None] = Deferred()
        self._serving = False
        self._unhealthy = ""
        self._backoff = _FIRST_BACKOFF
        self._startedAt = 0.0
        self._stopping = False
        self._restart: Deferred[None] | None = None
        self._sessionLimit: IDelayedCall | None = None

    # The hooks of the game server.

    def ready(self) -> Deferred[None]:
        """Start the child. Fires when it accepts connections; fails with L{NotReady}."""
        return Deferred.fromCoroutine(self._start())

    def stopped(self) -> Deferred[None]:
        """End the child: SIGTERM, and SIGKILL after C{--kill-after} seconds."""
        self._stopping = True
        if self._restart is not None:
            self._restart.cancel()
        return Deferred.fromCoroutine(self._end())

    def sessionStarted(self, number: int) -> None:
        if not self._config.proxies and self._config.sessionTimeout:
            self._sessionLimit = self.reactor.callLater(
                self._config.sessionTimeout, self._sessionTimedOut
            )

    def sessionEnded(self, number: int) -> None:
        self._channel.discard("claimed")
        if self._sessionLimit is not None and self._sessionLimit.active():
            self._sessionLimit.cancel()

    def claimed(self, data: str) -> None:
        self._channel.send("claimed", data=data)

    def draining(self, deadline: float | None, reason: str) -> None:
        left = None if deadline is None else max(0.0, deadline - self.reactor.seconds())
        self._channel.send("draining", seconds=left, reason=reason)

    def healthy(self) -> Deferred[bool]:
        return Deferred.fromCoroutine(self._isHealthy())

    def closePlayers(self, reason: str) -> None:
        for player in self.gameServer.players:
            protocol: Any = player.protocol
            protocol.close(reason)

    # The child.

    async def _start(self) -> None:
        await self._listen()
        self._startChild()
        ready = self._ready.addTimeout(self._config.startTimeout, self.reactor)
        try:
            await ready
        except TimeoutError:
            await self._end()
            raise NotReady(
                f"nothing listens on port {self.childPort} {self._config.startTimeout:g} s after"
                f" the start of {self._config.command[0]!r}. Does it listen on"
                f" {LOOPBACK}:{{port}}? --start-timeout gives it more time."
            ) from None

    async def _listen(self) -> None:
        self._directory = mkdtemp(prefix="fleetiq-wrap-")
        path = str(Path(self._directory) / "socket")
        self._socket = self.reactor.listenUNIX(path, self._channel, mode=0o600)

    def _startChild(self) -> None:
        self.childPort = self._config.childPort(self.gameServer.port) or freePort()
        values = {"port": self.childPort, "public-port": self.gameServer.port}
        command = fill(self._config.command, values)
        environ = {
            **os.environ,
            "FLEETIQ_SOCKET": str(Path(self._directory or "") / "socket"),
            "FLEETIQ_PORT": str(self.childPort),
        }
        self._unhealthy = ""
        self._startedAt = self.reactor.seconds()
        child = self._child = Child(Output(self.reactor, self.childPort))
        probing = Deferred.fromCoroutine(untilAccepting(self.reactor, self.childPort))
        probing.addCallbacks(lambda _: self._childIsReady(child), lambda f: f.trap(CancelledError))
        child.ended.addCallback(self._childEnded, probing)
        child.start(self.reactor, command, environ)
        _log.info("Child started: {command}", command=" ".join(command), eventName="child.started")

    def _childIsReady(self, child: Child) -> None:
        if child is self._child and child.running and not self._serving:
            self._serving = True
            self.gameServer.setReady(True)
            _log.info(
                "The child accepts connections on port {port}.",
                port=self.childPort,
                eventName="child.ready",
            )
            if not self._ready.called:
                self._ready.callback(None)

    def _childEnded(self, exit: Exit, probing: Deferred[Any]) -> None:
        probing.cancel()
        self._serving = False
        self.gameServer.setReady(False)
        self.closePlayers("the child has ended")
        if self._stopping:
            _log.info("The child {exit}.", exit=exit, eventName="child.ended")
            return
        restart = self._config.restart
        again = restart == "always" or (restart == "on-crash" and exit.crashed)
        if not again or not self._ready.called:
            self._stopAfter(exit)
            return
        if self.reactor.seconds() - self._startedAt >= _LONG_RUN:
            self._backoff = _FIRST_BACKOFF
        _log.warn(
            "The child {exit}: it starts again in {s:g} s.",
            exit=exit,
            s=self._backoff,
            eventName="child.restarting",
        )
        self._restart = deferLater(self.reactor, self._backoff, self._startChild)
        self._restart.addErrback(self._restartFailed)
        self._backoff = min(_MAX_BACKOFF, 2 * self._backoff)
        self._endSession()

    def _restartFailed(self, failure: Failure) -> None:
        """The child cannot be started, for instance because no descriptor is free."""
        if not failure.check(CancelledError):
            self.gameServer.stop(f"the child cannot start: {failure.getErrorMessage()}", 1)

    def _stopAfter(self, exit: Exit) -> None:
        if not self._ready.called:
            self._ready.errback(NotReady(f"{self._config.command[0]!r} {exit} at its start."))
            return
        _log.warn("The child {exit}.", exit=exit, eventName="child.ended")
        self._endSession()
        self.gameServer.stop(f"the child {exit}", exit.status)

    async def _end(self) -> None:
        child = self._child
        if child is not None and child.running:
            self._channel.send("stop", seconds=self._config.killAfter)
            child.signal(signal.SIGTERM)
            kill = self.reactor.callLater(self._config.killAfter, self._kill, child)
            await child.ended
            if kill.active():
                kill.cancel()
        if self._socket is not None:
            self._channel.disconnectAll()
            await self._socket.stopListening()
            self._socket = None
        if self._directory is not None:
            rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _kill(self, child: Child) -> None:
        _log.warn(
            "The child has not ended after {s:g} s: killing it.",
            s=self._config.killAfter,
            eventName="child.killed",
        )
        child.signal(signal.SIGKILL)

    async def _isHealthy(self) -> bool:
        config = self._config
        reason = self._unhealthy
        if self._child is None or not self._child.running:
            reason = "it does not run"
        elif not reason and config.probes and not await accepts(self.reactor, self.childPort):
            reason = f"port {self.childPort} does not accept"
        if not reason and config.healthCommand is not None:
            command = fill([config.healthCommand], {"port": self.childPort})
            if not await commandSucceeds(self.reactor, command):
                reason = "--health-command fails"
        if not reason and config.healthURL is not None:
            [url] = fill([config.healthURL], {"port": self.childPort})
            if not await urlSucceeds(self.reactor, url):
                reason = "--health-http fails"
        if reason:
            _log.warn(
                "The child is unhealthy: {reason}.", reason=reason, eventName="game.unhealthy"
            )
        return not reason

    # Events from the child.

    def _onEvent(self, event: str, text: str) -> None:
        match event:
            case "ready" if self._child is not None:
                self._childIsReady(self._child)
            case "healthy":
                self._unhealthy = ""
            case "unhealthy":
                self._unhealthy = text or "it sent the event unhealthy"
            case "data":
                self.gameServer.setData(text)
            case "sessionStarted":
                self._changeSession(self.gameServer.startSession)
            case "sessionEnded":
                self._changeSession(self.gameServer.endSession)

    def _changeSession(self, change: Any) -> None:
        try:
            change()
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    def _endSession(self) -> None:
        """End the session of a child that has ended. With a proxy, it ends with its players."""
        if not self._config.proxies and self.gameServer.session is not None:
            self.gameServer.endSession()

    def _sessionTimedOut(self) -> None:
        _log.warn(
            "The child has not ended the session within {s:g} s (--session-timeout): it ends now.",
            s=self._config.sessionTimeout,
            eventName="session.timeout",
        )
        self.gameServer.endSession()


def freePort() -> int:
    """Return a port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def makeFactory(gameServer: GameServer) -> WrapFactory:
    """Make the game of one game server."""
    from twisted.internet import reactor

    options: Any = gameServer.options
    return WrapFactory(gameServer, options.wrap, reactor)
