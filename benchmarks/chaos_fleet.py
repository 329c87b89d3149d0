"""The fleet of the chaos benchmark: a local FleetIQ and game server processes, as their host."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter
from types import TracebackType
from typing import Any

TWISTD = str(Path(sys.executable).with_name("twistd"))
# Forty servers that start while a fifth of the calls fail pause up to 30 s, some more than once.
READY_WITHIN = 180.0
# A process told to stop has its grace of 20 s, and its last calls after that.
STOPPED_WITHIN = 40.0
HEARTBEAT = 5
GRACE = 20.0
# Players are let go five seconds before an instance's end, or later where the machine is busy.
LET_GO = 6.0
NEVER = float("inf")


@dataclass(eq=False)
class GameServers:
    """
    One process of game servers.

    @ivar base: the first of its ports.
    @ivar why: its end, as it is counted.
    @ivar refusesFrom: from when on, in seconds, who comes may find nobody there because of that.
    @ivar cutsFrom: from when on players may be cut because of that.
    @ivar replaced: when another served its ports again.
    """

    base: int
    count: int
    instanceId: str
    process: Process
    log: Path
    why: str = ""
    refusesFrom: float = NEVER
    cutsFrom: float = NEVER
    replaced: float = NEVER

    @property
    def ports(self) -> range:
        """Of its game servers."""
        return range(self.base, self.base + self.count)

    def ends(self, why: str, playFor: float = 0.0) -> None:
        """It ends because of this, after those who play could for so many seconds."""
        now = perf_counter()
        self.why, self.refusesFrom, self.cutsFrom = why, now, now + playFor

    def explains(self, port: int, began: float, *, cut: bool) -> bool:
        """Whether this end is why a player who came then was cut, or else refused, just now."""
        since = self.cutsFrom if cut else self.refusesFrom
        return port in self.ports and perf_counter() >= since and began <= self.replaced


class Fleet:
    """
    Starts, kills and replaces processes; speaks to the local FleetIQ as anybody does.

    @ivar living: the processes that are to serve.
    @ivar ended: what served before on the same ports.
    @ivar failures: what should not have happened to a process.
    @ivar calls: how many calls of each operation FleetIQ had, at the end.
    """

    def __init__(self, folder: Path, seed: int, instances: int) -> None:
        self.living: list[GameServers] = []
        self.ended: list[GameServers] = []
        self.failures: list[str] = []
        self.calls: dict[str, int] = {}
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
        self._url = await self._said(log, self._local, r"FleetIQ for this machine on (\S+),")
        state = await self.order("GET", "/_local/state")
        self._unused = [each["InstanceId"] for each in state["instances"]]
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        for process in [each.process for each in self.living] + [self._local]:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()

    async def start(self, base: int, count: int) -> None:
        """Start a process on an instance of its own."""
        self.living.append(await self._serve(base, count, self._unused.pop()))

    async def kill(self, servers: GameServers) -> None:
        """Kill it as a crash does, and start it again where it was."""
        servers.ends("their process was killed")
        servers.process.kill()
        await servers.process.wait()
        await self._replace(servers, servers.instanceId)

    async def interrupt(self, servers: GameServers, kind: str, seconds: float) -> bool:
        """
        Announce its instance's end, let it come, and start another elsewhere.

        @return: whether the process had ended by itself by then.
        """
        await self.notice(servers.instanceId, kind, seconds=seconds)
        servers.ends("their instance's end was near", seconds - LET_GO)
        byItself = await self._waited(servers.process, seconds)
        if not byItself:
            servers.process.kill()
            await servers.process.wait()
        elif servers.process.returncode != 0:
            self.failures.append(f"interrupted, a process ended with {servers.process.returncode}")
        await self._replace(servers, self._unused.pop())
        return byItself

    async def drain(self, servers: GameServers) -> None:
        """Have FleetIQ drain its instance, stop it, and start another elsewhere."""
        await self.notice(servers.instanceId, "draining")
        await self.stop(servers)
        await self._replace(servers, self._unused.pop())

    async def stop(self, servers: GameServers) -> None:
        """Tell it to stop, and wait until it has."""
        servers.ends("their process was told to stop", GRACE)
        servers.process.terminate()
        if not await self._waited(servers.process, STOPPED_WITHIN):
            self.failures.append(f"told to stop, a process ran on for {STOPPED_WITHIN:.0f} s")
            servers.process.kill()
            await servers.process.wait()
        elif servers.process.returncode != -signal.SIGTERM:
            self.failures.append(f"told to stop, a process ended with {servers.process.returncode}")

    def whyBroken(self, port: int, began: float, *, cut: bool) -> str | None:
        """Why a player who came at C{began} was cut, or else refused; None: for no good reason."""
        for servers in (*self.living, *self.ended):
            if servers.explains(port, began, cut=cut):
                return servers.why
        return None

    async def notice(self, instanceId: str, kind: str, **when: float) -> None:
        """Interrupt this instance."""
        body = {"InstanceId": instanceId, "kind": kind, **when}
        await self.order("POST", "/_local/interrupt", body)

    async def advance(self, seconds: float) -> None:
        """Have the clock jump."""
        await self.order("POST", "/_local/clock", {"advance": seconds})

    async def gameServers(self) -> list[dict[str, str]]:
        """All that are registered."""
        state = await self.order("GET", "/_local/state")
        self.calls = state["calls"]
        servers: list[dict[str, str]] = state["gameServers"]
        return servers

    async def claim(self) -> dict[str, Any] | None:
        """Claim a game server; None if the call fails or none is free."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "GameLift.ClaimGameServer",
        }
        body = {"GameServerGroupName": "local"}
        try:
            status, reply = await self._ask("POST", "/", body, headers)
        except (OSError, EOFError, ValueError):
            return None
        return reply["GameServer"] if status == 200 else None

    def lines(self, words: list[str]) -> list[str]:
        """What all logs say of these, by time."""
        logs = (path.read_text(errors="replace") for path in self._folder.glob("*.log"))
        said = (line for log in logs for line in log.splitlines())
        return sorted(line for line in said if any(word in line for word in words))

    async def order(self, method: str, path: str, body: object = None) -> Any:
        """Use a control."""
        status, reply = await self._ask(method, path, body, {})
        if status != 200:
            raise AssertionError(f"{method} {path} {body} answers {status}: {reply}")
        return reply

    async def _replace(self, servers: GameServers, instanceId: str) -> None:
        again = await self._serve(servers.base, servers.count, instanceId)
        self.ended.append(servers)
        servers.replaced = perf_counter()
        self.living[self.living.index(servers)] = again

    async def _serve(self, base: int, count: int, instanceId: str) -> GameServers:
        log = self._folder / f"{base}-{instanceId}-{len(self.ended)}.log"
        process = await self._spawn(
            log,
            "fleetiq-echo",
            f"--local={self._url}/instances/{instanceId}",
            f"--listen=tcp:{base}:interface=127.0.0.1",
            f"--servers={count}",
            f"--heartbeat={HEARTBEAT}",
            f"--grace={GRACE}",
            f"--state-dir={self._folder}",
        )
        await self._said(log, process, r"(Ready)\. In another terminal")
        return GameServers(base, count, instanceId, process, log)

    async def _spawn(self, log: Path, *words: str) -> Process:
        with log.open("wb") as output:
            return await asyncio.create_subprocess_exec(
                TWISTD, "-n", *words, stdin=DEVNULL, stdout=output, stderr=output, cwd=self._folder
            )

    async def _said(self, log: Path, process: Process, pattern: str) -> str:
        until = perf_counter() + READY_WITHIN
        while perf_counter() < until and process.returncode is None:
            if found := re.search(pattern, log.read_text(errors="replace")):
                return found[1]
            await asyncio.sleep(0.05)
        raise AssertionError(f"Without a line {pattern!r}: {log.read_text(errors='replace')}")

    async def _waited(self, process: Process, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
        return process.returncode is not None

    async def _ask(
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
            answer = await reader.read()
        finally:
            writer.close()
        top, _, content = answer.partition(b"\r\n\r\n")
        if not top:
            raise EOFError("The connection was closed without an answer.")
        return int(top.split(b" ", 2)[1]), json.loads(content)


def freePorts(ranges: int, each: int, rng: Random) -> list[int]:
    """Where so many ranges of free ports begin, below those that the system hands out."""
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
