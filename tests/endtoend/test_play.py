"""The fleetiq command as a real process, with the server of the workshop and without one."""

import signal
from pathlib import Path

from tests.endtoend.processes import Child, EndToEndTestCase, LocalFleetIQ

WORKSHOP = Path(__file__).parent / "workshopserver.py"


class WorkshopTests(EndToEndTestCase):
    """Play on the server of the workshop, with a local FleetIQ instead of AWS."""

    async def workshop(self) -> tuple[Child, LocalFleetIQ, str]:
        """Start the server of the workshop. Return it, its FleetIQ, and its port."""
        fleet = await self.local()
        server = self.start(
            *("python", "-u", str(WORKSHOP), "local", "game-server-1", "us-east-1", "0", fleet.url),
            AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
            AWS_ACCESS_KEY_ID="local",
            AWS_SECRET_ACCESS_KEY="local",
        )
        match = await server.nextLine(r"^TCP server waiting for Client on port (\d+)$")
        return server, fleet, match[1]

    def fleetiq(self, fleet: LocalFleetIQ, *words: str) -> Child:
        """Start the command with this FleetIQ as the endpoint."""
        return self.start("fleetiq", *words, AWS_ENDPOINT_URL_GAMELIFT=fleet.url)

    async def test_plays(self) -> None:
        """Lines and q arrive one by one, without line endings; then the next player can play."""
        server, fleet, port = await self.workshop()
        for _ in range(2):
            play = self.fleetiq(
                fleet, "play", "--port", port, "--wait", "20", "--send", "hello", "--send", "again"
            )
            await play.nextLine(r"^hello$")
            await play.nextLine(r"^again$")
            self.assertEqual(await play.exitStatus(), 0, play.describe())
            for line in ("hello", "again", "q"):
                await server.nextLine(rf"^RECEIVED: {line}$")
        calls = await fleet.calls()
        self.assertGreaterEqual(calls["DeregisterGameServer"], 1)
        self.assertGreaterEqual(calls["RegisterGameServer"], 2)

    async def test_standardInput(self) -> None:
        """Lines of standard input are sent one by one; the end of input quits."""
        server, fleet, port = await self.workshop()
        play = self.start(
            *("sh", "-c", f"printf 'hello\\nagain' | fleetiq play --port {port} --wait 20"),
            AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
        )
        self.assertEqual(await play.exitStatus(), 0, play.describe())
        for line in ("hello", "again", "q"):
            await server.nextLine(rf"^RECEIVED: {line}$")

    async def test_outputClosed(self) -> None:
        """When its output is closed, play quits."""
        server, fleet, port = await self.workshop()
        play = self.start(
            *("sh", "-c", f"yes hello | fleetiq play --port {port} --wait 20 | head -n 1"),
            AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
        )
        await play.nextLine(r"^hello$")
        self.assertEqual(await play.exitStatus(), 0, play.describe())
        await server.nextLine(r"^RECEIVED: q$")

    async def test_interrupted(self) -> None:
        """Ctrl-C ends a command without a message, with the exit status of SIGINT."""
        fleet = await self.local()
        play = self.fleetiq(fleet, "play", "--wait", "600")
        await play.nextLine(r"^No game server is free; trying again")
        play.transport.signalProcess("INT")
        self.assertEqual(await play.exitStatus(), 128 + signal.SIGINT)
        self.assertTrue(all("free" in line for line in play.lines[1:]), play.describe())


class ErrorTests(EndToEndTestCase):
    """Errors, and their exit statuses."""

    async def test_notReached(self) -> None:
        """An endpoint without a listener gives a message and exit status 1."""
        listed = self.start("fleetiq", "--endpoint-url", "http://127.0.0.1:1", "list")
        self.assertEqual(await listed.exitStatus(), 1)
        [message] = listed.lines
        self.assertIn("127.0.0.1:1", message)

    async def test_noRegion(self) -> None:
        """AWS without a region gives a message and exit status 2."""
        listed = self.start("fleetiq", "--group", "MyGroup", "list")
        self.assertEqual(await listed.exitStatus(), 2)
        [message] = listed.lines
        self.assertIn("--region", message)

    async def test_wrongUsage(self) -> None:
        """Wrong usage gives exit status 2, and --help and --version 0, all without a traceback."""
        for words, status in ((("dance",), 2), (("play", "--help"), 0), (("--version",), 0)):
            command = self.start("fleetiq", *words)
            self.assertEqual(await command.exitStatus(), status, command.describe())
            self.assertNotIn("Traceback", command.describe())

    async def test_writeError(self) -> None:
        """A write error gives a message and exit status 1; a closed pipe gives no message."""
        fleet = await self.local()
        for redirection, messages in (("1</dev/null", 1), ("| true", 0)):
            listed = self.start(
                "sh", "-c", f"fleetiq --endpoint-url {fleet.url} list {redirection}"
            )
            self.assertEqual(await listed.exitStatus(), messages, listed.describe())
            errors = [line for line in listed.lines if "Cannot write to" in line]
            self.assertEqual((len(errors), len(listed.lines)), (messages, 1 + messages))
