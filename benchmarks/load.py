"""Run the load generator, C{loadgenerator.c}, and read its result."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.processes import LOAD_CORE, Server, built, pin


@dataclass(frozen=True, slots=True)
class Times:
    """Percentiles of C{count} durations, in microseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    p999: float
    longest: float


@dataclass(frozen=True, slots=True)
class Load:
    """
    The result of one run of the load generator.

    @ivar arrivals: from connect() to the first echo.
    @ivar echoes: from sending a message to the end of its echo, in the closed loop.
    @ivar present: the number of players that had an echo.
    @ivar failed: the number of players that were rejected or disconnected.
    @ivar arrivedAfter: seconds from the first connect() to the last first echo.
    @ivar rate: echoes a second in the closed loop.
    @ivar core: CPU microseconds of the server's threads for each echo of the closed loop.
    """

    arrivals: Times
    echoes: Times
    present: int
    failed: int
    arrivedAfter: float
    rate: float
    core: float


@contextmanager
def players(
    server: Server,
    connections: int,
    size: int = 64,
    seconds: float = 0.0,
    *,
    arriving: int = 32,
    payload: str = "line",
) -> Iterator[Load]:
    """
    Connect players and measure their echoes. They stay connected until the context ends.

    @param seconds: the duration of the closed loop, or 0 for none.
    @param arriving: how many players at most are between connect() and their first echo.
    @param payload: the kind of messages: C{line}, C{binary} or C{plain}, as in C{loadgenerator.c}.
    """
    command = [
        str(built("loadgenerator")),
        *map(str, (server.port, connections, size, seconds, arriving, payload)),
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as generator:
        pin(generator.pid, LOAD_CORE)
        assert generator.stdout is not None
        generator.stdout.readline()
        before = server.cpuSeconds()
        result = json.loads(generator.stdout.readline())
        yield _read(result, server.cpuSeconds() - before)


def _read(result: dict[str, Any], busy: float) -> Load:
    echoes = Times(**result["echoes"])
    return Load(
        arrivals=Times(**result["arrivals"]),
        echoes=echoes,
        present=result["present"],
        failed=result["failed"],
        arrivedAfter=result["arrivedAfter"],
        rate=echoes.count / result["seconds"] if result["seconds"] else 0.0,
        core=busy / max(1, result["exchanged"]) * 1e6,
    )
