"""The lifecycle of a game server, from its registration to the next one."""

import signal
import socket
from pathlib import Path

from tests.endtoend.processes import ANY_PORT, EndToEndTestCase

ROOT = Path(__file__).parent.parent.parent


class SessionTests(EndToEndTestCase):
    """A game server with an embedded FleetIQ, on a machine with wrong AWS settings."""

    async def test_threeCallsForASession(self) -> None:
        """A session makes three calls. Connections without data make none."""
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
        player.send(b"hello")
        await player.receives(b"hello")
        # Session 1: none of the connections without data started a session.
        await child.nextLine(r" UTILIZED: session 1\.$")
        self.assertEqual(await fleet.gameServers(), {first: "UTILIZED"})
        player.transport.loseConnection()
        await child.nextLine(rf" Deregistered {first}\.$")
        second = await child.available()
        self.assertNotEqual(second, first)
        self.assertEqual(await fleet.gameServers(), {second: "AVAILABLE"})
        session = {"RegisterGameServer": 1, "UpdateGameServer": 1, "DeregisterGameServer": 1}
        calls = {**session, "RegisterGameServer": 2, "ClaimGameServer": 1}
        self.assertEqual(await fleet.calls(), calls)

    async def test_lastPlayerEndsTheSession(self) -> None:
        """Players join a session up to C{--max-players}. The last one to leave ends it."""
        child, fleet, port = await self.embedded("--max-players=2")
        gameServerId = await child.available()
        first, second, third = [await self.player(port) for _ in range(3)]
        for player in (first, second):
            player.send(b"hello")
            await player.receives(b"hello")
        third.send(b"hello")
        self.assertEqual(await third.whenClosed(), b"FULL\n")
        await child.nextLine(r" UTILIZED: session 1\.$")
        first.transport.loseConnection()
        await child.nextLine(r" left: closed the connection; 5 bytes; players: 1\.$")
        second.send(b", alone")
        await second.receives(b", alone")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})
        second.transport.loseConnection()
        await child.nextLine(r" left: closed the connection; 12 bytes; players: 0\.$")
        await child.nextLine(rf" Deregistered {gameServerId}\.$")
        self.assertEqual((await fleet.calls())["UpdateGameServer"], 1)

    async def test_dataDoesNotWaitForFleetIQ(self) -> None:
        """Data is echoed while the call for UTILIZED is in progress."""
        child, fleet, port = await self.embedded()
        gameServerId = await child.available()
        await fleet.addFault(operation="*", kind="slow", seconds=60)
        player = await self.player(port)
        player.send(b"hello")
        await player.receives(b"hello")
        while "UpdateGameServer" not in await fleet.calls():
            pass
        player.send(b", still there")
        await player.receives(b", still there")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "AVAILABLE"})

    async def test_oneSessionEach(self) -> None:
        """
        C{--session exit}: each server leaves after its own session. The embedded FleetIQ outlives
        the last, until a signal.
        """
        child, fleet, first = await self.embedded("--servers=2", "--session=exit")
        second = await self.gamePort(child)
        ids = {await child.available(), await child.available()}
        self.assertEqual(set(await fleet.gameServers()), ids)
        for port in (first, second):
            player = await self.player(port)
            player.send(b"hello\nq\n")
            self.assertEqual(await player.whenClosed(), b"hello\n")
            ids.remove((await child.nextLine(r" Deregistered (\S+)\.$"))[1])
        self.assertEqual(ids, set())
        await child.nextLine(
            rf" The local FleetIQ stays at {fleet.url}: press Ctrl-C, or send SIGTERM"
        )
        self.assertEqual(await fleet.gameServers(), {})
        child.transport.signalProcess("TERM")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)

    async def test_oneSessionWithoutEmbedded(self) -> None:
        """Without an embedded FleetIQ, the process ends with the last game server."""
        fleet = await self.local()
        child = self.echo(f"--local={fleet.url}", "--session=exit")
        player = await self.player(await self.gamePort(child))
        await child.available()
        player.send(b"hello\nq\n")
        self.assertEqual(await child.exitStatus(), 0)


