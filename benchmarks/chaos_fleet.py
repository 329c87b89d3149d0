"""The fleet of the chaos benchmark: a local FleetIQ, and processes of game servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from time import perf_counter
from types import TracebackType
from typing import Any

from tests.endtoend.certificates import writeCertificate

TWISTD = str(Path(sys.executable).with_name("twistd"))
# While a fifth of the calls fail, some of 40 starting servers back off for 30 s more than once.
READY_DEADLINE = 180.0
# A stopping process has a grace period of 20 s, and then its last calls.
STOP_DEADLINE = 40.0
HEARTBEAT = 5
GRACE = 20.0
# Players are disconnected 5 s before the end of an instance, or later on a busy machine.
DISCONNECTED_BEFORE_END = 6.0
NEVER = float("inf")
HANDSHAKE_TIMEOUT = 5.0
LOG_DELAY = 1.0


class Kind(Enum):
    """What is special about a process."""

    CLAIMED = "--admission claimed"
    TLS = "players connect with TLS"
    STALLED = "nobody reads its log"
    PLAIN = "nothing"


@dataclass(eq=False)
class GameServers:
    """
    A process with several game servers.

    Times are in seconds of C{perf_counter}.

    @ivar base: the first port.
    @ivar statusPort: the port of C{--status}.
    @ivar output: the pipe with its log, which nobody reads any more; None if its log is a file.
    @ivar reason: the reason of its end, as the report counts it.
    @ivar rejectsFrom: the time after which new players can be rejected because of its end.
    @ivar disconnectsFrom: the time after which players can be disconnected because of its end.
    @ivar replaced: the time when another process served its ports again.
    """

    base: int
    count: int
    instanceId: str
    process: Process
    log: Path
    kind: Kind
    statusPort: int = 0
    output: int | None = None
    reason: str = ""
    rejectsFrom: float = NEVER
    disconnectsFrom: float = NEVER
    replaced: float = NEVER

    def closeOutput(self) -> None:
        """Close the pipe with its log, because it has ended."""
        output, self.output = self.output, None
        if output is not None:
            os.close(output)

    @property
    def ports(self) -> range:
        """The ports of its game servers."""
        return range(self.base, self.base + self.count)

    def recordEnd(self, reason: str, grace: float = 0.0) -> None:
        """Record the reason of its end. Players stay connected for C{grace} seconds."""
        now = perf_counter()
        self.reason, self.rejectsFrom, self.disconnectsFrom = reason, now, now + grace

    def explains(self, port: int, began: float, *, connected: bool) -> bool:
        """Return whether its end explains that a player was disconnected or rejected just now."""
        since = self.disconnectsFrom if connected else self.rejectsFrom
        return port in self.ports and perf_counter() >= since and began <= self.replaced


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A claim of a game server.

    @ivar began: before the call, in seconds of C{perf_counter}.
    """

    gameServerId: str
    port: int
    began: float


