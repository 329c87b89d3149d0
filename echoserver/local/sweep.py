"""Lets what is due happen on time when nobody calls: one timer, and none while nothing is due."""

from twisted.internet.interfaces import IDelayedCall

from echoserver.local.clock import LocalClock
from echoserver.local.state import FleetState

# A deadline that is met exactly may not be over yet; looking again at once would spin.
SHORTEST_WAIT = 1.0
# In real seconds, for on a fast clock the other is next to nothing.
SHORTEST_REAL_WAIT = 0.01


class Sweep:
    """Sweeps a state when its next deadline comes, on the clock that the state's times are of."""

    def __init__(self, clock: LocalClock, state: FleetState) -> None:
        self._clock = clock
        self._state = state
        self._call: IDelayedCall | None = None
        self._due = 0.0

    def schedule(self) -> None:
        """To be called after each change of the state."""
        deadline = self._state.nextDeadline()
        if deadline is None or (self._call is not None and self._due <= deadline):
            return
        self.stop()
        now = self._clock.seconds()
        wait = max(SHORTEST_WAIT, SHORTEST_REAL_WAIT * self._clock.scale)
        self._due = max(deadline, now + wait)
        self._call = self._clock.callLater(self._due - now, self._sweep)

    def clockMoved(self) -> None:
        """To be called when the clock has jumped, or has another scale: what is due happens now."""
        self.stop()
        self._sweep()

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _sweep(self) -> None:
        self._call = None
        self._state.sweep(self._clock.seconds())
        self.schedule()
