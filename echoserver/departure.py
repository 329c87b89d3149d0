"""How one game server leaves FleetIQ, its port and its players."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.alarm import Alarm
from echoserver.lifecycle import Absent, Utilized
from echoserver.protocol import LAST_BYTES
from echoserver.worker import Worker

IN_FLIGHT = 8.0
LAST_STEP = 3.0
ABORT_AFTER = 1.0


class Departure:
    """
    How one game server leaves, once, however often it is told to.

    @param playing: whether a session runs.
    @param closeAll: lets everybody go, with a reason, within seconds.
    @ivar port: what is to be closed, once it is there.
    @ivar begun: whether the server leaves: its registration is not renewed.
    @ivar renounced: whether nothing is wanted of FleetIQ any more, whoever plays.
    @ivar finished: fires with None when the server has left FleetIQ and closed its port.
    """

    _log: ClassVar = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        playing: Callable[[], bool],
        closeAll: Callable[[str, float], Deferred[None]],
    ) -> None:
        self._clock = clock
        self._playing = playing
        self._players = closeAll
        self._grace = Alarm(clock)
        self._worker: Worker | None = None
        self._working: Deferred[None] | None = None
        self._hurried = False
        self._stopping = False
        self._abandoned = False
        self.port: IListeningPort | None = None
        self.begun = False
        self.renounced = False
        self.finished: Deferred[None] = Deferred()

    def enrolled(self, worker: Worker) -> None:
        """This worker is to be ended; it begins."""
        self._worker = worker
        self._working = worker.work().addErrback(self._workFailed)

    def begin(self, grace: float) -> None:
        """Leave; a session that runs has C{grace} seconds."""
        if not self.begun:
            self.begun = True
            done = Deferred.fromCoroutine(self._depart(grace))
            done.addErrback(self._failed)
            done.chainDeferred(self.finished)

    def stop(self, grace: float) -> None:
        """Leave, for the process is told to stop: nobody is waited for longer than that."""
        self._stopping = True
        if self.begun:
            self._closeAll()
        self.begin(grace)

    def hurry(self) -> None:
        """Cut the grace to nothing."""
        self._hurried = True
        self._grace.ring()

    def sessionOver(self) -> None:
        """Nobody is in any more: the grace is over, if one was given."""
        self._grace.ring()

    def _workFailed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            self._abandoned = True
        else:
            self._log.failure("The worker ended by a fault of ours.", failure=failure)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("Leaving failed by a fault of ours.", failure=failure)

    async def _depart(self, grace: float) -> None:
        graceEnds = self._clock.seconds() + grace
        known = self._worker.registration.known if self._worker else Absent()
        if not self._playing() and not isinstance(known, Utilized):
            await self._renounce()
        if self.port is not None:
            await maybeDeferred(self.port.stopListening)
        left = graceEnds - self._clock.seconds()
        if self._playing() and not self._hurried:
            self._log.info("The session has {seconds:.0f} s to end.", seconds=left)
            await self._grace.sleep(left)
        await self._closeAll()
        await self._renounce()

    def _closeAll(self) -> Deferred[None]:
        return self._players("the server stops", ABORT_AFTER if self._stopping else LAST_BYTES)

    async def _renounce(self) -> None:
        """Deregister, within the caps: 8 s for a call that is out, 3 s after it."""
        self.renounced = True
        if self._worker is None or self._working is None:
            return
        working, self._working = self._working, None
        calling = self._worker.calling
        self._worker.hasten()
        if calling:
            inFlight = self._worker.stepDone().addTimeout(IN_FLIGHT, self._clock)
            await inFlight.addErrback(lambda _: working.cancel())
        await working.addTimeout(LAST_STEP, self._clock)
        if self._abandoned:
            self._log.warn(
                "FleetIQ did not answer in time: {id} may stay until its health lapses.",
                id=self._worker.registration.gameServerId,
            )
