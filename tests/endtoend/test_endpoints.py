"""Players behind other endpoints than plain TCP: TLS, the PROXY protocol, a UNIX socket."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.endpoints import (
    SSL4ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.ssl import CertificateOptions

from tests.endtoend.processes import ANY_PORT, EndToEndTestCase

MANY = bytes(range(256)) * 4096


def writeCertificate(path: Path) -> None:
    """A key, and a certificate of its own for an hour, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + certificate.public_bytes(Encoding.PEM))


class EndpointTests(EndToEndTestCase):
    """Echo behind each of them."""

    async def test_tls(self) -> None:
        """Over TLS all that stands before the goodbye comes back, and then the close."""
        pem = self.folder / "echo.pem"
        writeCertificate(pem)
        listen = f"--listen=ssl:0:privateKey={pem}:interface=127.0.0.1"
        child, _, port = await self.embedded(listen)
        player = await self.connect(
            SSL4ClientEndpoint(self.reactor, "127.0.0.1", port, CertificateOptions())
        )
        player.say(MANY + b"\nq\n")
        self.assertEqual(await player.isClosed(), MANY + b"\n")
        await child.says(r" left: goodbye; ")
        self.assertNotIn("Traceback", child.story())

    async def test_proxy(self) -> None:
        """Behind the PROXY protocol the hooks see the real peer."""
        child, _, port = await self.embedded("--listen=haproxy:tcp:0:interface=127.0.0.1")
        player = await self.player(port)
        player.say(b"PROXY TCP4 203.0.113.9 198.51.100.1 1111 5000\r\n")
        player.say(b"hello\nq\n")
        self.assertEqual(await player.isClosed(), b"hello\n")
        await child.says(r" Player 203\.0\.113\.9:1111 joined ")

    async def test_unix(self) -> None:
        """A UNIX socket has no port to tell players: say how they reach it."""
        # The path of a socket has 107 bytes at most: fewer than the test's own folder may have.
        folder = mkdtemp()
        self.addCleanup(rmtree, folder)
        path = f"{folder}/players"
        listen = f"--listen=unix:{path}"
        child = self.start("twistd", "-n", "fleetiq-echo", f"--local={ANY_PORT}", listen)
        await child.says(r"The --listen endpoint has no port for players")
        self.assertEqual(await child.ends(), 3)
        told = ("--connection-info=elsewhere:1", listen)
        child = self.start("twistd", "-n", "fleetiq-echo", f"--local={ANY_PORT}", *told)
        await child.available()
        player = await self.connect(UNIXClientEndpoint(self.reactor, path))
        player.say(MANY + b"\nq\n")
        self.assertEqual(await player.isClosed(), MANY + b"\n")
        self.assertNotIn("Traceback", child.story())
