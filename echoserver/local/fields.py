"""Pure: the fields of a control's body, in sentences for whoever writes a wrong one."""

from collections.abc import Collection, Mapping
from typing import Any

from echoserver.local.values import shown


def checkNames(body: Mapping[str, Any], what: str, names: Collection[str]) -> None:
    """
    @raise ValueError: A field is none of C{what}, such as "a fault".
    """
    for name in body:
        if name not in names:
            raise ValueError(f"{shown(name)} is not a field of {what}: it has {', '.join(names)}.")


def numberOf(body: Mapping[str, Any], name: str, most: float) -> float | None:
    """
    The number above 0 that a field is; C{None} if it is not given.

    @raise ValueError: It is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise ValueError(
            f"{name} is {shown(value)}: it must be a number above 0, at most {most:.12g}."
        )
    return float(value)


def textOf(body: Mapping[str, Any], name: str) -> str | None:
    """
    The string that a field is; C{None} if it is not given.

    @raise ValueError: It is something else.
    """
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{name} is {shown(value)}: it must be a string.")
