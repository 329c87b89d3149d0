"""Players on real sockets: their bytes, their goodbyes, and the ways they vanish."""

import socket
from importlib.util import find_spec
from pathlib import Path
from random import Random
from unittest import skipUnless

from tests.endtoend.processes import ANY_PORT, EndToEndTestCase

# Linux's Documentation/networking/proc_net_tcp.rst: a timer of kind 2 is that of keep-alive.
CONNECTIONS = Path("/proc/net/tcp")


class BytesTests(EndToEndTestCase):
    """What comes back over TCP."""

    async def test_anyBytes(self) -> None:
        """All bytes there are, and all that was sent before FIN, however much."""
        _, _, port = await self.embedded()
        player = await self.player(port)
        everything = bytes(range(256)) + bytes(reversed(range(256)))
        player.say(everything)
        await player.hears(everything)
        player.transport.loseWriteConnection()
        await player.isClosed()
        player = await self.player(port)
        # Reads slowly, behind a small window: the server has to hold back, and still writes at FIN.
        player.transport.bufferSize = 4096
        player.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        # Without line ends: among so many bytes at random some would say goodbye.
        much = Random(8).randbytes(8 * 2**20).replace(b"\n", b"\0")
        player.say(much)
        player.transport.loseWriteConnection()
        received = await player.isClosed()
        self.assertEqual(len(received), len(much))
        self.assertTrue(received == much)

    async def test_goodbye(self) -> None:
        """A line that is q alone, however TCP cuts it; nothing comes back after it."""
        child, _, port = await self.embedded()
        player = await self.player(port)
        player.say(b"hello\nq")
        await player.hears(b"hello\nq")
        player.say(b"\r")
        await player.hears(b"\r")
        player.say(b"\nnever")
        self.assertEqual(await player.isClosed(), b"hello\nq\r")
        await child.says(r" left: quit command; \d+ bytes; players: 0\.$")
        player = await self.player(port)
        player.say(b"q: no goodbye\nQ\nnever\n")
        self.assertEqual(await player.isClosed(), b"q: no goodbye\n")
        await child.says(r" left: quit command; \d+ bytes; players: 0\.$")

    async def test_resetFreesTheServer(self) -> None:
        """A player who vanishes without a word ends the session."""
        child, _, port = await self.embedded()
        gameServerId = await child.available()
        player = await self.player(port)
        player.say(b"hello")
        await player.hears(b"hello")
        await child.says(r" UTILIZED: session 1\.$")
        player.transport.abortConnection()
        await child.says(r" left: vanished \(.*\); 5 bytes; players: 0\.$")
        await child.says(rf" Deregistered {gameServerId}\.$")
        self.assertNotEqual(await child.available(), gameServerId)

    @skipUnless(CONNECTIONS.exists(), "only Linux tells of its timers")
    async def test_keptAlive(self) -> None:
        """The kernel watches over each player from the start, whoever his reactor is."""
        for reactor in ("default", "uvloop") if find_spec("uvloop") else ("default",):
            _, _, port = await self.embedded(reactor=reactor)
            player = await self.player(port)
            theirs, ours = f":{player.transport.getHost().port:04X}", f":{port:04X}"
            rows = [line.split() for line in CONNECTIONS.read_text().splitlines()]
            (row,) = (row for row in rows if row[1].endswith(ours) and row[2].endswith(theirs))
            timer, _ = row[5].split(":")
            self.assertEqual("02", timer)

    async def test_outOfDescriptors(self) -> None:
        """Nobody is accepted and closed for want of a descriptor: he waits until one is free."""
        options = f"--listen={ANY_PORT} --local={ANY_PORT}"
        child = self.start("sh", "-c", f"ulimit -n 128; exec twistd -n fleetiq-echo {options}")
        port = await self.gamePort(child)
        await child.available()
        players = [await self.player(port) for _ in range(80)]
        await child.says(r" Accepting no more connections: \d+ of 128 descriptors are in use\.$")
        for player in players:
            player.say(b"hello")
        # In the order in which they came; the last of them only once others have gone.
        for player in players:
            await player.hears(b"hello")
            player.say(b"q")
            await player.isClosed()
        await child.says(r" Accepting connections again\.$")

    async def test_workshopsClient(self) -> None:
        """It connects to ConnectionInfo, at a port it knows, and sends lines without their end."""
        child, fleet, port = await self.embedded("--connection-info={host}")
        gameServerId = await child.available()
        self.assertEqual(await fleet.claim(), (0, "localhost"))
        player = await self.player(port, "localhost")
        for line in (b"hello", b"quit? not yet"):
            player.say(line)
            await player.hears(line)
        player.say(b"q")
        self.assertEqual(await player.isClosed(), b"helloquit? not yet")
        await child.says(rf" Deregistered {gameServerId}\.$")
