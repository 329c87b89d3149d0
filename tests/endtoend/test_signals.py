"""What signals do to a game server: at rest, in play, while it starts, while FleetIQ is slow."""

import signal
from importlib.util import find_spec
from unittest import skipUnless

from twisted.internet.error import ConnectionRefusedError

from tests.endtoend.processes import UVLOOP_POLICY, EndToEndTestCase

BY_SIGTERM = -signal.SIGTERM
STOPPING = r" Stopping\. A second signal skips the grace period of running sessions\.$"


class AtRestTests(EndToEndTestCase):
    """Nobody plays."""

    async def test_terminated(self) -> None:
        """See L{deregistersThenEnds}."""
        await self.deregistersThenEnds("default")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_underUvloop(self) -> None:
        """See L{deregistersThenEnds}."""
        await self.deregistersThenEnds("uvloop")

    async def deregistersThenEnds(self, reactor: str) -> None:
        """The port is closed once nobody can be sent there; the process ends by the signal."""
        child, _, port = await self.embedded("--grace=600", reactor=reactor)
        gameServerId = await child.available()
        await child.says(r" Ready\.")
        child.transport.signalProcess("TERM")
        await child.says(STOPPING)
        await child.says(rf" Deregistered {gameServerId}\.$")
        await child.says(rf"\(TCP Port {port} Closed\)$")
        self.assertEqual(await child.ends(), BY_SIGTERM)

    async def test_silentFleetIQ(self) -> None:
        """The process ends all the same, and says what it leaves behind."""
        child, fleet, _ = await self.embedded(reactor="asyncio")
        gameServerId = await child.available()
        await fleet.order(operation="*", kind="slow", seconds=60)
        child.transport.signalProcess("TERM")
        await child.says(rf" Not deregistered in time: {gameServerId} can stay registered until ")
        self.assertEqual(await child.ends(), BY_SIGTERM)

    async def test_whileStarting(self) -> None:
        """No wait for a metadata service that is silent; a Register under way is undone."""
        fleet = await self.local()
        await fleet.order(operation="RegisterGameServer", kind="slow", seconds=1)
        asking = self.echo(f"--local=http://127.0.0.1:{self.heldPort()}", reactor="asyncio")
        registering = self.echo(f"--local={fleet.url}")
        await self.gamePort(asking)
        asking.transport.signalProcess("TERM")
        gameServerId = (await registering.says(r" Registering (\S+)\.$"))[1]
        registering.transport.signalProcess("TERM")
        await registering.says(rf" Deregistered {gameServerId}\.$")
        self.assertEqual(await registering.ends(), BY_SIGTERM)
        self.assertEqual(await asking.ends(), BY_SIGTERM)
        self.assertEqual(await fleet.gameServers(), {})


class InPlayTests(EndToEndTestCase):
    """A session runs."""

    async def test_terminated(self) -> None:
        """See L{endsTheGrace}."""
        await self.endsTheGrace("TERM", "default")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_terminatedUnderUvloop(self) -> None:
        """See L{endsTheGrace}."""
        await self.endsTheGrace("TERM", "uvloop")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_interruptedUnderUvloopsPolicy(self) -> None:
        """See L{endsTheGrace}."""
        await self.endsTheGrace("INT", UVLOOP_POLICY)

    async def endsTheGrace(self, name: str, reactor: str) -> None:
        """The first signal closes the port and leaves players the grace; the second ends it."""
        child, fleet, port = await self.embedded("--grace=600", reactor=reactor)
        gameServerId = await child.available()
        player = await self.player(port)
        player.say(b"before")
        await player.hears(b"before")
        await child.says(r" UTILIZED: session 1\.$")
        child.transport.signalProcess(name)
        await child.says(STOPPING)
        await child.says(r" Waiting for the session to end, at most 600 s\.$")
        with self.assertRaises(ConnectionRefusedError):
            await self.player(port)
        player.say(b"after")
        await player.hears(b"after")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})
        child.transport.signalProcess(name)
        await child.says(r" Second signal received: skipping the grace period\.$")
        self.assertEqual(await player.isClosed(), b"beforeafter")
        await child.says(rf" Deregistered {gameServerId}\.$")
        self.assertEqual(await child.ends(), -signal.Signals[f"SIG{name}"])


class KilledTests(EndToEndTestCase):
    """SIGKILL: nothing of ours runs any more."""

    async def test_leavesItsRegistration(self) -> None:
        """Players see the end at once; FleetIQ, by the silence."""
        fleet = await self.local()
        child = self.echo(f"--local={fleet.url}")
        player = await self.player(await self.gamePort(child))
        player.say(b"hello")
        await player.hears(b"hello")
        gameServerId = await child.available()
        await child.says(r" UTILIZED: session 1\.$")
        self.assertEqual(await child.kill(), -signal.SIGKILL)
        self.assertEqual(await player.isClosed(), b"hello")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})
        await fleet.control("clock", advance=181)
        self.assertEqual(await fleet.gameServers(), {})
