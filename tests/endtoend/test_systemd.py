"""A notify socket and an inherited port, as systemd gives them to a service."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from unittest import skipUnless

from twisted.internet.protocol import DatagramProtocol

from tests.endtoend.processes import ANY_PORT, Child, EndToEndTestCase, Observed


class Manager(Observed, DatagramProtocol):
    """
    The notify socket of a service manager.

    @ivar received: the assignments of all datagrams.
    """

    def __init__(self, clock: object) -> None:
        super().__init__(clock)
        self.received: list[str] = []

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        self.received += datagram.decode().splitlines()
        self.changed()

    def describe(self) -> str:
        return "\n".join(self.received)

    async def seen(self, prefix: str, after: int = 0) -> int:
        """Wait for an assignment after a position. Return its position."""

        def find() -> int | None:
            for index, each in enumerate(self.received[after:], after):
                if each.startswith(prefix):
                    return index + 1
            return None

        return await self.until(prefix, find)


class NotifyTests(EndToEndTestCase):
    """Type=notify."""

    def setUp(self) -> None:
        super().setUp()
        # A path of a UNIX socket has at most 107 bytes.
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.path = f"{folder}/notify"
        self.manager = Manager(self.reactor)
        port = self.reactor.listenUNIXDatagram(self.path, self.manager)
        self.addCleanup(port.stopListening)

    async def test_life(self) -> None:
        """
        The messages: status, watchdog, ready after the registration, then players, stopping with
        more time while a session runs.
        """
        child, _, port = await self.embedded(
            "--grace=100", NOTIFY_SOCKET=self.path, WATCHDOG_USEC="400000"
        )
        await self.manager.seen("WATCHDOG=1")
        ready = await self.manager.seen("READY=1")
        await child.available()
        self.assertNotIn("STOPPING=1", self.manager.received)
        await self.manager.seen("STATUS=game servers: 1 AVAILABLE; players: 0")
        player = await self.player(port)
        player.send(b"hello")
        await player.receives(b"hello")
        await self.manager.seen("STATUS=game servers: 1 UTILIZED; players: 1", ready)
        child.transport.signalProcess("TERM")
        stopping = await self.manager.seen("STOPPING=1", ready)
        first = await self.manager.seen("EXTEND_TIMEOUT_USEC=30000000", stopping)
        await self.manager.seen("EXTEND_TIMEOUT_USEC=30000000", first)
        await self.manager.seen("WATCHDOG=1", first)
        player.send(b"\nq\n")
        await player.whenClosed()
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)
        self.assertEqual(self.manager.received.count("READY=1"), 1)

    async def test_local(self) -> None:
        """fleetiq-local is ready when it listens."""
        child = self.start(
            *("twistd", "-n", "fleetiq-local", f"--listen={ANY_PORT}"), NOTIFY_SOCKET=self.path
        )
        await self.manager.seen("READY=1")
        await self.manager.seen("STATUS=FleetIQ on http://127.0.0.1:")
        child.transport.signalProcess("TERM")
        await self.manager.seen("STOPPING=1")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)


class SocketActivationTests(EndToEndTestCase):
    """The game port is a socket of systemd."""

    def start_(self, reactor: str, description: str) -> tuple[Child, int]:
        """Start an echo server with a listening socket as descriptor 3. Return its port."""
        bin = Path(sys.executable).parent
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        child = Child(self.reactor)
        # LISTEN_PID is the process that the descriptors are for.
        script = (
            "export LISTEN_PID=$$; exec twistd --reactor=$0 -n fleetiq-echo"
            f" --listen={description} --local={ANY_PORT}"
        )
        self.reactor.spawnProcess(
            child,
            "/bin/sh",
            ("sh", "-c", script, reactor),
            env={
                "PATH": os.pathsep.join([str(bin), os.defpath]),
                "HOME": str(self.home),
                "LISTEN_FDS": "1",
                "LISTEN_FDNAMES": "players",
            },
            path=str(self.folder),
            childFDs={0: "w", 1: "r", 2: "r", 3: listening.fileno()},
        )
        self.addCleanup(child.kill)
        return child, int(listening.getsockname()[1])

    async def serves(self, reactor: str, description: str) -> None:
        child, port = self.start_(reactor, description)
        self.assertEqual(await self.gamePort(child), port)
        found = await child.nextLine(r" AVAILABLE as i-\w+-(\d+)-\w+\.$")
        self.assertEqual(int(found[1]), port)
        player = await self.player(port)
        player.send(b"hello")
        await player.receives(b"hello")
        player.send(b"\nq\n")
        self.assertEqual(await player.whenClosed(), b"hello\n")
        child.transport.signalProcess("TERM")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)

    async def test_name(self) -> None:
        """A socket is found by its name, and its port is registered."""
        await self.serves("default", "systemd:domain=INET:name=players")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_uvloop(self) -> None:
        """So it is on the uvloop reactor, by the number of the socket."""
        await self.serves("uvloop", "systemd:domain=INET:index=0")
