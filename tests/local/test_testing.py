"""The local FleetIQ for tests: in a thread, and in a child process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echoserver.local.model.values import instanceIdOf
from echoserver.local.testing import ControlRefused, RunningFleetIQ

SERVER = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
FIRST = instanceIdOf("local", 0)


def openFiles() -> int:
    return len(os.listdir("/dev/fd"))


def ourThreads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "fleetiq-local"]


def metadata(url: str, path: str) -> str:
    with urllib.request.urlopen(f"{url}/latest/meta-data/{path}") as response:
        text: str = response.read().decode()
        return text


class ThreadTests(SynchronousTestCase):
    """In a thread, for programs in Python."""

    def running(self, **options: Any) -> RunningFleetIQ:
        fleetIQ = RunningFleetIQ(**options)
        self.addCleanup(fleetIQ.stop)
        return fleetIQ

    def test_client(self) -> None:
        """Its clients return dates and raise typed errors."""
        client = self.running().client()
        server = client.register_game_server(InstanceId=FIRST, **SERVER)["GameServer"]
        age = datetime.now(UTC) - server["RegistrationTime"]
        self.assertLess(abs(age.total_seconds()), 60)
        with self.assertRaises(client.exceptions.ConflictException):
            client.register_game_server(InstanceId=FIRST, **SERVER)

    def test_addresses(self) -> None:
        """The metadata is that of the first instance, or of the named one."""
        fleetIQ = self.running(instances=3)
        ids = fleetIQ.instanceIds
        self.assertEqual(3, len(ids))
        self.assertEqual(ids[0], metadata(fleetIQ.metadataUrl, "instance-id"))
        self.assertEqual(ids[2], metadata(fleetIQ.metadataUrlOf(ids[2]), "instance-id"))
        environment = fleetIQ.environment
        self.assertEqual(fleetIQ.endpointUrl, environment["AWS_ENDPOINT_URL_GAMELIFT"])
        self.assertEqual(fleetIQ.metadataUrl, environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"])
        # boto3 reads the second, most other SDKs the first.
        self.assertEqual("us-east-1", environment["AWS_REGION"])
        self.assertEqual("us-east-1", environment["AWS_DEFAULT_REGION"])

    def test_faults(self) -> None:
        """A fault applies until all are ended."""
        fleetIQ = self.running()
        client = fleetIQ.client()
        self.assertEqual(
            "fault-1", fleetIQ.fault(operation="*", kind="error", code="UnauthorizedException")
        )
        with self.assertRaises(client.exceptions.UnauthorizedException):
            client.list_game_servers(GameServerGroupName="local")
        fleetIQ.endFaults()
        self.assertEqual([], client.list_game_servers(GameServerGroupName="local")["GameServers"])

    def test_clock(self) -> None:
        """After an advance, what is due expires at once, as the journal shows."""
        fleetIQ = self.running()
        client = fleetIQ.client()
        client.register_game_server(InstanceId=FIRST, **SERVER)
        for _ in range(2):
            client.claim_game_server(GameServerGroupName="local")
            fleetIQ.advance(60)
        events = [entry["event"] for entry in fleetIQ.journal() if entry["event"] != "call"]
        self.assertEqual(["registered", *["claimed", "clock", "claim-expired"] * 2], events)

    def test_interrupt(self) -> None:
        """An instance is interrupted, by Spot or another kind, and ends on time."""
        fleetIQ = self.running()
        fleetIQ.interrupt(FIRST, seconds=120)
        notice = json.loads(metadata(fleetIQ.metadataUrlOf(FIRST), "spot/instance-action"))
        self.assertEqual("terminate", notice["action"])
        fleetIQ.interrupt(instanceIdOf("local", 1), kind="draining")
        fleetIQ.advance(120)
        self.assertEqual([instanceIdOf("local", 1)], fleetIQ.instanceIds)
        [instance] = fleetIQ.state()["instances"]
        self.assertEqual("DRAINING", instance["InstanceStatus"])

    def test_reset(self) -> None:
        """A reset restores the state at the start."""
        fleetIQ = self.running()
        fleetIQ.client().register_game_server(InstanceId=FIRST, **SERVER)
        fleetIQ.reset()
        state = fleetIQ.state()
        self.assertEqual(([], {}), (state["gameServers"], state["calls"]))

    def test_controlError(self) -> None:
        """An error of a control raises an exception with its sentence."""
        error = self.assertRaises(
            ControlRefused, self.running().fault, operation="Frobnicate", kind="slow"
        )
        self.assertIn("POST /_local/faults: 400", str(error))
        self.assertIn("Frobnicate", str(error))

    def test_sideBySide(self) -> None:
        """Two that run at the same time are independent."""
        one, other = self.running(), self.running(groups=("other",))
        one.client().register_game_server(InstanceId=FIRST, **SERVER)
        self.assertEqual(1, len(one.state()["gameServers"]))
        self.assertEqual(0, len(other.state()["gameServers"]))
        self.assertEqual(instanceIdOf("other", 0), other.instanceIds[0])

    def test_cleanup(self) -> None:
        """After a stop no thread and no open file is left."""
        kept = []

        def use() -> None:
            with RunningFleetIQ() as fleetIQ:
                kept.append(fleetIQ.client())
                kept[-1].register_game_server(InstanceId=FIRST, **SERVER)
            with RunningFleetIQ():
                pass

        use()
        before = openFiles()
        for _ in range(3):
            use()
        self.assertLessEqual(openFiles(), before)  # files of earlier tests may be closed meanwhile
        self.assertEqual([], ourThreads())

    def test_portIsClosed(self) -> None:
        """After a stop the port is closed, and a second stop does nothing."""
        with RunningFleetIQ() as fleetIQ:
            port = int(fleetIQ.endpointUrl.rpartition(":")[2])
        fleetIQ.stop()
        with socket.socket() as caller:
            self.assertNotEqual(0, caller.connect_ex(("127.0.0.1", port)))

    def test_cannotStart(self) -> None:
        """If it cannot start, it raises, and leaves no thread and no open file."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listen = f"tcp:{listening.getsockname()[1]}:interface=127.0.0.1"
            before = openFiles()
            self.assertRaises(CannotListenError, RunningFleetIQ, listen=listen)
            self.assertRaises(ValueError, RunningFleetIQ, listen="tcp:x")
            self.assertLessEqual(openFiles(), before)
            self.assertEqual([], ourThreads())


