"""What the game servers of one process register with, and what they share towards FleetIQ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echoserver.clock import WallClock
from echoserver.ec2.identity import Instance
from echoserver.gamelift.idstore import IdStore, InThread
from echoserver.gamelift.pace import Pace
from echoserver.gamelift.registration import Degraded, RegistrationConfig
from echoserver.gamelift.service import FleetIQ, RegistrationRequest
from echoserver.server.config import Settings

_log = Logger(namespace="fleetiq.server")


class Registrar:
    """
    Makes the registrationConfig of each game server of a process.

    @param inThread: where files are written.
    @ivar degraded: whether FleetIQ does as they ask.
    """

    def __init__(
        self, clock: IReactorTime, settings: Settings, fleet: FleetIQ, inThread: InThread
    ) -> None:
        self._settings = settings
        self._fleet = fleet
        self._pace = Pace(clock, settings.apiRate)
        self.degraded = Degraded(clock, WallClock(clock))
        self._ledger: IdStore | None = None
        if settings.stateDir is not None:
            self._ledger = IdStore(clock, Path(settings.stateDir).absolute(), fleet.group, inThread)
        self._warnOfLateHeartbeats()

    def registrationConfig(
        self,
        instance: Instance,
        index: int,
        port: int,
        registered: Callable[[], None],
        refused: Callable[[str], bool],
    ) -> RegistrationConfig:
        """That of one game server, which listens on that port."""
        settings, ledger = self._settings, self._ledger
        info = settings.connectionInfo
        identity = RegistrationRequest(
            instance.instanceId,
            info.fill(instance.values, port, index),
            port,
            settings.gameServerData,
            settings.gameServerId,
        )
        _log.info(
            "Instance {id} (from {source}); players are told {info} (from {template}).",
            id=identity.instanceId,
            source=instance.source,
            info=identity.connectionInfo,
            template=info.template,
        )
        registrationConfig = RegistrationConfig(
            self._fleet, identity, self._pace, registered, refused, self.degraded
        )
        if ledger is None:
            return registrationConfig
        return replace(
            registrationConfig, keep=partial(ledger.keep, identity), left=ledger.left(identity)
        )

    def instanceStatus(self, instanceId: str) -> Deferred[str | None]:
        """What FleetIQ thinks of the instance, asked as soon as C{--api-rate} allows."""
        turn = self._pace.question()
        return turn.addCallback(lambda _: self._fleet.instanceStatus(instanceId))

    def kept(self) -> Deferred[None]:
        """Fires when all that is to be remembered is written."""
        return succeed(None) if self._ledger is None else self._ledger.written()

    def _warnOfLateHeartbeats(self) -> None:
        servers, bucket = len(self._settings.listen), self._settings.apiRate
        needed = servers / self._settings.gameServer.heartbeat
        if bucket is not None and bucket.rate < needed:
            _log.warn(
                "The heartbeats of {servers} game servers are {needed:.1f} calls a second, and"
                " --api-rate is {rate:g}: they will be late. Raise --heartbeat or --api-rate.",
                servers=servers,
                needed=needed,
                rate=bucket.rate,
            )
