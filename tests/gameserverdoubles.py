"""A game server in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.clock import WallClock
from echoserver.descriptors import DescriptorLimit
from echoserver.echo import EchoFactory
from echoserver.gamelift.degraded import Degraded
from echoserver.gamelift.registration import Registration
from echoserver.gamelift.service import RegistrationRequest
from echoserver.ratelimit import RateLimiter, TokenBucket
from echoserver.server.config import GameServerConfig
from echoserver.server.gameserver import GameServer
from tests.doubles import LongRandom, MemoryEndpoint, PendingFleet

REQUEST = RegistrationRequest("i-0123456789abcdef0", "localhost:5000", 5000)


class GameServerTestCase(SynchronousTestCase):
    """A game server in memory, whose game records the hooks that are called."""

    gameFails = False
    onLeft: Callable[[], object] = staticmethod(lambda: None)
    onClaimed: Callable[[], object] = staticmethod(lambda: None)

    def start(
        self,
        config: GameServerConfig | None = None,
        *,
        registered: bool = True,
        apiRate: TokenBucket | None = None,
    ) -> GameServer:
        """Return a game server that listens and has started to register."""
        self.clock = Clock()
        self.limiter = RateLimiter(self.clock, apiRate)
        self.claims: list[str] = []
        self.hooks: list[tuple[Any, ...]] = []
        self.fleet = PendingFleet()
        self.endpoint = MemoryEndpoint()
        self.used = 100
        self.config = config or GameServerConfig(grace=20.0)
        self.server = GameServer(
            self.clock,
            self.endpoint,
            lambda gameServer: RecordingGame(self, gameServer),
            DescriptorLimit(self.clock, 1024, lambda: self.used),
            self.config,
        )
        self.server.startService()
        self.assertEqual(5000, self.successResultOf(self.server.listen()))
        self.refusals: list[str] = []
        if registered:
            self.register()
        return self.server

    def register(self) -> None:
        """Register the game server with FleetIQ."""
        self.sessionConfirmed = self.server.sessionConfirmed
        self.claimChanged = self.server.claimChanged
        self.server.register(
            Registration(
                self.clock,
                LongRandom(7),
                self.fleet,
                REQUEST,
                limiter=self.limiter,
                degraded=Degraded(self.clock, WallClock(self.clock)),
                heartbeat=self.config.heartbeat,
                listener=self,
                healthy=self.server.healthy,
            )
        )

    def registered(self) -> None:
        """Ignore the first confirmation."""

    def refused(self, message: str) -> bool:
        """Record the message. Return False: the process continues."""
        self.refusals.append(message)
        return False

    def stop(self) -> Deferred[None]:
        """Stop the game server."""
        self.stopped = self.server.stopService()
        return self.stopped

    def assertStopped(self) -> None:
        """Check that the game server has stopped, without an open port or a delayed call."""
        self.successResultOf(self.stopped)
        self.assertFalse(self.endpoint.listening)
        self.assertEqual([], self.clock.getDelayedCalls())


class RecordingGame(EchoFactory):
    """The echo game, with hooks that record their calls."""

    def __init__(self, test: GameServerTestCase, gameServer: Any) -> None:
        super().__init__(gameServer)
        self.test = test

    def sessionStarted(self, number: int) -> None:
        self.test.hooks.append(("started", number))

    def sessionEnded(self, number: int) -> None:
        self.test.hooks.append(("ended", number))

    def playerJoined(self, player: Any) -> None:
        self.test.hooks.append(("joined", player.address))

    def playerLeft(self, player: Any, reason: str) -> None:
        self.test.hooks.append(("left", player.address, reason))
        self.test.onLeft()

    def draining(self, deadline: float | None, reason: str) -> None:
        self.test.hooks.append(("draining", deadline, reason))
        if self.test.gameFails:
            raise ValueError("a game that fails")

    def claimed(self, data: str) -> None:
        self.test.onClaimed()
        if self.test.gameFails:
            raise ValueError("a game that fails")
        self.test.claims.append(data)
