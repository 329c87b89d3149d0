"""Our commands as real processes, the local FleetIQ as JSON, and players on real sockets."""

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
# twistd has no place to say so.
_WITH_UVLOOP_POLICY = (
    "import asyncio, uvloop; asyncio.set_event_loop_policy(uvloop.EventLoopPolicy());"
    " from twisted.scripts.twistd import run; run()"
)


class Watched:
    """Something that changes by itself, and whose changes can be waited for."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._looks: list[Callable[[], None]] = []

    def until(
        self, what: str, look: Callable[[], T | None], within: float = DEADLINE
    ) -> Deferred[T]:
        """Fires with what C{look} finds; fails if that raises, or finds nothing in time."""
        found: Deferred[T] = Deferred()

        def again() -> None:
            if found.called:
                return
            try:
                seen = look()
            except AssertionError:
                found.errback()
            else:
                if seen is not None:
                    found.callback(seen)

        def tooLate(_: object, seconds: float) -> T:
            raise AssertionError(f"Waited {seconds:.0f} s for {what}; there is: {self.story()}")

        found.addTimeout(within, self._clock, tooLate)
        self._looks.append(again)
        again()
        return found

    def changed(self) -> None:
        """Have all who wait look again."""
        for again in list(self._looks):
            again()

    def story(self) -> str:
        """All that is known, for people."""
        raise NotImplementedError


class Child(Watched, ProcessProtocol):
    """
    A process.

    @ivar lines: what it has said, on standard output and error alike.
    @ivar status: its exit status, or a signal's number, negative; None while it runs.
    """

    transport: IProcessTransport

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.lines: list[str] = []
        self.status: int | None = None
        self._heard = 0
        self._unfinished = b""

    def says(self, pattern: str) -> Deferred[re.Match[str]]:
        """Fires with the next line that has this in it; passes over those before it."""

        def look() -> re.Match[str] | None:
            while self._heard < len(self.lines):
                self._heard += 1
                found = re.search(pattern, self.lines[self._heard - 1])
                if found:
                    return found
            if self.status is not None:
                raise AssertionError(f"It ended without a line {pattern!r}: {self.story()}")
            return None

        return self.until(f"a line {pattern!r}", look)

    def said(self, pattern: str) -> Deferred[bool]:
        """Fires when any line, of those before too, has this in it; passes over none."""
        return self.until(
            f"a line {pattern!r}",
            lambda: any(re.search(pattern, line) for line in self.lines) or None,
        )

    def available(self) -> Deferred[str]:
        """Fires with the id under which it says it is AVAILABLE, next."""
        return self.says(r" AVAILABLE as (\S+)\.$").addCallback(lambda found: found[1])

    def ends(self, within: float = DEADLINE) -> Deferred[int]:
        """Fires with its status."""
        return self.until("its end", lambda: self.status, within)

    def kill(self) -> Deferred[int]:
        """End it, if it has not ended; fires when it has."""
        if self.status is None:
            self.transport.signalProcess("KILL")
        return self.ends()

    def story(self) -> str:
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


class Player(Watched, Protocol):
    """
    A player on a real socket.

    @ivar received: all that has come back.
    """

    transport: Any

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.received = bytearray()
        self._expected = b""
        self._closed = False

    def say(self, data: bytes) -> None:
        """Send this."""
        self.transport.write(data)

    def abort(self) -> None:
        """Vanish, unless the connection is closed."""
        if not self._closed:
            self.transport.abortConnection()

    def hears(self, data: bytes) -> Deferred[bool]:
        """Fires when this, and nothing else, has come back after what was heard before."""
        self._expected += data
        expected = self._expected

        def look() -> bool | None:
            if expected[: len(self.received)] != self.received or self._closed:
                raise AssertionError(f"Not {expected!r} alone came back: {self.story()}")
            return self.received == expected or None

        return self.until(repr(data), look)

    def isClosed(self) -> Deferred[bytes]:
        """Fires when the connection is closed, with all that has ever come back."""
        return self.until("the close", lambda: bytes(self.received) if self._closed else None)

    def story(self) -> str:
        end = "closed" if self._closed else "open"
        return f"{len(self.received)} bytes, {bytes(self.received[:200])!r}, {end}"

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.changed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closed = True
        self.changed()


class LocalFleetIQ:
    """A local FleetIQ, as anybody reaches it: JSON over HTTP."""

    def __init__(self, reactor: Any, url: str) -> None:
        self.url = url
        self._reactor = reactor
        self._http = HTTPClient(Agent(reactor))

    async def claim(self) -> tuple[int, str]:
        """Claim a server of the group C{local}; the port and the host of its ConnectionInfo."""
        claimed = await self.call("ClaimGameServer")
        host, _, port = claimed["GameServer"]["ConnectionInfo"].partition(":")
        return int(port or 0), host

    async def call(self, operation: str, **members: str) -> Any:
        """Call an operation on the group C{local}, as somebody else than the game servers."""
        return await self._send(
            "POST",
            "/",
            {"GameServerGroupName": "local", **members},
            content_type="application/x-amz-json-1.1",
            x_amz_target=f"GameLift.{operation}",
        )

    async def control(self, name: str, **order: str | float) -> Any:
        """Use one of the controls below C{/_local}."""
        return await self._send("POST", f"/_local/{name}", order)

    async def order(self, **fault: str | float) -> None:
        """Order a fault."""
        await self.control("faults", **fault)

    async def state(self) -> Any:
        """All there is."""
        return await self._send("GET", "/_local/state")

    async def calls(self) -> dict[str, int]:
        """How many calls of each operation have come in."""
        return dict((await self.state())["calls"])

    async def gameServers(self) -> dict[str, str]:
        """The utilization status of each game server, by id."""
        servers = (await self.state())["gameServers"]
        return {server["GameServerId"]: server["UtilizationStatus"] for server in servers}

    async def _send(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        fields = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        data = json.dumps(body).encode()
        answer = self._http.request(method, self.url + path, headers=fields, data=data)
        response = await answer.addTimeout(DEADLINE, self._reactor)
        content = json.loads(await response.text() or "{}")
        if response.code != 200:
            raise AssertionError(f"{method} {path} {body} answers {response.code}: {content}")
        return content


class EndToEndTestCase(TestCase):
    """Starts processes in an empty folder, with nothing in their environment, and ends them."""

    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = Path(self.mktemp()).absolute()
        self.home = Path(self.mktemp()).absolute()
        for path in (self.folder, self.home):
            path.mkdir()

    def start(self, *command: str, folder: Path | None = None, **environ: str) -> Child:
        """Start a command: one of this environment, or of the machine."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
        executable = shutil.which(command[0], path=path)
        assert executable is not None, command
        measured = {key: os.environ[key] for key in os.environ if key.startswith("COVERAGE_")}
        child = Child(self.reactor)
        self.reactor.spawnProcess(
            child,
            executable,
            command,
            env={"PATH": path, "HOME": str(self.home), **measured, **environ},
            path=str(folder or self.folder),
        )
        self.addCleanup(child.kill)
        return child

    def echo(self, *options: str, reactor: str = "default", **environ: str) -> Child:
        """Start a game server on any port; C{UVLOOP_POLICY} is a reactor too."""
        twistd: tuple[str, ...] = ("twistd", f"--reactor={reactor}")
        if reactor == UVLOOP_POLICY:
            twistd = ("python", "-c", _WITH_UVLOOP_POLICY, "--reactor=asyncio")
        echo = ("-n", "fleetiq-echo", f"--listen={ANY_PORT}")
        return self.start(*twistd, *echo, *options, folder=None, **environ)

    async def embedded(
        self, *options: str, reactor: str = "default", **environ: str
    ) -> tuple[Child, LocalFleetIQ, int]:
        """A game server with a FleetIQ of its own: the process, its FleetIQ, its game port."""
        child = self.echo(f"--local={ANY_PORT}", *options, reactor=reactor, **environ)
        found = await child.says(r" LOCAL FleetIQ on (\S+), AWS is not contacted\.$")
        return child, LocalFleetIQ(self.reactor, found[1]), await self.gamePort(child)

    async def local(self) -> LocalFleetIQ:
        """A FleetIQ in a process of its own."""
        child = self.start("twistd", "-n", "fleetiq-local", f"--listen={ANY_PORT}")
        found = await child.says(r" FleetIQ for this machine on (\S+), ")
        return LocalFleetIQ(self.reactor, found[1])

    async def gamePort(self, child: Child) -> int:
        """The port on which a game server says, next, that it listens."""
        return int((await child.says(r" Listening for players on 127\.0\.0\.1:(\d+)\.$"))[1])

    async def player(self, port: int, host: str = "127.0.0.1") -> Player:
        """Connect a player over TCP."""
        return await self.connect(HostnameEndpoint(self.reactor, host, port))

    async def connect(self, endpoint: IStreamClientEndpoint) -> Player:
        """Connect a player."""
        player = Player(self.reactor)
        await connectProtocol(endpoint, player)
        self.addCleanup(player.isClosed)
        self.addCleanup(player.abort)
        return player

    def heldPort(self) -> int:
        """A port that is taken, and on which connections are never answered."""
        held = socket.create_server(("", 0))
        self.addCleanup(held.close)
        return int(held.getsockname()[1])
