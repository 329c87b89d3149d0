"""Interruptions of an instance, from the notice to the end of the process."""

import signal

from tests.endtoend.processes import ANY_PORT, EndToEndTestCase


class InterruptionTests(EndToEndTestCase):
    """Two instances are interrupted while players are connected."""

    async def test_spotAndDraining(self) -> None:
        """
        After a Spot notice an idle game server deregisters at once, one with a session disconnects
        its player 5 s before the end, and the process exits with 0. On an instance that FleetIQ
        drains, an idle game server stays registered, and the running session is the last.
        """
        fleet = await self.local()
        [first, second] = [each["InstanceId"] for each in (await fleet.state())["instances"]]
        terminating = self.echo(f"--local={fleet.url}", "--servers=2", "--instance-status=0")
        draining = self.echo(
            f"--local={fleet.url}/instances/{second}", "--servers=2", "--instance-status=1"
        )
        ports = [await self.gamePort(child) for child in (terminating, draining)]
        players = [await self.player(port) for port in ports]
        for child, player in zip((terminating, draining), players, strict=True):
            player.send(b"hello\n")
            await player.receives(b"hello\n")
            await child.anyLine(r" UTILIZED: session 1\.$")
            await child.anyLine(r" Ready\.")
        await fleet.control("interrupt", InstanceId=first, kind="spot", seconds=11)
        await fleet.control("interrupt", InstanceId=second, kind="draining")

        last = r" This session is the last one: FleetIQ is draining this instance\.$"
        await draining.anyLine(last)
        players[1].send(b"q\n")
        self.assertEqual(await players[1].whenClosed(), b"hello\n")
        await draining.anyLine(rf" Deregistered {second}-{ports[1]}-")
        onSecond = {
            name: status for name, status in (await fleet.gameServers()).items() if second in name
        }
        self.assertEqual(list(onSecond.values()), ["AVAILABLE"])

        await terminating.anyLine(r" EC2 will terminate this Spot instance at \S+, in \d+ s: ")
        await terminating.anyLine(r" This session is the last one and ends within \d+ s: ")
        self.assertEqual(await players[0].whenClosed(), b"hello\n")
        self.assertEqual(await terminating.exitStatus(), 0)
        self.assertEqual(await fleet.gameServers(), onSecond)
        self.assertIsNone(draining.status)

    async def test_embedded(self) -> None:
        """
        An interruption of the instance of an embedded FleetIQ deregisters the game server. The
        FleetIQ and the status port stay until a signal.
        """
        child, fleet, _ = await self.embedded(f"--status={ANY_PORT}")
        where = await child.anyLine(r" Status on ")
        gameServerId = await child.available()
        [instance, *_] = [each["InstanceId"] for each in (await fleet.state())["instances"]]
        await fleet.control("interrupt", InstanceId=instance, kind="spot", seconds=60)
        await child.nextLine(rf" Deregistered {gameServerId}\.$")
        await child.nextLine(
            rf" The local FleetIQ stays at {fleet.url}: press Ctrl-C, or send SIGTERM"
        )
        self.assertTrue(where)
        self.assertEqual(await fleet.gameServers(), {})
        child.transport.signalProcess("INT")
        self.assertEqual(await child.exitStatus(), -signal.SIGINT)
