"""--admission claimed: players are admitted only after a claim."""

from collections.abc import Awaitable, Callable

from twisted.internet.endpoints import SSL4ClientEndpoint
from twisted.internet.ssl import CertificateOptions

from tests.endtoend.certificates import writeCertificate
from tests.endtoend.processes import Child, EndToEndTestCase, LocalFleetIQ, Player


class AdmissionTests(EndToEndTestCase):
    """A game server with an embedded FleetIQ."""

    async def test_claimed(self) -> None:
        """After a claim a player is admitted, and others join without a call. Later, none is."""
        child, fleet, port = await self.embedded("--admission=claimed")
        await self.playThrough(child, fleet, lambda: self.player(port))

    async def test_claimedOverTLS(self) -> None:
        """The same over TLS, where several pieces of data can arrive before the decision."""
        pem = self.folder / "echo.pem"
        writeCertificate(pem)
        listen = f"--listen=ssl:0:privateKey={pem}:interface=127.0.0.1"
        child, fleet, port = await self.embedded("--admission=claimed", listen)
        tls = SSL4ClientEndpoint(self.reactor, "127.0.0.1", port, CertificateOptions())
        await self.playThrough(child, fleet, lambda: self.connect(tls))

    async def playThrough(
        self, child: Child, fleet: LocalFleetIQ, player: Callable[[], Awaitable[Player]]
    ) -> None:
        """Claim, play a session with two players, then connect without a claim."""
        await child.available()
        await fleet.claim()
        much = b"hello\n" * 100_000
        players = [await player(), await player()]
        for each in players:
            each.send(much)
            await each.receives(much)
        for each in players:
            each.send(b"q\n")
            await each.whenClosed()
        await child.available()
        unclaimed = await player()
        unclaimed.send(much)
        self.assertEqual(await unclaimed.whenClosed(), b"CLAIM FIRST\n")
        self.assertEqual((await fleet.calls())["DescribeGameServer"], 2)

    async def test_strangers(self) -> None:
        """Players without a claim do not prevent the admission of a claimed player."""
        child, fleet, port = await self.embedded("--admission=claimed", "--max-players=1")
        await child.available()
        for _ in range(2):
            unclaimed = await self.player(port)
            unclaimed.send(b"hello\n")
            self.assertEqual(await unclaimed.whenClosed(), b"CLAIM FIRST\n")
        await fleet.claim()
        silent = await self.player(port)
        await child.nextLine(r" joined session 1; players: 1\.$")
        player = await self.player(port)
        player.send(b"hello\n")
        await player.receives(b"hello\n")
        self.assertEqual(await silent.whenClosed(), b"FULL\n")
        await child.nextLine(r" left: sent nothing, and another connection took its place; ")
        player.send(b"q\n")
        await player.whenClosed()
        await child.nextLine(r" left: quit command; ")
        self.assertNotIn("joined session 2", child.describe())
        self.assertNotIn("Traceback", child.describe())
