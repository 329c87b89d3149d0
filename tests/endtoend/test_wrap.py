"""C{twistd fleetiq-wrap}: executables of this machine as game servers."""

from __future__ import annotations

import os
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import skipUnless

from tests.endtoend.processes import ANY_PORT, Child, EndToEndTestCase, LocalFleetIQ

PROGRAM = str(Path(__file__).with_name("wrappedprogram.py"))
EXAMPLES = Path(__file__).parents[2] / "examples" / "executables"
ECHO = ("--", "python", PROGRAM, "{port}")
NODE = """
const server = require('net').createServer({ allowHalfOpen: true }, (player) => {
  player.on('error', () => player.destroy());
  player.pipe(player);
});
server.listen(Number(process.argv[1]), '127.0.0.1');
"""


class WrapTestCase(EndToEndTestCase):
    """Starts C{twistd fleetiq-wrap} with a local FleetIQ of its own."""

    async def wrap(self, *words: str, reactor: str = "default") -> tuple[Child, LocalFleetIQ]:
        """Start it with these options and this command; return when FleetIQ has started."""
        command = ("twistd", f"--reactor={reactor}", "-n", "fleetiq-wrap", f"--listen={ANY_PORT}")
        child = self.start(*command, f"--local={ANY_PORT}", *words)
        found = await child.nextLine(r" LOCAL FleetIQ on (\S+), AWS is not contacted\.$")
        return child, LocalFleetIQ(self.reactor, found[1])

    async def echoes(
        self, port: int, payload: bytes = b"hello\n", *, halfClose: bool = True
    ) -> None:
        """Have one player's bytes echoed, to the last one after its FIN."""
        player = await self.player(port)
        player.send(payload)
        await player.receives(payload)
        if not halfClose:
            player.transport.loseConnection()
            return
        player.send(b"the end")
        player.transport.loseWriteConnection()
        self.assertEqual(payload + b"the end", await player.whenClosed())

    async def lifeOf(
        self, *words: str, reactor: str = "default", size: int = 300_000, halfClose: bool = True
    ) -> None:
        """A whole life: register, two sessions, SIGTERM."""
        child, _ = await self.wrap(*words, reactor=reactor)
        port = await self.gamePort(child)
        first = await child.available()
        await self.echoes(port, b"x" * size, halfClose=halfClose)
        await child.nextLine(rf" Deregistered {first}\.$")
        second = await child.available()
        await self.echoes(port, halfClose=halfClose)
        await child.nextLine(rf" Deregistered {second}\.$")
        await child.available()
        child.transport.signalProcess("TERM")
        self.assertEqual(-signal.SIGTERM, await child.exitStatus())
        self.assertEqual([], self.processesOf(child))

    def processesOf(self, child: Child) -> list[str]:
        """Return the command lines of processes that still run with the folder of the test."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if (path / "cwd").resolve() == self.folder and path.name != str(os.getpid()):
                    found.append((path / "cmdline").read_text())
            except OSError:
                continue
        return found


class LifeTests(WrapTestCase):
    """Programs that do not use FleetIQ."""

    async def test_python(self) -> None:
        """See L{WrapTestCase.lifeOf}."""
        await self.lifeOf(*ECHO)

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_uvloop(self) -> None:
        """See L{WrapTestCase.lifeOf}."""
        await self.lifeOf(*ECHO, reactor="uvloop")

    @skipUnless(shutil.which("node"), "Node.js is not installed")
    async def test_node(self) -> None:
        """See L{WrapTestCase.lifeOf}."""
        await self.lifeOf("--", "node", "-e", NODE, "{port}")

    @skipUnless(shutil.which("ncat"), "ncat is not installed")
    async def test_ncat(self) -> None:
        """
        See L{WrapTestCase.lifeOf}. More bytes at once block ncat and cat, because each writes
        first. After a FIN of the player, ncat does not wait for the rest of cat's output.
        """
        await self.lifeOf(
            "--", "ncat", "-lk", "127.0.0.1", "{port}", "-e", "/bin/cat", size=5000, halfClose=False
        )

    @skipUnless(shutil.which("socat"), "socat is not installed")
    async def test_socat(self) -> None:
        """See L{WrapTestCase.lifeOf}."""
        listen = "TCP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
        await self.lifeOf("--", "socat", listen, "EXEC:/bin/cat")

    async def test_manyServers(self) -> None:
        """Each game server has a child of its own."""
        child, _ = await self.wrap("--servers=2", *ECHO)
        ports = [await self.gamePort(child), await self.gamePort(child)]
        await child.nextLine(r" Ready\.")
        for port in ports:
            await self.echoes(port)

    async def test_proxyProtocol(self) -> None:
        """The child receives the player's address in the header."""
        child, _ = await self.wrap("--proxy-protocol=v1", *ECHO)
        port = await self.gamePort(child)
        await child.available()
        player = await self.player(port)
        player.send(b"hello\n")
        local = player.transport.getHost()
        header = f"PROXY TCP4 127.0.0.1 127.0.0.1 {local.port} {port}\r\n".encode()
        await player.receives(header + b"hello\n")


