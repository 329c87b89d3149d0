"""Tests of echoserver.server.endpoints: descriptions of consecutive ports, and sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import twisted.test
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from echoserver.game.proxyheader import ProxyHeaderFactory
from echoserver.server.endpoints import (
    ACCEPT_QUEUE,
    descriptions,
    endpointOf,
    localNotListening,
    playersNotListening,
    statusNotListening,
)


def listened(description: str) -> tuple[int, int, str]:
    """Return the port, accept queue and interface that Twisted listens with."""
    reactor = MemoryReactor()
    serverFromString(reactor, description).listen(Factory())
    ((port, _, backlog, interface),) = reactor.tcpServers
    return port, backlog, interface


class DescriptionsTests(SynchronousTestCase):
    """L{descriptions} returns one description for each game server."""

    def test_stdio(self) -> None:
        """Standard input is rejected."""
        error = self.assertRaises(ValueError, descriptions, "stdio:", 1)
        self.assertIn("write for example tcp:5000", str(error))

    def test_table(self) -> None:
        """Ports are consecutive; an accept queue is added if the description has none."""
        for listen, servers, expected in [
            ("tcp:5000", 1, ["tcp:5000:backlog=4096"]),
            ("tcp:5000", 2, ["tcp:5000:backlog=4096", "tcp:5001:backlog=4096"]),
            ("tcp:0", 2, ["tcp:0:backlog=4096"] * 2),
            ("tcp:65535", 1, ["tcp:65535:backlog=4096"]),
            ("tcp:65534", 2, ["tcp:65534:backlog=4096", "tcp:65535:backlog=4096"]),
            ("tcp:port=5000", 1, ["tcp:port=5000:backlog=4096"]),
            ("tcp:backlog=5:port=7", 2, ["tcp:backlog=5:port=7", "tcp:backlog=5:port=8"]),
            (r"tcp6:7:interface=\:\:1", 1, [r"tcp6:7:interface=\:\:1:backlog=4096"]),
            ("tcp:7:127.0.0.1", 1, ["tcp:7:127.0.0.1:backlog=4096"]),
            ("tcp:7:127.0.0.1:9", 2, ["tcp:7:127.0.0.1:9", "tcp:8:127.0.0.1:9"]),
            (
                "tcp:interface=h:7",
                2,
                ["tcp:interface=h:7:backlog=4096", "tcp:interface=h:8:backlog=4096"],
            ),
            ("haproxy:tcp:7", 1, ["haproxy:tcp:7:backlog=4096"]),
            ("haproxy:tcp6:port=7", 1, ["haproxy:tcp6:port=7:backlog=4096"]),
            ("ssl:7:privateKey=k.pem", 1, ["ssl:7:privateKey=k.pem:backlog=4096"]),
            ("ssl:7:k.pem:c.pem:TLSv1_METHOD:h:9", 1, ["ssl:7:k.pem:c.pem:TLSv1_METHOD:h:9"]),
            ("unix:/run/echo", 1, ["unix:/run/echo"]),
            ("systemd:domain=INET:index=0", 1, ["systemd:domain=INET:index=0"]),
            ("haproxy:unix:/run/echo", 1, ["haproxy:unix:/run/echo"]),
            ("nonsense", 1, ["nonsense"]),
            ("", 1, [""]),
        ]:
            with self.subTest(listen):
                self.assertEqual(descriptions(listen, servers), expected)

    def test_noPort(self) -> None:
        """An invalid port is rejected with an example of the same kind."""
        for listen, servers, example in [
            ("tcp", 1, "tcp:5000"),
            ("tcp:", 1, "tcp:5000"),
            ("tcp:x", 1, "tcp:5000"),
            ("tcp:-1", 1, "tcp:5000"),
            ("tcp:65536", 1, "tcp:5000"),
            ("tcp:" + "9" * 9999, 1, "tcp:5000"),
            ("tcp:\u0665", 1, "tcp:5000"),
            ("tcp6:interface=h", 1, "tcp6:5000"),
            ("haproxy:tcp:port=x", 1, "haproxy:tcp:5000"),
            ("ssl:443x", 1, "ssl:5000"),
            ("tcp:\\", 1, "tcp:5000"),
        ]:
            with self.subTest(listen[:20]):
                error = self.assertRaises(ValueError, descriptions, listen, servers)
                self.assertEqual(
                    str(error),
                    f"'{listen}' has no port from 0 to 65535: write for example {example}.",
                )

    def test_noPortsLeft(self) -> None:
        """If there are not enough ports above the first, the description is rejected."""
        error = self.assertRaises(ValueError, descriptions, "tcp:65535", 2)
        self.assertEqual(
            str(error),
            "'tcp:65535' has no ports for 2 servers from 0 to 65535: write for example tcp:5000.",
        )

    def test_noConsecutivePorts(self) -> None:
        """A description without a port is for one game server only."""
        error = self.assertRaises(ValueError, descriptions, "unix:/run/echo", 2)
        self.assertEqual(
            str(error),
            "'unix:/run/echo' has no consecutive ports for 2 servers:"
            " use tcp:, tcp6: or ssl:, each with or without haproxy: before it.",
        )

    @settings(deadline=None, max_examples=60)
    @given(
        wrapper=st.sampled_from(["", "haproxy:"]),
        kind=st.sampled_from(["tcp", "tcp6"]),
        port=st.integers(0, 65535),
        named=st.booleans(),
        backlog=st.none() | st.integers(1, 9999),
        interface=st.none() | st.sampled_from(["127.0.0.1", r"\:\:1", "localhost"]),
        turned=st.booleans(),
        servers=st.integers(1, 4),
    )
    def test_twistedListens(
        self,
        wrapper: str,
        kind: str,
        port: int,
        named: bool,
        backlog: int | None,
        interface: str | None,
        turned: bool,
        servers: int,
    ) -> None:
        """Twisted listens on consecutive ports, with our accept queue if none is given."""
        words = [f"port={port}" if named else str(port)]
        words += [] if backlog is None else [f"backlog={backlog}"]
        words += [] if interface is None else [f"interface={interface}"]
        listen = wrapper + ":".join([kind, *(words[::-1] if turned else words)])
        if port + servers - 1 > 65535:
            self.assertRaises(ValueError, descriptions, listen, servers)
            return
        result = descriptions(listen, servers)
        host = (interface or ("::" if kind == "tcp6" else "")).replace("\\", "")
        self.assertEqual(
            [listened(description) for description in result],
            [(port + i if port else 0, backlog or ACCEPT_QUEUE, host) for i in range(servers)],
        )

    def test_ssl(self) -> None:
        """TLS ports are consecutive and have the same accept queue."""
        pem = Path(twisted.test.__file__).with_name("server.pem")
        reactor = MemoryReactor()
        for description in descriptions(f"ssl:443:{pem}", 2):
            serverFromString(reactor, description).listen(Factory())
        listening = [(port, backlog) for port, _, _, backlog, _ in reactor.sslServers]
        self.assertEqual(listening, [(443, ACCEPT_QUEUE), (444, ACCEPT_QUEUE)])

    def test_proxyBeforeTLS(self) -> None:
        """C{haproxy:ssl:} listens on TCP, expects the header first, and TLS after it."""
        pem = Path(twisted.test.__file__).with_name("server.pem")
        reactor = MemoryReactor()
        [description] = descriptions(f"haproxy:ssl:443:{pem}", 1)
        endpointOf(reactor, description).listen(Factory())
        [(port, factory, backlog, _)] = reactor.tcpServers
        self.assertEqual((port, backlog, reactor.sslServers), (443, ACCEPT_QUEUE, []))
        assert isinstance(factory, ProxyHeaderFactory)
        self.assertIsInstance(factory.wrappedFactory, TLSMemoryBIOFactory)

    def test_proxy(self) -> None:
        """C{haproxy:} before another kind expects the header first."""
        for kind in ("tcp:5000", "unix:/run/echo"):
            reactor = MemoryReactor()
            endpointOf(reactor, f"haproxy:{kind}").listen(Factory())
            servers: list[tuple[Any, ...]] = [*reactor.tcpServers, *reactor.unixServers]
            self.assertEqual([type(server[1]) for server in servers], [ProxyHeaderFactory])

    def test_invalidProxy(self) -> None:
        """An invalid description after C{haproxy:} is rejected with a sentence."""
        for description in ("haproxy:x", "haproxy:", "haproxy:ssl:443:/nonexistent"):
            with self.assertRaises(SystemExit) as raised:
                endpointOf(MemoryReactor(), description)
            self.assertIn(f"--listen '{description}' cannot be used", str(raised.exception.code))


class CommandTests(SynchronousTestCase):
    """The sentences name the twistd command that was typed."""

    def test_command(self) -> None:
        """Each sentence begins with the command."""
        error = CannotListenError(None, 5000, OSError(98, "Address already in use"))
        for sentence in (playersNotListening, localNotListening, statusNotListening):
            self.assertTrue(sentence(error, "go").startswith("twistd go: "))
            self.assertTrue(sentence(error, "chess").startswith("twistd chess: "))

    def test_endpoint(self) -> None:
        """The error of an invalid description names the command and the option."""
        exit = self.assertRaises(
            SystemExit, endpointOf, MemoryReactor(), "x", "status", "tcp:8080", command="chess"
        )
        self.assertRegex(
            str(exit.code), "^twistd chess: --status 'x' cannot be used: .* example tcp:8080.$"
        )
