"""Child processes of the commands, a client of the local FleetIQ, and players on real sockets."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.interfaces import IProcessTransport, IStreamClientEndpoint
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

T = TypeVar("T")

DEADLINE = 30.0
ANY_PORT = "tcp:0:interface=127.0.0.1"
UVLOOP_POLICY = "asyncio with uvloop's policy"
# twistd has no option for the policy.
_WITH_UVLOOP_POLICY = (
    "import asyncio, uvloop; asyncio.set_event_loop_policy(uvloop.EventLoopPolicy());"
    " from twisted.scripts.twistd import run; run()"
)


class Observed:
    """An object that changes, with Deferreds that wait for a condition."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._checks: list[Callable[[], None]] = []

    def until(
        self, what: str, find: Callable[[], T | None], within: float = DEADLINE
    ) -> Deferred[T]:
        """
        Wait until C{find} returns a result other than None, and return the result.

        Fails if C{find} raises AssertionError, or after C{within} seconds.

        @param what: describes the result, for the error message.
        """
        waiting: Deferred[T] = Deferred()

        def check() -> None:
            if waiting.called:
                return
            try:
                found = find()
            except AssertionError:
                waiting.errback()
            else:
                if found is not None:
                    waiting.callback(found)

        def tooLate(_: object, seconds: float) -> T:
            raise AssertionError(f"Waited {seconds:.0f} s for {what}: {self.describe()}")

        waiting.addTimeout(within, self._clock, tooLate)
        self._checks.append(check)
        check()
        return waiting

    def changed(self) -> None:
        """Check all conditions again."""
        for check in list(self._checks):
            check()

    def describe(self) -> str:
        """Return the state, for the error message."""
        raise NotImplementedError


class Child(Observed, ProcessProtocol):
    """
    A child process.

    @ivar lines: the lines of its standard output and standard error.
    @ivar status: its exit status, or the negative number of a signal; None while it runs.
    """

    transport: IProcessTransport

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.lines: list[str] = []
        self.status: int | None = None
        self._searched = 0
        self._unfinished = b""

    def nextLine(self, pattern: str) -> Deferred[re.Match[str]]:
        """Wait for the next line that matches. The next search starts after this line."""

        def find() -> re.Match[str] | None:
            while self._searched < len(self.lines):
                self._searched += 1
                found = re.search(pattern, self.lines[self._searched - 1])
                if found:
                    return found
            if self.status is not None:
                raise AssertionError(f"The process ended without {pattern!r}: {self.describe()}")
            return None

        return self.until(f"a line {pattern!r}", find)

    def anyLine(self, pattern: str) -> Deferred[bool]:
        """Wait until any line matches, also an earlier one. L{nextLine} is not affected."""
        return self.until(
            f"a line {pattern!r}",
            lambda: any(re.search(pattern, line) for line in self.lines) or None,
        )

    def available(self) -> Deferred[str]:
        """Wait for the next line with AVAILABLE, and return the game server id."""
        return self.nextLine(r" AVAILABLE as (\S+)\.$").addCallback(lambda found: found[1])

    def exitStatus(self, within: float = DEADLINE) -> Deferred[int]:
        """Wait for the end of the process, and return its status."""
        return self.until("the end of the process", lambda: self.status, within)

    def kill(self) -> Deferred[int]:
        """Kill the process if it still runs, and return its status."""
        if self.status is None:
            self.transport.signalProcess("KILL")
        return self.exitStatus()

    def describe(self) -> str:
        return "\n".join([f"(status {self.status})", *self.lines])

    def connectionMade(self) -> None:
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        self.lines += [line.decode(errors="replace") for line in lines]
        self.changed()

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self.status = ended.exitCode if ended.signal is None else -ended.signal
        if self._unfinished:
            self.outReceived(b"\n")
        self.changed()


class Player(Observed, Protocol):
    """
    A player on a real socket.

    @ivar received: all received bytes.
    """

    transport: Any

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.received = bytearray()
        self._expected = b""
        self._closed = False

    def send(self, data: bytes) -> None:
        """Send data."""
        self.transport.write(data)

    def abort(self) -> None:
        """Abort the connection if it is open."""
        if not self._closed:
            self.transport.abortConnection()

    def receives(self, data: bytes) -> Deferred[bool]:
        """Wait until exactly this data was received after the data of earlier calls."""
        self._expected += data
        expected = self._expected

        def find() -> bool | None:
            if expected[: len(self.received)] != self.received or self._closed:
                raise AssertionError(f"Expected only {expected!r}: {self.describe()}")
            return self.received == expected or None

        return self.until(repr(data), find)

    def whenClosed(self) -> Deferred[bytes]:
        """Wait until the connection is closed, and return all received bytes."""
        return self.until("the close", lambda: bytes(self.received) if self._closed else None)

    def describe(self) -> str:
        end = "closed" if self._closed else "open"
        return f"{len(self.received)} bytes, {bytes(self.received[:200])!r}, {end}"

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.changed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closed = True
        self.changed()


