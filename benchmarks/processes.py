"""The processes that are measured: how they are started, what they cost, and how they end."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from threading import Condition, Thread
from time import perf_counter
from typing import Any, Self

ANY_PORT = "tcp:0:interface=127.0.0.1"
DEADLINE = 60.0
LOAD_CORE, SERVER_CORE = 0, 1

_WRITING_BYTECODE = {name: os.environ[name] for name in os.environ if "BYTECODE" not in name}


class Server:
    """
    A child process that serves, on a core of its own where there are two.

    @ivar port: where players connect, once it is known.
    @ivar url: of its local FleetIQ, if it has one.
    @ivar fleet: that one, if it is a process to be ended with this one.
    """

    port = 0
    url = ""
    fleet: Server | None = None

    def __init__(self, command: Sequence[str], **environ: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.began = perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._folder.name,
            # With PYTHONDONTWRITEBYTECODE every start would compile anew.
            env={**_WRITING_BYTECODE, "PYTHONPATH": str(Path(__file__).parents[1]), **environ},
        )
        pin(self._process.pid, SERVER_CORE)
        self._lines: list[tuple[float, str]] = []
        self._heard = 0
        self._news = Condition()
        self._ended = False
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def stop(self) -> None:
        """End it, by force after some seconds."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        self._folder.cleanup()
        if self.fleet is not None:
            self.fleet.stop()

    def says(self, pattern: str, within: float = DEADLINE) -> tuple[float, re.Match[str]]:
        """When (C{perf_counter}) it said the next line with this in it, and the match."""
        found: list[tuple[float, re.Match[str]]] = []

        def look() -> bool:
            while self._heard < len(self._lines) and not found:
                at, line = self._lines[self._heard]
                self._heard += 1
                if match := re.search(pattern, line):
                    found.append((at, match))
            return bool(found) or self._ended

        with self._news:
            self._news.wait_for(look, within)
        if not found:
            told = "".join(line for _, line in self._lines[-20:])
            raise SystemExit(f"No line {pattern!r} came within {within:.0f} s; the last:\n{told}")
        return found[0]

    def forget(self) -> None:
        """Pass over what it has said until now."""
        with self._news:
            self._heard = len(self._lines)

    def told(self, pattern: str) -> list[tuple[float, re.Match[str]]]:
        """When it said each of the lines with this in it, and the matches."""
        with self._news:
            looked = [(at, re.search(pattern, line)) for at, line in self._lines]
        return [(at, found) for at, found in looked if found]

    def times(self, pattern: str) -> list[float]:
        """When it said each of the lines with this in it."""
        with self._news:
            return [at for at, line in self._lines if re.search(pattern, line)]

    def memory(self) -> float:
        """Resident memory, MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0

    def busy(self) -> float:
        """Seconds that all its threads have run on a core so far."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._news:
                self._lines.append((perf_counter(), line))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where the system can and there are two."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def beside(name: str) -> str:
    """A command of our own environment."""
    return str(Path(sys.executable).with_name(name))


def peer(name: str) -> Server:
    """One of L{benchmarks.peers}."""
    return _printsPort([sys.executable, "-m", "benchmarks.peers", name])


def epollEcho() -> Server:
    """The C loop."""
    return _printsPort([str(built("epollecho"))])


def _printsPort(command: Sequence[str]) -> Server:
    server = Server(command)
    server.port = int(server.says(r"^(\d+)$")[1][1])
    return server


def fleetiqEcho(*options: str, reactor: str = "default") -> Server:
    """Our game server, with a FleetIQ of its own unless C{--local} is among the options."""
    where = () if any("--local" in option for option in options) else (f"--local={ANY_PORT}",)
    listen = () if any("--listen" in option for option in options) else (f"--listen={ANY_PORT}",)
    twistd = (beside("twistd"), f"--reactor={reactor}", "-n", "fleetiq-echo")
    server = Server([*twistd, *listen, *where, *options])
    server.url = server.says(r"LOCAL FleetIQ on (\S+),")[1][1]
    server.port = int(server.says(r"Listening for players on \S+:(\d+)")[1][1])
    return server


def fleetiqLocal(*options: str) -> Server:
    """A local FleetIQ in a process of its own."""
    server = Server([beside("twistd"), "-n", "fleetiq-local", f"--listen={ANY_PORT}", *options])
    server.url = server.says(r"FleetIQ for this machine on (\S+),")[1][1]
    return server


def workshop() -> Server:
    """The workshop's server as its text has it, with a local FleetIQ in the place of AWS."""
    fleet = fleetiqLocal()
    script = Path(__file__).parents[1] / "tests/endtoend/workshopserver.py"
    server = Server(
        (sys.executable, "-u", str(script), "local", "game-server-1", "us-east-1", "0", fleet.url),
        AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
    )
    server.fleet, server.url = fleet, fleet.url
    server.port = int(server.says(r"waiting for Client on port (\d+)")[1][1])
    return server


def built(name: str) -> Path:
    """A C program of this folder, built."""
    program = Path(__file__).parents[1] / "build/benchmarks" / name
    if not program.exists():
        raise SystemExit(f"{program} is not built: type make bench.")
    return program


def ask(url: str, order: object = None) -> Any:
    """What a local FleetIQ's control answers."""
    body = None if order is None else json.dumps(order).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def connect(port: int) -> socket.socket:
    """A player of our own, for what is not measured by the load generator."""
    player = socket.create_connection(("127.0.0.1", port))
    player.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return player
