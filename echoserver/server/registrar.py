"""Make the registration of each game server, with the rate limiter and id store of the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echoserver.clock import WallClock
from echoserver.ec2.identity import Instance
from echoserver.gamelift.degraded import Degraded
from echoserver.gamelift.idstore import IdStore, InThread
from echoserver.gamelift.registration import LOWEST_PRIORITY, Registration
from echoserver.gamelift.service import FleetIQ, RegistrationRequest
from echoserver.ratelimit import RateLimiter
from echoserver.server.config import Settings
from echoserver.server.gameserver import GameServer

_log = Logger(namespace="fleetiq.server")

# Seconds. A claim is only seen in a reply, so the session policy "claim" needs frequent heartbeats.
CLAIM_POLICY_HEARTBEAT = 10.0


class _Listener:
    """The listener of one registration: the game server, and the process for start and refusal."""

    def __init__(
        self,
        gameServer: GameServer,
        registered: Callable[[], None],
        refused: Callable[[str], bool],
    ) -> None:
        self.registered = registered
        self.refused = refused
        self.sessionConfirmed = gameServer.sessionConfirmed
        self.claimChanged = gameServer.claimChanged


class Registrar:
    """
    Registers the game servers of one process.

    @param inThread: runs file I/O in a thread.
    @param registered: called when FleetIQ has confirmed the first registration of a game server.
    @param refused: called with a message if FleetIQ refuses permanently before that. If it returns
        True, the registration ends.
    @ivar degraded: records failing calls of the game servers.
    """

    def __init__(
        self,
        clock: IReactorTime,
        rng: Random,
        settings: Settings,
        fleetIQ: FleetIQ,
        inThread: InThread,
        registered: Callable[[], None],
        refused: Callable[[str], bool],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._fleetIQ = fleetIQ
        self._registered = registered
        self._refused = refused
        self._limiter = RateLimiter(clock, settings.apiRate)
        self.degraded = Degraded(clock, WallClock(clock))
        self._idStore: IdStore | None = None
        if settings.stateDir is not None:
            folder = Path(settings.stateDir).absolute()
            self._idStore = IdStore(clock, folder, fleetIQ.group, inThread)
        config = settings.gameServer
        self._heartbeat = config.heartbeat
        if config.sessionPolicy == "claim":
            self._heartbeat = min(config.heartbeat, CLAIM_POLICY_HEARTBEAT)
        self._warnOfLateHeartbeats()

    def register(self, gameServer: GameServer, instance: Instance, index: int) -> None:
        """
        Register a game server that listens already.

        @param index: its number in the process, from 0.
        """
        settings = self._settings
        template = settings.connectionInfo
        request = RegistrationRequest(
            instance.instanceId,
            template.fill(instance.values, gameServer.port, index),
            gameServer.port,
            settings.gameServerData,
            settings.gameServerId,
        )
        _log.info(
            "Instance {id} (from {source}); players connect to {info} (from {template}).",
            id=request.instanceId,
            source=instance.source,
            info=request.connectionInfo,
            template=template.template,
            eventName="gameServer.identity",
        )
        gameServer.register(
            Registration(
                self._clock,
                self._rng,
                self._fleetIQ,
                request,
                limiter=self._limiter,
                degraded=self.degraded,
                heartbeat=self._heartbeat,
                listener=_Listener(gameServer, self._registered, self._refused),
                healthy=gameServer.healthy,
                idStore=self._idStore,
            )
        )

    def instanceStatus(self, instanceId: str) -> Deferred[str | None]:
        """Return the status of the instance in FleetIQ, at the lowest priority."""
        turn = self._limiter.acquire(LOWEST_PRIORITY)
        return turn.addCallback(lambda _: self._fleetIQ.instanceStatus(instanceId))

    def flushed(self) -> Deferred[None]:
        """Return a Deferred that fires when all ids are written."""
        return succeed(None) if self._idStore is None else self._idStore.flushed()

    def _warnOfLateHeartbeats(self) -> None:
        servers, bucket = len(self._settings.listen), self._settings.apiRate
        needed = servers / self._heartbeat
        if bucket is not None and bucket.rate < needed:
            _log.warn(
                "Heartbeats will be late: {servers} game servers need {needed:.1f} calls a second,"
                " and --api-rate is {rate:g}. Raise --heartbeat or --api-rate.",
                servers=servers,
                needed=needed,
                rate=bucket.rate,
                eventName="process.apiRateTooLow",
            )