class LocalFleetIQ:
    """A client of a local FleetIQ: JSON over HTTP."""

    def __init__(self, reactor: Any, url: str) -> None:
        self.url = url
        self._reactor = reactor
        self._http = HTTPClient(Agent(reactor))

    async def claim(self) -> tuple[int, str]:
        """Claim a game server of the group C{local}. Return port and host of its ConnectionInfo."""
        claimed = await self.call("ClaimGameServer")
        host, _, port = claimed["GameServer"]["ConnectionInfo"].partition(":")
        return int(port or 0), host

    async def call(self, operation: str, **members: str) -> Any:
        """Call an operation on the group C{local}."""
        return await self._send(
            "POST",
            "/",
            {"GameServerGroupName": "local", **members},
            content_type="application/x-amz-json-1.1",
            x_amz_target=f"GameLift.{operation}",
        )

    async def control(self, name: str, **fields: str | float) -> Any:
        """Use one of the controls below C{/_local}."""
        return await self._send("POST", f"/_local/{name}", fields)

    async def addFault(self, **fault: str | float) -> None:
        """Add a fault."""
        await self.control("faults", **fault)

    async def state(self) -> Any:
        """Return the state of the local FleetIQ."""
        return await self._send("GET", "/_local/state")

    async def calls(self) -> dict[str, int]:
        """Return the number of calls of each operation."""
        return dict((await self.state())["calls"])

    async def gameServers(self) -> dict[str, str]:
        """Return the utilization status of each game server, by id."""
        servers = (await self.state())["gameServers"]
        return {server["GameServerId"]: server["UtilizationStatus"] for server in servers}

    async def _send(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        fields = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        data = json.dumps(body).encode()
        request = self._http.request(method, self.url + path, headers=fields, data=data)
        response = await request.addTimeout(DEADLINE, self._reactor)
        content = json.loads(await response.text() or "{}")
        if response.code != 200:
            raise AssertionError(f"{method} {path} {body} returned {response.code}: {content}")
        return content


class EndToEndTestCase(TestCase):
    """Start processes in an empty folder and with an empty environment. Kill them at the end."""

    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = Path(self.mktemp()).absolute()
        self.home = Path(self.mktemp()).absolute()
        for path in (self.folder, self.home):
            path.mkdir()

    def start(self, *command: str, folder: Path | None = None, **environ: str) -> Child:
        """Start a command of this Python environment or of the system."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
        executable = shutil.which(command[0], path=path)
        assert executable is not None, command
        coverage = {key: os.environ[key] for key in os.environ if key.startswith("COVERAGE_")}
        child = Child(self.reactor)
        self.reactor.spawnProcess(
            child,
            executable,
            command,
            env={"PATH": path, "HOME": str(self.home), **coverage, **environ},
            path=str(folder or self.folder),
        )
        self.addCleanup(child.kill)
        return child

    def echo(self, *options: str, reactor: str = "default", **environ: str) -> Child:
        """Start the echo game server on a free port. The reactor can be L{UVLOOP_POLICY}."""
        twistd: tuple[str, ...] = ("twistd", f"--reactor={reactor}")
        if reactor == UVLOOP_POLICY:
            twistd = ("python", "-c", _WITH_UVLOOP_POLICY, "--reactor=asyncio")
        echo = ("-n", "fleetiq-echo", f"--listen={ANY_PORT}")
        return self.start(*twistd, *echo, *options, folder=None, **environ)

    async def embedded(
        self, *options: str, reactor: str = "default", **environ: str
    ) -> tuple[Child, LocalFleetIQ, int]:
        """Start a game server with an embedded FleetIQ. Return process, FleetIQ and game port."""
        child = self.echo(f"--local={ANY_PORT}", *options, reactor=reactor, **environ)
        found = await child.nextLine(r" LOCAL FleetIQ on (\S+), AWS is not contacted\.$")
        return child, LocalFleetIQ(self.reactor, found[1]), await self.gamePort(child)

    async def local(self) -> LocalFleetIQ:
        """Start a local FleetIQ in its own process."""
        child = self.start("twistd", "-n", "fleetiq-local", f"--listen={ANY_PORT}")
        found = await child.nextLine(r" FleetIQ for this machine on (\S+), ")
        return LocalFleetIQ(self.reactor, found[1])

    async def gamePort(self, child: Child) -> int:
        """Wait for the next line with a game port, and return the port."""
        return int((await child.nextLine(r" Listening for players on 127\.0\.0\.1:(\d+)\.$"))[1])

    async def player(self, port: int, host: str = "127.0.0.1") -> Player:
        """Connect a player over TCP."""
        return await self.connect(HostnameEndpoint(self.reactor, host, port))

    async def connect(self, endpoint: IStreamClientEndpoint) -> Player:
        """Connect a player."""
        player = Player(self.reactor)
        await connectProtocol(endpoint, player)
        self.addCleanup(player.whenClosed)
        self.addCleanup(player.abort)
        return player

    def busyPort(self) -> int:
        """Return a port that is in use and does not respond to its connections."""
        listening = socket.create_server(("", 0))
        self.addCleanup(listening.close)
        return int(listening.getsockname()[1])
