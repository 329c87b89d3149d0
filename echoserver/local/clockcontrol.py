"""The control of the local clock: POST /_local/clock."""

from collections.abc import Callable

from echoserver.local.clock import HIGHEST_SCALE, LocalClock
from echoserver.local.control import Act, Tell, answer, refuse
from echoserver.local.fields import checkNames, numberOf
from echoserver.local.site import LocalRequest
from echoserver.local.state import FleetState
from echoserver.local.wire import readObject

LONGEST_ADVANCE = 366 * 86400.0
# The year 9000, roughly: dates end soon after.
LATEST = 9000 * 365.2425 * 86400.0 - 62135596800.0


class ClockControl(Act):
    """Moves the clock ahead, or gives it another scale."""

    isLeaf = True

    def __init__(
        self,
        clock: LocalClock,
        state: FleetState,
        moved: Callable[[], None],
        tell: Tell,
    ) -> None:
        """
        @param moved: told after each change of the clock.
        """
        super().__init__()
        self._clock = clock
        self._state = state
        self._moved = moved
        self._tell = tell
        self.forget()

    def forget(self) -> None:
        """No heartbeats were seen."""
        # In real seconds, and measured between the clock's moves: they are no server's silence.
        self._longestSilence = 0.0

    def render_POST(self, request: LocalRequest) -> int:
        try:
            body = readObject(request.content.read())
            checkNames(body, "a move of the clock", ("advance", "scale"))
            advance = numberOf(body, "advance", LONGEST_ADVANCE)
            scale = numberOf(body, "scale", HIGHEST_SCALE)
            if advance is None and scale is None:
                raise ValueError(
                    "A move of the clock needs advance, the seconds that pass at once, or scale, "
                    "the seconds that pass in a real one."
                )
            if self._clock.seconds() + (advance or 0) > LATEST:
                raise ValueError(
                    "The local clock goes no further than the year 9000: POST /_local/reset."
                )
        except ValueError as error:
            return refuse(request, 400, str(error))
        silence = self._state.measureSilence(self._clock.seconds()) / self._clock.scale
        self._longestSilence = max(self._longestSilence, silence)
        if scale is not None:
            self._clock.setScale(scale)
            self._tellScale()
        if advance is not None:
            self._clock.advance(advance)
            self._state.measureSilence(self._clock.seconds())
            self._tell("clock", f"the local clock is moved {advance:g} s ahead")
        self._moved()
        now = round(self._clock.seconds(), 3)
        return answer(request, 200, {"now": now, "timeScale": self._clock.scale})

    def _tellScale(self) -> None:
        """A scale that is faster than the heartbeats seen is a warning."""
        lapse = self._state.healthTimeout / self._clock.scale
        seen = f"; up to {self._longestSilence:.3g} s were seen between two"
        isOutrun = self._longestSilence > lapse
        self._tell(
            "clock",
            f"the local clock now runs {self._clock.scale:g} s in a second: {lapse:.3g} s without "
            f"a health report, and a game server is dropped{seen if isOutrun else ''}",
            isOutrun,
        )
