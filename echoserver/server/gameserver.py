"""One game server as a Service: connects the game with its registration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger

from echoserver.descriptors import DescriptorLimit
from echoserver.game import Game, Player
from echoserver.game.admission import ClaimCheck
from echoserver.game.connection import Connection, callHook
from echoserver.game.factory import ConnectionFactory
from echoserver.game.listener import AcceptLimiter, describe, setSocketOptions
from echoserver.game.players import Players
from echoserver.game.session import Session
from echoserver.gamelift.lifecycle import Absent, Available, Desired, Utilized
from echoserver.gamelift.registration import Registration
from echoserver.gamelift.service import checkData
from echoserver.server.config import GameServerConfig
from echoserver.server.playerlog import PlayerLog
from echoserver.server.shutdown import Shutdown
from echoserver.server.status import GameServerStatus, withRegistration

_log = Logger(namespace="fleetiq.server")

# Seconds before the end of the instance at which the players are closed.
DEADLINE_MARGIN = 5.0


def desiredState(
    session: Session,
    *,
    draining: bool,
    deregistering: bool,
    drainingSince: int | None,
    accepting: bool,
) -> Desired:
    """
    Return what FleetIQ should know of a game server. Pure.

    @param draining: whether the game server shuts down.
    @param deregistering: whether to deregister it even if a session runs.
    @param drainingSince: the number of sessions that had ended when FleetIQ began to drain the
        instance. The next session that ends is the last one. None while it does not drain.
    @param accepting: whether connections are accepted and the game is ready. If not, clients must
        not be able to claim the server.
    """
    lastEnded = drainingSince is not None and session.ended > drainingSince
    renew = not draining and drainingSince is None
    if deregistering:
        return Desired(Absent(), renew=False, final=True)
    if session.running:
        return Desired(Utilized(session.number), renew, draining)
    if draining or lastEnded or not accepting:
        return Desired(Absent(), renew, draining)
    return Desired(Available(), renew, draining)


class GameServer(Service):
    """
    Serve players, from L{listen} on, and stay registered with FleetIQ, from L{register} on.

    It is the L{echoserver.game.GameServer} of its game, the listener of its connections and the
    listener of its registration. Players' data never waits for FleetIQ.

    @param makeFactory: makes the game's protocol factory.
    @param options: the options of the command line.
    @ivar finished: fires with None when the game server is deregistered, its port is closed, and
        its game has stopped.
    @ivar exitCode: the exit code of the process that the game has requested.
    """

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamServerEndpoint,
        makeFactory: Callable[[Any], IProtocolFactory],
        descriptors: DescriptorLimit,
        config: GameServerConfig,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._config = config
        self._session = Session()
        self._playerLog = PlayerLog(clock, config.logPlayers, lambda: self.gameServerId)
        self._players = Players(config.maxPlayers, config.maxPerAddress)
        self._replacing = False
        self._rejected = 0
        self._drainingSince: int | None = None
        self._registration: Registration | None = None
        self._data: str | None = None
        self._isReady = True
        self._claimedSession = 0
        self._claimTimeout: IDelayedCall | None = None
        self._port = 0
        self.options: Mapping[str, Any] = {} if options is None else options
        self._claimCheck = ClaimCheck(clock, self._isClaimed, self._mayCheckClaim)
        factory = IProtocolFactory(makeFactory(self))
        self._game = factory if isinstance(factory, Game) else Game(self)
        self._connections = ConnectionFactory(
            clock, factory, self, config.idleTimeout, config.handshakeTimeout
        )
        self._limiter = AcceptLimiter(
            clock, self._connections, config.acceptRate, descriptors, self._changed
        )
        self._shutdown = Shutdown(
            clock, lambda: self._session.running, self._closeAll, self._changed
        )
        self.finished = self._shutdown.finished.addCallback(
            lambda _: Deferred.fromCoroutine(self._finish())
        )
        self._gameStopping: Deferred[Any] | None = None
        self.exitCode = 0

    # Start.

    def listen(self) -> Deferred[int]:
        """
        Bind the game port. Fires with its number. Fails with C{CannotListenError}; do not retry.
        """

        def listening(port: IListeningPort) -> int:
            self._shutdown.port = port
            setSocketOptions(port)
            self._limiter.attach(port)
            host = port.getHost()
            _log.info(
                "Listening for players on {address}.",
                address=describe(host),
                eventName="gameServer.listening",
            )
            self._port = int(getattr(host, "port", 0))
            return self._port

        return self._endpoint.listen(self._limiter).addCallback(listening)

    def ready(self) -> Deferred[object]:
        """Return a Deferred that fires when the game can serve players. It fails if it cannot."""
        return maybeDeferred(self._game.ready)

    def register(self, registration: Registration) -> None:
        """Register with FleetIQ, and keep the registration up to date from now on."""
        self._registration = registration
        if self._data is not None:
            registration.setData(self._data)
        self._changed()
        self._shutdown.runRegistration(registration)

    # The interface for the game. See L{echoserver.game.GameServer}.

    @property
    def gameServerId(self) -> str | None:
        return None if self._registration is None else self._registration.state.gameServerId

    @property
    def port(self) -> int:
        return self._port

    @property
    def players(self) -> Sequence[Player]:
        return self._players.all()

    @property
    def session(self) -> int | None:
        return self._session.number if self._session.running else None

    @property
    def claimData(self) -> str | None:
        return None if self._registration is None else self._registration.claimData

    def startSession(self) -> int:
        self._requireManual("startSession")
        self._startSession()
        return self._session.number

    def endSession(self) -> None:
        if self._config.sessionPolicy != "claim":
            self._requireManual("endSession")
        self._endSession()

    def setData(self, data: str) -> None:
        checkData(data)
        self._data = data
        if self._registration is not None:
            self._registration.setData(data)

    def setReady(self, ready: bool) -> None:
        self._isReady = ready
        self._changed()

    def stop(self, reason: str, exitCode: int = 0) -> None:
        self.exitCode = max(self.exitCode, exitCode)
        _log.info(
            "The game stops its game server: {reason}.",
            reason=reason,
            gameServerId=self.gameServerId,
            session=self._session.number,
            eventName="gameServer.stoppedByGame",
        )
        self._notifyDraining(self._clock.seconds() + self._config.grace, reason)
        self._shutdown.begin(self._config.grace)

    def _requireManual(self, method: str) -> None:
        if self._config.sessionPolicy != "manual":
            raise RuntimeError(
                f"{method}() needs the session policy 'manual', and it is"
                f" '{self._config.sessionPolicy}': pass sessionPolicy=\"manual\" to"
                " gameServiceMaker, or --session-policy manual."
            )

    # The listener of the connections. See L{echoserver.game.connection.PlayerListener}.

    def admission(self, connection: Connection) -> Deferred[bytes | None]:
        if self._config.claimedOnly and not self._session.running:
            return self._claimCheck.check().addCallback(self._rejection, connection)
        return succeed(self._rejection(True, connection))

    def playerJoining(self, connection: Connection) -> None:
        self._session = self._session.joined()
        self._players.add(connection)
        session = self._session
        self._playerLog.joined(connection, session.number + (not session.running), session.players)
        self._stopClaimTimeout()
        if self._config.sessionPolicy != "manual":
            self._startSession()

    def playerJoined(self, connection: Connection) -> None:
        callHook(self._game.playerJoined, connection)

    def playerLeft(self, connection: Connection, reason: str) -> None:
        self._session = self._session.left()
        self._players.remove(connection)
        self._playerLog.left(connection, reason, self._session.players)
        callHook(self._game.playerLeft, connection, reason)
        self._endIfEmpty()

    # The listener of the registration. See L{echoserver.gamelift.registration}.

    def sessionConfirmed(self, data: str) -> None:
        if not self._config.claimedOnly and self._config.sessionPolicy != "claim":
            self._notifyClaimed(data)

    def claimChanged(self, claimed: bool, data: str) -> None:
        if claimed and self._config.sessionPolicy == "claim" and not self._session.running:
            self._startSession()
            self._notifyClaimed(data)
            if not self._session.players:
                self._claimTimeout = self._clock.callLater(
                    self._config.claimTimeout, self._claimTimedOut
                )

    def healthy(self) -> object:
        """Return the result of the game's health check, which may raise."""
        return self._game.healthy()

    # Interruptions. See L{echoserver.ec2.interruption.Drainable}.

    def terminate(self, deadline: float | None, reason: str) -> None:
        """
        Shut down, because the instance ends: as soon as no session runs, at the latest 5 s before
        the deadline.

        @param deadline: when the instance ends, in seconds of the reactor's clock; None if that is
            not known.
        """
        if deadline is None:
            self._notifyDraining(None, reason)
            self._shutdown.begin(inf, inf)
        else:
            self._notifyDraining(deadline - DEADLINE_MARGIN, reason)
            left = deadline - DEADLINE_MARGIN - self._clock.seconds()
            self._shutdown.begin(left, left)

    def drain(self, reason: str) -> None:
        """FleetIQ drains the instance: the next session that ends is the last one."""
        if self._drainingSince is None:
            self._drainingSince = self._session.ended
            self._notifyDraining(None, reason)
            self._changed()

    def cancelDrain(self) -> None:
        """FleetIQ no longer drains the instance."""
        self._drainingSince = None
        self._changed()

    # Status and stop.

    @property
    def shuttingDown(self) -> bool:
        """Return whether the shutdown has begun."""
        return self._shutdown.draining

    def status(self) -> GameServerStatus:
        """Return a snapshot for operators."""
        session = self._session
        return withRegistration(
            GameServerStatus(
                port=self._port,
                players=session.players,
                session=session.number,
                receivedBytes=self._players.receivedBytes,
                refused=self._rejected,
                accepting=self._shutdown.port is not None and self._limiter.accepting,
                draining=self._shutdown.draining or self._drainingSince is not None,
            ),
            self._registration,
        )

    def reportNow(self) -> None:
        """Send a health report now: the local FleetIQ was reset."""
        if self._registration is not None:
            self._registration.reportNow()

    def skipGracePeriod(self) -> None:
        """End the grace period of the running session now, and the wait for the game's end."""
        self._shutdown.skipGracePeriod()
        if self._gameStopping is not None:
            self._gameStopping.cancel()

    def stopService(self) -> Deferred[None]:
        """Shut down, because the process stops. See L{Shutdown}."""
        super().stopService()
        if self._session.running and not self._shutdown.draining:
            self._notifyDraining(self._clock.seconds() + self._config.grace, "the process stops")
        self._shutdown.stop(self._config.grace)
        return self.finished

    def _isClaimed(self) -> Deferred[bool]:
        return succeed(False) if self._registration is None else self._registration.isClaimed()

    def _mayCheckClaim(self) -> Deferred[None]:
        registration = self._registration
        return succeed(None) if registration is None else registration.mayCheckClaim()

    def _rejection(self, claimed: bool, connection: Connection) -> bytes | None:
        """Return the message for a connection that is rejected; None if it becomes a player."""
        if connection.reason is not None:
            return None  # it closes already
        if not claimed and not self._session.running:
            self._rejected += 1
            return self._game.claimFirstMessage
        if self._players.overLimit(connection) and not self._replaceSilent(connection):
            self._rejected += 1
            return self._game.fullMessage
        return None

    def _replaceSilent(self, connection: Connection) -> bool:
        """
        Disconnect a player that has never sent a byte, if a connection that has sent data needs its
        place.

        @return: whether a place is free now.
        """
        silent = self._players.replaceableBy(connection)
        if silent is None:
            return False
        self._rejected += 1
        self._replacing = True
        silent.replace(self._game.fullMessage)
        self._replacing = False
        if connection.reason is not None:  # a hook of the game has closed it
            self._endIfEmpty()
        return True

    def _startSession(self) -> None:
        if self._session.running:
            return
        self._session = self._session.started()
        number = self._session.number
        callHook(self._game.sessionStarted, number)
        if self._config.claimedOnly and self._registration is not None:
            self._notifyClaimed(self._registration.claimData or "")
        self._changed()

    def _endIfEmpty(self) -> None:
        manual = self._config.sessionPolicy == "manual"
        if not self._session.players and not manual and not self._replacing:
            self._endSession()

    def _endSession(self) -> None:
        if not self._session.running:
            return
        self._session = self._session.finished()
        self._stopClaimTimeout()
        callHook(self._game.sessionEnded, self._session.number)
        if self._config.oneSession:
            self._shutdown.begin(self._config.grace)
        self._changed()

    def _claimTimedOut(self) -> None:
        self._claimTimeout = None
        if not self._session.players:
            _log.info(
                "No player arrived within {seconds:g} s of the claim: ending the session.",
                seconds=self._config.claimTimeout,
                gameServerId=self.gameServerId,
                session=self._session.number,
                eventName="session.claimTimeout",
            )
            self._endSession()

    def _stopClaimTimeout(self) -> None:
        call, self._claimTimeout = self._claimTimeout, None
        if call is not None and call.active():
            call.cancel()

    def _notifyClaimed(self, data: str) -> None:
        if self._session.running and self._claimedSession != self._session.number:
            self._claimedSession = self._session.number
            callHook(self._game.claimed, data)

    def _notifyDraining(self, deadline: float | None, reason: str) -> None:
        if self._session.running:
            when = ""
            if deadline is not None:
                when = f" and ends within {max(0.0, deadline - self._clock.seconds()):.0f} s"
            _log.info(
                "This session is the last one{when}: {reason}.",
                when=when,
                reason=reason,
                gameServerId=self.gameServerId,
                session=self._session.number,
                eventName="session.draining",
            )
            callHook(self._game.draining, deadline, reason)

    async def _finish(self) -> None:
        self._claimCheck.stop()
        self._playerLog.stop()
        self._gameStopping = maybeDeferred(self._game.stopped)
        try:
            await self._gameStopping
        except CancelledError:
            pass  # a second signal
        except Exception:  # noqa: BLE001 # the game's error must not keep the process from exiting
            _log.failure("A hook of the game failed.", eventName="game.hookFailed")

    def _closeAll(self, reason: str, within: float) -> Deferred[None]:
        return self._connections.closeAll(lambda: self._game.closePlayers(reason), within)

    def _changed(self) -> None:
        self._shutdown.sessionChanged()
        if self._registration is not None:
            self._registration.setDesired(
                desiredState(
                    self._session,
                    draining=self._shutdown.draining,
                    deregistering=self._shutdown.deregistering,
                    drainingSince=self._drainingSince,
                    accepting=self._limiter.accepting and self._isReady,
                )
            )
