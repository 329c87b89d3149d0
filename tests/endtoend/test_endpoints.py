"""Players behind other endpoints than plain TCP: TLS, the PROXY protocol, a UNIX socket."""

from shutil import rmtree
from socket import inet_aton
from struct import pack
from tempfile import mkdtemp

from twisted.internet.endpoints import (
    SSL4ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.ssl import CertificateOptions

from tests.endtoend.certificates import writeCertificate
from tests.endtoend.processes import ANY_PORT, EndToEndTestCase

MANY = bytes(range(256)) * 4096


def proxyHeader(host: str, port: int) -> bytes:
    """Return a header of version 2 of the PROXY protocol, for TCP over IPv4."""
    addresses = inet_aton(host) + inet_aton("198.51.100.1") + pack(">HH", port, 5000)
    return b"\r\n\r\n\x00\r\nQUIT\n" + pack(">BBH", 0x21, 0x11, len(addresses)) + addresses


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
