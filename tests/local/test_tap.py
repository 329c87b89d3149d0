"""Options of fleetiq-local, and the program as a real process."""

import socket
import sys
from collections.abc import Sequence
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL
from pathlib import Path
from signal import SIGTERM
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echoserver.local.service import LocalFleetIQ
from echoserver.local.tap import LocalProgram, Options, makeService, settingsOf

TWISTD = Path(sys.executable).with_name("twistd")


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


class OptionsTests(SynchronousTestCase):
    """The options and their values."""

    def test_defaults(self) -> None:
        """Without options there is one group with two instances, on loopback."""
        options = parsed()
        self.assertEqual("tcp:4570:interface=127.0.0.1", options["listen"])
        self.assertEqual((["local"], 2), (options["group"], options["instances"]))
        self.assertEqual((180.0, None), (options["health-timeout"], options["seed"]))
        self.assertEqual((1.0, "both"), (options["time-scale"], options["imds"]))

    def test_values(self) -> None:
        """Options that may be repeated are lists; numbers are parsed."""
        options = parsed("--group", "a", "--group=b", "--instances=3", "--seed=7")
        self.assertEqual(
            (["a", "b"], 3, 7), tuple(options[n] for n in ("group", "instances", "seed"))
        )
        self.assertEqual(0.5, parsed("--health-timeout", "0.5")["health-timeout"])
        settings = parsed("--setting=unclaimed=blank", "--setting", "default-page=7")["setting"]
        self.assertEqual(("blank", 7), (settings.unclaimed, settings.defaultPage))

    def test_quotas(self) -> None:
        """AWS's quotas apply only with the option."""
        self.assertFalse(settingsOf(parsed())["quotas"])
        self.assertTrue(settingsOf(parsed("--quotas"))["quotas"])

    def test_metadata(self) -> None:
        """Values of metadata may be repeated; user data is read from a file."""
        path = self.mktemp()
        Path(path).write_bytes(b"\xff")
        arguments = ("--metadata", "ami-id=ami-1", "--metadata=tags/instance/A=b=c")
        settings = settingsOf(parsed(*arguments, "--user-data", path))
        self.assertEqual({"ami-id": "ami-1", "tags/instance/A": "b=c"}, settings["metadata"])
        self.assertEqual(b"\xff", settings["userData"])
        self.assertEqual(({}, None), (parsed()["metadata"], parsed()["user-data"]))

    def test_longUserData(self) -> None:
        """User data longer than EC2 allows ends the program with its size."""
        path = self.mktemp()
        Path(path).write_bytes(b"x" * 16385)
        error = self.assertRaises(SystemExit, parsed, "--user-data", path)
        self.assertIn("as on EC2 it may have 16384 bytes, and has 16385.", str(error))

    def test_wrongValues(self) -> None:
        """A wrong value ends the program with the option, the value and what is allowed."""
        for arguments, sentence in (
            (
                ["--metadata", "ami-id"],
                "--metadata is 'ami-id': it must be KEY=VALUE, such as ami-id=ami-1.",
            ),
            (["--metadata", "/a=b"], "--metadata is '/a' is not a path of metadata"),
            (
                ["--user-data", "/nowhere"],
                "--user-data is '/nowhere': it cannot be read: No such file or directory.",
            ),
            (["--instances", "0"], "--instances is '0': it must be a whole number from 1 to 1000."),
            (["--instances", "two"], "--instances is 'two'"),
            (
                ["--health-timeout", "nan"],
                "--health-timeout is 'nan': it must be a number above 0, at most 86400.",
            ),
            (["--health-timeout", "-1"], "--health-timeout is '-1'"),
            (["--health-timeout", "x"], "--health-timeout is 'x'"),
            (
                ["--time-scale", "0"],
                "--time-scale is '0': it must be a number above 0, at most 3600.",
            ),
            (["--imds", "v3"], "--imds is 'v3': it must be v1, v2, both."),
            (
                ["--setting", "x=1"],
                "--setting is 'x=1': it must be NAME=VALUE. The names are unknown-g",
            ),
            (["--seed", "1.5"], "--seed is '1.5'"),
            (["--group", ""], "--group is ''"),
            (["--group", "a_b"], "--group is 'a_b': a group's name has 1 to 128 letters"),
            (["--group", "a", "--group", "a"], "--group a is given twice."),
            (
                ["--frob"],
                "option --frob not recognized; 'twistd fleetiq-local --help' lists the options.",
            ),
            (["extra"], "'extra' is not an option: options begin with --."),
        ):
            end = self.assertRaises(SystemExit, parsed, *arguments)
            self.assertIn(f"fleetiq-local: {sentence}", str(end.code))
            self.assertNotIn("\n", str(end.code))

    def test_wrongListen(self) -> None:
        """The endpoint must be TCP with a valid port."""
        for listen in ("", "4570", "udp:4570", "tcp:", "tcp:x", "tcp:65536", "tcp:1:frob=1"):
            end = self.assertRaises(SystemExit, makeService, parsed("--listen", listen))
            self.assertIn(f"--listen is {listen!r}: it must be", str(end.code))

    def test_bareColons(self) -> None:
        """The error for an IPv6 address without backslashes explains them."""
        for listen in ("tcp:0:interface=::1", "tcp6:0:interface=fe80::1", "tcp:1:interface=1:2:3"):
            end = self.assertRaises(SystemExit, makeService, parsed("--listen", listen))
            self.assertIn(f"--listen is {listen!r}: the colons of an address need", str(end.code))
            self.assertIn(r"tcp6:4570:interface=\:\:1", str(end.code))
        makeService(parsed("--listen", r"tcp:0:interface=\:\:1"))

    def test_noPidFile(self) -> None:
        """Under twistd -n no default pid file is written; an explicit one, or a daemon's, is."""
        for arguments, pidfile in (
            (["-n"], ""),
            (["-n", "--pidfile", "own.pid"], "own.pid"),
            ([], "twistd.pid"),
        ):
            options = ServerOptions()
            options.parseOptions([*arguments, "fleetiq-local"])
            self.assertEqual(pidfile, Path(options["pidfile"]).name)


