"""Runs the load generator, C{loadgenerator.c}, and reads what it measured."""

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
    """How long something took, in microseconds, over C{count} times."""

    count: int
    p50: float
    p95: float
    p99: float
    p999: float
    longest: float


@dataclass(frozen=True, slots=True)
class Load:
    """
    What one run of the generator measured.

    @ivar arrivals: from connect() to the first echo.
    @ivar echoes: from a message to the end of its echo, in the closed loop.
    @ivar arrivedAfter: seconds from the first connect() to the last first echo.
    @ivar rate: echoes a second in the closed loop.
    @ivar core: microseconds that the server's threads ran on a core, an echo of the closed loop.
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
    lines: bool = True,
) -> Iterator[Load]:
    """
    Let players come and play; they stay connected until the context ends.

    @param seconds: of the closed loop; 0 for none.
    @param arriving: how many at most are between connect() and their first echo.
    @param lines: whether each message is a line.
    """
    command = [
        str(built("loadgenerator")),
        *map(str, (server.port, connections, size, seconds, arriving)),
    ]
    with subprocess.Popen(
        command if lines else [*command, "plain"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as generator:
        pin(generator.pid, LOAD_CORE)
        assert generator.stdout is not None
        generator.stdout.readline()
        before = server.busy()
        told = json.loads(generator.stdout.readline())
        yield _read(told, server.busy() - before)


def _read(told: dict[str, Any], busy: float) -> Load:
    echoes = Times(**told["echoes"])
    return Load(
        arrivals=Times(**told["arrivals"]),
        echoes=echoes,
        present=told["present"],
        failed=told["failed"],
        arrivedAfter=told["arrivedAfter"],
        rate=echoes.count / told["seconds"] if told["seconds"] else 0.0,
        core=busy / max(1, told["exchanged"]) * 1e6,
    )
