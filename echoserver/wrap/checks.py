"""Health checks of a child: its port accepts, a command succeeds, a URL returns a 2xx status."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echoserver.httpclient import Client
from echoserver.wrap.splice import LOOPBACK

PROBE_TIMEOUT = 2.0
PROBE_INTERVAL = 0.05
CHECK_TIMEOUT = 4.0


async def accepts(reactor: Any, port: int) -> bool:
    """Return whether a port of this machine accepts a connection. It is closed at once."""
    endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, port, PROBE_TIMEOUT)
    try:
        protocol: Any = await endpoint.connect(Factory.forProtocol(Protocol))
    except Exception:  # noqa: BLE001 # whatever the error is, the port does not accept
        return False
    protocol.transport.loseConnection()
    return True


async def untilAccepting(reactor: Any, port: int) -> None:
    """Try every 50 ms to connect to a port, until it accepts. It may be cancelled."""
    while not await accepts(reactor, port):
        await deferLater(reactor, PROBE_INTERVAL)


class _Exit(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[int | None] = Deferred(lambda _: self._kill())

    def _kill(self) -> None:
        if self.transport is not None and self.transport.pid:
            self.transport.signalProcess("KILL")

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        if not self.ended.called:
            self.ended.callback(value.exitCode)


async def commandSucceeds(reactor: Any, command: Sequence[str]) -> bool:
    """Run a command, with C{/bin/sh -c}; return whether it exits with 0 within 4 s."""
    check = _Exit()
    reactor.spawnProcess(check, "/bin/sh", ["/bin/sh", "-c", *command], os.environ)
    try:
        return await check.ended.addTimeout(CHECK_TIMEOUT, reactor) == 0
    except Exception:  # noqa: BLE001 # the time limit
        return False


class _Drop(Protocol):
    """Drops the body of a response: it is not needed, and may be endless."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


async def urlSucceeds(reactor: Any, url: str) -> bool:
    """Request a URL; return whether the status is 200 to 299 within 4 s."""
    client = Client(reactor, PROBE_TIMEOUT)
    try:
        request = client.get(url).addTimeout(CHECK_TIMEOUT, reactor)
        response = await request
    except Exception:  # noqa: BLE001 # whatever the error is, the URL does not work
        return False
    response.original.deliverBody(_Drop())
    return 200 <= int(response.code) < 300