class FailingReactor(MemoryReactorClock):
    """A reactor on which listening fails for one reason."""

    def __init__(self, reason: OSError) -> None:
        super().__init__()
        self._reason = reason

    def listenTCP(self, port: int, *_: Any, interface: str = "", **_more: Any) -> NoReturn:
        raise CannotListenError(interface, port, self._reason)


class CannotListenTests(SynchronousTestCase):
    """The error and the exit of the program if it cannot listen."""

    def program(self, reason: OSError, *twistdOptions: str) -> LocalProgram:
        options = ServerOptions()
        listen = "tcp:80:interface=192.0.2.1"
        options.parseOptions([*twistdOptions, "fleetiq-local", "--listen", listen])
        return LocalProgram(FailingReactor(reason), options.subOptions)

    def test_hints(self) -> None:
        """The hint depends on the error."""
        for reason, hint in (
            (
                OSError(EADDRINUSE, "In use"),
                "In use. Stop the program that listens there, or use another",
            ),
            (OSError(EACCES, "Denied"), "Denied. Ports below 1024 require root: use a higher one"),
            (
                OSError(EADDRNOTAVAIL, "Not here"),
                "Not here. The interface, '192.0.2.1', must be an address of this machine",
            ),
            (socket.gaierror(socket.EAI_NONAME, "Unknown"), "Unknown. The interface, '192.0.2.1'"),
        ):
            end = self.assertRaises(SystemExit, self.program(reason, "-n").startService)
            self.assertIn("cannot listen on tcp:80:interface=192.0.2.1: ", str(end.code))
            self.assertIn(hint, str(end.code))
            self.assertIn(", such as --listen tcp:4571:interface=127.0.0.1", str(end.code))

    def test_daemon(self) -> None:
        """A daemon raises an error, because twistd does not report a SystemExit."""
        program = self.program(OSError(EADDRINUSE, "In use"))
        program._startErrors.started()  # without a standard error, as if it was closed
        error = self.assertRaises(RuntimeError, program.startService)
        self.assertIn("In use. Stop the program that listens there", str(error))


