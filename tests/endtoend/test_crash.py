"""The registrations of a killed game server, and how they are removed."""

from tests.endtoend.processes import EndToEndTestCase


class KilledTests(EndToEndTestCase):
    """SIGKILL during a session."""

    async def test_stateDir(self) -> None:
        """With --state-dir, the next start deregisters the old game server."""
        fleet = await self.local()
        options = (f"--local={fleet.url}", "--state-dir=held")
        killed = self.echo(*options)
        port = await self.gamePort(killed)
        left = await killed.available()
        player = await self.player(port)
        player.send(b"hello")
        await killed.nextLine(r" UTILIZED: session 1\.$")
        await killed.kill()
        self.assertEqual(await fleet.gameServers(), {left: "UTILIZED"})
        again = self.echo(*options, f"--listen=tcp:{port}:interface=127.0.0.1")
        await again.nextLine(rf" {left} was left registered by an earlier process: ")
        now = await again.available()
        self.assertEqual(await fleet.gameServers(), {now: "AVAILABLE"})
        again.transport.signalProcess("TERM")
        await again.exitStatus()
        self.assertEqual(await fleet.gameServers(), {})
        self.assertEqual(list((self.folder / "held").iterdir()), [])

    async def test_byHand(self) -> None:
        """Without it, C{fleetiq deregister --instance} removes the registrations."""
        fleet = await self.local()
        killed = self.echo(f"--local={fleet.url}", "--servers=3")
        [instance] = [
            found[1] for found in [await killed.nextLine(r" Instance (i-\w+) \(from .*:\d+ ")]
        ]
        await killed.nextLine(r" Ready\.")
        await killed.kill()
        self.assertEqual(len(await fleet.gameServers()), 3)
        command = ("fleetiq", f"--endpoint-url={fleet.url}", "deregister", "--yes")
        self.assertEqual(await self.start(*command, "--instance", instance).exitStatus(), 0)
        self.assertEqual(await fleet.gameServers(), {})