# Uses one while a reactor of this kind runs, and one after it has stopped.
_BESIDE_A_REACTOR = """
import sys
from twisted.internet import {kind}
{kind}.install()
from twisted.internet import reactor, threads
from twisted.python.threadable import isInIOThread
from echoserver.local.testing import RunningFleetIQ

def use(beside):
    with RunningFleetIQ() as fleetIQ:
        fleetIQ.client().list_game_servers(GameServerGroupName="local")
        print(beside, type(reactor).__name__, isInIOThread())

def threaded():
    return threads.deferToThread(use, "in a thread").addBoth(lambda _: reactor.stop())

reactor.callWhenRunning(use, "running")
reactor.callLater(0, threaded)
reactor.run()
use("stopped")
"""
_WITHOUT_A_REACTOR = """
import sys
from echoserver.local.testing import RunningFleetIQ
with RunningFleetIQ() as fleetIQ:
    print(len(fleetIQ.client().list_game_server_groups()["GameServerGroups"]))
print("twisted.internet.reactor" in sys.modules)
"""


class ProgramTests(SynchronousTestCase):
    """In a thread of a separate program."""

    def outputOf(self, code: str, **environ: str) -> list[str]:
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((0, ""), (run.returncode, run.stderr))
        return run.stdout.splitlines()

    def test_withoutReactor(self) -> None:
        """No reactor is installed, and the machine's AWS settings are not read."""
        home = Path(self.mktemp()).resolve()
        (home / ".aws").mkdir(parents=True)
        for name in ("config", "credentials"):
            (home / ".aws" / name).write_text("not what botocore can read")
        settings = {
            "HOME": str(home),
            "AWS_PROFILE": "no-such-profile",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
            "HTTP_PROXY": "http://127.0.0.1:1",
        }
        self.assertEqual(["1", "False"], self.outputOf(_WITHOUT_A_REACTOR, **settings))

    def test_environment(self) -> None:
        """With its environment variables, boto3 in another program can call every operation."""
        calls = Path(__file__).parents[1] / "sdks" / "calls_of_boto3.py"
        with RunningFleetIQ() as fleetIQ:
            self.outputOf(calls.read_text(), **fleetIQ.environment)
            self.assertEqual(17, len(fleetIQ.state()["calls"]))

    def test_besideAReactor(self) -> None:
        """It runs beside the program's reactor, from its thread and from others, and after it."""
        for kind, name in (
            ("selectreactor", "SelectReactor"),
            ("asyncioreactor", "AsyncioSelectorReactor"),
        ):
            self.assertEqual(
                [f"running {name} True", f"in a thread {name} False", f"stopped {name} True"],
                self.outputOf(_BESIDE_A_REACTOR.format(kind=kind)),
            )


class ChildTests(TestCase):
    """In a child process, for programs in any language."""

    def start(self, *options: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "echoserver.local.testing", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        return child

    def announced(self, child: subprocess.Popen[str]) -> Any:
        assert child.stdout is not None
        return json.loads(child.stdout.readline())

    def test_standardInput(self) -> None:
        """It prints its URLs in one line, and ends when its standard input is closed."""
        child = self.start("--instances=3")
        urls = self.announced(child)
        self.assertEqual(FIRST, metadata(urls["metadataUrl"], "instance-id"))
        with urllib.request.urlopen(f"{urls['endpointUrl']}/_local/state") as response:
            self.assertEqual(3, len(json.load(response)["instances"]))
        self.assertEqual(("", ""), child.communicate("anything\n", timeout=30))
        self.assertEqual(0, child.returncode)

    def test_signal(self) -> None:
        """SIGTERM ends it, and SIGINT, without a traceback."""
        for number in (signal.SIGTERM, signal.SIGINT):
            child = self.start()
            self.announced(child)
            child.send_signal(number)
            _, errors = child.communicate(timeout=30)
            self.assertEqual((-number, ""), (child.returncode, errors))

    def test_cannotStart(self) -> None:
        """A wrong option, and a port in use, is one sentence, and exit status 1."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listen = f"tcp:{listening.getsockname()[1]}:interface=127.0.0.1"
            for option, sentence in (
                ("--instances=many", "fleetiq-local: --instances is 'many'"),
                ("--listen=tcp:x", "fleetiq-local: --listen is 'tcp:x': it must be"),
                (f"--listen={listen}", "fleetiq-local: Couldn't listen on 127.0.0.1:"),
            ):
                child = self.start(option)
                out, errors = child.communicate(timeout=30)
                self.assertEqual((1, ""), (child.returncode, out))
                self.assertTrue(errors.startswith(sentence), errors)
                self.assertEqual(1, errors.count("\n"))
