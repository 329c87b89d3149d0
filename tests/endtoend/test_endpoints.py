"""Players behind other endpoints than plain TCP: TLS, the PROXY protocol, a UNIX socket."""

from importlib.util import find_spec
from shutil import rmtree
from socket import inet_aton
from struct import pack
from tempfile import mkdtemp
from typing import Any
from unittest import skipUnless

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    SSL4ClientEndpoint,
    UNIXClientEndpoint,
    connectProtocol,
)
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import deferLater

from tests.endtoend.certificates import writeCertificate
from tests.endtoend.processes import ANY_PORT, Child, EndToEndTestCase, LocalFleetIQ, Player

TCP4 = b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 5000\r\n"
MANY = bytes(range(256)) * 4096


def proxyHeader(host: str, port: int) -> bytes:
    """Return a header of version 2 of the PROXY protocol, for TCP over IPv4."""
    addresses = inet_aton(host) + inet_aton("198.51.100.1") + pack(">HH", port, 5000)
    return b"\r\n\r\n\x00\r\nQUIT\n" + pack(">BBH", 0x21, 0x11, len(addresses)) + addresses


class HandshakeTests(EndToEndTestCase):
    """Connections that are no players yet, on both reactors."""

    reactorName = "default"

    async def listening(self, listen: str, *options: str) -> tuple[Child, LocalFleetIQ, int]:
        """Start a game server that is AVAILABLE, with 1 s for handshakes."""
        child, fleet, port = await self.embedded(
            f"--listen={listen}", "--handshake-timeout=1", *options, reactor=self.reactorName
        )
        await child.available()
        return child, fleet, port

    def tls(self) -> str:
        """Return the end of a description of a TLS port."""
        pem = self.folder / "echo.pem"
        writeCertificate(pem)
        return f"ssl:0:privateKey={pem}:interface=127.0.0.1"

    async def assertNoPlayers(self, child: Child, fleet: LocalFleetIQ) -> None:
        """There has been no player and no session, and nothing was logged as a failure."""
        self.assertNotIn(" joined ", child.describe())
        self.assertNotIn("Traceback", child.describe())
        self.assertEqual(list((await fleet.gameServers()).values()), ["AVAILABLE"])
        self.assertNotIn("UpdateGameServer", await fleet.calls())

    async def test_silentTLS(self) -> None:
        """A client that never completes the TLS handshake is aborted, and costs no session."""
        child, fleet, port = await self.listening(self.tls())
        players = [await self.player(port) for _ in range(3)]
        players[1].send(b"\x16\x03\x01")
        players[2].send(b"GET / HTTP/1.1\r\n\r\n")
        for player in players:
            await player.whenClosed()
        await child.nextLine(r"handshake or the PROXY header was not complete after 1 s: \d\.$")
        await self.assertNoPlayers(child, fleet)

    async def test_silentProxy(self) -> None:
        """Without a whole PROXY header, a connection is aborted, and costs no session."""
        child, fleet, port = await self.listening("haproxy:tcp:0:interface=127.0.0.1")
        players = [await self.player(port) for _ in range(4)]
        players[1].send(b"PROXY TCP4 203.0.113.9")
        players[2].send(b"hello\n")
        players[3].send(b"PROXY TCP4 203.0.113.9 198.51.100.1 abc 5000\r\nhello\n")
        for player in players:
            self.assertEqual(await player.whenClosed(), b"")
        await child.nextLine(r"handshake or the PROXY header was not complete after 1 s: \d\.$")
        await self.assertNoPlayers(child, fleet)

    async def test_proxyInPieces(self) -> None:
        """A header in pieces, and one without addresses, are served."""
        child, _, port = await self.listening("haproxy:tcp:0:interface=127.0.0.1")
        player = await self.player(port)
        player.transport.setTcpNoDelay(True)
        for i in range(0, len(TCP4), 5):
            player.send(TCP4[i : i + 5])
            await self.nextTurn()
        player.send(b"hello\nq\n")
        self.assertEqual(await player.whenClosed(), b"hello\n")
        await child.nextLine(r" Player 203\.0\.113\.9:1111 joined ")
        player = await self.player(port)
        player.send(b"PROXY UNKNOWN\r\nhello\nq\n")
        self.assertEqual(await player.whenClosed(), b"hello\n")
        await child.nextLine(r" Player 127\.0\.0\.1:\d+ joined ")

    async def test_proxyBeforeTLS(self) -> None:
        """A proxy that passes TLS through sends its header before TLS."""
        child, _, port = await self.listening("haproxy:" + self.tls())
        server = HostnameEndpoint(self.reactor, "127.0.0.1", port)
        player = Player(self.reactor)
        beforeTLS = HeaderThenTLS(player)
        await connectProtocol(server, beforeTLS)
        self.addCleanup(player.whenClosed)
        player.send(MANY + b"\nq\n")
        self.assertEqual(await player.whenClosed(), MANY + b"\n")
        await child.nextLine(r" Player 203\.0\.113\.9:1111 joined ")
        self.assertNotIn("Traceback", child.describe())

    def nextTurn(self) -> Deferred[None]:
        """Let the reactor send what was written."""
        return deferLater(self.reactor, 0)


