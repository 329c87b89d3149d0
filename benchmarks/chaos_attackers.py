"""
The attackers of the chaos benchmark. They have no credentials and no claims:

  - Strangers connect to game servers with C{--admission claimed}, and send data.
  - Silent clients connect to game servers with TLS, and never begin the handshake.
  - Idle clients hold connections to the status ports.

L{damage} is what a failing disk, or another user of a shared state directory, does to a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from asyncio import StreamReader, StreamWriter, Task, create_task, sleep, wait_for
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from time import perf_counter

from benchmarks.chaos_fleet import HANDSHAKE_TIMEOUT, Fleet, Kind

STRANGERS = 10
SILENT = 30
IDLE = 40
# An admitted stranger stays longer than the player of the claim needs to connect. Otherwise the
# session that the claim allowed could end before this player arrives.
STAY = 3.0
# The process of the silent clients, or this one, may be busy or being replaced.
LATE = 20.0
PLANTED = b"not a state file\n"

Attack = Callable[[int], Awaitable[None]]


class Attackers:
    """
    Attack until they are stopped.

    @ivar counted: the number of each outcome.
    @ivar failures: a sentence for each attack that succeeded.
    """

    def __init__(self, fleet: Fleet, rng: Random) -> None:
        self.counted: Counter[str] = Counter()
        self.failures: list[str] = []
        self._fleet = fleet
        self._rng = rng
        self._tasks: list[Task[None]] = []

    def start(self) -> None:
        """Start all attacks."""
        idle = IDLE * len(self._fleet.running)
        attacks: list[Attack] = [self._stranger] * STRANGERS
        attacks += [self._silent] * SILENT + [self._idle] * idle
        self._tasks = [create_task(self._repeat(i, attack)) for i, attack in enumerate(attacks)]

    async def stop(self) -> None:
        """Stop, and raise what a task has raised."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _repeat(self, number: int, attack: Attack) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                await attack(number)
            await sleep(self._rng.uniform(0.2, 1.0))

    def _port(self, kind: Kind) -> int | None:
        found = [each for each in self._fleet.running if each.kind is kind]
        return self._rng.choice(self._rng.choice(found).ports) if found else None

    async def _stranger(self, _: int) -> None:
        port = self._port(Kind.CLAIMED)
        if port is None:
            return
        async with connection(port) as (reader, writer):
            writer.write(b"hello\n")
            reply = await reader.readline()
            self.counted[f"strangers that received {reply!r}"] += 1
            if reply == b"hello\n":
                await sleep(STAY)

    async def _silent(self, _: int) -> None:
        port = self._port(Kind.TLS)
        if port is None:
            return
        async with connection(port) as (reader, _writer):
            began = perf_counter()
            received = b""
            try:
                with contextlib.suppress(ConnectionResetError):
                    received = await wait_for(reader.read(), HANDSHAKE_TIMEOUT + LATE)
            except TimeoutError:
                seconds = perf_counter() - began
                self.failures.append(f"a silent TLS client was connected for {seconds:.0f} s")
                return
            if received:
                self.failures.append(f"a silent TLS client received {received[:100]!r}")
            self.counted["silent TLS clients that were disconnected"] += 1

    async def _idle(self, number: int) -> None:
        running = self._fleet.running
        async with connection(running[number % len(running)].statusPort) as (reader, _writer):
            self.counted["idle connections to status ports"] += 1
            await reader.read()


@contextlib.asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    """Connect, and abort the connection at the end."""
    made = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield made
    finally:
        made[1].transport.abort()


def damage(path: Path, planted: Path, rng: Random) -> str:
    """
    Damage a state file in a random way.

    @param planted: a file that must keep its content L{PLANTED}.
    @return: how the file was damaged.
    """
    content = path.read_bytes()
    stored = json.loads(content)
    kind = rng.choice(
        ("half", "random bytes", "long id", "control characters", "nested", "FIFO", "symlink")
    )
    path.unlink()
    match kind:
        case "half":
            path.write_bytes(content[: len(content) // 2])
        case "random bytes":
            path.write_bytes(rng.randbytes(200))
        case "long id":
            path.write_text(json.dumps({**stored, "gameServerId": "x" * 100_000}))
        case "control characters":
            path.write_text(json.dumps({**stored, "gameServerId": "i-1\x1b[31m/\ud800"}))
        case "nested":
            path.write_text("[" * 200_000)
        case "FIFO":
            os.mkfifo(path)
        case "symlink":
            planted.write_bytes(PLANTED)
            path.symlink_to(planted)
            # Versions that wrote to this name followed the link.
            with contextlib.suppress(FileExistsError):
                path.with_suffix(".new").symlink_to(planted)
    return kind
