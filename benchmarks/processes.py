"""Start, measure and stop the processes of the benchmarks."""

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
    A server in a child process, pinned to its own core if there are two.

    @ivar port: the port for players, 0 until it is known.
    @ivar url: the URL of its local FleetIQ, empty if it has none.
    @ivar fleet: the process of its local FleetIQ, if it has to be stopped with this one.
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
            # With PYTHONDONTWRITEBYTECODE each start would compile the modules again.
            env={**_WRITING_BYTECODE, "PYTHONPATH": str(Path(__file__).parents[1]), **environ},
        )
        pin(self._process.pid, SERVER_CORE)
        self._lines: list[tuple[float, str]] = []
        self._next = 0
        self._changed = Condition()
        self._ended = False
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self) -> None:
        """Terminate the process. Kill it after 15 s."""
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

    def waitForLine(self, pattern: str, within: float = DEADLINE) -> tuple[float, re.Match[str]]:
        """
        Wait for the next log line that matches.

        @return: the C{perf_counter} time of the line, and the match.
        """
        found: list[tuple[float, re.Match[str]]] = []

        def search() -> bool:
            while self._next < len(self._lines) and not found:
                at, line = self._lines[self._next]
                self._next += 1
                if match := re.search(pattern, line):
                    found.append((at, match))
            return bool(found) or self._ended

        with self._changed:
            self._changed.wait_for(search, within)
        if not found:
            last = "".join(line for _, line in self._lines[-20:])
            raise SystemExit(f"No line {pattern!r} within {within:.0f} s. The last lines:\n{last}")
        return found[0]

    def skipLines(self) -> None:
        """Skip the log lines until now."""
        with self._changed:
            self._next = len(self._lines)

    def matches(self, pattern: str) -> list[tuple[float, re.Match[str]]]:
        """Return the time and the match of each log line that matches."""
        with self._changed:
            searched = [(at, re.search(pattern, line)) for at, line in self._lines]
        return [(at, found) for at, found in searched if found]

    def times(self, pattern: str) -> list[float]:
        """Return the time of each log line that matches."""
        with self._changed:
            return [at for at, line in self._lines if re.search(pattern, line)]

    def memory(self) -> float:
        """Return the resident memory in MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0

    def cpuSeconds(self) -> float:
        """Return the CPU time of all its threads so far, in seconds."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._changed:
                self._lines.append((perf_counter(), line))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def pin(pid: int, core: int) -> None:
    """Pin a process to one core, if the system can and there are two."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def commandPath(name: str) -> str:
    """Return the path of a command of this Python environment."""
    return str(Path(sys.executable).with_name(name))


def peer(name: str) -> Server:
    """Start a server of L{benchmarks.peers}."""
    return _startAndReadPort([sys.executable, "-m", "benchmarks.peers", name])


def epollEcho() -> Server:
    """Start the server in C."""
    return _startAndReadPort([str(built("epollecho"))])


def splice(port: int) -> Server:
    """Start the proxy in C, before a server on this port."""
    return _startAndReadPort([str(built("splice")), str(port)])


def _startAndReadPort(command: Sequence[str]) -> Server:
    server = Server(command)
    server.port = int(server.waitForLine(r"^(\d+)$")[1][1])
    return server


def gameServer(*command: str, reactor: str = "default") -> Server:
    """
    Start a game server, with an embedded local FleetIQ unless the options have C{--local}.

    @param command: the twistd plugin and its options.
    """
    plugin, *options = command
    where = () if any("--local" in option for option in options) else (f"--local={ANY_PORT}",)
    listen = () if any("--listen" in option for option in options) else (f"--listen={ANY_PORT}",)
    twistd = (commandPath("twistd"), f"--reactor={reactor}", "-n", plugin)
    server = Server([*twistd, *listen, *where, *options])
    server.url = server.waitForLine(r"LOCAL FleetIQ on (\S+),")[1][1]
    server.port = int(server.waitForLine(r"Listening for players on \S+:(\d+)")[1][1])
    return server


def fleetiqEcho(*options: str, reactor: str = "default") -> Server:
    """Start C{twistd fleetiq-echo}."""
    return gameServer("fleetiq-echo", *options, reactor=reactor)


def fleetiqLocal(*options: str) -> Server:
    """Start a local FleetIQ in its own process."""
    server = Server(
        [commandPath("twistd"), "-n", "fleetiq-local", f"--listen={ANY_PORT}", *options]
    )
    server.url = server.waitForLine(r"FleetIQ for this machine on (\S+),")[1][1]
    return server


def workshop() -> Server:
    """Start the server of the workshop's text, with a local FleetIQ instead of AWS."""
    fleet = fleetiqLocal()
    script = Path(__file__).parents[1] / "tests/endtoend/workshopserver.py"
    server = Server(
        (sys.executable, "-u", str(script), "local", "game-server-1", "us-east-1", "0", fleet.url),
        AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
    )
    server.fleet, server.url = fleet, fleet.url
    server.port = int(server.waitForLine(r"waiting for Client on port (\d+)")[1][1])
    return server


def built(name: str) -> Path:
    """Return the path of a compiled C program of this directory."""
    program = Path(__file__).parents[1] / "build/benchmarks" / name
    if not program.exists():
        raise SystemExit(f"{program} is not built. Type: make bench")
    return program


def call(url: str, order: object = None) -> Any:
    """Call a control of a local FleetIQ, and return its response."""
    body = None if order is None else json.dumps(order).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def connect(port: int) -> socket.socket:
    """Connect a player of this process, without the load generator."""
    player = socket.create_connection(("127.0.0.1", port))
    player.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return player
