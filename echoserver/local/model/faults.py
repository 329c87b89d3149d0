"""Pure: injected faults, and the calls they apply to. The same seed selects the same calls."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from echoserver.local.model.settings import DEFAULTS
from echoserver.local.model.values import checkNames, numberOf, quoted

SLOW, ERROR, THROTTLE, DROP, LOST_REPLY = "slow", "error", "throttle", "drop", "lost-reply"
KINDS = (SLOW, ERROR, THROTTLE, DROP, LOST_REPLY)
EVERY_OPERATION = "*"
MAX_WAIT = 3600.0
_FIELDS = ("operation", "kind", "seconds", "code", "probability", "count")
_CODE = re.compile(r"[A-Za-z.]{1,100}")


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One fault. It applies to calls until it is ended, or until it has applied to C{count} calls.

    @ivar operation: the operation, or C{"*"} for all.
    @ivar seconds: the delay of a C{slow} fault, in real seconds; C{None} for the other kinds.
    @ivar code: the error of an C{error} fault; C{None} for the other kinds.
    @ivar probability: that it applies to a call, above 0 and at most 1.
    @ivar count: to how many more calls it applies; C{None} for no limit.
    """

    operation: str
    kind: str
    seconds: float | None
    code: str | None
    probability: float
    count: int | None


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """
    The effect of the faults on one call.

    @ivar seconds: the delay, in real seconds.
    @ivar kind: what happens after the delay. C{error} and C{throttle} make the call fail with
        C{code}. C{drop} closes its connection before the call takes effect, and C{lost-reply} after
        that. With C{None} nothing happens.
    """

    seconds: float = 0.0
    kind: str | None = None
    code: str | None = None


NO_FAULT = FaultOutcome()


class Faults:
    """
    The active faults, by id. If several apply to a call, their delays are added. Of the other
    kinds, only the fault that was added first applies.

    @ivar operations: the operations that a fault can name, in addition to C{"*"}.
    """

    def __init__(
        self, operations: Collection[str], rng: Random, throttling: str = DEFAULTS.throttling
    ) -> None:
        """
        @param rng: selects the calls of faults with a probability.
        @param throttling: the error of a C{throttle} fault.
        """
        self.operations = operations
        self._rng = rng
        self._throttling = throttling
        self._startState = rng.getstate()
        self._faults: dict[str, Fault] = {}
        # Each fault has its own rng, so that other faults do not change its calls.
        self._rngs: dict[str, Random] = {}
        self._lastId = 0

    def reset(self) -> None:
        """End all faults, and restore the random source."""
        self.endAll()
        self._lastId = 0
        self._rng.setstate(self._startState)

    def add(self, body: Mapping[str, Any]) -> str:
        """
        Add a fault, and return its id.

        @param body: the members of the fault, as in C{POST /_local/faults}.
        @raise ValueError: with a sentence, if they do not describe a fault.
        """
        fault = self._parse(body)
        self._lastId += 1
        faultId = f"fault-{self._lastId}"
        self._faults[faultId] = fault
        self._rngs[faultId] = Random(self._rng.getrandbits(64))
        return faultId

    def end(self, faultId: str) -> bool:
        """End a fault. Return whether there was one with this id."""
        self._rngs.pop(faultId, None)
        return self._faults.pop(faultId, None) is not None

    def endAll(self) -> None:
        self._faults.clear()
        self._rngs.clear()

    def active(self) -> Iterable[tuple[str, Fault]]:
        """Return the active faults with their ids, in the order in which they were added."""
        return self._faults.items()

    def apply(self, operation: str) -> FaultOutcome:
        """
        Return the effect of the faults on a new call, and count the call for each fault that
        applies.
        """
        outcome = NO_FAULT
        for faultId, fault in list(self._faults.items()):
            if fault.operation not in (EVERY_OPERATION, operation):
                continue
            applies = fault.probability == 1 or self._rngs[faultId].random() < fault.probability
            if not applies or (fault.kind != SLOW and outcome.kind is not None):
                continue
            self._countDown(faultId, fault)
            if fault.kind == SLOW:
                outcome = replace(outcome, seconds=outcome.seconds + (fault.seconds or 0.0))
            else:
                code = self._throttling if fault.kind == THROTTLE else fault.code
                outcome = replace(outcome, kind=fault.kind, code=code)
        return outcome

    def _countDown(self, faultId: str, fault: Fault) -> None:
        if fault.count == 1:
            self.end(faultId)
        elif fault.count is not None:
            self._faults[faultId] = replace(fault, count=fault.count - 1)

    def _parse(self, body: Mapping[str, Any]) -> Fault:
        checkNames(body, "a fault", _FIELDS)
        operation, kind = body.get("operation"), body.get("kind")
        allowed = (EVERY_OPERATION, *sorted(self.operations))
        if operation not in allowed:
            raise ValueError(
                f"operation is {quoted(operation)}: it must be one of {', '.join(allowed)}."
            )
        if kind not in KINDS:
            raise ValueError(f"kind is {quoted(kind)}: it must be one of {', '.join(KINDS)}.")
        seconds, code = numberOf(body, "seconds", MAX_WAIT), _code(body)
        if (seconds is None) == (kind == SLOW):
            raise ValueError(
                "A slow fault needs seconds, the delay of each call."
                if kind == SLOW
                else f"Only a slow fault has seconds: add one in addition to this {kind} fault."
            )
        if (code is None) == (kind == ERROR):
            raise ValueError(
                "An error fault needs a code, such as InternalServiceException."
                if kind == ERROR
                else f"Only an error fault has a code, and this is a {kind} fault: omit it."
            )
        probability = numberOf(body, "probability", 1.0)
        return Fault(
            operation,
            kind,
            seconds,
            code,
            1.0 if probability is None else probability,
            _count(body),
        )


def _code(body: Mapping[str, Any]) -> str | None:
    code = body.get("code")
    if code is None or (isinstance(code, str) and _CODE.fullmatch(code)):
        return code
    raise ValueError(
        f"code is {quoted(code)}: it must be the name of an error, at most 100 letters and dots."
    )


def _count(body: Mapping[str, Any]) -> int | None:
    count = body.get("count")
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(
            f"count is {quoted(count)}: it must be a whole number of calls, at least 1."
        )
    return count
