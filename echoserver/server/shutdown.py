"""How one game server leaves FleetIQ, its port and its players."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.clock import CancellableSleep
from echoserver.game.connections import LAST_BYTES
from echoserver.gamelift.lifecycle import Absent, Utilized
from echoserver.gamelift.registration import Registration

_log = Logger(namespace="fleetiq.server")

IN_FLIGHT = 8.0
LAST_STEP = 3.0
ABORT_AFTER = 1.0


class Shutdown:
    """
    How one game server leaves, once, however often it is told to: the earliest end counts.

    @param playing: whether a session runs.
    @param closeAll: lets everybody go, with a reason, within seconds.
    @ivar port: where players come in; None before it is there, and once it closes.
    @ivar begun: whether the server leaves: its registration is not renewed.
    @ivar renounced: whether nothing is wanted of FleetIQ any more, whoever plays.
    @ivar finished: fires with None when the server has left FleetIQ and closed its port.
    """

    def __init__(
        self,
        clock: IReactorTime,
        playing: Callable[[], bool],
        closeAll: Callable[[str, float], Deferred[None]],
    ) -> None:
        self._clock = clock
        self._playing = playing
        self._players = closeAll
        self._alarm = CancellableSleep(clock)
        self._worker: Registration | None = None
        self._working: Deferred[None] | None = None
        self._graceEnds = inf
        self._patienceEnds = inf
        self._closing = False
        self._stopping = False
        self._abandoned = False
        self.port: IListeningPort | None = None
        self.begun = False
        self.renounced = False
        self.finished: Deferred[None] = Deferred()

    def enrolled(self, worker: Registration) -> None:
        """Start this worker; it is to be ended in the end."""
        self._worker = worker
        self._working = worker.work().addErrback(self._workFailed)
        self._working.addCallback(lambda _: self._alarm.wake())

    def begin(self, grace: float, patience: float = 0.0) -> None:
        """
        Leave.

        @param grace: seconds for a session that runs.
        @param patience: seconds in which Deregister is repeated before the caps count.
        """
        now = self._clock.seconds()
        self._graceEnds = min(self._graceEnds, now + grace)
        self._patienceEnds = min(self._patienceEnds, now + patience)
        self._alarm.wake()
        if not self.begun:
            self.begun = True
            done = Deferred.fromCoroutine(self._depart())
            done.addErrback(self._failed)
            done.chainDeferred(self.finished)

    def stop(self, grace: float) -> None:
        """Leave, for the process is told to stop."""
        self._stopping = True
        if self._closing:
            self._closeAll()
        self.begin(grace)

    def hurry(self) -> None:
        """Cut the grace to nothing."""
        self._graceEnds = min(self._graceEnds, self._clock.seconds())
        self._alarm.wake()

    def changed(self) -> None:
        """Somebody came or went."""
        self._alarm.wake()

    def _workFailed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            self._abandoned = True
        else:
            _log.failure("The worker ended by a fault of ours.", failure=failure)

    def _failed(self, failure: Failure) -> None:
        _log.failure("Leaving failed by a fault of ours.", failure=failure)

    async def _depart(self) -> None:
        known = self._worker.registration.known if self._worker else Absent()
        if not self._playing() and not isinstance(known, Utilized):
            await self._renounce()
        port, self.port = self.port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        await self._sessionEnds()
        self._closing = True
        await self._closeAll()
        await self._renounce()

    async def _sessionEnds(self) -> None:
        told = None
        while self._playing() and (left := self._graceEnds - self._clock.seconds()) > 0:
            if told != self._graceEnds:
                told = self._graceEnds
                long = "all the time it takes" if left == inf else f"{left:.0f} s"
                _log.info("The session has {long} to end.", long=long)
            await self._alarm.sleep(None if left == inf else left)

    def _closeAll(self) -> Deferred[None]:
        left = 0.0 if self._stopping else self._graceEnds - self._clock.seconds()
        return self._players("the server stops", min(LAST_BYTES, max(ABORT_AFTER, left)))

    async def _renounce(self) -> None:
        """
        Deregister: with patience if there is time, and nobody comes meanwhile. Then within the
        caps: 8 s for a call that is out, 3 s after it.
        """
        if self._worker is None or self._working is None:
            self.renounced = True
            return
        working = self._working
        while not working.called and (left := self._patienceEnds - self._clock.seconds()) > 0:
            if self._playing():
                return
            await self._alarm.sleep(None if left == inf else left)
        self.renounced = True
        self._working = None
        calling = self._worker.calling
        self._worker.hasten()
        if calling:
            inFlight = self._worker.stepDone().addTimeout(IN_FLIGHT, self._clock)
            await inFlight.addErrback(lambda _: working.cancel())
        await working.addTimeout(LAST_STEP, self._clock)
        if self._abandoned:
            _log.warn(
                "Not deregistered in time: {id} may stay until its health lapses.",
                id=self._worker.registration.gameServerId,
            )
