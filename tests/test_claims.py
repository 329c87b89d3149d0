"""What replies tell of claims."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.claims import Claims
from echoserver.gamelift.fleetiq import GameServer
from tests.doubles import gameServer

EARLY, LATE = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (1, 2))
FREE = gameServer(gameServerData="map=0")
CLAIMED = gameServer(claimed=True, lastClaim=EARLY, gameServerData="map=7 secret")
AGAIN = gameServer(claimed=True, lastClaim=LATE, gameServerData="map=8")
LAPSED = gameServer(lastClaim=EARLY, gameServerData="map=7 secret")
UTILIZED = gameServer(utilized=True, lastClaim=EARLY, gameServerData="map=7 secret")


class ClaimsTests(SynchronousTestCase):
    """Replies, one after the other."""

    def told(self, *seen: GameServer) -> list[str]:
        """What the log tells of these replies: the beginning of each line."""
        self.claims = Claims()
        with capturedLogs() as events:
            for reply in seen:
                self.claims.saw(reply)
        lines = [str(formatEvent(event)) for event in events]
        self.assertNotIn("secret", "".join(lines))
        return [line[:16] for line in lines]

    def test_lines(self) -> None:
        """A claim is told once, its end only if nobody came; the next is another."""
        for seen, lines in (
            ((FREE, FREE), []),
            ((FREE, CLAIMED, CLAIMED), ["Claimed: a playe"]),
            ((CLAIMED, LAPSED, LAPSED), ["Claimed: a playe", "The claim has la"]),
            ((CLAIMED, UTILIZED, UTILIZED), ["Claimed: a playe"]),
            ((CLAIMED, AGAIN), ["Claimed: a playe", "Claimed: a playe"]),
            ((UTILIZED,), []),
        ):
            self.assertEqual(lines, self.told(*seen))

    def test_data(self) -> None:
        """Data is the last claim's; what the server itself published is none."""
        for seen, data in (
            ((FREE,), None),
            ((FREE, CLAIMED), "map=7 secret"),
            ((CLAIMED, AGAIN), "map=8"),
            ((FREE, UTILIZED), "map=7 secret"),
            ((gameServer(utilized=True, lastClaim=EARLY),), ""),
        ):
            self.told(*seen)
            self.assertEqual(data, self.claims.data)
