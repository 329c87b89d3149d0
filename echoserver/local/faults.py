"""Pure: which call fails, and how, by a seed: the faults somebody ordered."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from echoserver.local.values import shown

KINDS = ("slow", "error")
EVERY_OPERATION = "*"
LONGEST_WAIT = 3600.0
_FIELDS = ("operation", "kind", "seconds", "code", "probability", "count")
_CODE = re.compile(r"[A-Za-z.]{1,100}")


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """
    A fault that strikes calls until it is ended or C{count} runs out.

    @ivar seconds: how long C{slow} makes a call wait, in real seconds.
    @ivar code: what C{error} answers.
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
    """What happens to one call: it waits, and then fails with C{code} if there is one."""

    seconds: float = 0.0
    code: str | None = None


UNHARMED = Fate()


class Faults:
    """
    The orders in force, by id. They add up: waits are summed, the first error to strike is
    answered.

    @ivar operations: the names an order may have, besides C{"*"}.
    """

    def __init__(self, operations: Collection[str], dice: Random) -> None:
        self.operations = operations
        self._dice = dice
        self._orders: dict[str, FaultOrder] = {}
        self._lastId = 0

    def add(self, body: Mapping[str, Any]) -> str:
        """
        Order the fault that a control's body describes, and return its id.

        @raise ValueError: The body is not an order; the text is a sentence for its author.
        """
        order = self._read(body)
        self._lastId += 1
        faultId = f"fault-{self._lastId}"
        self._orders[faultId] = order
        return faultId

    def end(self, faultId: str) -> bool:
        """End one fault; C{False} if there is none of this id."""
        return self._orders.pop(faultId, None) is not None

    def endAll(self) -> None:
        self._orders.clear()

    def orders(self) -> Iterable[tuple[str, FaultOrder]]:
        return self._orders.items()

    def fateOf(self, operation: str) -> Fate:
        """Decide for one call that begins now."""
        if not self._orders:
            return UNHARMED
        seconds, code = 0.0, None
        for faultId, order in list(self._orders.items()):
            if order.operation not in (EVERY_OPERATION, operation):
                continue
            if (order.kind == "error" and code is not None) or not self._strikes(faultId, order):
                continue
            if order.kind == "slow":
                seconds += order.seconds or 0.0
            else:
                code = order.code
        return Fate(seconds, code)

    def _strikes(self, faultId: str, order: FaultOrder) -> bool:
        if order.probability < 1 and self._dice.random() >= order.probability:
            return False
        if order.count == 1:
            del self._orders[faultId]
        elif order.count is not None:
            self._orders[faultId] = replace(order, count=order.count - 1)
        return True

    def _read(self, body: Mapping[str, Any]) -> FaultOrder:
        for name in body:
            if name not in _FIELDS:
                raise ValueError(
                    f"{shown(name)} is not a field of a fault: it has {', '.join(_FIELDS)}."
                )
        operation, kind = body.get("operation"), body.get("kind")
        allowed = (EVERY_OPERATION, *sorted(self.operations))
        if operation not in allowed:
            raise ValueError(
                f"operation is {shown(operation)}: it must be one of {', '.join(allowed)}."
            )
        if kind not in KINDS:
            raise ValueError(f"kind is {shown(kind)}: it must be one of {', '.join(KINDS)}.")
        seconds = _number(body, "seconds", LONGEST_WAIT)
        if kind == "slow" and seconds is None:
            raise ValueError("A slow fault needs seconds, the time that each call waits.")
        code = body.get("code")
        if code is None and kind == "error":
            raise ValueError("An error fault needs a code, such as InternalServiceException.")
        if code is not None and not (isinstance(code, str) and _CODE.fullmatch(code)):
            raise ValueError(
                f"code is {shown(code)}: it must be the name of an error, at most 100 letters "
                "and dots."
            )
        probability = _number(body, "probability", 1.0)
        return FaultOrder(
            operation,
            kind,
            seconds,
            code,
            1.0 if probability is None else probability,
            _count(body),
        )


def _number(body: Mapping[str, Any], name: str, most: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise ValueError(
            f"{name} is {shown(value)}: it must be a number above 0, at most {most:g}."
        )
    return float(value)


def _count(body: Mapping[str, Any]) -> int | None:
    count = body.get("count")
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(
            f"count is {shown(count)}: it must be a whole number of calls, at least 1."
        )
    return count
