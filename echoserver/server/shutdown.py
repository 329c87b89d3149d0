"""
Shut one game server down, at SIGTERM or before its instance ends: drain it, close its port,
disconnect its players, deregister it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.clock import CancellableSleep
from echoserver.game.connection import CLOSE_TIMEOUT
from echoserver.gamelift.lifecycle import Absent, Utilized
from echoserver.gamelift.registration import Registration

_log = Logger(namespace="fleetiq.server")

# Limits in seconds: for a call that is in flight, and for DeregisterGameServer after it.
IN_FLIGHT_TIMEOUT = 8.0
DEREGISTER_TIMEOUT = 3.0
ABORT_AFTER = 1.0


class Shutdown:
    """
    The shutdown of one game server. It happens once. If it is requested again, the earlier deadline
    applies.

    An idle game server is deregistered first, and its port closes when that is confirmed, because
    until then clients can claim it. A game server with a session closes its port first. It waits
    for the end of the session, disconnects the players, and is deregistered then.

    @param sessionRuns: returns whether a session runs.
    @param closeAll: closes all connections, with a reason, within seconds.
    @param changed: called when L{draining} or L{deregistering} has changed.
    @ivar port: the game port; None before it is bound, and once it closes.
    @ivar draining: whether the shutdown has begun. Then a lost registration is not renewed.
    @ivar deregistering: whether to deregister the game server even if a session runs.
    @ivar finished: fires with None when the game server is deregistered and its port is closed.
    """

    def __init__(
        self,
        clock: IReactorTime,
        sessionRuns: Callable[[], bool],
        closeAll: Callable[[str, float], Deferred[None]],
        changed: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._sessionRuns = sessionRuns
        self._closeAll = closeAll
        self._changed = changed
        self._wait = CancellableSleep(clock)
        self._registration: Registration | None = None
        self._running: Deferred[None] | None = None
        self._graceEnds = inf
        self._retryUntil = inf
        self._closing = False
        self._stopping = False
        self._abandoned = False
        self.port: IListeningPort | None = None
        self.draining = False
        self.deregistering = False
        self.finished: Deferred[None] = Deferred()

    def runRegistration(self, registration: Registration) -> None:
        """Start the registration. The shutdown ends it."""
        self._registration = registration
        self._running = registration.run().addErrback(self._registrationFailed)
        self._running.addCallback(lambda _: self._wait.wake())

    def begin(self, grace: float, retryFor: float = 0.0) -> None:
        """
        Begin the shutdown.

        @param grace: seconds that a running session has to end.
        @param retryFor: seconds in which a failed DeregisterGameServer is repeated. After them, the
            limits of 8 s and 3 s apply.
        """
        now = self._clock.seconds()
        self._graceEnds = min(self._graceEnds, now + grace)
        self._retryUntil = min(self._retryUntil, now + retryFor)
        self._wait.wake()
        if not self.draining:
            self.draining = True
            done = Deferred.fromCoroutine(self._run())
            done.addErrback(self._failed)
            done.chainDeferred(self.finished)
            self._changed()

    def stop(self, grace: float) -> None:
        """Begin the shutdown, because the process stops."""
        self._stopping = True
        if self._closing:
            self._closePlayers()
        self.begin(grace)

    def skipGracePeriod(self) -> None:
        """End the grace period of the running session now."""
        self._graceEnds = min(self._graceEnds, self._clock.seconds())
        self._wait.wake()

    def sessionChanged(self) -> None:
        """Check again whether a session runs."""
        self._wait.wake()

    def _registrationFailed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            self._abandoned = True
        else:
            _log.failure(
                "The registration ended by an internal error.",
                failure=failure,
                eventName="registration.failed",
            )

    def _failed(self, failure: Failure) -> None:
        _log.failure(
            "The shutdown failed by an internal error.",
            failure=failure,
            eventName="gameServer.shutdownFailed",
        )

    async def _run(self) -> None:
        known = self._registration.state.known if self._registration else Absent()
        if not self._sessionRuns() and not isinstance(known, Utilized):
            await self._deregister()
        port, self.port = self.port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        await self._sessionEnds()
        self._closing = True
        await self._closePlayers()
        await self._deregister()

    async def _sessionEnds(self) -> None:
        logged = None
        while self._sessionRuns() and (left := self._graceEnds - self._clock.seconds()) > 0:
            if logged != self._graceEnds:
                logged = self._graceEnds
                limit = "without a limit" if left == inf else f"at most {left:.0f} s"
                _log.info(
                    "Waiting for the session to end, {limit}.",
                    limit=limit,
                    eventName="session.waiting",
                )
            await self._wait.sleep(None if left == inf else left)

    def _closePlayers(self) -> Deferred[None]:
        left = 0.0 if self._stopping else self._graceEnds - self._clock.seconds()
        return self._closeAll("the server stops", min(CLOSE_TIMEOUT, max(ABORT_AFTER, left)))

    async def _deregister(self) -> None:
        """
        Deregister. Within C{retryFor} seconds failed calls are repeated, unless a session starts.
        Then the limits apply: 8 s for a call in flight, and 3 s for DeregisterGameServer.
        """
        if self._registration is None or self._running is None:
            self._setDeregistering()
            return
        running = self._running
        while not running.called and (left := self._retryUntil - self._clock.seconds()) > 0:
            if self._sessionRuns():
                return
            await self._wait.sleep(None if left == inf else left)
        self._running = None
        calling = self._registration.calling
        self._setDeregistering()
        self._registration.retryNow()
        if calling:
            inFlight = self._registration.whenCallDone()
            inFlight.addTimeout(IN_FLIGHT_TIMEOUT, self._clock)
            await inFlight.addErrback(lambda _: running.cancel())
        await running.addTimeout(DEREGISTER_TIMEOUT, self._clock)
        if self._abandoned:
            _log.warn(
                "Not deregistered in time: {gameServerId} can stay registered until its health"
                " check expires (180 s).",
                gameServerId=self._registration.state.gameServerId,
                eventName="registration.notDeregistered",
            )

    def _setDeregistering(self) -> None:
        self.deregistering = True
        self._changed()
