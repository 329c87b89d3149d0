"""A server process whose reactor, threads and services are in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echoserver.echo import Options as EchoGameOptions
from echoserver.server.options import optionsFor
from echoserver.server.process import ServerProcess
from tests.awsdoubles import logLines

EchoOptions = optionsFor("fleetiq-echo", "echoserver.echo.makeFactory", "Echo.", EchoGameOptions)


class Reactor(MemoryReactorClock):
    """
    A reactor in memory.

    @ivar fromThreads: the functions that were passed to C{callFromThread}.
    @ivar inUse: ports and paths that cannot be bound.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fromThreads: list[Callable[..., object]] = []
        self.inUse: set[object] = set()
        self.started = True

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        self.fromThreads.append(function)
        function(*args)

    def listenTCP(self, port: int, *args: Any, **options: Any) -> Any:
        self._refuse(port)
        return super().listenTCP(port, *args, **options)

    def listenUNIX(self, address: Any, *args: Any, **options: Any) -> Any:
        self._refuse(address)
        return super().listenUNIX(address, *args, **options)

    def stop(self) -> None:
        if not self.started:
            raise ReactorNotRunning("not yet")
        super().stop()

    def _refuse(self, address: object) -> None:
        if address in self.inUse:
            raise CannotListenError(None, address, OSError(98, "Address already in use"))


class Pool:
    """A thread pool without threads."""

    def __init__(self, order: list[str]) -> None:
        self._order = order

    def start(self) -> None:
        self._order.append("pool started")

    def widen(self, gameServers: int) -> None:
        self._order.append(f"pool for {gameServers}")

    def stopIfIdle(self) -> None:
        self._order.append("pool")

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], None], function: Callable[..., Any], *args: Any
    ) -> None:
        try:
            result = function(*args)
        except Exception:  # noqa: BLE001 # as the real pool
            onResult(False, Failure())
        else:
            onResult(True, result)


class RecordingService:
    """A service that records calls. The test decides when it has stopped."""

    def __init__(self, name: str, order: list[str]) -> None:
        self._name = name
        self._order = order
        self.stopped: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        self._order.append(self._name)
        return self.stopped

    def skipGracePeriod(self) -> None:
        self._order.append(f"{self._name} without grace")


class ProgramTestCase(SynchronousTestCase):
    """Make server processes, and record the order of their steps."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.order: list[str] = []
        self.patch(os, "environ", {"HOME": self.mktemp()})

    def program(self, *words: str, **environ: str) -> ServerProcess:
        """Return a process with these options and environment variables, without threads."""
        os.environ.update(environ)
        options = EchoOptions(environ)
        options.parseOptions(words)
        program = ServerProcess(
            self.reactor,
            options.settings,
            environ,
            options.makeFactory,
            options.command,
            options,
        )
        self.patch(program, "_pool", Pool(self.order))
        return program

    def started(self, *words: str, **environ: str) -> tuple[ServerProcess, list[str]]:
        """Start a process. Return it, and the messages that it logged."""
        program = self.program(*words, **environ)
        with capturedLogs() as events:
            program.startService()
        return program, logLines(events)

    def cannotStart(self, *words: str) -> str:
        """Start a process that exits at once, and return its message."""
        exit = self.assertRaises(SystemExit, self.program(*words).startService)
        self.assertIsInstance(exit.code, str)
        return str(exit.code)
