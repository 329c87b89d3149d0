"""What a game server that was killed leaves with FleetIQ, and what cleans it."""

from tests.endtoend.processes import EndToEndTestCase


class KilledTests(EndToEndTestCase):
    """SIGKILL, in play."""

    async def test_stateDir(self) -> None:
        """Restarted with its folder it deregisters what it left: one registration, not two."""
        fleet = await self.local()
        options = (f"--local={fleet.url}", "--state-dir=held")
        killed = self.echo(*options)
        port = await self.gamePort(killed)
        left = await killed.available()
        player = await self.player(port)
        player.say(b"hello")
        await killed.says(r" UTILIZED: session 1\.$")
        await killed.kill()
        self.assertEqual(await fleet.gameServers(), {left: "UTILIZED"})
        again = self.echo(*options, f"--listen=tcp:{port}:interface=127.0.0.1")
        await again.says(rf" {left} was left registered by an earlier process: it is deregistered")
        now = await again.available()
        self.assertEqual(await fleet.gameServers(), {now: "AVAILABLE"})
        again.transport.signalProcess("TERM")
        await again.ends()
        self.assertEqual(await fleet.gameServers(), {})
        self.assertEqual(list((self.folder / "held").iterdir()), [])

    async def test_byHand(self) -> None:
        """Without, C{fleetiq deregister --instance} cleans."""
        fleet = await self.local()
        killed = self.echo(f"--local={fleet.url}", "--servers=3")
        [instance] = [
            found[1] for found in [await killed.says(r" Instance (i-\w+) \(from .*:\d+ ")]
        ]
        await killed.says(r" Ready\.")
        await killed.kill()
        self.assertEqual(len(await fleet.gameServers()), 3)
        command = ("fleetiq", f"--endpoint-url={fleet.url}", "deregister", "--instance", instance)
        self.assertEqual(await self.start(*command).ends(), 0)
        self.assertEqual(await fleet.gameServers(), {})
