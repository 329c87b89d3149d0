"""Signals to a game server: idle, with a session, while it starts, while FleetIQ is slow."""

import contextlib
import os
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from unittest import skipUnless

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import deferLater

from tests.endtoend.processes import ANY_PORT, UVLOOP_POLICY, EndToEndTestCase

BY_SIGTERM = -signal.SIGTERM
STOPPING = r" Stopping\. A second signal skips the grace period of running sessions\.$"


class IdleTests(EndToEndTestCase):
    """There is no player."""

    async def test_terminated(self) -> None:
        """See L{deregistersThenEnds}."""
        await self.deregistersThenEnds("default")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_underUvloop(self) -> None:
        """See L{deregistersThenEnds}."""
        await self.deregistersThenEnds("uvloop")

    async def deregistersThenEnds(self, reactor: str) -> None:
        """The port is closed after the deregistration, and the process ends by the signal."""
        child, _, port = await self.embedded("--grace=600", reactor=reactor)
        gameServerId = await child.available()
        await child.nextLine(r" Ready\.")
        child.transport.signalProcess("TERM")
        await child.nextLine(STOPPING)
        await child.nextLine(rf" Deregistered {gameServerId}\.$")
        await child.nextLine(rf"\(TCP Port {port} Closed\)$")
        self.assertEqual(await child.exitStatus(), BY_SIGTERM)

    async def test_fleetIQDoesNotRespond(self) -> None:
        """The process ends, and logs the game server that can stay registered."""
        child, fleet, _ = await self.embedded(reactor="asyncio")
        gameServerId = await child.available()
        await fleet.addFault(operation="*", kind="slow", seconds=60)
        child.transport.signalProcess("TERM")
        left = rf" Not deregistered in time: {gameServerId} can stay registered until "
        await child.nextLine(left)
        self.assertEqual(await child.exitStatus(), BY_SIGTERM)

    async def test_whileStarting(self) -> None:
        """A metadata service without a response delays nothing; a call to Register is undone."""
        fleet = await self.local()
        await fleet.addFault(operation="RegisterGameServer", kind="slow", seconds=1)
        discovering = self.echo(f"--local=http://127.0.0.1:{self.busyPort()}", reactor="asyncio")
        registering = self.echo(f"--local={fleet.url}")
        await self.gamePort(discovering)
        discovering.transport.signalProcess("TERM")
        gameServerId = (await registering.nextLine(r" Registering (\S+)\.$"))[1]
        registering.transport.signalProcess("TERM")
        await registering.nextLine(rf" Deregistered {gameServerId}\.$")
        self.assertEqual(await registering.exitStatus(), BY_SIGTERM)
        self.assertEqual(await discovering.exitStatus(), BY_SIGTERM)
        self.assertEqual(await fleet.gameServers(), {})


class SessionTests(EndToEndTestCase):
    """A session is running."""

    async def test_terminated(self) -> None:
        """See L{skipsTheGracePeriod}."""
        await self.skipsTheGracePeriod("TERM", "default")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_terminatedUnderUvloop(self) -> None:
        """See L{skipsTheGracePeriod}."""
        await self.skipsTheGracePeriod("TERM", "uvloop")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_interruptedUnderUvloopPolicy(self) -> None:
        """See L{skipsTheGracePeriod}."""
        await self.skipsTheGracePeriod("INT", UVLOOP_POLICY)

    async def skipsTheGracePeriod(self, name: str, reactor: str) -> None:
        """The first signal closes the port; the second one ends the grace period."""
        child, fleet, port = await self.embedded("--grace=600", reactor=reactor)
        gameServerId = await child.available()
        player = await self.player(port)
        player.send(b"before")
        await player.receives(b"before")
        await child.nextLine(r" UTILIZED: session 1\.$")
        child.transport.signalProcess(name)
        await child.nextLine(STOPPING)
        await child.nextLine(r" Waiting for the session to end, at most 600 s\.$")
        with self.assertRaises(ConnectionRefusedError):
            await self.player(port)
        player.send(b"after")
        await player.receives(b"after")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})
        child.transport.signalProcess(name)
        await child.nextLine(r" Second signal received: skipping the grace period\.$")
        self.assertEqual(await player.whenClosed(), b"beforeafter")
        await child.nextLine(rf" Deregistered {gameServerId}\.$")
        self.assertEqual(await child.exitStatus(), -signal.Signals[f"SIG{name}"])


class EverySignalTests(EndToEndTestCase):
    """Each signal on each reactor, with a player in the session."""

    async def everySignal(self, reactor: str) -> None:
        """
        SIGHUP is as SIGTERM, and SIGQUIT as SIGTERM without a grace period. SIGUSR1 and SIGUSR2
        change nothing. The game server is deregistered, and the process ends by the signal.
        """
        fleet = await self.local()
        for name in ("HUP", "QUIT"):
            number = signal.Signals[f"SIG{name}"]
            child = self.echo(f"--local={fleet.url}", "--grace=600", reactor=reactor)
            player = await self.player(await self.gamePort(child))
            await child.available()
            player.send(b"before")
            await player.receives(b"before")
            await child.nextLine(r" UTILIZED: session 1\.$")
            for reopening in (signal.SIGUSR1, signal.SIGUSR2):
                child.transport.signalProcess(reopening)
                await child.nextLine(rf" Received {reopening.name}: the log was opened again\.$")
            child.transport.signalProcess(number)
            await child.nextLine(rf" Received {number.name}, shutting down\.$")
            await child.nextLine(STOPPING)
            if name == "HUP":
                player.send(b"after")
                await player.receives(b"after")
                child.transport.signalProcess(number)
                await child.nextLine(r" Second signal received: skipping the grace period\.$")
            await child.nextLine(r" Deregistered ")
            self.assertEqual(await child.exitStatus(), -number)
            self.assertEqual(await fleet.gameServers(), {})

    async def test_default(self) -> None:
        """See L{everySignal}."""
        await self.everySignal("default")

    async def test_select(self) -> None:
        """See L{everySignal}."""
        await self.everySignal("select")

    async def test_poll(self) -> None:
        """See L{everySignal}."""
        await self.everySignal("poll")

    @skipUnless(find_spec("uvloop"), "uvloop is not installed")
    async def test_uvloop(self) -> None:
        """See L{everySignal}."""
        await self.everySignal("uvloop")