class StartTests(WrapTestCase):
    """Children that do not start."""

    async def test_noExecutable(self) -> None:
        """The log has the reason; the exit code is 1."""
        child, _ = await self.wrap("--", "./missing")
        await child.nextLine(r"\[child \d+\] Cannot run './missing': No such file or directory\.$")
        await child.nextLine(r" The game cannot serve players: './missing' exited with 127 at its ")
        self.assertEqual(1, await child.exitStatus())

    async def test_silent(self) -> None:
        """A child that does not listen is never registered."""
        child, _ = await self.wrap("--start-timeout=1", "--", "cat", "/dev/zero")
        await child.nextLine(
            r" The game cannot serve players: nothing listens on port \d+ 1 s after"
        )
        self.assertEqual(1, await child.exitStatus())
        self.assertNotIn("Registering", child.describe())
        self.assertEqual([], self.processesOf(child))


class EndTests(WrapTestCase):
    """The end of the child, and of twistd."""

    async def test_crash(self) -> None:
        """If the child crashes, the game server deregisters; the process has the child's status."""
        child, _ = await self.wrap(*ECHO)
        port = await self.gamePort(child)
        await child.available()
        player = await self.player(port)
        player.send(b"exit 7\n")
        await child.nextLine(r" The child exited with 7\.$")
        await child.nextLine(r" Deregistered ")
        self.assertEqual(7, await child.exitStatus())

    async def test_restart(self) -> None:
        """With --restart, a child that crashes starts again. FleetIQ keeps the game server."""
        child, _ = await self.wrap("--restart=on-crash", *ECHO)
        port = await self.gamePort(child)
        await child.available()
        player = await self.player(port)
        player.send(b"exit 7\n")
        await child.nextLine(r" The child exited with 7: it starts again in 1 s\.$")
        await player.whenClosed()
        await child.nextLine(r" The child accepts connections on port \d+\.$")
        await child.available()
        await self.echoes(port)

    async def test_cleanExit(self) -> None:
        """With --restart on-crash, a child that exits with 0 ends the game server."""
        child, _ = await self.wrap("--restart=on-crash", *ECHO)
        port = await self.gamePort(child)
        await child.available()
        (await self.player(port)).send(b"exit 0\n")
        await child.nextLine(r" The child exited with 0\.$")
        await child.nextLine(r" All game servers are shut down\. ")
        child.transport.signalProcess("TERM")
        self.assertEqual(-signal.SIGTERM, await child.exitStatus())

    async def test_killed(self) -> None:
        """After kill -9 of twistd, no process of the child is left, not even its children."""
        child, _ = await self.wrap("--", "sh", "-c", f"python {PROGRAM} {{port}}; true")
        await child.available()
        self.assertNotEqual([], self.processesOf(child))
        child.transport.signalProcess("KILL")
        await child.exitStatus()
        await self.gone(child)

    async def gone(self, child: Child) -> None:
        """Wait until no process of the test is left."""
        await child.until("the end of all processes", lambda: not self.processesOf(child) or None)

    async def test_ignoresTerm(self) -> None:
        """A child that ignores SIGTERM is killed, with all its processes."""
        command = f"trap '' TERM; python {PROGRAM} {{port}} & wait; sleep 600"
        child, _ = await self.wrap("--kill-after=1", "--", "sh", "-c", command)
        await child.available()
        child.transport.signalProcess("TERM")
        await child.nextLine(r" The child has not ended after 1 s: killing it\.$")
        await child.nextLine(r" The child ended by SIGKILL\.$")
        self.assertEqual(-signal.SIGTERM, await child.exitStatus())
        self.assertEqual([], self.processesOf(child))

    async def test_drain(self) -> None:
        """After SIGTERM a session goes on for the grace period; the child ends after it."""
        child, _ = await self.wrap("--grace=600", *ECHO)
        port = await self.gamePort(child)
        await child.available()
        player = await self.player(port)
        player.send(b"hello\n")
        await player.receives(b"hello\n")
        await child.nextLine(r" UTILIZED: session 1\.$")
        child.transport.signalProcess("TERM")
        await child.nextLine(r" Waiting for the session to end, at most 600 s\.$")
        player.send(b"more\n")
        await player.receives(b"more\n")
        player.transport.loseConnection()
        await child.nextLine(r" Deregistered ")
        await child.nextLine(r" The child ended by SIGTERM\.$")
        self.assertEqual(-signal.SIGTERM, await child.exitStatus())


