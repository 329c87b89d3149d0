"""The game server on the uvloop reactor: data, TLS, the PROXY protocol, and resets."""

import socket
from importlib.util import find_spec
from unittest import skipUnless

from twisted.internet.endpoints import SSL4ClientEndpoint
from twisted.internet.ssl import CertificateOptions

from tests.endtoend.certificates import writeCertificate
from tests.endtoend.processes import EndToEndTestCase

MANY = bytes(range(256)) * 16384


@skipUnless(find_spec("uvloop"), "uvloop is not installed")
class UvloopTests(EndToEndTestCase):
    """The behavior for players is the same as on the default reactor."""

    async def test_tcp(self) -> None:
        """A slow player receives all data after its FIN; an RST ends the session."""
        child, _, port = await self.embedded(reactor="uvloop")
        player = await self.player(port)
        player.transport.bufferSize = 4096
        player.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        player.send(MANY)
        player.transport.loseWriteConnection()
        self.assertTrue(await player.whenClosed() == MANY)
        await child.nextLine(r" left: closed the connection; ")
        player = await self.player(port)
        player.send(b"hello")
        await player.receives(b"hello")
        player.abort()
        await child.nextLine(r" left: vanished \(.*\); 5 bytes; players: 0\.$")
        self.assertNotIn("Traceback", child.describe())

    async def test_wrapped(self) -> None:
        """Over TLS, and behind the PROXY protocol, the quit command works."""
        pem = self.folder / "echo.pem"
        writeCertificate(pem)
        tls = f"--listen=ssl:0:privateKey={pem}:interface=127.0.0.1"
        child, _, port = await self.embedded(tls, reactor="uvloop")
        server = SSL4ClientEndpoint(self.reactor, "127.0.0.1", port, CertificateOptions())
        player = await self.connect(server)
        player.send(MANY + b"\nq\n")
        self.assertTrue(await player.whenClosed() == MANY + b"\n")
        self.assertNotIn("Traceback", child.describe())
        proxy = "--listen=haproxy:tcp:0:interface=127.0.0.1"
        child, _, port = await self.embedded(proxy, reactor="uvloop")
        player = await self.player(port)
        player.send(b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 5000\r\nhello\nq\n")
        self.assertEqual(await player.whenClosed(), b"hello\n")
        await child.nextLine(r" Player 203\.0\.113\.9:1111 joined ")