class Fleet:
    """
    Start, kill and replace processes, and call the local FleetIQ.

    @ivar running: the running processes.
    @ivar ended: the processes that served the same ports before.
    @ivar failures: a sentence for each failed check of a process.
    @ivar calls: the number of calls of each operation, at the end.
    @ivar advanced: when the clock was last advanced, in seconds of C{perf_counter}.
    """

    def __init__(self, folder: Path, seed: int, instances: int) -> None:
        self.running: list[GameServers] = []
        self.ended: list[GameServers] = []
        self.failures: list[str] = []
        self.calls: dict[str, int] = {}
        self.advanced = 0.0
        self.stateDir = folder / "state"
        self._pem = folder / "server.pem"
        writeCertificate(self._pem)
        self._folder = folder
        self._seed = seed
        self._instances = instances
        self._unused: list[str] = []
        self._url = ""
        self._local: Process | None = None

    async def __aenter__(self) -> Fleet:
        log = self._folder / "local.log"
        options = ("--listen=tcp:0:interface=127.0.0.1", f"--instances={self._instances}")
        self._local = await self._spawn(log, "fleetiq-local", *options, f"--seed={self._seed}")
        self._url = await self._waitForLine(log, self._local, r"FleetIQ for this machine on (\S+),")
        state = await self.control("GET", "/_local/state")
        self._unused = [each["InstanceId"] for each in state["instances"]]
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        for process in [each.process for each in self.running] + [self._local]:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()

    async def start(self, base: int, count: int, kind: Kind) -> None:
        """Start a process on a new instance."""
        self.running.append(await self._serve(base, count, self._unused.pop(), kind))

    async def kill(self, servers: GameServers, damage: Callable[[GameServers], None]) -> None:
        """
        Kill a process, and start it again on the same instance.

        @param damage: called between both.
        """
        servers.recordEnd("their process was killed")
        servers.process.kill()
        await servers.process.wait()
        damage(servers)
        await self._replace(servers, servers.instanceId)

    async def interrupt(self, servers: GameServers, kind: str, seconds: float) -> bool:
        """
        Interrupt the instance of a process, and start another process on a new instance.

        @return: whether the process stopped before the end of the instance.
        """
        await self.notice(servers.instanceId, kind, seconds=seconds)
        servers.recordEnd("their instance was about to end", seconds - DISCONNECTED_BEFORE_END)
        inTime = await self._waited(servers.process, seconds)
        if not inTime:
            servers.process.kill()
            await servers.process.wait()
        elif servers.process.returncode != 0:
            self.failures.append(
                f"after an interruption, a process exited with {servers.process.returncode}"
            )
        await self._replace(servers, self._unused.pop())
        return inTime

    async def drain(self, servers: GameServers) -> None:
        """Set its instance to DRAINING, stop it, and start another process on a new instance."""
        await self.notice(servers.instanceId, "draining")
        await self.stop(servers)
        await self._replace(servers, self._unused.pop())

    async def stop(self, servers: GameServers) -> None:
        """Send SIGTERM to a process, and wait for its end."""
        servers.recordEnd("their process received SIGTERM", GRACE)
        servers.process.terminate()
        if not await self._waited(servers.process, STOP_DEADLINE):
            self.failures.append(f"after SIGTERM, a process ran for {STOP_DEADLINE:.0f} s")
            servers.process.kill()
            await servers.process.wait()
        elif servers.process.returncode != -signal.SIGTERM:
            self.failures.append(
                f"after SIGTERM, a process exited with {servers.process.returncode}"
            )

    def reasonFor(self, port: int, began: float, *, connected: bool) -> str | None:
        """
        Return the reason why a player was disconnected or rejected, or None if it is not known.

        @param began: the time of the player's connect().
        @param connected: whether the player was already admitted.
        """
        for servers in (*self.running, *self.ended):
            if servers.explains(port, began, connected=connected):
                return servers.reason
        return None

    async def claimIsGone(self, claim: Claim) -> str | None:
        """
        Return why FleetIQ or the game server may not know a claim any more, or None. A thread of
        the process writes its log: a line can be there later than the player knows.
        """
        until = perf_counter() + LOG_DELAY
        while (reason := self._claimIsGone(claim)) is None and perf_counter() < until:
            await asyncio.sleep(0.1)
        return reason

    def _claimIsGone(self, claim: Claim) -> str | None:
        if self.advanced > claim.began:
            return "the clock was advanced since the claim"
        (log,) = (each.log for each in self.running if claim.port in each.ports)
        lines = log.read_text(errors="replace")
        if f"Could not check the claim of {claim.gameServerId}: " in lines:
            return "the claim check failed"
        if f"Deregistered {claim.gameServerId}." in lines:
            return "the registration was removed since the claim"
        return None

    def kindOf(self, port: int) -> Kind:
        """Return the kind of the process that serves a port."""
        return next(each.kind for each in self.running if port in each.ports)

    async def notice(self, instanceId: str, kind: str, **when: float) -> None:
        """Send an interruption notice to an instance."""
        body = {"InstanceId": instanceId, "kind": kind, **when}
        await self.control("POST", "/_local/interrupt", body)

    async def advance(self, seconds: float) -> None:
        """Advance the clock. It may be advanced at any time of this call."""
        self.advanced = NEVER
        await self.control("POST", "/_local/clock", {"advance": seconds})
        self.advanced = perf_counter()

    async def gameServers(self) -> list[dict[str, str]]:
        """Return all registered game servers."""
        state = await self.control("GET", "/_local/state")
        self.calls = state["calls"]
        servers: list[dict[str, str]] = state["gameServers"]
        return servers

    async def claim(self) -> Claim | None:
        """Claim a game server. Return None if the call fails or no game server is AVAILABLE."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "GameLift.ClaimGameServer",
        }
        body = {"GameServerGroupName": "local"}
        began = perf_counter()
        try:
            status, reply = await self._request("POST", "/", body, headers)
        except (OSError, EOFError, ValueError):
            return None
        if status != 200:
            return None
        server = reply["GameServer"]
        port = int(server["ConnectionInfo"].rpartition(":")[2])
        return Claim(server["GameServerId"], port, began)

    def lines(self, words: list[str]) -> list[str]:
        """Return the log lines that contain one of the words, by time."""
        logs = (path.read_text(errors="replace") for path in self._folder.glob("*.log"))
        logged = (line for log in logs for line in log.splitlines())
        return sorted(line for line in logged if any(word in line for word in words))

    async def control(self, method: str, path: str, body: object = None) -> Any:
        """Call a control of the local FleetIQ."""
        status, reply = await self._request(method, path, body, {})
        if status != 200:
            raise AssertionError(f"{method} {path} {body} returned {status}: {reply}")
        return reply

    async def _replace(self, servers: GameServers, instanceId: str) -> None:
        servers.closeOutput()
        replacement = await self._serve(servers.base, servers.count, instanceId, servers.kind)
        self.ended.append(servers)
        servers.replaced = perf_counter()
        self.running[self.running.index(servers)] = replacement

    async def _serve(self, base: int, count: int, instanceId: str, kind: Kind) -> GameServers:
        log = self._folder / f"{base}-{instanceId}-{len(self.ended)}.log"
        listen = f"tcp:{base}:interface=127.0.0.1"
        if kind is Kind.TLS:
            listen = f"ssl:{base}:privateKey={self._pem}:interface=127.0.0.1"
        output, write = os.pipe() if kind is Kind.STALLED else (None, None)
        process = await self._spawn(
            log,
            "fleetiq-echo",
            f"--local={self._url}/instances/{instanceId}",
            f"--listen={listen}",
            f"--servers={count}",
            f"--heartbeat={HEARTBEAT}",
            f"--grace={GRACE}",
            f"--state-dir={self.stateDir}",
            f"--handshake-timeout={HANDSHAKE_TIMEOUT}",
            "--status=tcp:0:interface=127.0.0.1",
            *(("--admission=claimed",) if kind is Kind.CLAIMED else ()),
            write=write,
        )
        if write is not None:
            os.close(write)
        await self._waitForLine(log, process, r"(Ready)\. In another terminal", output)
        status = await self._waitForLine(log, process, r"Status on 127\.0\.0\.1:(\d+)\.")
        return GameServers(base, count, instanceId, process, log, kind, int(status), output)

    async def _spawn(self, log: Path, *words: str, write: int | None = None) -> Process:
        with log.open("wb") as file:
            output = file if write is None else write
            return await asyncio.create_subprocess_exec(
                TWISTD, "-n", *words, stdin=DEVNULL, stdout=output, stderr=output, cwd=self._folder
            )

    async def _waitForLine(
        self, log: Path, process: Process, pattern: str, output: int | None = None
    ) -> str:
        """
        Wait for a line of the log, and return its group.

        @param output: a pipe with the log. It is read into the file, and no further.
        """
        until = perf_counter() + READY_DEADLINE
        while perf_counter() < until and process.returncode is None:
            if output is not None:
                copy(output, log)
            if found := re.search(pattern, log.read_text(errors="replace")):
                return found[1]
            await asyncio.sleep(0.05)
        raise AssertionError(f"Without a line {pattern!r}: {log.read_text(errors='replace')}")

    async def _waited(self, process: Process, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
        return process.returncode is not None

    async def _request(
        self, method: str, path: str, body: object, headers: dict[str, str]
    ) -> tuple[int, Any]:
        host, _, port = self._url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            data = b"" if body is None else json.dumps(body).encode()
            fields = {"Host": host, "Content-Length": str(len(data)), "Connection": "close"}
            lines = [f"{name}: {value}" for name, value in (fields | headers).items()]
            head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
            writer.write(head.encode() + data)
            response = await reader.read()
        finally:
            writer.close()
        top, _, content = response.partition(b"\r\n\r\n")
        if not top:
            raise EOFError("The connection was closed without a response.")
        return int(top.split(b" ", 2)[1]), json.loads(content)


def copy(output: int, log: Path) -> None:
    """Append what is in a pipe to a file."""
    os.set_blocking(output, False)
    with contextlib.suppress(BlockingIOError), log.open("ab") as file:
        while data := os.read(output, 65536):
            file.write(data)


def freePorts(ranges: int, each: int, rng: Random) -> list[int]:
    """Return the first ports of free ranges, below the ports that the system assigns."""
    bases: list[int] = []
    while len(bases) < ranges:
        base = rng.randrange(15000, 32000 - each)
        taken = any(abs(base - other) < each for other in bases)
        if not taken and all(map(_isFree, range(base, base + each))):
            bases.append(base)
    return bases


def _isFree(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
