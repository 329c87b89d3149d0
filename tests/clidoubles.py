"""The fleetiq command, on a FleetIQ and a game server in memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echoserver.address import Address
from echoserver.cli.console import Console
from echoserver.cli.controls import Controls
from echoserver.cli.main import execute, understand
from echoserver.cli.where import Fleet
from echoserver.gamelift.client import EndpointConfig

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
GROUPS = {"GameServerGroups": [{"GameServerGroupName": "local"}]}
INSTANCE = "i-0123456789abcdef0"
SERVER = {
    "GameServerGroupName": "local",
    "GameServerId": "gs-1",
    "InstanceId": INSTANCE,
    "ConnectionInfo": "localhost:7000",
    "GameServerData": "한글",
    "UtilizationStatus": "AVAILABLE",
    "RegistrationTime": datetime(2025, 12, 31, 23, 50, tzinfo=UTC),
    "LastHealthCheckTime": datetime(2025, 12, 31, 23, 59, 30, tzinfo=UTC),
}
LOCAL_LINE = "local FleetIQ on http://127.0.0.1:4570, group local\n"


class Door:
    """A FleetIQ: its answers in turn, operation by operation, and what it was asked."""

    def __init__(self, region: str | None = "us-east-1") -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.where = EndpointConfig()
        self._region = region
        self._answers: dict[str, list[dict[str, Any] | Exception]] = {}
        self.answers("ListGameServerGroups", GROUPS)

    def answers(self, operation: str, *answers: dict[str, Any] | Exception) -> None:
        """From now on answer so."""
        self._answers[operation] = list(answers)

    def region(self) -> Deferred[str | None]:
        return succeed(self.where.region or self._region)

    def open(self, region: str | None) -> Deferred[None]:
        self._region = region
        return succeed(None)

    def call(self, operation: str, **request: Any) -> Deferred[dict[str, Any]]:
        given = {name: value for name, value in request.items() if value is not None}
        self.asked.append((operation, given))
        answer = self._answers[operation].pop(0)
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


class GameServerTransport(StringTransport):
    """A player's transport; its other end echoes, and closes at q."""

    def __init__(self, player: IProtocol) -> None:
        super().__init__()
        self.player = player

    def write(self, data: bytes) -> None:
        super().write(data)
        if data in (b"q", b"Q"):
            self.player.connectionLost(connectionDone)
        else:
            self.player.dataReceived(data)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Leads to a game server that echoes; or refuses; or says something and closes."""

    def __init__(self, *, fails: Exception | None = None, says: bytes = b"") -> None:
        self._fails = fails
        self._says = says

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        if self._fails is not None:
            return fail(self._fails)
        player: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type] # not looked at
        self.transport = GameServerTransport(player)
        player.makeConnection(self.transport)
        if self._says:
            player.dataReceived(self._says)
            player.connectionLost(connectionDone)
        return succeed(player)


class Closed(StringIO):
    """Standard output whose reader has left."""

    tries = 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class CommandTestCase(SynchronousTestCase):
    """Runs the command against a FleetIQ in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.door = Door()
        self.endpoint = Endpoint()
        self.addresses: list[Address] = []
        self.stdin: Any = None
        self.http: Any = None
        self.makeStdout = StringIO

    def start(self, *words: str, environ: Mapping[str, str] | None = None) -> Deferred[int]:
        """Type C{fleetiq}, and these words."""
        self.stdout, self.stderr = self.makeStdout(), StringIO()
        console = Console(self.stdout, self.stderr)

        def openDoor(where: EndpointConfig) -> Door:
            self.door.where = where
            return self.door

        def makeFleet(door: Any, where: EndpointConfig, group: str) -> Fleet:
            return Fleet(door, where, group, self.clock, console, self.endpointTo, self.openInput)

        options = understand(words, console)
        if options is None:
            return succeed(2)
        console.json = bool(options["json"])
        return Deferred.fromCoroutine(
            execute(options, environ or {}, openDoor, makeFleet, self.openControls, console)
        )

    def run_(self, *words: str, environ: Mapping[str, str] | None = None) -> int:
        """The exit status of these words."""
        return self.successResultOf(self.start(*words, environ=environ))

    def endpointTo(self, address: Address) -> Endpoint:
        self.addresses.append(address)
        return self.endpoint

    def openControls(self, url: str) -> Controls:
        """Leads to the controls of C{http}."""
        return Controls(self.clock, self.http, url)

    def openInput(self, typed: IProtocol) -> None:
        self.stdin = typed
        typed.makeConnection(StringTransport())

    @property
    def out(self) -> str:
        """What was shown."""
        return self.stdout.getvalue()

    @property
    def said(self) -> str:
        """What was said on standard error, after the line that says where."""
        return self.stderr.getvalue().removeprefix(LOCAL_LINE)
