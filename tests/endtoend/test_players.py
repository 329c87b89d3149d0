"""Players on real sockets: their bytes, the quit command, and lost connections."""

import socket
from importlib.util import find_spec
from pathlib import Path
from random import Random
from unittest import skipUnless

from tests.endtoend.processes import ANY_PORT, EndToEndTestCase

# Linux's Documentation/networking/proc_net_tcp.rst: a timer of kind 2 is that of keep-alive.
CONNECTIONS = Path("/proc/net/tcp")


class BytesTests(EndToEndTestCase):
    """The echo over TCP."""

    async def test_anyBytes(self) -> None:
        """All bytes are echoed, and all data before a FIN, of any size."""
        _, _, port = await self.embedded()
        player = await self.player(port)
        everything = bytes(range(256)) + bytes(reversed(range(256)))
        player.send(everything)
        await player.receives(everything)
        player.transport.loseWriteConnection()
        await player.whenClosed()
        player = await self.player(port)
        # It reads slowly, with a small window: the server is paused, and has data to write at FIN.
        player.transport.bufferSize = 4096
        player.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        # Without line ends: so many random bytes would contain a quit command.
        much = Random(8).randbytes(8 * 2**20).replace(b"\n", b"\0")
        player.send(much)
        player.transport.loseWriteConnection()
        received = await player.whenClosed()
        self.assertEqual(len(received), len(much))
        self.assertTrue(received == much)

    async def test_quitCommand(self) -> None:
        """A line with only q is the quit command, however TCP splits it; then nothing is echoed."""
        child, _, port = await self.embedded()
        player = await self.player(port)
        player.send(b"hello\nq")
        await player.receives(b"hello\nq")
        player.send(b"\r")
        await player.receives(b"\r")
        player.send(b"\nnever")
        self.assertEqual(await player.whenClosed(), b"hello\nq\r")
        await child.nextLine(r" left: quit command; \d+ bytes; players: 0\.$")
        player = await self.player(port)
        player.send(b"q: no command\nQ\nnever\n")
        self.assertEqual(await player.whenClosed(), b"q: no command\n")
        await child.nextLine(r" left: quit command; \d+ bytes; players: 0\.$")

    async def test_resetEndsTheSession(self) -> None:
        """An RST from the only player ends the session."""
        child, _, port = await self.embedded()
        gameServerId = await child.available()
        player = await self.player(port)
        player.send(b"hello")
        await player.receives(b"hello")
        await child.nextLine(r" UTILIZED: session 1\.$")
        player.transport.abortConnection()
        await child.nextLine(r" left: vanished \(.*\); 5 bytes; players: 0\.$")
        await child.nextLine(rf" Deregistered {gameServerId}\.$")
        self.assertNotEqual(await child.available(), gameServerId)

    @skipUnless(CONNECTIONS.exists(), "only Linux shows its timers")
    async def test_keepAlive(self) -> None:
        """Each connection has keep-alive from the start, on each reactor."""
        for reactor in ("default", "uvloop") if find_spec("uvloop") else ("default",):
            _, _, port = await self.embedded(reactor=reactor)
            player = await self.player(port)
            client, server = f":{player.transport.getHost().port:04X}", f":{port:04X}"
            rows = [line.split() for line in CONNECTIONS.read_text().splitlines()]
            (row,) = (row for row in rows if row[1].endswith(server) and row[2].endswith(client))
            timer, _ = row[5].split(":")
            self.assertEqual("02", timer)

    async def test_outOfDescriptors(self) -> None:
        """Without a free descriptor, a connection waits in the accept queue and is not closed."""
        options = f"--listen={ANY_PORT} --local={ANY_PORT}"
        child = self.start("sh", "-c", f"ulimit -n 128; exec twistd -n fleetiq-echo {options}")
        port = await self.gamePort(child)
        await child.available()
        players = [await self.player(port) for _ in range(100)]
        inUse = r" Accepting no more connections: \d+ of 128 descriptors are in use\.$"
        await child.nextLine(inUse)
        for player in players:
            player.send(b"hello")
        # In the order of their connections. The last ones are accepted after others have left.
        for player in players:
            await player.receives(b"hello")
            player.send(b"q")
            await player.whenClosed()
        await child.nextLine(r" Accepting connections again\.$")

    async def test_idleStatusConnections(self) -> None:
        """At a small limit of descriptors, idle connections of the status port stop no player."""
        fleet = await self.local()
        for reactor in ("default", "uvloop") if find_spec("uvloop") else ("default",):
            child = self.start(
                "sh",
                "-c",
                f"ulimit -n 64; exec twistd --reactor={reactor} -n fleetiq-echo"
                f" --listen={ANY_PORT} --status={ANY_PORT} --local={fleet.url}",
            )
            statusPort = int((await child.nextLine(r" Status on 127\.0\.0\.1:(\d+)\.$"))[1])
            port = await self.gamePort(child)
            await child.available()
            for _ in range(60):
                await self.player(statusPort)
            for _ in range(10):
                player = await self.player(port)
                player.send(b"hello")
                await player.receives(b"hello")

    async def test_workshopsClient(self) -> None:
        """The client has a fixed port, and sends lines without a line end."""
        child, fleet, port = await self.embedded("--connection-info={host}")
        gameServerId = await child.available()
        self.assertEqual(await fleet.claim(), (0, "localhost"))
        player = await self.player(port, "localhost")
        for line in (b"hello", b"quit? not yet"):
            player.send(line)
            await player.receives(line)
        player.send(b"q")
        self.assertEqual(await player.whenClosed(), b"helloquit? not yet")
        await child.nextLine(rf" Deregistered {gameServerId}\.$")
