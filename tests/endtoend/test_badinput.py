"""Errors at the start: each gives one sentence and the documented exit status."""

import re
import signal

from tests.endtoend.processes import ANY_PORT, Child, EndToEndTestCase

_ERROR = re.compile(r"#(?:error|critical)\] (.*)$")


class BadInputTestCase(EndToEndTestCase):
    """Read the error message of a process that does not start."""

    async def sentence(self, child: Child, status: int) -> str:
        """Return the only error message of a process that exits with this status."""
        self.assertEqual(await child.exitStatus(), status, child.describe())
        messages = child.lines
        if len(messages) > 1:
            messages = [found[1] for line in child.lines if (found := _ERROR.search(line))]
        self.assertEqual(len(messages), 1, child.describe())
        for word in ("Traceback", "Usage:", "Failure", " object at "):
            self.assertNotIn(word, child.describe())
        return messages[0]


class WrongSettingTests(BadInputTestCase):
    """Wrong settings: exit status 1."""

    async def test_options(self) -> None:
        """The message has the wrong option, its value, and what is allowed."""
        wrong = {
            ("--group=",): "--group is '': write 1 to 128",
            ("--group=g", f"--local={ANY_PORT}"): "--group is for AWS, and --local is for a local",
            ("--region=eu-west-1",): "--region is for AWS: give --group too, or leave out --region",
            ("--max-players=none",): "--max-players is 'none': write a whole number from 1 to",
            (f"--game-server-data={'x' * 2000}",): "--game-server-data has 2000 characters:",
            ("--nope",): "--nope",
            ("--listen=nope:5",): "--listen 'nope:5' cannot be used:",
        }
        children = [self.echo(*options) for options in wrong]
        for child, expected in zip(children, wrong.values(), strict=True):
            sentence = await self.sentence(child, 1)
            self.assertTrue(sentence.startswith("twistd fleetiq-echo: "), sentence)
            self.assertIn(expected, sentence)
            self.assertEqual(len(child.lines), 1, child.describe())

    async def test_portsInUse(self) -> None:
        """The message has the port, and the option to choose another one."""
        port = self.busyPort()
        players = self.echo(f"--listen=tcp:{port}", f"--local={ANY_PORT}")
        fleetIQ = self.echo(f"--listen={ANY_PORT}", f"--local=tcp:{port}:interface=127.0.0.1")
        sentence = await self.sentence(players, 1)
        self.assertIn(f"cannot listen for players on port {port} ", sentence)
        self.assertIn(f" --listen tcp:{port + 1}.", sentence)
        sentence = await self.sentence(fleetIQ, 1)
        self.assertIn(f"the local FleetIQ cannot listen on port {port} ", sentence)
        self.assertIn(f" --local http://127.0.0.1:{port};", sentence)


class RefusedTests(BadInputTestCase):
    """FleetIQ or the instance metadata cannot be used: exit status 3."""

    async def test_noSuchGroup(self) -> None:
        """The message has operation and group. It is logged once for all game servers."""
        fleet = await self.local()
        child = self.echo(
            "--group=nope",
            "--servers=10",
            AWS_ENDPOINT_URL_GAMELIFT=fleet.url,
            AWS_EC2_METADATA_SERVICE_ENDPOINT=fleet.url,
            AWS_ACCESS_KEY_ID="dummy",
            AWS_SECRET_ACCESS_KEY="dummy",
        )
        sentence = await self.sentence(child, 3)
        self.assertIn("RegisterGameServer was refused: NotFoundException: ", sentence)
        self.assertIn("nope", sentence)

    async def test_noIdentity(self) -> None:
        """Without credentials or the metadata service, the message says what to do."""
        silent = f"http://127.0.0.1:{self.busyPort()}"
        noCredentials = self.echo(
            "--group=g",
            "--region=eu-west-1",
            "--instance-id=i-0123456789abcdef0",
            "--connection-info=example.org:{port}",
            AWS_EC2_METADATA_DISABLED="true",
        )
        noResponse = self.echo("--group=g", AWS_EC2_METADATA_SERVICE_ENDPOINT=silent)
        disabled = self.echo("--group=g", AWS_EC2_METADATA_DISABLED="true")
        self.assertRegex(
            await self.sentence(noCredentials, 3),
            r"^RegisterGameServer was not sent: .* credentials\. .*AWS_PROFILE",
        )
        for child, message in (
            (noResponse, rf"^The instance metadata service at {silent} [^<>]+\."),
            (disabled, "^AWS_EC2_METADATA_DISABLED is true: "),
        ):
            sentence = await self.sentence(child, 3)
            self.assertRegex(sentence, message)
            self.assertIn(
                " Leave out --group to use the local FleetIQ, or give --region, --instance-id and"
                " --connection-info.",
                sentence,
            )


class BytesWarningTests(EndToEndTestCase):
    """python -bb, which makes a comparison of str and bytes an error."""

    async def test_starts(self) -> None:
        """The game server and its embedded FleetIQ start, register and stop."""
        python = ("python", "-bb", "-m", "twisted", "--log-format=text", "fleetiq-echo")
        child = self.start(*python, f"--listen={ANY_PORT}", f"--local={ANY_PORT}")
        await child.nextLine(r" Ready\. ")
        child.transport.signalProcess("TERM")
        await child.nextLine(r" Deregistered ")
        self.assertEqual(await child.exitStatus(), -signal.SIGTERM)