class PortTests(TestCase):
    """Real ports."""

    async def test_portInUse(self) -> None:
        """If the port is in use, startService raises, and the service does not run."""
        from twisted.internet import reactor

        first = LocalFleetIQ(reactor, "tcp:0:interface=127.0.0.1")
        first.startService()
        self.addCleanup(first.stopService)
        listen = f"tcp:{first.url.rpartition(':')[2]}:interface=127.0.0.1"
        second = LocalFleetIQ(reactor, listen)
        self.assertRaises(CannotListenError, second.startService)
        self.assertFalse(second.running)
        program = LocalProgram(reactor, parsed("--listen", listen))
        end = self.assertRaises(SystemExit, program.startService)
        self.assertIn(f"fleetiq-local cannot listen on {listen}: ", str(end.code))
        self.assertIn("such as --listen tcp:4571", str(end.code))

    async def test_portIsFreeAfterStop(self) -> None:
        """After a stop the port can be bound again, even if a client keeps its connection."""
        from twisted.internet import reactor

        service = LocalFleetIQ(reactor, "tcp:0:interface=127.0.0.1")
        service.startService()
        port = int(service.url.rpartition(":")[2])
        client = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(client.close)
        await service.stopService()
        again = LocalFleetIQ(reactor, f"tcp:{port}:interface=127.0.0.1")
        again.startService()
        await again.stopService()


class Program(ProcessProtocol):
    """C{twistd fleetiq-local} in an empty environment."""

    def __init__(self) -> None:
        self.output = ""
        self.waiting: list[tuple[str, Deferred[str]]] = []
        self.ended: Deferred[Any] = Deferred()

    def childDataReceived(self, _childFD: int, data: bytes) -> None:
        self.output += data.decode()
        for text, seen in list(self.waiting):
            if text in self.output:
                self.waiting.remove((text, seen))
                seen.callback(self.output)

    def waitFor(self, text: str) -> Deferred[str]:
        """Return a Deferred that fires with the output when it contains this text."""
        seen: Deferred[str] = Deferred()
        self.waiting.append((text, seen))
        self.childDataReceived(1, b"")
        return seen

    def processEnded(self, reason: Failure) -> None:
        for _, seen in self.waiting:
            seen.errback(AssertionError(f"ended before this output: {self.output}"))
        self.ended.callback(reason.value)


class ProcessTests(TestCase):
    """The program itself, without AWS variables, home directory and PATH."""

    timeout = 30

    def run_(self, *arguments: str, mode: Sequence[str] = ("-n",)) -> tuple[Program, Any]:
        from twisted.internet import reactor

        program = Program()
        command = [str(TWISTD), *mode, "fleetiq-local", *arguments]
        folder = Path(self.mktemp())
        folder.mkdir()
        process = reactor.spawnProcess(program, command[0], command, env={}, path=str(folder))
        self.folder = folder
        return program, process

    async def test_run(self) -> None:
        """It logs its URL and the variables to set, leaves no file, and ends on SIGTERM."""
        program, process = self.run_("--listen", "tcp:0:interface=127.0.0.1")
        output = await program.waitFor("export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:")
        self.assertIn("FleetIQ for this machine on http://127.0.0.1:", output)
        self.assertIn(", group local, 2 instances", output)
        self.assertIn("export AWS_ENDPOINT_URL_GAMELIFT=http://127.0.0.1:", output)
        self.assertNotIn("Starting factory", output)
        self.assertEqual([], list(self.folder.iterdir()))
        process.signalProcess("TERM")
        self.assertEqual(SIGTERM, (await program.ended).signal)
        self.assertNotIn("Traceback", program.output)

    async def test_portInUse(self) -> None:
        """A port in use is a sentence with --listen, and exit status 1."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listen = f"tcp:{listening.getsockname()[1]}:interface=127.0.0.1"
            program, _ = self.run_("--listen", listen)
            self.assertEqual(1, (await program.ended).exitCode)
        self.assertIn(f"fleetiq-local cannot listen on {listen}", program.output)
        self.assertNotIn("Traceback", program.output)

    async def test_portInUseOfADaemon(self) -> None:
        """If a daemon cannot start, it reports that, ends with 1, and leaves no pid file."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listen = f"tcp:{listening.getsockname()[1]}:interface=127.0.0.1"
            program, process = self.run_("--listen", listen, mode=())
            self.addCleanup(lambda: process.pid and process.signalProcess("KILL"))
            self.assertEqual(1, (await program.ended).exitCode)
        self.assertIn(f"fleetiq-local cannot listen on {listen}", program.output)
        self.assertEqual(["twistd.log"], [path.name for path in self.folder.iterdir()])

    async def test_wrongOption(self) -> None:
        """A wrong option is one sentence, and exit status 1."""
        program, _ = self.run_("--instances", "many")
        self.assertEqual(1, (await program.ended).exitCode)
        [line] = program.output.splitlines()
        self.assertIn("--instances is 'many'", line)