class ChannelTests(WrapTestCase):
    """A child that uses the socket, and whose players connect to it directly."""

    async def wrapAlone(self, *options: str) -> tuple[Child, LocalFleetIQ]:
        """Start it with C{--players none}."""
        port = self.freePort()
        speaking = ("--players=none", f"--child-port={port}", *options)
        return await self.wrap(*speaking, "--", "python", PROGRAM, "{port}", "speaking")

    def freePort(self) -> int:
        """Return a port that is free now."""
        import socket

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    async def test_session(self) -> None:
        """A claim starts the session. The child receives the claim, and ends the session."""
        child, fleet = await self.wrapAlone("--heartbeat=1")
        first = await child.available()
        claimed: Any = await fleet.call("ClaimGameServer", GameServerData="map=1")
        self.assertEqual(first, claimed["GameServer"]["GameServerId"])
        await child.nextLine(r"\[child \d+\] received \{.event.: .claimed., .data.: .map=1.\}$")
        await child.nextLine(r" UTILIZED: session 1\.$")
        port = int(claimed["GameServer"]["ConnectionInfo"].rpartition(":")[2])
        player = await self.player(port)
        player.send(b"end session\n")
        await child.nextLine(rf" Deregistered {first}\.$")
        second = await child.available()
        self.assertNotEqual(first, second)

    async def test_sessionTimeout(self) -> None:
        """A session that the child does not end ends by itself."""
        child, fleet = await self.wrapAlone("--heartbeat=1", "--session-timeout=1")
        await child.available()
        await fleet.call("ClaimGameServer")
        await child.nextLine(
            r" The child has not ended the session within 1 s \(--session-timeout\)"
        )
        await child.available()

    async def test_unhealthy(self) -> None:
        """After the event unhealthy no heartbeat is sent, until the event healthy."""
        child, fleet = await self.wrapAlone("--heartbeat=1")
        await child.available()
        (await self.player(await self.portOf(fleet))).send(b"unhealthy\n")
        await child.nextLine(r" The child is unhealthy: no map\.$")
        (await self.player(await self.portOf(fleet))).send(b"healthy\n")
        before = (await fleet.calls()).get("UpdateGameServer", 0)
        while (await fleet.calls()).get("UpdateGameServer", 0) == before:
            pass

    async def portOf(self, fleet: LocalFleetIQ) -> int:
        """Return the port of the one game server."""
        [server] = (await fleet.state())["gameServers"]
        return int(server["ConnectionInfo"].rpartition(":")[2])

    async def test_stop(self) -> None:
        """The child receives the event stop before SIGTERM."""
        child, _ = await self.wrapAlone("--kill-after=7")
        await child.available()
        child.transport.signalProcess("TERM")
        await child.nextLine(r"received \{.event.: .stop., .seconds.: 7\.0\}$")
        await child.nextLine(r" The child exited with 0\.$")
        self.assertEqual(-signal.SIGTERM, await child.exitStatus())


class HealthTests(WrapTestCase):
    """Health checks from outside."""

    async def test_command(self) -> None:
        """If the command fails, heartbeats are skipped."""
        healthy = self.folder / "healthy"
        healthy.touch()
        options = ("--log-level=debug", "--heartbeat=1", f"--health-command=test -e {healthy}")
        child, _ = await self.wrap(*options, *ECHO)
        await child.available()
        await child.nextLine(r" UpdateGameServer took ")
        healthy.unlink()
        await child.nextLine(r" The child is unhealthy: --health-command fails\.$")

    async def test_url(self) -> None:
        """If the URL does not return 2xx, heartbeats are skipped."""
        child, _ = await self.wrap(
            "--heartbeat=1", "--health-http=http://127.0.0.1:{port}/missing", *ECHO
        )
        await child.available()
        await child.nextLine(r" The child is unhealthy: --health-http fails\.$")


class ExampleTests(WrapTestCase):
    """The examples: servers in several languages that use the socket."""

    async def speaks(self, *command: str) -> None:
        """A session, the data of its claim, and the end."""
        child, fleet = await self.wrap("--", *command)
        port = await self.gamePort(child)
        await child.available()
        await fleet.call("ClaimGameServer", GameServerData="map=1")
        player = await self.player(port)
        player.send(b"hello")
        await player.receives(b"hello")
        await child.nextLine(r"\[child \d+\] event: .*claimed.*map=1")
        player.transport.loseConnection()
        await child.available()
        child.transport.signalProcess("TERM")
        # Both the event "stop" and SIGTERM end it: what arrives first.
        await child.nextLine(r" The child (exited with 0|ended by SIGTERM)\.$")
        self.assertEqual(-signal.SIGTERM, await child.exitStatus())
        self.assertEqual([], self.processesOf(child))

    async def test_python(self) -> None:
        """See L{speaks}."""
        await self.speaks("python", str(EXAMPLES / "echo_server.py"), "{port}")

    @skipUnless(shutil.which("node"), "Node.js is not installed")
    async def test_node(self) -> None:
        """See L{speaks}."""
        await self.speaks("node", str(EXAMPLES / "echo_server.js"), "{port}")

    @skipUnless(shutil.which("cc"), "no C compiler is installed")
    async def test_c(self) -> None:
        """See L{speaks}."""
        built = str(self.folder / "echo_server")
        warnings = ("-Wall", "-Wextra", "-Werror", "-O2")
        compiling = self.start("cc", *warnings, "-o", built, str(EXAMPLES / "echo_server.c"))
        self.assertEqual(0, await compiling.exitStatus(), compiling.describe())
        await self.speaks(built, "{port}")

    @skipUnless(shutil.which("socat"), "socat is not installed")
    async def test_bash(self) -> None:
        """See L{speaks}."""
        await self.speaks(str(EXAMPLES / "echo_server.sh"), "{port}")
