"""A sleep that can be cut short."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Alarm:
    """A sleep that can be cut short."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._sleeping: Deferred[None] | None = None

    def sleep(self, seconds: float | None) -> Deferred[None]:
        """Fires after C{seconds}, or when L{ring} is called; with None, only then."""
        self._sleeping = Deferred(lambda _: self._stop())
        if seconds is not None:
            self._call = self._clock.callLater(max(0.0, seconds), self.ring)
        return self._sleeping

    def ring(self) -> None:
        """End the sleep, if there is one."""
        sleeping = self._sleeping
        self._stop()
        if sleeping is not None:
            sleeping.callback(None)

    def _stop(self) -> None:
        self._sleeping = None
        if self._call is not None and self._call.active():
            self._call.cancel()
