"""Whether a claim sent the player who knocks: FleetIQ is asked once for all who knock together."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger(namespace="fleetiq.game")

ANSWER_WITHIN = 5.0
NO_HOLDS = 1.0


class Admission:
    """
    Asks, and shares the answer. A no holds for 1 s, so that whoever knocks on and on costs a call a
    second; silence for 5 s, or a failure, is a no.

    @param ask: fires with whether a claim waits for its players.
    """

    def __init__(self, clock: IReactorTime, ask: Callable[[], Deferred[bool]]) -> None:
        self._clock = clock
        self._ask = ask
        self._refused = -inf
        self._waiting: list[Deferred[bool]] = []

    def knock(self) -> Deferred[bool]:
        """Fires with whether he was sent, within 5 s; never fails."""
        if self._clock.seconds() - self._refused < NO_HOLDS:
            return succeed(False)
        answer: Deferred[bool] = Deferred()
        self._waiting.append(answer)
        if len(self._waiting) == 1:
            asked = self._ask().addTimeout(ANSWER_WITHIN, self._clock, _tooLate)
            asked.addErrback(self._failed).addCallback(self._answered)
        return answer

    def _failed(self, failure: Failure) -> bool:
        why = failure.getErrorMessage()
        _log.warn("A player was refused, for FleetIQ did not say who may come: {why}", why=why)
        return False

    def _answered(self, claimed: bool) -> None:
        if not claimed:
            self._refused = self._clock.seconds()
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer.callback(claimed)


def _tooLate(_: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"nothing within {timeout:.0f} s")
