"""What a game server lives through with FleetIQ, from its registration to the next."""

import socket
from pathlib import Path

from tests.endtoend.processes import ANY_PORT, EndToEndTestCase

ROOT = Path(__file__).parent.parent.parent


class SessionTests(EndToEndTestCase):
    """A game server with its own FleetIQ, whatever AWS settings the machine has."""

    async def test_aSessionCostsThreeCalls(self) -> None:
        """Registered, claimed, UTILIZED, deregistered, registered again; visits cost nothing."""
        closed = socket.create_server(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        closed.close()
        (self.home / ".aws").mkdir()
        for name in ("config", "credentials"):
            (self.home / ".aws" / name).write_text("[[ no settings\n")
        child, fleet, port = await self.embedded(
            AWS_PROFILE="nope",
            AWS_REGION="nowhere",
            AWS_EC2_METADATA_DISABLED="true",
            HTTP_PROXY=proxy,
            http_proxy=proxy,
        )
        first = await child.available()
        self.assertEqual(await fleet.gameServers(), {first: "AVAILABLE"})
        for _ in range(50):
            socket.create_connection(("127.0.0.1", port)).close()
        player = await self.player(*await fleet.claim())
        player.say(b"hello")
        await player.hears(b"hello")
        # The first session: none of the visits was one.
        await child.says(r" UTILIZED: session 1\.$")
        self.assertEqual(await fleet.gameServers(), {first: "UTILIZED"})
        player.transport.loseConnection()
        await child.says(rf" Deregistered {first}\.$")
        second = await child.available()
        self.assertNotEqual(second, first)
        self.assertEqual(await fleet.gameServers(), {second: "AVAILABLE"})
        session = {"RegisterGameServer": 1, "UpdateGameServer": 1, "DeregisterGameServer": 1}
        calls = {**session, "RegisterGameServer": 2, "ClaimGameServer": 1}
        self.assertEqual(await fleet.calls(), calls)

    async def test_theLastWhoLeavesEndsTheSession(self) -> None:
        """Others join the running session up to C{--max-players}, and may go before its end."""
        child, fleet, port = await self.embedded("--max-players=2")
        gameServerId = await child.available()
        first, second, third = [await self.player(port) for _ in range(3)]
        for player in (first, second):
            player.say(b"hello")
            await player.hears(b"hello")
        third.say(b"hello")
        self.assertEqual(await third.isClosed(), b"FULL\n")
        await child.says(r" UTILIZED: session 1\.$")
        first.transport.loseConnection()
        await child.says(r" left: closed the connection; 5 bytes; players: 1\.$")
        second.say(b", alone")
        await second.hears(b", alone")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})
        second.transport.loseConnection()
        await child.says(r" left: closed the connection; 12 bytes; players: 0\.$")
        await child.says(rf" Deregistered {gameServerId}\.$")
        self.assertEqual((await fleet.calls())["UpdateGameServer"], 1)

    async def test_bytesDoNotWaitForFleetIQ(self) -> None:
        """The echo comes while the call that says UTILIZED is still out."""
        child, fleet, port = await self.embedded()
        gameServerId = await child.available()
        await fleet.order(operation="*", kind="slow", seconds=60)
        player = await self.player(port)
        player.say(b"hello")
        await player.hears(b"hello")
        while "UpdateGameServer" not in await fleet.calls():
            pass
        player.say(b", still there")
        await player.hears(b", still there")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "AVAILABLE"})

    async def test_oneSessionEach(self) -> None:
        """C{--session exit}: each server leaves after its own, and the process with the last."""
        child, fleet, first = await self.embedded("--servers=2", "--session=exit")
        second = await self.gamePort(child)
        ids = {await child.available(), await child.available()}
        self.assertEqual(set(await fleet.gameServers()), ids)
        for port in (first, second):
            player = await self.player(port)
            player.say(b"hello\nq\n")
            self.assertEqual(await player.isClosed(), b"hello\n")
            ids.remove((await child.says(r" Deregistered (\S+)\.$"))[1])
        self.assertEqual((await child.ends(), ids), (0, set()))


