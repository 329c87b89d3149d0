"""--admission claimed: FleetIQ says who may come in."""

from tests.endtoend.processes import EndToEndTestCase


class AdmissionTests(EndToEndTestCase):
    """A game server with a FleetIQ of its own."""

    async def test_claimed(self) -> None:
        """Whom a claim sent plays, and others join him without a call; after it nobody comes in."""
        child, fleet, port = await self.embedded("--admission=claimed")
        await child.available()
        self.assertEqual(await fleet.claim(), (port, "localhost"))
        much = b"hello\n" * 100_000
        sent, joins = await self.player(port), await self.player(port)
        for player in (sent, joins):
            player.say(much)
            await player.hears(much)
        for player in (sent, joins):
            player.say(b"q\n")
            await player.isClosed()
        await child.available()
        stranger = await self.player(port)
        stranger.say(much)
        self.assertEqual(await stranger.isClosed(), b"CLAIM FIRST\n")
        self.assertEqual((await fleet.calls())["DescribeGameServer"], 2)
