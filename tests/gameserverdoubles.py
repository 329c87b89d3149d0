"""A game server in memory."""

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.clock import WallClock
from echoserver.game.connections import EchoFactory
from echoserver.game.game import Hooks
from echoserver.game.listener import Descriptors
from echoserver.gamelift.pace import Pace
from echoserver.gamelift.registration import Degraded, RegistrationConfig
from echoserver.gamelift.service import RegistrationRequest
from echoserver.ratelimit import TokenBucket
from echoserver.server.config import GameServerConfig
from echoserver.server.gameserver import GameServer
from tests.doubles import LongRandom, MemoryEndpoint, PendingFleet

IDENTITY = RegistrationRequest("i-0123456789abcdef0", "localhost:5000", 5000)


class GameServerTestCase(SynchronousTestCase):
    """A game server in memory, whose game writes down its claims, or fails at them."""

    gameFails = False
    gameBrings: Callable[[], object] = staticmethod(lambda: None)

    def start(
        self,
        rules: GameServerConfig | None = None,
        *,
        enrolled: bool = True,
        apiRate: TokenBucket | None = None,
    ) -> GameServer:
        """A game server that listens, and has asked to be registered."""
        self.clock = Clock()
        self.pace = Pace(self.clock, apiRate)
        self.claims: list[str] = []
        self.fleet = PendingFleet()
        self.endpoint = MemoryEndpoint()
        self.used = 100
        self.descriptors = Descriptors(self.clock, 1024, lambda: self.used)
        self.server = GameServer(
            self.clock,
            LongRandom(7),
            self.endpoint,
            partial(Game, self),
            self.descriptors,
            rules or GameServerConfig(grace=20.0),
        )
        self.server.startService()
        self.assertEqual(5000, self.successResultOf(self.server.listen()))
        self.refusals: list[str] = []
        if enrolled:
            self.enroll()
        return self.server

    def enroll(self) -> None:
        """Hand it FleetIQ."""
        self.server.enroll(
            RegistrationConfig(
                self.fleet,
                IDENTITY,
                self.pace,
                lambda: None,
                self.refuse,
                Degraded(self.clock, WallClock(self.clock)),
            )
        )

    def refuse(self, sentence: str) -> bool:
        """Writes down the sentence, and goes on."""
        self.refusals.append(sentence)
        return False

    def stop(self) -> Deferred[None]:
        """Tell it to stop."""
        self.stopped = self.server.stopService()
        return self.stopped

    def assertStopped(self) -> None:
        """It has left, and nothing of it is left."""
        self.successResultOf(self.stopped)
        self.assertFalse(self.endpoint.listening)
        self.assertEqual([], self.clock.getDelayedCalls())


class Game(EchoFactory):
    """The factory of a game that writes down its claims, or fails at them."""

    def __init__(self, test: GameServerTestCase, hooks: Hooks) -> None:
        super().__init__(test.clock, hooks)
        self.test = test

    def claimed(self, data: str) -> None:
        self.test.gameBrings()
        if self.test.gameFails:
            raise ValueError("a game that fails")
        self.test.claims.append(data)
