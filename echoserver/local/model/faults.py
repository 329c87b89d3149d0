"""Pure: which call fails, and how, by a seed: the faults somebody ordered."""

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
LONGEST_WAIT = 3600.0
_FIELDS = ("operation", "kind", "seconds", "code", "probability", "count")
_CODE = re.compile(r"[A-Za-z.]{1,100}")


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """
    A fault that strikes calls until it is ended or C{count} runs out.

    @ivar seconds: how long C{slow} makes a call wait, in real seconds; no other kind has it.
    @ivar code: what C{error} answers; no other kind has it.
    @ivar count: how many calls it may still strike; C{None} is for ever.
    """

    operation: str
    kind: str
    seconds: float | None
    code: str | None
    probability: float
    count: int | None


@dataclass(frozen=True, slots=True)
class Fate:
    """
    What happens to one call: it waits, and then meets C{kind}, if there is one.

    @ivar kind: C{error} and C{throttle}: it is refused with C{code}; C{drop} and C{lost-reply}: its
        connection is closed instead of an answer, before or after it took effect.
    """

    seconds: float = 0.0
    kind: str | None = None
    code: str | None = None


UNHARMED = Fate()


class Faults:
    """
    The orders in force, by id. They add up: waits are summed, and of the other kinds the first
    ordered that strikes a call decides.

    @ivar operations: the names an order may have, besides C{"*"}.
    """

    def __init__(
        self, operations: Collection[str], rng: Random, throttling: str = DEFAULTS.throttling
    ) -> None:
        """
        @param throttling: the error that C{throttle} answers.
        """
        self.operations = operations
        self._dice = rng
        self._throttling = throttling
        self._atStart = rng.getstate()
        self._orders: dict[str, FaultOrder] = {}
        # Each order has rng of its own: what it strikes hangs on no other order.
        self._diceOf: dict[str, Random] = {}
        self._lastId = 0

    def reset(self) -> None:
        """Back to the start: no orders, and the same rng for those to come."""
        self.endAll()
        self._lastId = 0
        self._dice.setstate(self._atStart)

    def add(self, body: Mapping[str, Any]) -> str:
        """
        Order the fault that a control's body describes, and return its id.

        @raise ValueError: The body is not an order; the text is a sentence for its author.
        """
        order = self._read(body)
        self._lastId += 1
        faultId = f"fault-{self._lastId}"
        self._orders[faultId] = order
        self._diceOf[faultId] = Random(self._dice.getrandbits(64))
        return faultId

    def end(self, faultId: str) -> bool:
        """End one fault; C{False} if there is none of this id."""
        self._diceOf.pop(faultId, None)
        return self._orders.pop(faultId, None) is not None

    def endAll(self) -> None:
        self._orders.clear()
        self._diceOf.clear()

    def orders(self) -> Iterable[tuple[str, FaultOrder]]:
        return self._orders.items()

    def fateOf(self, operation: str) -> Fate:
        """Decide for one call that begins now."""
        if not self._orders:
            return UNHARMED
        fate = UNHARMED
        for faultId, order in list(self._orders.items()):
            if order.operation not in (EVERY_OPERATION, operation):
                continue
            strikes = order.probability == 1 or self._diceOf[faultId].random() < order.probability
            if not strikes or (order.kind != SLOW and fate.kind is not None):
                continue
            self._countDown(faultId, order)
            if order.kind == SLOW:
                fate = replace(fate, seconds=fate.seconds + (order.seconds or 0.0))
            else:
                code = self._throttling if order.kind == THROTTLE else order.code
                fate = replace(fate, kind=order.kind, code=code)
        return fate

    def _countDown(self, faultId: str, order: FaultOrder) -> None:
        if order.count == 1:
            self.end(faultId)
        elif order.count is not None:
            self._orders[faultId] = replace(order, count=order.count - 1)

    def _read(self, body: Mapping[str, Any]) -> FaultOrder:
        checkNames(body, "a fault", _FIELDS)
        operation, kind = body.get("operation"), body.get("kind")
        allowed = (EVERY_OPERATION, *sorted(self.operations))
        if operation not in allowed:
            raise ValueError(
                f"operation is {quoted(operation)}: it must be one of {', '.join(allowed)}."
            )
        if kind not in KINDS:
            raise ValueError(f"kind is {quoted(kind)}: it must be one of {', '.join(KINDS)}.")
        seconds, code = numberOf(body, "seconds", LONGEST_WAIT), _code(body)
        if (seconds is None) == (kind == SLOW):
            raise ValueError(
                "A slow fault needs seconds, the time that each call waits."
                if kind == SLOW
                else f"Only a slow fault has seconds: order one beside this {kind}, they add up."
            )
        if (code is None) == (kind == ERROR):
            raise ValueError(
                "An error fault needs a code, such as InternalServiceException."
                if kind == ERROR
                else f"Only an error fault has a code, and this is a {kind} fault: leave it out."
            )
        probability = numberOf(body, "probability", 1.0)
        return FaultOrder(
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