@skipUnless(find_spec("uvloop"), "uvloop is not installed")
class UvloopHandshakeTests(HandshakeTests):
    """The same on the uvloop reactor."""

    reactorName = "uvloop"


class HeaderThenTLS(Protocol):
    """A proxy's side of a connection: it sends its header, and starts TLS for a player."""

    transport: Any

    def __init__(self, player: Player) -> None:
        self._player = player

    def connectionMade(self) -> None:
        self.transport.write(TCP4)
        self.transport.protocol = self._player
        self._player.makeConnection(self.transport)
        self.transport.startTLS(CertificateOptions())


class EndpointTests(EndToEndTestCase):
    """The echo server on each kind of endpoint."""

    async def test_tls(self) -> None:
        """Over TLS all data before the quit command is echoed. Then the connection is closed."""
        pem = self.folder / "echo.pem"
        writeCertificate(pem)
        listen = f"--listen=ssl:0:privateKey={pem}:interface=127.0.0.1"
        child, _, port = await self.embedded(listen)
        player = await self.connect(
            SSL4ClientEndpoint(self.reactor, "127.0.0.1", port, CertificateOptions())
        )
        player.send(MANY + b"\nq\n")
        self.assertEqual(await player.whenClosed(), MANY + b"\n")
        await child.nextLine(r" left: quit command; ")
        self.assertNotIn("Traceback", child.describe())

    async def test_proxy(self) -> None:
        """Behind the PROXY protocol the hooks get the address of the player."""
        child, _, port = await self.embedded("--listen=haproxy:tcp:0:interface=127.0.0.1")
        player = await self.player(port)
        player.send(b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 5000\r\n")
        player.send(b"hello\nq\n")
        self.assertEqual(await player.whenClosed(), b"hello\n")
        await child.nextLine(r" Player 203\.0\.113\.9:1111 joined ")

    async def test_proxyOfManyPlayers(self) -> None:
        """In both versions, the limit of an address applies to the players, not to the proxy."""
        child, _, port = await self.embedded(
            "--listen=haproxy:tcp:0:interface=127.0.0.1", "--max-players-per-address=1"
        )
        for header, peer in (
            (b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 5000\r\n", r"203\.0\.113\.9:1111"),
            (b"PROXY TCP6 2001:db8::9 2001:db8::1 1111 5000\r\n", r"\[2001:db8::9\]:1111"),
            (proxyHeader("203.0.113.10", 2222), r"203\.0\.113\.10:2222"),
        ):
            player = await self.player(port)
            player.send(header + b"hello")
            await player.receives(b"hello")
            await child.nextLine(rf" Player {peer} joined ")
        player = await self.player(port)
        player.send(proxyHeader("203.0.113.9", 3333) + b"hello")
        self.assertEqual(await player.whenClosed(), b"FULL\n")

    async def test_hostileBytes(self) -> None:
        """Received data and the address of a PROXY header are escaped in the log."""
        child, _, port = await self.embedded(
            "--listen=haproxy:tcp:0:interface=127.0.0.1", "--show-bytes"
        )
        player = await self.player(port)
        player.send(b"PROXY TCP4 \x1b[2J 198.51.100.1 1111 5000\r\n")
        player.send(b"\x1b[2J\xc2\x9b\r\n\x00\nq\n")
        await player.whenClosed()
        await child.nextLine(r" left: quit command")
        self.assertTrue(all(line.isprintable() and line.isascii() for line in child.lines))
        self.assertIn(r"sends \x1b[2J\xc2\x9b\r\n\x00\nq\n", child.describe())

    async def test_unix(self) -> None:
        """A UNIX socket needs --connection-info, because it has no port."""
        # The path of a socket has at most 107 bytes. The path of the test's folder can be longer.
        folder = mkdtemp()
        self.addCleanup(rmtree, folder)
        path = f"{folder}/players"
        listen = f"--listen=unix:{path}"
        child = self.start("twistd", "-n", "fleetiq-echo", f"--local={ANY_PORT}", listen)
        await child.nextLine(r"The --listen endpoint has no port for players")
        self.assertEqual(await child.exitStatus(), 3)
        options = ("--connection-info=elsewhere:1", listen)
        child = self.start("twistd", "-n", "fleetiq-echo", f"--local={ANY_PORT}", *options)
        await child.available()
        player = await self.connect(UNIXClientEndpoint(self.reactor, path))
        player.send(MANY + b"\nq\n")
        self.assertEqual(await player.whenClosed(), MANY + b"\n")
        self.assertNotIn("Traceback", child.describe())
