"""Signals to a game server: idle, with a session, while it starts, while FleetIQ is slow."""

import signal
from importlib.util import find_spec
from unittest import skipUnless

from twisted.internet.error import ConnectionRefusedError

from tests.endtoend.processes import UVLOOP_POLICY, EndToEndTestCase

BY_SIGTERM = -signal.SIGTERM
STOPPING = r" Stopping\. A second signal skips the grace period of running sessions\.$"


class IdleTests(EndToEndTestCase):
    """There is no player."""

    async def test_terminated(self) -> None:
        """See L{deregistersThenEnds}."""
        await self.deregistersThenEnds("default")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_underUvloop(self) -> None:
        """See L{deregistersThenEnds}."""
        await self.deregistersThenEnds("uvloop")

    async def deregistersThenEnds(self, reactor: str) -> None:
        """The port is closed after the deregistration, and the process ends by the signal."""
        child, _, port = await self.embedded("--grace=600", reactor=reactor)
        gameServerId = await child.available()
        await child.nextLine(r" Ready\.")
        child.transport.signalProcess("TERM")
        await child.nextLine(STOPPING)
        await child.nextLine(rf" Deregistered {gameServerId}\.$")
        await child.nextLine(rf"\(TCP Port {port} Closed\)$")
        self.assertEqual(await child.exitStatus(), BY_SIGTERM)

    async def test_fleetIQDoesNotRespond(self) -> None:
        """The process ends, and logs the game server that can stay registered."""
        child, fleet, _ = await self.embedded(reactor="asyncio")
        gameServerId = await child.available()
        await fleet.addFault(operation="*", kind="slow", seconds=60)
        child.transport.signalProcess("TERM")
        left = rf" Not deregistered in time: {gameServerId} can stay registered until "
        await child.nextLine(left)
        self.assertEqual(await child.exitStatus(), BY_SIGTERM)

    async def test_whileStarting(self) -> None:
        """A metadata service without a response delays nothing; a call to Register is undone."""
        fleet = await self.local()
        await fleet.addFault(operation="RegisterGameServer", kind="slow", seconds=1)
        discovering = self.echo(f"--local=http://127.0.0.1:{self.busyPort()}", reactor="asyncio")
        registering = self.echo(f"--local={fleet.url}")
        await self.gamePort(discovering)
        discovering.transport.signalProcess("TERM")
        gameServerId = (await registering.nextLine(r" Registering (\S+)\.$"))[1]
        registering.transport.signalProcess("TERM")
        await registering.nextLine(rf" Deregistered {gameServerId}\.$")
        self.assertEqual(await registering.exitStatus(), BY_SIGTERM)
        self.assertEqual(await discovering.exitStatus(), BY_SIGTERM)
        self.assertEqual(await fleet.gameServers(), {})


class SessionTests(EndToEndTestCase):
    """A session is running."""

    async def test_terminated(self) -> None:
        """See L{skipsTheGracePeriod}."""
        await self.skipsTheGracePeriod("TERM", "default")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_terminatedUnderUvloop(self) -> None:
        """See L{skipsTheGracePeriod}."""
        await self.skipsTheGracePeriod("TERM", "uvloop")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_interruptedUnderUvloopPolicy(self) -> None:
        """See L{skipsTheGracePeriod}."""
        await self.skipsTheGracePeriod("INT", UVLOOP_POLICY)

    async def skipsTheGracePeriod(self, name: str, reactor: str) -> None:
        """The first signal closes the port; the second one ends the grace period."""
        child, fleet, port = await self.embedded("--grace=600", reactor=reactor)
        gameServerId = await child.available()
        player = await self.player(port)
        player.send(b"before")
        await player.receives(b"before")
        await child.nextLine(r" UTILIZED: session 1\.$")
        child.transport.signalProcess(name)
        await child.nextLine(STOPPING)
        await child.nextLine(r" Waiting for the session to end, at most 600 s\.$")
        with self.assertRaises(ConnectionRefusedError):
            await self.player(port)
        player.send(b"after")
        await player.receives(b"after")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})
        child.transport.signalProcess(name)
        await child.nextLine(r" Second signal received: skipping the grace period\.$")
        self.assertEqual(await player.whenClosed(), b"beforeafter")
        await child.nextLine(rf" Deregistered {gameServerId}\.$")
        self.assertEqual(await child.exitStatus(), -signal.Signals[f"SIG{name}"])


class KilledTests(EndToEndTestCase):
    """The process is killed."""

    async def test_staysRegistered(self) -> None:
        """Players are disconnected at once. FleetIQ drops the game server after 180 s."""
        fleet = await self.local()
        child = self.echo(f"--local={fleet.url}")
        player = await self.player(await self.gamePort(child))
        player.send(b"hello")
        await player.receives(b"hello")
        gameServerId = await child.available()
        await child.nextLine(r" UTILIZED: session 1\.$")
        self.assertEqual(await child.kill(), -signal.SIGKILL)
        self.assertEqual(await player.whenClosed(), b"hello")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})
        await fleet.control("clock", advance=181)
        self.assertEqual(await fleet.gameServers(), {})
