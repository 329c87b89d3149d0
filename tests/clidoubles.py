"""Test doubles that run the fleetiq command in memory: FleetIQ, a game server, standard I/O."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echoserver.address import Address
from echoserver.cli.controls import Controls
from echoserver.cli.main import parseCommandLine
from echoserver.cli.output import Console
from echoserver.cli.run import execute
from echoserver.cli.target import Connection, Target
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


class MemoryConnection:
    """
    A client of FleetIQ that returns prepared responses.

    @ivar requests: the operations that were called, with their members.
    """

    def __init__(self, region: str | None = "us-east-1") -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.config = EndpointConfig()
        self._region = region
        self._responses: dict[str, list[dict[str, Any] | Exception]] = {}
        self.respond("ListGameServerGroups", GROUPS)

    def respond(self, operation: str, *responses: dict[str, Any] | Exception) -> None:
        """Replace the responses of an operation. Each call takes the next one."""
        self._responses[operation] = list(responses)

    def region(self) -> Deferred[str | None]:
        return succeed(self.config.region or self._region)

    def open(self, region: str | None) -> Deferred[None]:
        self._region = region
        return succeed(None)

    def call(self, operation: str, **request: Any) -> Deferred[dict[str, Any]]:
        members = {name: value for name, value in request.items() if value is not None}
        self.requests.append((operation, members))
        response = self._responses[operation].pop(0)
        return fail(response) if isinstance(response, Exception) else succeed(response)


class GameServerTransport(StringTransport):
    """A player's transport, connected to a server that echoes, and closes after q."""

    def __init__(self, player: IProtocol) -> None:
        super().__init__()
        self.player = player

    def write(self, data: bytes) -> None:
        super().write(data)
        quitLine = re.fullmatch(rb"(\n?)[qQ]\n", data)
        if quitLine and quitLine[1]:
            self.player.dataReceived(b"\n")
        if quitLine or data in (b"q", b"Q"):
            self.player.connectionLost(connectionDone)
        else:
            self.player.dataReceived(data)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    An endpoint that connects to a server that echoes.

    @param error: the error to fail with instead.
    @param sends: bytes that the server sends before it closes the connection at once.
    """

    def __init__(self, *, error: Exception | None = None, sends: bytes = b"") -> None:
        self._error = error
        self._sends = sends

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        if self._error is not None:
            return fail(self._error)
        player: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type] # not used
        self.transport = GameServerTransport(player)
        player.makeConnection(self.transport)
        if self._sends:
            player.dataReceived(self._sends)
            player.connectionLost(connectionDone)
        return succeed(player)


class BrokenPipe(StringIO):
    """
    A standard output whose reader has ended.

    @ivar writes: how often it was written to.
    """

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class Response:
    """A response of treq."""

    def __init__(self, code: int, body: bytes) -> None:
        self.code = code
        self._body = body

    def collect(self, read: Callable[[bytes], None]) -> Deferred[None]:
        return maybeDeferred(read, self._body)


class GroupsHTTP:
    """
    The part of treq's client that finds the groups of a local FleetIQ.

    @param groups: the names of its groups.
    @ivar requests: the methods and URLs that were requested.
    @ivar response: what to return instead: a response, or an error.
    """

    def __init__(self, groups: list[str]) -> None:
        self.groups = groups
        self.requests: list[str] = []
        self.response: Response | Exception | None = None

    def request(
        self, method: str, url: str, *, data: bytes | None, unbuffered: bool
    ) -> Deferred[Response]:
        self.requests.append(f"{method} {url}")
        if isinstance(self.response, Exception):
            return fail(self.response)
        groups = [{"GameServerGroupName": name, "Status": "ACTIVE"} for name in self.groups]
        state = {"now": NOW, "timeScale": 1, "groups": groups, "instances": [], "gameServers": []}
        body = json.dumps({**state, "faults": [], "calls": {}}).encode()
        return succeed(self.response or Response(200, body))


class CommandTestCase(SynchronousTestCase):
    """Run the command with a FleetIQ in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.groups = ["local"]
        self.connection = MemoryConnection()
        self.endpoint = Endpoint()
        self.addresses: list[Address] = []
        self.stdin: Any = None
        self.http: Any = GroupsHTTP(self.groups)
        self.ask: Any = None
        self.makeStdout = StringIO

    def start(self, *words: str, environ: Mapping[str, str] | None = None) -> Deferred[int]:
        """Start C{fleetiq} with these arguments. Fires with the exit status."""
        self.stdout, self.stderr = self.makeStdout(), StringIO()
        console = self.console = Console(self.stdout, self.stderr)
        console.ask = self.ask

        def newConnection(config: EndpointConfig) -> MemoryConnection:
            self.connection.config = config
            return self.connection

        def newTarget(connection: Connection, config: EndpointConfig, group: str) -> Target:
            return Target(
                connection, config, group, self.clock, console, self.endpointFor, self.openInput
            )

        encoded = [word.encode("utf-8", "surrogateescape") for word in words]
        options = parseCommandLine(encoded, console)
        if isinstance(options, int):
            return succeed(options)
        return Deferred.fromCoroutine(
            execute(options, environ or {}, newConnection, newTarget, self.newControls, console)
        )

    def run_(self, *words: str, environ: Mapping[str, str] | None = None) -> int:
        """Run C{fleetiq} with these arguments, and return the exit status."""
        return self.successResultOf(self.start(*words, environ=environ))

    def endpointFor(self, address: Address) -> Endpoint:
        self.addresses.append(address)
        return self.endpoint

    def newControls(self, url: str) -> Controls:
        """Return the controls that C{http} connects to."""
        return Controls(self.clock, self.http, url)

    def openInput(self, lines: IProtocol) -> None:
        self.stdin = lines
        lines.makeConnection(StringTransport())

    @property
    def out(self) -> str:
        """The standard output."""
        return self.stdout.getvalue()

    @property
    def err(self) -> str:
        """The standard error, without the first line, which describes the target."""
        return self.stderr.getvalue().removeprefix(LOCAL_LINE)
