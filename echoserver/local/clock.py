"""The local clock, and the timer that expires what is due."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from echoserver.local.model.fleet import Fleet

# An hour in a second. Much faster, and after a day it would be past the last year there is.
HIGHEST_SCALE = 3600.0


class LocalClock:
    """
    Begins as the real time. It goes back only when it is L{reset}, or with the machine's own clock.

    @ivar scale: how many of its seconds pass in a real one.
    """

    def __init__(self, reactor: IReactorTime, scale: float = 1.0) -> None:
        """
        @raise ValueError: C{scale} is none; the text is a sentence.
        """
        if not 0 < scale <= HIGHEST_SCALE:
            raise ValueError(
                f"The time scale is {scale:g}: it must be above 0, at most {HIGHEST_SCALE:g}."
            )
        self._reactor = reactor
        self._firstScale = scale
        self.reset()

    def reset(self) -> None:
        """Be as a clock that is new now."""
        self.scale = self._firstScale
        self._real = self._local = self._reactor.seconds()

    def seconds(self) -> float:
        """Epoch seconds."""
        return self._local + (self._reactor.seconds() - self._real) * self.scale

    def advance(self, seconds: float) -> None:
        self._local += seconds

    def setScale(self, scale: float) -> None:
        self._local, self._real = self.seconds(), self._reactor.seconds()
        self.scale = scale

    def callLater(self, seconds: float, callable: Callable[[], None]) -> IDelayedCall:
        """As if nobody touched this clock until then; who does has to call anew."""
        return self._reactor.callLater(seconds / self.scale, callable)


# A deadline that is met exactly may not be over yet; looking again at once would spin.
SHORTEST_WAIT = 1.0
# In real seconds, for on a fast clock the other is next to nothing.
SHORTEST_REAL_WAIT = 0.01


class Sweep:
    """Sweeps a state when its next deadline comes, on the clock that the state's times are of."""

    def __init__(self, clock: LocalClock, state: Fleet) -> None:
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
