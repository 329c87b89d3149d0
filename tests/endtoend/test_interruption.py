"""An instance that goes: from the metadata and FleetIQ to the end of the process."""

from tests.endtoend.processes import EndToEndTestCase


class InterruptionTests(EndToEndTestCase):
    """Two instances are interrupted, each in its way, while people play."""

    async def test_spotAndDraining(self) -> None:
        """
        After a Spot notice an idle server goes at once, one in play lets its player go 5 s before
        the end, and the process ends with 0. EndpointConfig FleetIQ drains, an idle server stays
        registered, and a session that ends is the last.
        """
        fleet = await self.local()
        [first, second] = [each["InstanceId"] for each in (await fleet.state())["instances"]]
        going = self.echo(f"--local={fleet.url}", "--servers=2", "--instance-status=0")
        draining = self.echo(
            f"--local={fleet.url}/instances/{second}", "--servers=2", "--instance-status=1"
        )
        ports = [await self.gamePort(child) for child in (going, draining)]
        players = [await self.player(port) for port in ports]
        for child, player in zip((going, draining), players, strict=True):
            player.say(b"hello\n")
            await player.hears(b"hello\n")
            await child.said(r" UTILIZED: session 1\.$")
            await child.said(r" Ready\.")
        await fleet.control("interrupt", InstanceId=first, kind="spot", seconds=11)
        await fleet.control("interrupt", InstanceId=second, kind="draining")

        await draining.said(r" This session is the last one: FleetIQ is draining this instance\.$")
        players[1].say(b"q\n")
        self.assertEqual(await players[1].isClosed(), b"hello\n")
        await draining.said(rf" Deregistered {second}-{ports[1]}-")
        here = {
            gone: status for gone, status in (await fleet.gameServers()).items() if second in gone
        }
        self.assertEqual(list(here.values()), ["AVAILABLE"])

        await going.said(r" EC2 will terminate this Spot instance at \S+, in \d+ s: ")
        await going.said(r" This session is the last one and ends within \d+ s: ")
        self.assertEqual(await players[0].isClosed(), b"hello\n")
        self.assertEqual(await going.ends(), 0)
        self.assertEqual(await fleet.gameServers(), here)
        self.assertIsNone(draining.status)
