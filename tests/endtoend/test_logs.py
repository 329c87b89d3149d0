"""A reader of the log that does not read, and log files that do not take lines."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import skipUnless

from tests.endtoend.processes import ANY_PORT, DEADLINE, Child, EndToEndTestCase, LocalFleetIQ

# Linux's number for fcntl: the smallest pipe fills after some 30 log lines.
F_SETPIPE_SZ = 1031
PLAYERS = 60


class StalledReaderTests(EndToEndTestCase):
    """Standard output is a full pipe, and nobody reads it."""

    def startWithPipe(self, *command: str) -> tuple[Child, int]:
        """Start a command whose output goes into a pipe. Return the end to read."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        if sys.platform == "linux":
            fcntl.fcntl(write, F_SETPIPE_SZ, 4096)
        child = Child(self.reactor)
        bin = Path(sys.executable).parent
        self.reactor.spawnProcess(
            child,
            str(bin / command[0]),
            command,
            env={"PATH": str(bin), "HOME": str(self.home)},
            path=str(self.folder),
            childFDs={0: "w", 1: write, 2: write},
        )
        os.close(write)
        self.addCleanup(child.kill)
        return child, read

    def read(self, descriptor: int, pattern: str) -> str:
        """Read until the pattern has come, and not further. Return its group."""
        seen = b""
        while not (found := re.search(pattern, seen.decode())):
            ready, _, _ = select.select([descriptor], [], [], DEADLINE)
            assert ready, seen
            data = os.read(descriptor, 1)
            assert data, seen
            seen += data
        return found[1]

    async def playersEcho(self, child: Child, port: int) -> None:
        """Many players are served, and the process stops by SIGTERM."""
        for number in range(PLAYERS):
            player = await self.player(port)
            player.send(b"%d" % number)
            await player.receives(b"%d" % number)
            player.abort()
        child.transport.signalProcess("TERM")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)

    async def servesPlayers(self, *runner: str) -> None:
        child, read = self.startWithPipe(
            *runner, "fleetiq-echo", f"--listen={ANY_PORT}", f"--local={ANY_PORT}"
        )
        pattern = r"Listening for players on 127\.0\.0\.1:(\d+)\."
        if runner[0] == "twist":
            pattern = r'"address": "127\.0\.0\.1:(\d+)"'
        await self.playersEcho(child, int(self.read(read, pattern)))

    async def test_default(self) -> None:
        """Under twistd, players are served and SIGTERM works."""
        await self.servesPlayers("twistd", "-n")

    async def test_select(self) -> None:
        """The same on the select reactor."""
        await self.servesPlayers("twistd", "--reactor=select", "-n")

    async def test_poll(self) -> None:
        """The same on the poll reactor."""
        await self.servesPlayers("twistd", "--reactor=poll", "-n")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_uvloop(self) -> None:
        """The same on the uvloop reactor."""
        await self.servesPlayers("twistd", "--reactor=uvloop", "-n")

    async def test_twist(self) -> None:
        """The same under twist."""
        await self.servesPlayers("twist")

    async def test_fleetiqLocal(self) -> None:
        """A local FleetIQ goes on, and SIGTERM ends it."""
        child, read = self.startWithPipe("twistd", "-n", "fleetiq-local", f"--listen={ANY_PORT}")
        fleet = LocalFleetIQ(self.reactor, self.read(read, r"this machine on (\S+),"))
        for _ in range(PLAYERS):
            await fleet.control("reset")
        child.transport.signalProcess("TERM")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)


