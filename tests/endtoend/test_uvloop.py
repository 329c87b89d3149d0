"""The game server on the uvloop reactor: its bytes, TLS, the PROXY protocol, who vanishes."""

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
    """Players notice no difference."""

    async def test_tcp(self) -> None:
        """All comes back to a slow player who has closed his side; who vanishes has left."""
        child, _, port = await self.embedded(reactor="uvloop")
        player = await self.player(port)
        player.transport.bufferSize = 4096
        player.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        player.say(MANY)
        player.transport.loseWriteConnection()
        self.assertTrue(await player.isClosed() == MANY)
        await child.says(r" left: closed the connection; ")
        player = await self.player(port)
        player.say(b"hello")
        await player.hears(b"hello")
        player.abort()
        await child.says(r" left: vanished \(.*\); 5 bytes; players: 0\.$")
        self.assertNotIn("Traceback", child.story())

    async def test_wrapped(self) -> None:
        """Over TLS, and behind the PROXY protocol, a goodbye is a goodbye."""
        pem = self.folder / "echo.pem"
        writeCertificate(pem)
        tls = f"--listen=ssl:0:privateKey={pem}:interface=127.0.0.1"
        child, _, port = await self.embedded(tls, reactor="uvloop")
        server = SSL4ClientEndpoint(self.reactor, "127.0.0.1", port, CertificateOptions())
        player = await self.connect(server)
        player.say(MANY + b"\nq\n")
        self.assertTrue(await player.isClosed() == MANY + b"\n")
        self.assertNotIn("Traceback", child.story())
        proxy = "--listen=haproxy:tcp:0:interface=127.0.0.1"
        child, _, port = await self.embedded(proxy, reactor="uvloop")
        player = await self.player(port)
        player.say(b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 5000\r\nhello\nq\n")
        self.assertEqual(await player.isClosed(), b"hello\n")
        await child.says(r" Player 203\.0\.113\.9:1111 joined ")
