"""The fleetiq command as a real process, with the server of the workshop and without one."""

import signal
from pathlib import Path
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Site

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
        """Each signal ends a command without a message; the process ends by this signal."""
        fleet = await self.local()
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            play = self.fleetiq(fleet, "play", "--wait", "600")
            await play.nextLine(r"^No game server is free; trying again")
            play.transport.signalProcess(int(ending))
            self.assertEqual(await play.exitStatus(), -ending)
            self.assertTrue(all("free" in line for line in play.lines[1:]), play.describe())


class TextTests(EndToEndTestCase):
    """Play on the echo server: sent data comes back unchanged."""

    async def test_anyLength(self) -> None:
        """A piped line of any length comes back as one line, with its characters whole."""
        child, fleet, _ = await self.embedded()
        await child.available()
        (self.folder / "in").write_text("가" * 40000 + "q\n")
        play = self.start(
            "sh", "-c", f"fleetiq --endpoint-url {fleet.url} play <in >out && cmp in out"
        )
        self.assertEqual(await play.exitStatus(), 0, play.describe())

    async def test_locale(self) -> None:
        """Korean text is sent in the C locale, too, and a line ending in it does not matter."""
        child, fleet, _ = await self.embedded()
        await child.available()
        play = self.start(
            *("fleetiq", "--endpoint-url", fleet.url, "play", "--send", "한\n국"),
            LC_ALL="C",
            PYTHONUTF8="0",
        )
        self.assertEqual(await play.exitStatus(), 0, play.describe())
        self.assertEqual(sorted(play.lines)[-2:], ["국", "한"])

    async def test_join(self) -> None:
        """A second player joins the session of the first one by the id, or by the address."""
        child, fleet, port = await self.embedded()
        gameServerId = await child.available()
        player = await self.player(port)
        player.send(b"first")
        await player.receives(b"first")
        refused = self.start("fleetiq", "--endpoint-url", fleet.url, "play", "--send", "x")
        await refused.nextLine(rf"type 'fleetiq play --server {gameServerId}'")
        for words in (("--server", gameServerId), ("--address", f"localhost:{port}")):
            play = self.start(
                "fleetiq", "--endpoint-url", fleet.url, "play", *words, "--send", "second"
            )
            self.assertEqual(await play.exitStatus(), 0, play.describe())
            self.assertIn("second", play.lines)


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

    async def test_otherServer(self) -> None:
        """A web server that is not FleetIQ is not believed, whatever its status is."""
        website = await self.website(b"<html>Welcome</html>")
        for words in ("list", "claim", "deregister gs-1 --yes", "update gs-1 --healthy"):
            command = self.start(
                "fleetiq", "--endpoint-url", website, "--group", "g", *words.split()
            )
            self.assertEqual(await command.exitStatus(), 1, command.describe())
            self.assertIn(f"{website} responded with status 200 and 20 bytes", command.lines[-1])

    async def website(self, body: bytes) -> str:
        """Start a web server that sends this body for each request. Return its URL."""

        class Page(Resource):
            isLeaf = True

            def render(self, request: Any) -> bytes:
                return body

        port = self.reactor.listenTCP(0, Site(Page()), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}"

    async def test_wrongUsage(self) -> None:
        """Wrong usage gives exit status 2, and --help and --version 0, all without a traceback."""
        for words, status in (
            (("dance",), 2),
            (("play", "--help"), 0),
            (("--version",), 0),
            (("-h",), 0),
            (("help", "play"), 0),
            (("deregister", "--instance", "i-0123456789abcdef0"), 2),
            (("local", "reset"), 2),
            (("local", "clock", "--advance", "-60"), 2),
            (("--group", "g", "--region", "ap northeast 2", "list"), 2),
            (("describe", b"\xff".decode("utf-8", "surrogateescape")), 2),
        ):
            command = self.start("fleetiq", *words)
            self.assertEqual(await command.exitStatus(), status, command.describe())
            self.assertNotIn("Traceback", command.describe())

    async def test_writeError(self) -> None:
        """A write error gives a message and exit status 1; a closed pipe gives no message."""
        fleet = await self.local()
        for words, banner in ((f"--endpoint-url {fleet.url} list", 1), ("--help", 0)):
            for redirection, messages, status in (
                ("1</dev/null", 1, 1),
                (">&-", 1, 1),
                (">/dev/full", 1, 1),
                ("| true", 0, 0),
            ):
                listed = self.start("sh", "-c", f"fleetiq {words} {redirection}")
                self.assertEqual(await listed.exitStatus(), status, listed.describe())
                errors = [line for line in listed.lines if "Cannot write to" in line]
                self.assertEqual((len(errors), len(listed.lines)), (messages, banner + messages))

    async def test_brokenPipe(self) -> None:
        """When the reader of its output has ended, the command ends by SIGPIPE."""
        ended = self.start("sh", "-c", "{ fleetiq --help; echo $? >&2; } | true")
        self.assertEqual(await ended.exitStatus(), 0)
        self.assertEqual(ended.lines, [str(128 + signal.SIGPIPE)])
