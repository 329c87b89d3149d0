"""The local clock: real time, moved ahead and sped up; all of the local FleetIQ lives by it."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

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
