"""One process in memory: start, errors at the start, order of the stop."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.logger import LogLevel, capturedLogs

from echoserver.ec2.metadata import RESPONSE_TIMEOUT
from echoserver.server.endpoints import advice, endpointOf
from echoserver.server.process import BETWEEN_SERVERS, ServerProcess
from tests.awsdoubles import INSTANCE_ID, LoopbackEndpoint, logLines
from tests.programdoubles import EchoOptions, Pool, ProgramTestCase, RecordingService

ON_AWS = ("--group=group", "--region=us-east-1")
IDENTIFIED = (*ON_AWS, f"--instance-id={INSTANCE_ID}", "--connection-info=localhost:{port}")


class StartTests(ProgramTestCase):
    """The start, up to the registration or to the error message that ends the process."""

    def setUp(self) -> None:
        super().setUp()
        self.endpoint = LoopbackEndpoint()
        self.addCleanup(self.endpoint.close)
        self.variables = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL_GAMELIFT": self.endpoint.url,
        }

    def acceptCalls(self) -> None:
        """Have FleetIQ confirm each call."""
        self.endpoint.gameServer = {
            "GameServerGroupName": "group",
            "InstanceId": INSTANCE_ID,
            "ConnectionInfo": "localhost:5000",
            "UtilizationStatus": "AVAILABLE",
        }

    def test_ready(self) -> None:
        """With all options given, no metadata is requested. The log has each step of the start."""
        self.acceptCalls()
        program, lines = self.started(*IDENTIFIED, "--game-server-id=mine", **self.variables)
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertEqual((program.exitCode, self.reactor.hasStopped), (0, False))
        players = "players connect to localhost:5000 (from localhost:{port})"
        *steps, ready = (line for line in lines if "took" not in line)
        self.assertEqual(
            steps,
            [
                "Listening for players on 0.0.0.0:5000.",
                f"FleetIQ on {self.endpoint.url} in us-east-1, group group.",
                f"Instance {INSTANCE_ID} (from --instance-id); {players}.",
                "Registering mine.",
                "AVAILABLE as mine.",
            ],
        )
        self.assertIn("In another terminal, type: ", ready)
        self.assertIn("--region us-east-1 --group group play", ready)

    def test_oneByOne(self) -> None:
        """Several game servers register one after another, and the reactor runs in between."""
        self.acceptCalls()
        same = "--connection-info=localhost:5000"
        self.started(*IDENTIFIED, same, "--servers=3", **self.variables)
        self.assertEqual(len(self.endpoint.requests), 1)
        self.reactor.pump([BETWEEN_SERVERS, 0.0, BETWEEN_SERVERS, 0.0])
        self.assertEqual(len(self.endpoint.requests), 3)

    def test_late(self) -> None:
        """If the reactor is late, the next registration waits twice the delay."""
        self.acceptCalls()
        same = "--connection-info=localhost:5000"
        self.started(*IDENTIFIED, same, "--servers=2", **self.variables)
        self.reactor.advance(BETWEEN_SERVERS + 0.1)
        self.reactor.advance(0.19)
        self.assertEqual(len(self.endpoint.requests), 1)
        self.reactor.advance(0.02)
        self.assertEqual(len(self.endpoint.requests), 2)

    def test_stopped(self) -> None:
        """A stop deregisters before the thread pool stops; the exit code is 0."""
        self.acceptCalls()
        program, _ = self.started(*IDENTIFIED, **self.variables)
        self.endpoint.setResponse(200, {})
        self.successResultOf(program.stopService())
        targets = [head.partition(b"GameLift.")[2].split()[0] for head in self.endpoint.requests]
        self.assertEqual(targets, [b"RegisterGameServer", b"DeregisterGameServer"])
        self.assertEqual(self.order, ["pool started", "pool for 1", "pool"])
        self.assertEqual(program.exitCode, 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """A permanent refusal before the first registration ends the process with 3."""
        self.endpoint.setError(400, "AccessDeniedException", "not for you")
        program, lines = self.started(*IDENTIFIED, **self.variables)
        self.assertEqual((program.exitCode, self.reactor.hasStopped), (3, True))
        sentence = (
            "RegisterGameServer was refused: AccessDeniedException: not for you."
            " Allow gamelift:RegisterGameServer on the group to this role or user."
        )
        self.assertIn(sentence, lines)

    def test_refusedTwice(self) -> None:
        """If every game server is refused, the reason is logged once."""
        self.endpoint.setError(400, "AccessDeniedException")
        same = "--connection-info=localhost:5000"
        with capturedLogs() as events:
            self.started(*IDENTIFIED, same, "--servers=2", **self.variables)
            self.reactor.pump([BETWEEN_SERVERS, 0.0])
        self.assertEqual(len(self.endpoint.requests), 2)
        self.assertEqual(1, sum(each["log_level"] is LogLevel.critical for each in events))

    def test_refusedLater(self) -> None:
        """After the first registration, a refusal of another one does not end the process."""
        self.acceptCalls()
        same = "--connection-info=localhost:5000"
        program, _ = self.started(*IDENTIFIED, same, "--servers=2", **self.variables)
        self.endpoint.setError(400, "AccessDeniedException")
        self.reactor.pump([BETWEEN_SERVERS, 0.0])
        self.assertEqual(len(self.endpoint.requests), 2)
        self.assertEqual((program.exitCode, self.reactor.hasStopped), (0, False))

    def test_noProfile(self) -> None:
        """A profile that does not exist ends the process with 1."""
        program, lines = self.started(*IDENTIFIED, AWS_PROFILE="nowhere")
        self.assertEqual((program.exitCode, self.reactor.hasStopped), (1, True))
        self.assertTrue(lines[-1].startswith("boto3 did not start: The config profile (nowhere)"))

    def test_silentMetadata(self) -> None:
        """Without an identity the process ends with 3, and a message with both alternatives."""
        program, _ = self.started(*ON_AWS)
        self.assertEqual(len(self.reactor.tcpClients), 1)
        with capturedLogs() as events:
            self.reactor.advance(RESPONSE_TIMEOUT)
        self.assertEqual((program.exitCode, self.reactor.hasStopped), (3, True))
        (sentence,) = logLines(events)
        self.assertEqual(
            sentence,
            "The instance metadata service at http://169.254.169.254 does not respond: no complete"
            " response within 2 s. Leave out --group to use the local FleetIQ, or give --region,"
            " --instance-id and --connection-info.",
        )

    def test_longConnectionInfo(self) -> None:
        """If the option itself is wrong, the message has no hint to use other options."""
        info = "--connection-info=" + "x" * 511 + "{port}"
        program, lines = self.started(*IDENTIFIED, info, **self.variables)
        self.assertEqual(program.exitCode, 3)
        self.assertEqual(
            lines[-1],
            "--connection-info has 515 characters with its fields filled in; FleetIQ allows 1 to"
            " 512. Shorten it.",
        )

    def test_failsBeforeReactorRuns(self) -> None:
        """If the start fails before the reactor runs, the reactor is stopped when it runs."""
        self.reactor.started = False
        self.started(*IDENTIFIED, AWS_PROFILE="nowhere")
        ((stop, _, _),) = self.reactor.whenRunningHooks
        self.assertEqual(stop, self.reactor.stop)

    def test_stoppedDuringStart(self) -> None:
        """A stop during the start logs no failure."""
        program, _ = self.started(*ON_AWS)
        with capturedLogs() as events:
            self.successResultOf(program.stopService())
        lines = ["Stopping. A signal skips the grace period of running sessions."]
        self.assertEqual((program.exitCode, logLines(events)), (0, lines))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_internalError(self) -> None:
        """An internal error is logged with its traceback, and ends the process with 1."""
        self.endpoint.setResponse(200, b"")
        program = self.program(*IDENTIFIED, **self.variables)
        self.patch(program, "_environ", None)
        program.startService()
        self.assertEqual((program.exitCode, self.reactor.hasStopped), (1, True))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


class StateDirTests(ProgramTestCase):
    """The option --state-dir."""

    def test_unusable(self) -> None:
        """A folder that is not writable ends the process before it listens."""
        inUse = Path(self.mktemp())
        inUse.touch()
        message = self.cannotStart(*ON_AWS, f"--state-dir={inUse}")
        self.assertRegex(
            message, "^twistd fleetiq-echo: --state-dir: cannot write in '.*' (.*): name"
        )
        self.assertEqual((self.order, self.reactor.tcpServers), ([], []))


class StatusTests(ProgramTestCase):
    """The status port."""

    def test_noStatus(self) -> None:
        """Without the option only the game port listens."""
        self.started(*ON_AWS)
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [5000])

    def test_taken(self) -> None:
        """A port that is inUse ends the start, with another to try."""
        self.reactor.inUse = {8080}
        self.assertEqual(
            self.cannotStart(*ON_AWS, "--status=tcp:8080"),
            "twistd fleetiq-echo: --status: cannot listen there ([Errno 98] Address already in"
            " use). Choose another, for example --status tcp:8081:interface=127.0.0.1.",
        )

    def test_noEndpoint(self) -> None:
        """A text that is not an endpoint description is rejected with an example."""
        exit = self.assertRaises(SystemExit, self.program, *ON_AWS, "--status=8080x")
        self.assertRegex(str(exit.code), "--status '8080x' cannot be used: .* tcp:8080:interface=")

    def test_listens(self) -> None:
        """The status port is opened before the game port."""
        program, lines = self.started(*ON_AWS, "--status=tcp:8080:interface=127.0.0.1")
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [8080, 5000])
        self.assertTrue(lines[0].startswith("Status on "), lines[0])
        self.successResultOf(program.stopService())


class PortTests(ProgramTestCase):
    """Ports that cannot be bound end the start with a message."""

    def test_players(self) -> None:
        """The message for the game port has another port, and for 5000 a hint for macOS."""
        for port, airPlay, another in [
            (5000, " On macOS, AirPlay Receiver often uses it.", 5001),
            (7000, "", 7001),
            (65535, "", 5000),
        ]:
            self.reactor.inUse = {port}
            self.assertEqual(
                self.cannotStart(*IDENTIFIED, f"--listen=tcp:{port}"),
                f"twistd fleetiq-echo: cannot listen for players on port {port}"
                f" ([Errno 98] Address already in use).{airPlay} Choose another, for example"
                f" --listen tcp:{another}.",
            )

    def test_advice(self) -> None:
        """Another port is advised only if the port is in use."""
        for number, message in [
            (errno.EACCES, "choose a higher one."),
            (errno.EADDRNOTAVAIL, "Check the endpoint description."),
        ]:
            self.assertTrue(advice(OSError(number, "no"), "in use").endswith(message))
        self.assertEqual("in use", advice(OSError(errno.EADDRINUSE, "no"), "in use"))

    def test_daemon(self) -> None:
        """A daemon raises an Exception, because twistd does not report a SystemExit."""
        self.reactor.inUse = {5000}
        options = EchoOptions({})
        parent: Any = {"nodaemon": 0, "pidfile": "twistd.pid"}
        options.parent = parent
        options.parseOptions([*IDENTIFIED])
        program = ServerProcess(
            self.reactor, options.settings, {}, options.makeFactory, options.command, options
        )
        self.patch(program, "_pool", Pool(self.order))
        program._startErrors.started()  # without a standard error, as if it was closed
        error = self.assertRaises(RuntimeError, program.startService)
        self.assertIn("cannot listen for players on port 5000", str(error))

    def test_path(self) -> None:
        """For a UNIX socket, the message has an example with TCP."""
        self.reactor.inUse = {"/run/echo"}
        sentence = self.cannotStart(*IDENTIFIED, "--listen=unix:/run/echo")
        self.assertIn("on /run/echo ", sentence)
        self.assertIn("--listen tcp:5000.", sentence)

    def test_oneOfSeveral(self) -> None:
        """If one of several ports is in use, the start ends."""
        self.reactor.inUse = {5002}
        self.assertIn("on port 5002", self.cannotStart(*IDENTIFIED, "--servers=3"))

    def test_local(self) -> None:
        """If the port of the local FleetIQ is in use, the message names --local."""
        self.reactor.inUse = {4570}
        self.assertEqual(
            self.cannotStart(),
            "twistd fleetiq-echo: the local FleetIQ cannot listen on port 4570 ([Errno 98] Address"
            " already in use). If a local FleetIQ runs there, join it with --local"
            " http://127.0.0.1:4570; else give another port, for example --local"
            " tcp:4571:interface=127.0.0.1.",
        )

    def test_noLocal(self) -> None:
        """A wrong --local is rejected."""
        self.assertTrue(self.cannotStart("--local=x").startswith("twistd fleetiq-echo: --local: "))

    def test_embedded(self) -> None:
        """The embedded FleetIQ listens before the game port. The first log line has its URL."""
        _, lines = self.started()
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [4570, 5000])
        first = next(line for line in lines if "FleetIQ" in line)
        self.assertEqual(first, "LOCAL FleetIQ on http://127.0.0.1:4570, AWS is not contacted.")

    def test_noEndpoint(self) -> None:
        """Each wrong description is one sentence, for any exception of Twisted and OpenSSL."""
        garbage = Path(self.mktemp())
        garbage.write_text("no key")
        for description in (
            "",
            "nonsense",
            "tcp:5000:nonsense=1",
            "tcp:5000:1:2:3",
            "tcp:5000:backlog=many",
            "tcp:\\",
            "ssl:443:privateKey=/nowhere.pem",
            f"ssl:443:privateKey={garbage}",
            "systemd:domain=INET:index=0",
            "unix:/x:mode=rw",
        ):
            exit = self.assertRaises(SystemExit, endpointOf, self.reactor, description)
            message = str(exit.code)
            self.assertTrue(
                message.startswith(
                    f"twistd fleetiq-echo: --listen '{description}' cannot be used: "
                )
            )
            self.assertTrue(message.endswith(" Write for example tcp:5000."), message)


class StopTests(ProgramTestCase):
    """The order in which the parts of a process stop."""

    def test_sequence(self) -> None:
        """Game servers stop concurrently; then the thread pool stops, then the local FleetIQ."""
        program = self.program()
        one, two = RecordingService("one", self.order), RecordingService("two", self.order)
        local = RecordingService("local", self.order)
        self.patch(program, "_servers", [one, two])
        self.patch(program, "_local", local)
        stopped = program.stopService()
        self.assertEqual(self.order, ["pool for 2", "one"])
        self.reactor.pump([BETWEEN_SERVERS, 0.0])
        self.assertEqual(self.order, ["pool for 2", "one", "two"])
        one.stopped.callback(None)
        self.assertEqual(self.order, ["pool for 2", "one", "two"])
        two.stopped.callback(None)
        self.assertEqual(self.order, ["pool for 2", "one", "two", "pool", "local"])
        self.assertNoResult(stopped)
        local.stopped.callback(None)
        self.successResultOf(stopped)

    def test_allShutDown(self) -> None:
        """When all game servers are shut down, the process ends with 0."""
        program, _ = self.started(*ON_AWS, "--servers=2")
        one, two = program._servers
        one.stopService()
        self.assertFalse(self.reactor.hasStopped)
        with capturedLogs() as events:
            two.stopService()
        self.assertIn("All game servers are shut down.", logLines(events))
        self.assertEqual((self.reactor.hasStopped, program.exitCode), (True, 0))

    def test_embeddedStays(self) -> None:
        """An embedded FleetIQ stays after its game servers. The log has the way to end it."""
        program, _ = self.started(*ON_AWS)
        self.patch(program, "_local", SimpleNamespace(url="http://127.0.0.1:4570"))
        with capturedLogs() as events:
            program._servers[0].stopService()
        self.assertIn(
            "All game servers are shut down. The local FleetIQ stays at http://127.0.0.1:4570:"
            " press Ctrl-C, or send SIGTERM, to end it.",
            logLines(events),
        )
        self.assertFalse(self.reactor.hasStopped)

    def test_signalIsNamed(self) -> None:
        """The log names the signal that skips the grace period: a second one, or the first."""
        for signalled, lines in [
            (True, ["Stopping. A second signal skips the grace period of running sessions."]),
            (False, ["Stopping. A signal skips the grace period of running sessions."]),
        ]:
            program = self.program()
            self.patch(program, "_servers", [])
            if signalled:
                program.signalled = True
            with capturedLogs() as events:
                self.successResultOf(program.stopService())
            self.assertEqual(logLines(events), lines)