class OtherClientTests(EndToEndTestCase):
    """Another client changes the state of a game server in FleetIQ."""

    async def test_reset(self) -> None:
        """
        After a reset of an embedded FleetIQ the game server registers again at once. That of
        another process does so at its next heartbeat, whose reply is NotFoundException.
        """
        child, fleet, _ = await self.embedded()
        other = self.echo(f"--local={fleet.url}", "--heartbeat=1")
        ids = {await child.available(), await other.available()}
        await fleet.control("reset")
        again = {await child.available(), await other.available()}
        self.assertEqual(set(await fleet.gameServers()), again)
        self.assertEqual(ids & again, set())

    async def test_droppedAndUtilizedExternally(self) -> None:
        """
        A game server that is dropped during a session registers again as UTILIZED, and its player
        stays connected. If another client sets UTILIZED, the next session keeps it.
        """
        child, fleet, port = await self.embedded("--servers=2", "--heartbeat=1")
        ids = [await child.available(), await child.available()]
        [dropped] = [each for each in ids if f"-{port}-" in each]
        [utilized] = {*ids} - {dropped}
        player = await self.player(port)
        player.send(b"hello")
        await child.nextLine(r" UTILIZED: session 1\.$")
        await fleet.call("DeregisterGameServer", GameServerId=dropped)
        await fleet.call("UpdateGameServer", GameServerId=utilized, UtilizationStatus="UTILIZED")
        await child.anyLine(r" UTILIZED was set by another client: waiting for players\.$")
        other = await self.player(int(utilized.split("-")[2]))
        other.send(b"hello")
        await child.anyLine(r" UTILIZED was set by another client: this session adopts it\.$")
        await child.anyLine(rf" FleetIQ does not know {dropped} any more: using a new id\.$")
        await child.nextLine(r" UTILIZED: session 1\.$")
        player.send(b", still there")
        await player.receives(b"hello, still there")
        servers = await fleet.gameServers()
        self.assertEqual((len(servers), {*servers.values()}), (2, {"UTILIZED"}))
        self.assertEqual((dropped in servers, utilized in servers), (False, True))


class SeveralProcessesTests(EndToEndTestCase):
    """Game servers and a FleetIQ in different processes."""

    async def test_inOneFolder(self) -> None:
        """Game servers of two instances share a folder and a FleetIQ, and leave no files."""
        fleet = await self.local()
        [first, second] = [each["InstanceId"] for each in (await fleet.state())["instances"]]
        paths = ["", "", f"/instances/{second}"]
        children = [self.echo(f"--local={fleet.url}{path}") for path in paths]
        ids = [await child.available() for child in children]
        self.assertEqual(await fleet.gameServers(), dict.fromkeys(ids, "AVAILABLE"))
        for gameServerId, instanceId in zip(ids, [first, first, second], strict=True):
            self.assertTrue(gameServerId.startswith(f"{instanceId}-"), gameServerId)
        play = self.start("fleetiq", f"--endpoint-url={fleet.url}", "play", "--send", "hello")
        await play.nextLine("hello")
        self.assertEqual(await play.exitStatus(), 0)
        self.assertEqual(list(self.folder.iterdir()), [])

    async def test_asWithAWS(self) -> None:
        """C{--group} works with the local FleetIQ, by the environment variables of AWS."""
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
        player.send(b"hello")
        await player.receives(b"hello")
        await child.nextLine(r" UTILIZED: session 1\.$")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})


class CloneTests(EndToEndTestCase):
    """Commands in the root folder of the clone, with the activated environment."""

    async def test_twistdAndTrial(self) -> None:
        """C{twistd -n fleetiq-echo} and C{trial} work without options for paths."""
        ports = f"--listen {ANY_PORT} --local {ANY_PORT}"
        child = self.start("sh", "-c", f"exec twistd -n fleetiq-echo {ports}", folder=ROOT)
        trial = self.start("sh", "-c", "exec trial tests.game.test_session", folder=ROOT)
        await child.nextLine(r" Ready\. In another terminal, type: fleetiq ")
        await trial.nextLine("^PASSED")
        self.assertEqual(await trial.exitStatus(), 0)
        self.assertFalse((ROOT / "twistd.pid").exists())
