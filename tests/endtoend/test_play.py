"""The fleetiq command as a real process: against the workshop's server, and against nothing."""

import signal
from pathlib import Path

from tests.endtoend.processes import Child, EndToEndTestCase, LocalFleetIQ

WORKSHOP = Path(__file__).parent / "workshopserver.py"


class WorkshopTests(EndToEndTestCase):
    """The workshop's own server, with a local FleetIQ in the place of AWS."""

    async def workshop(self) -> tuple[Child, LocalFleetIQ, str]:
        """The workshop's server, its FleetIQ, and its port."""
        fleet = await self.local()
        server = self.start(
            *("python", "-u", str(WORKSHOP), "local", "game-server-1", "us-east-1", "0", fleet.url),
            AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
            AWS_ACCESS_KEY_ID="local",
            AWS_SECRET_ACCESS_KEY="local",
        )
        found = await server.says(r"^TCP server waiting for Client on port (\d+)$")
        return server, fleet, found[1]

    def fleetiq(self, fleet: LocalFleetIQ, *words: str) -> Child:
        """The command, speaking to this FleetIQ."""
        return self.start("fleetiq", *words, AWS_ENDPOINT_URL_GAMELIFT=fleet.url)

    async def test_plays(self) -> None:
        """Each line arrives by itself, without its end, and so does q; then the next player may."""
        server, fleet, port = await self.workshop()
        for _ in range(2):
            play = self.fleetiq(
                fleet, "play", "--port", port, "--wait", "20", "--send", "hello", "--send", "again"
            )
            await play.says(r"^hello$")
            await play.says(r"^again$")
            self.assertEqual(await play.ends(), 0, play.story())
            for line in ("hello", "again", "q"):
                await server.says(rf"^RECEIVED: {line}$")
        calls = await fleet.calls()
        self.assertGreaterEqual(calls["DeregisterGameServer"], 1)
        self.assertGreaterEqual(calls["RegisterGameServer"], 2)

    async def test_typed(self) -> None:
        """Lines of standard input are sent one by one; its end leaves."""
        server, fleet, port = await self.workshop()
        play = self.start(
            *("sh", "-c", f"printf 'hello\\nagain' | fleetiq play --port {port} --wait 20"),
            AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
        )
        self.assertEqual(await play.ends(), 0, play.story())
        for line in ("hello", "again", "q"):
            await server.says(rf"^RECEIVED: {line}$")

    async def test_nobodyReads(self) -> None:
        """A player whose output nobody reads any more leaves, and the server is free again."""
        server, fleet, port = await self.workshop()
        play = self.start(
            *("sh", "-c", f"yes hello | fleetiq play --port {port} --wait 20 | head -n 1"),
            AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
        )
        await play.says(r"^hello$")
        self.assertEqual(await play.ends(), 0, play.story())
        await server.says(r"^RECEIVED: q$")

    async def test_interrupted(self) -> None:
        """Ctrl-C ends a command without a word."""
        fleet = await self.local()
        play = self.fleetiq(fleet, "play", "--wait", "600")
        await play.says(r"^No game server is free; trying again")
        play.transport.signalProcess("INT")
        self.assertEqual(await play.ends(), 128 + signal.SIGINT)
        self.assertTrue(all("free" in line for line in play.lines[1:]), play.story())


class AloneTests(EndToEndTestCase):
    """With nobody to speak to, and with nothing to say."""

    async def test_notReached(self) -> None:
        """An endpoint where nothing listens is a sentence and exit status 1."""
        listed = self.start("fleetiq", "--endpoint-url", "http://127.0.0.1:1", "list")
        self.assertEqual(await listed.ends(), 1)
        [sentence] = listed.lines
        self.assertIn("127.0.0.1:1", sentence)

    async def test_noRegion(self) -> None:
        """AWS without a region is a sentence and exit status 2."""
        listed = self.start("fleetiq", "--group", "MyGroup", "list")
        self.assertEqual(await listed.ends(), 2)
        [sentence] = listed.lines
        self.assertIn("--region", sentence)

    async def test_wrongUsage(self) -> None:
        """Wrong usage is a sentence and exit status 2; help is neither."""
        for words, status in ((("dance",), 2), (("play", "--help"), 0), (("--version",), 0)):
            command = self.start("fleetiq", *words)
            self.assertEqual(await command.ends(), status, command.story())
            self.assertNotIn("Traceback", command.story())

    async def test_lostOutput(self) -> None:
        """Output that cannot be written is a sentence; a reader who has left is none."""
        fleet = await self.local()
        for where, sentences in (("1</dev/null", 1), ("| true", 0)):
            listed = self.start("sh", "-c", f"fleetiq --endpoint-url {fleet.url} list {where}")
            self.assertEqual(await listed.ends(), sentences, listed.story())
            said = [line for line in listed.lines if "cannot be written to" in line]
            self.assertEqual((len(said), len(listed.lines)), (sentences, 1 + sentences))
