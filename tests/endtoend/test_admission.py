"""--admission claimed: FleetIQ decides on admission."""

from collections.abc import Awaitable, Callable

from twisted.internet.endpoints import SSL4ClientEndpoint
from twisted.internet.ssl import CertificateOptions

from tests.endtoend.certificates import writeCertificate
from tests.endtoend.processes import Child, EndToEndTestCase, LocalFleetIQ, Player


class AdmissionTests(EndToEndTestCase):
    """A game server with a FleetIQ of its own."""

    async def test_claimed(self) -> None:
        """A claimed player is admitted, others join without a call; after the session none is."""
        child, fleet, port = await self.embedded("--admission=claimed")
        await self.playThrough(child, fleet, lambda: self.player(port))

    async def test_claimedOverTLS(self) -> None:
        """The same over TLS, where several pieces may arrive before the decision."""
        pem = self.folder / "echo.pem"
        writeCertificate(pem)
        listen = f"--listen=ssl:0:privateKey={pem}:interface=127.0.0.1"
        child, fleet, port = await self.embedded("--admission=claimed", listen)
        tls = SSL4ClientEndpoint(self.reactor, "127.0.0.1", port, CertificateOptions())
        await self.playThrough(child, fleet, lambda: self.connect(tls))

    async def playThrough(
        self, child: Child, fleet: LocalFleetIQ, player: Callable[[], Awaitable[Player]]
    ) -> None:
        """A claim, its session, and a player without a claim after it."""
        await child.available()
        await fleet.claim()
        much = b"hello\n" * 100_000
        sent, joins = await player(), await player()
        for one in (sent, joins):
            one.say(much)
            await one.hears(much)
        for one in (sent, joins):
            one.say(b"q\n")
            await one.isClosed()
        await child.available()
        stranger = await player()
        stranger.say(much)
        self.assertEqual(await stranger.isClosed(), b"CLAIM FIRST\n")
        self.assertEqual((await fleet.calls())["DescribeGameServer"], 2)