class LogFileTests(EndToEndTestCase):
    """--logfile of twistd, without -n too."""

    def start_(self, *options: str) -> Child:
        return self.start("twistd", *options, "fleetiq-local", f"--listen={ANY_PORT}")

    def freePort(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            return int(listening.getsockname()[1])

    async def test_full(self) -> None:
        """On a full disk the process serves, and SIGTERM ends it."""
        port = self.freePort()
        child = self.start(
            *("twistd", "-n", "--logfile=/dev/full"),
            *("fleetiq-local", f"--listen=tcp:{port}:interface=127.0.0.1"),
        )
        await self.untilServed(port)
        child.transport.signalProcess("TERM")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)

    async def test_fifo(self) -> None:
        """A FIFO without a reader blocks nothing. A later reader receives all lines."""
        port = self.freePort()
        fifo = self.folder / "log"
        os.mkfifo(fifo)
        child = self.start(
            *("twistd", "-n", f"--logfile={fifo}"),
            *("fleetiq-local", f"--listen=tcp:{port}:interface=127.0.0.1"),
        )
        await self.untilServed(port)
        read = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, read)
        os.set_blocking(read, True)
        child.transport.signalProcess("TERM")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)
        logged = os.read(read, 65536).decode()
        self.assertIn("starting up.", logged)
        self.assertIn("Server Shut Down.", logged)

    async def untilServed(self, port: int) -> Any:
        fleet = LocalFleetIQ(self.reactor, f"http://127.0.0.1:{port}")
        while True:
            try:
                return await fleet.state()
            except Exception:  # noqa: BLE001 # until it listens, each try fails in its own way
                await self.pause()

    async def pause(self) -> None:
        from twisted.internet.task import deferLater

        await deferLater(self.reactor, 0.05)

    async def test_lastLines(self) -> None:
        """The last line of the process is in the log."""
        child = self.start_("-n")
        await child.nextLine(r" For an SDK: export AWS_EC2_METADATA")
        child.transport.signalProcess("TERM")
        await child.nextLine(r"Server Shut Down\.$")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)

    async def test_reopen(self) -> None:
        """SIGUSR1 and SIGUSR2 open a renamed log again."""
        path = self.folder / "log"
        child = self.start_("-n", f"--logfile={path}")
        for name in ("USR1", "USR2"):
            await self.untilText(path, "AWS_EC2_METADATA" if name == "USR1" else "SIGUSR1")
            path.rename(f"{path}.{name}")
            child.transport.signalProcess(getattr(signal, f"SIG{name}"))
        await self.untilText(path, "Received SIGUSR2: the log was opened again.")
        child.transport.signalProcess("TERM")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)
        self.assertTrue(path.read_text().endswith("Server Shut Down.\n"))

    async def untilText(self, path: Path, text: str) -> None:
        while not path.exists() or text not in path.read_text():
            await self.pause()


class JSONTests(EndToEndTestCase):
    """--log-format json."""

    async def events(self, *command: str) -> list[dict[str, Any]]:
        """Return the lines until the process is ready, as objects."""
        child = self.start(*command, "--log-format=json")
        await child.nextLine(r'"event": "(process|local)\.ready"')
        child.transport.signalProcess("TERM")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)
        return [json.loads(line) for line in child.lines]

    def assertEchoEvents(self, lines: list[dict[str, Any]]) -> None:
        byName = {line["event"]: line for line in lines}
        id = byName["registration.available"]["gameServerId"]
        self.assertEqual(byName["call.succeeded"]["gameServerId"], id)
        self.assertRegex(byName["call.succeeded"]["requestId"], r"^[-0-9a-f]{36}$")

    async def test_echo(self) -> None:
        """Each line of twistd and of twist is a JSON object, with the ids that it is about."""
        echo = ("fleetiq-echo", f"--listen={ANY_PORT}", f"--local={ANY_PORT}")
        self.assertEchoEvents(await self.events("twistd", "-n", *echo))
        self.assertEchoEvents(await self.events("twist", *echo))

    async def test_others(self) -> None:
        """fleetiq-game, fleetiq-wrap and fleetiq-local have the option too."""
        lines = await self.events("twistd", "-n", "fleetiq-local", f"--listen={ANY_PORT}")
        self.assertIn("local.ready", [line["event"] for line in lines])
        (self.folder / "quiet.py").write_text(
            "from twisted.internet.protocol import Factory\nmakeFactory = lambda _: Factory()\n"
        )
        for command, rest in (
            (("fleetiq-game", "--factory=quiet.makeFactory", f"--listen={ANY_PORT}"), ()),
            (("fleetiq-wrap", "--players=none", "--child-port=9"), ("--", "cat")),
        ):
            options = ("--log-format=json", f"--local={ANY_PORT}")
            child = self.start("twistd", "-n", *command, *options, *rest)
            await child.nextLine(r'"event": "process\.localFleetiq"')
