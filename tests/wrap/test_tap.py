"""Tests of L{echoserver.wrap.tap}: the options of C{twistd fleetiq-wrap}."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from echoserver.server.endpoints import endpointOf
from echoserver.wrap.config import WrapConfig
from echoserver.wrap.tap import Options

SERVER = ("--", "./server", "--port", "{port}")


class OptionsTests(SynchronousTestCase):
    """The options."""

    def parse(self, *words: str) -> Any:
        """Parse options, without variables of the environment."""
        options = Options({})
        options.parseOptions(words)
        return options

    def test_defaults(self) -> None:
        """All arguments after C{--} are the command, also those that look like options."""
        options = self.parse("--listen=tcp:7777", *SERVER)
        self.assertEqual(WrapConfig(("./server", "--port", "{port}")), options.wrap)
        self.assertEqual(("tcp:7777:backlog=4096",), options.settings.listen)
        self.assertEqual("players", options.settings.gameServer.sessionPolicy)

    def test_all(self) -> None:
        """Each option sets a field of the configuration."""
        options = self.parse(
            "--child-port=9000",
            "--proxy-protocol=v2",
            "--start-timeout=5",
            "--health-command=true",
            "--health-http=http://127.0.0.1:{port}/",
            "--no-probe",
            "--kill-after=1",
            "--restart=on-crash",
            *SERVER,
        )
        expected = WrapConfig(
            ("./server", "--port", "{port}"),
            fixedPort=9000,
            proxyProtocol="v2",
            startTimeout=5.0,
            probes=False,
            healthCommand="true",
            healthURL="http://127.0.0.1:{port}/",
            killAfter=1.0,
            restart="on-crash",
        )
        self.assertEqual(expected, options.wrap)

    def test_playersNone(self) -> None:
        """Players connect to the child's port. A claim starts a session."""
        options = self.parse("--players=none", "--child-port=9000", "--servers=2", *SERVER)
        self.assertEqual(("child:9000", "child:9001"), options.settings.listen)
        self.assertEqual("claim", options.settings.gameServer.sessionPolicy)
        self.assertEqual(9001, options.wrap.childPort(9001))
        endpoint = endpointOf(MemoryReactor(), "child:9000")
        port: Any = self.successResultOf(endpoint.listen(Factory()))
        self.assertEqual(9000, port.getHost().port)

    def test_wrong(self) -> None:
        """A wrong option ends the process with a sentence that says what to write."""
        for words, sentence in (
            ((), "the command is missing: write for example twistd -n fleetiq-wrap"),
            (("--players=some", *SERVER), "--players is 'some': write proxy or none."),
            (("--players=none", *SERVER), "--players none needs --child-port"),
            (("--restart=maybe", *SERVER), "write always, on-crash or never."),
            (("--proxy-protocol=v3", *SERVER), "write off, v1 or v2."),
            (("--start-timeout=0", *SERVER), "write seconds from 1 to 999999"),
            (("--kill-after=-1", *SERVER), "write seconds from 0 to 999999"),
            (("--child-port=0", *SERVER), "write a whole number from 1 to 65535."),
            (("--child-port=9000", "--servers=2", *SERVER), "is for one game server"),
            (("--health-http=ftp://x", *SERVER), "write http://127.0.0.1:{port}/health"),
            (
                ("--players=none", "--child-port=1", "--admission=claimed", *SERVER),
                "--admission needs --players proxy.",
            ),
        ):
            exit = self.assertRaises(SystemExit, self.parse, *words)
            self.assertIn(sentence, str(exit.code), words)