# Sends itself a signal in one phase of the start, then runs twistd as its script does.
_WHILE = """
import os, signal, sys
def interrupt(*_):
    os.kill(os.getpid(), {number})
{phase}
from twisted.scripts.twistd import run
run()
"""
_PHASES = {
    "imports": (
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'echoserver.ec2.identity': interrupt()\n"
        "sys.meta_path.insert(0, Finder())"
    ),
    "binding": (
        "from twisted.internet.endpoints import TCP4ServerEndpoint as E\n"
        "listen = E.listen\n"
        "E.listen = lambda *args: (interrupt(), listen(*args))[1]"
    ),
}


class StartingTests(EndToEndTestCase):
    """A signal while modules are imported, and while the port is bound."""

    async def test_everyPhase(self) -> None:
        """The process ends by the signal, without a traceback."""
        for phase, code in _PHASES.items():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                child = self.start(
                    *("python", "-c", _WHILE.format(number=int(number), phase=code), "-n"),
                    *("fleetiq-echo", f"--listen={ANY_PORT}", f"--local={ANY_PORT}"),
                )
                self.assertEqual(await child.exitStatus(), -number, (phase, child.describe()))
                self.assertNotIn("Traceback", child.describe(), phase)
                self.assertNotIn("Cannot start", child.describe(), phase)


class DaemonTests(EndToEndTestCase):
    """twistd without -n."""

    async def daemon(self, *options: str) -> tuple[int, Path]:
        """Start a daemon. Return its process id, and its log."""
        log = self.folder / "twistd.log"
        parent = self.start("twistd", *options)
        self.assertEqual(await parent.exitStatus(), 0, parent.describe())
        pid = int((self.folder / "twistd.pid").read_text())
        self.addCleanup(self.killed, pid)
        return pid, log

    def killed(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def untilTrue(self, look: Callable[[], bool]) -> None:
        for _ in range(600):
            if look():
                return
            await deferLater(self.reactor, 0.05)
        raise AssertionError("Waited 30 s in vain.")

    async def untilLogged(self, log: Path, text: str) -> None:
        await self.untilTrue(lambda: log.exists() and text in log.read_text())

    async def test_signals(self) -> None:
        """SIGHUP opens the log again. SIGQUIT and SIGTERM remove the pid file."""
        for command in ("fleetiq-echo", "fleetiq-local"):
            for number in (signal.SIGTERM, signal.SIGQUIT):
                options = [command, f"--listen={ANY_PORT}"]
                if command == "fleetiq-echo":
                    options.append(f"--local={ANY_PORT}")
                pid, log = await self.daemon(*options)
                await self.untilLogged(log, "http://")
                log.rename(f"{log}.old")
                os.kill(pid, signal.SIGHUP)
                await self.untilLogged(log, "Received SIGHUP: the log")
                os.kill(pid, number)
                await self.untilTrue(lambda: not (self.folder / "twistd.pid").exists())
                await self.untilLogged(log, "Server Shut Down.")
                log.unlink()

    async def test_portTaken(self) -> None:
        """If the port is in use, the whole sentence is shown, and no pid file is left."""
        port = self.busyPort()
        for command, advice in (
            ("fleetiq-echo", f"Choose another, for example --listen tcp:{port + 1}."),
            ("fleetiq-local", "such as --listen tcp:4571:interface=127.0.0.1"),
        ):
            options = [command, f"--listen=tcp:{port}"]
            if command == "fleetiq-echo":
                options.append(f"--local={ANY_PORT}")
            child = self.start("twistd", *options)
            self.assertEqual(await child.exitStatus(), 1)
            self.assertIn(advice, child.describe())
            # The daemon removes it after its parent has ended.
            await self.untilTrue(lambda: not (self.folder / "twistd.pid").exists())
            child = self.start("twistd", "-n", "--pidfile=named.pid", *options)
            self.assertEqual(await child.exitStatus(), 1)
            self.assertIn(advice, child.describe())
            self.assertFalse((self.folder / "named.pid").exists())


class KilledTests(EndToEndTestCase):
    """The process is killed."""

    async def test_staysRegistered(self) -> None:
        """Players are disconnected at once. FleetIQ drops the game server after 180 s."""
        fleet = await self.local()
        child = self.echo(f"--local={fleet.url}")
        player = await self.player(await self.gamePort(child))
        player.send(b"hello")
        await player.receives(b"hello")
        gameServerId = await child.available()
        await child.nextLine(r" UTILIZED: session 1\.$")
        self.assertEqual(await child.kill(), -signal.SIGKILL)
        self.assertEqual(await player.whenClosed(), b"hello")
        self.assertEqual(await fleet.gameServers(), {gameServerId: "UTILIZED"})
        await fleet.control("clock", advance=181)
        self.assertEqual(await fleet.gameServers(), {})