class OthersTests(EndToEndTestCase):
    """Somebody else changes what FleetIQ knows of a game server."""

    async def test_droppedAndTaken(self) -> None:
        """
        One that is dropped in play registers again, UTILIZED, and nobody notices; one that is made
        UTILIZED by somebody else is so for the session that comes.
        """
        child, fleet, port = await self.embedded("--servers=2", "--heartbeat=1")
        ids = [await child.available(), await child.available()]
        [dropped] = [each for each in ids if f"-{port}-" in each]
        [taken] = {*ids} - {dropped}
        player = await self.player(port)
        player.say(b"hello")
        await child.says(r" UTILIZED: session 1\.$")
        await fleet.call("DeregisterGameServer", GameServerId=dropped)
        await fleet.call("UpdateGameServer", GameServerId=taken, UtilizationStatus="UTILIZED")
        await child.said(r" UTILIZED was set by another client: waiting for players\.$")
        other = await self.player(int(taken.split("-")[2]))
        other.say(b"hello")
        await child.said(r" UTILIZED was set by another client: this session adopts it\.$")
        await child.said(rf" FleetIQ does not know {dropped} any more: using a new id\.$")
        await child.says(r" UTILIZED: session 1\.$")
        player.say(b", still there")
        await player.hears(b"hello, still there")
        servers = await fleet.gameServers()
        self.assertEqual((len(servers), {*servers.values()}), (2, {"UTILIZED"}))
        self.assertEqual((dropped in servers, taken in servers), (False, True))


class SeveralProcessesTests(EndToEndTestCase):
    """Game servers beside a FleetIQ of its own process."""

    async def test_inOneFolder(self) -> None:
        """FleetIQ and game servers side by side; one is to be another instance; all play."""
        fleet = await self.local()
        [first, second] = [each["InstanceId"] for each in (await fleet.state())["instances"]]
        joining = ["", "", f"/instances/{second}"]
        children = [self.echo(f"--local={fleet.url}{path}") for path in joining]
        ids = [await child.available() for child in children]
        self.assertEqual(await fleet.gameServers(), dict.fromkeys(ids, "AVAILABLE"))
        for gameServerId, instanceId in zip(ids, [first, first, second], strict=True):
            self.assertTrue(gameServerId.startswith(f"{instanceId}-"), gameServerId)
        play = self.start("fleetiq", f"--endpoint-url={fleet.url}", "play", "--send", "hello")
        await play.says("hello")
        self.assertEqual(await play.ends(), 0)
        self.assertEqual(list(self.folder.iterdir()), [])

    async def test_asWithAWS(self) -> None:
        """C{--group} with AWS's own variables pointing at the FleetIQ of this machine."""
        fleet = await self.local()
        child = self.echo(
            "--group=local",
            AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
            AWS_EC2_METADATA_SERVICE_ENDPOINT=fleet.url,
            AWS_ACCESS_KEY_ID="dummy",
            AWS_SECRET_ACCESS_KEY="dummy",
        )
        gameServerId = await child.available()
        player = await self.player(*await fleet.claim())
        player.say(b"hello")
        await player.hears(b"hello")
        await child.says(r" UTILIZED: session 1\.$")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})


class CloneTests(EndToEndTestCase):
    """What one types in the clone's root, the environment's commands first on PATH."""

    async def test_twistdAndTrial(self) -> None:
        """C{twistd -n fleetiq-echo}, here on ports of its own, and C{trial} work as they are."""
        ports = f"--listen {ANY_PORT} --local {ANY_PORT}"
        child = self.start("sh", "-c", f"exec twistd -n fleetiq-echo {ports}", folder=ROOT)
        trial = self.start("sh", "-c", "exec trial tests.game.test_session", folder=ROOT)
        await child.says(r" Ready\. In another terminal, type: fleetiq ")
        await trial.says("^PASSED")
        self.assertEqual(await trial.ends(), 0)
        self.assertFalse((ROOT / "twistd.pid").exists())
