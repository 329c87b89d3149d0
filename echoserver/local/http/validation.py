"""Pure: an operation's input against botocore's service model, all that it says of it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from sys import float_info
from typing import Any

from echoserver.local.model.values import quoted

# Says what is wrong with a value that stands at a path, or None.
Check = Callable[[Any, str], str | None]

# A range of characters beyond the BMP, its ends in UTF-16 halves: unknown to Python's patterns.
_HALVES = r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})"
_RANGE_OF_HALVES = re.compile(f"{_HALVES}-{_HALVES}", re.IGNORECASE)


class ServiceModel:
    """The operations of a service model; the check of an operation's input is compiled once."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self.shapes: Mapping[str, Any] = model["shapes"]
        self._operations: Mapping[str, Any] = model["operations"]
        self._checks: dict[str, Check] = {}

    @property
    def operations(self) -> Collection[str]:
        return self._operations.keys()

    def problem(self, operation: str, request: Mapping[str, Any]) -> str | None:
        """The first thing wrong with an operation's input, a sentence; C{None} if it is right."""
        check = self._checks.get(operation)
        if check is None:
            check = self._checks[operation] = self._compile(self.inputShape(operation))
        return check(request, "")

    def unknownMembers(self, operation: str, request: Mapping[str, Any]) -> list[str]:
        """Return the paths of the members of a valid input that the operation does not have."""
        return self._unknown(self.inputShape(operation), request, "")

    def _unknown(self, shapeName: str, value: Any, path: str) -> list[str]:
        shape, found = self.shapes[shapeName], []
        if shape["type"] == "list":
            for index, item in enumerate(value):
                found += self._unknown(shape["member"]["shape"], item, f"{path}[{index}]")
        elif shape["type"] == "structure":
            for name, member in value.items():
                if name not in shape["members"]:
                    found.append(_join(path, name))
                elif member is not None:
                    below = shape["members"][name]["shape"]
                    found += self._unknown(below, member, _join(path, name))
        return found

    def inputShape(self, operation: str) -> str:
        """The name of the shape of an operation's input."""
        name: str = self._operations[operation]["input"]["shape"]
        return name

    def _compile(self, shapeName: str) -> Check:
        shape = self.shapes[shapeName]
        if shape["type"] == "structure":
            members = {
                name: self._compile(member["shape"]) for name, member in shape["members"].items()
            }
            return _structureCheck(members, tuple(shape.get("required", ())))
        if shape["type"] == "list":
            return _listCheck(self._compile(shape["member"]["shape"]), shape)
        if shape["type"] == "string":
            return _stringCheck(shape)
        if shape["type"] == "integer":
            return _integerCheck(shape)
        if shape["type"] == "double":
            return _doubleCheck(shape)
        raise NotImplementedError(f"No check for the type {shape['type']} of {shapeName}.")


@cache
def gameLift() -> ServiceModel:
    """
    GameLift's model out of botocore's data, read once a process. The file is read directly: only to
    import botocore's loaders takes twenty times as long.
    """
    botocore = find_spec("botocore")
    if botocore is None or botocore.origin is None:
        raise FileNotFoundError("botocore is not installed: pip install boto3")
    path = Path(botocore.origin).with_name("data") / "gamelift/2015-10-01/service-2.json.gz"
    model = json.loads(gzip.decompress(path.read_bytes()))
    # Older models do not say so yet.
    model["shapes"]["GameServerData"]["sensitive"] = True
    return ServiceModel(model)


def compilePattern(pattern: str) -> re.Pattern[str]:
    """
    A pattern of the model as Python's, to be matched in full. It is written for engines that see
    UTF-16 and whose C{\\w} is ASCII's.

    @raise re.error: It has something that no rule here translates.
    """
    return re.compile(_RANGE_OF_HALVES.sub(_rangeOfCharacters, pattern), re.ASCII)


def _rangeOfCharacters(halves: re.Match[str]) -> str:
    first, last = (
        0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00
        for high, low in (halves.group(1, 2), halves.group(3, 4))
    )
    return rf"\U{first:08x}-\U{last:08x}"


def _structureCheck(members: Mapping[str, Check], required: tuple[str, ...]) -> Check:
    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, dict):
            return f"{path} is {quoted(value)}: it must be an object."
        for name in required:
            if value.get(name) is None:
                return f"{_join(path, name)} is missing."
        for name, member in value.items():
            memberCheck = members.get(name)
            # The Smithy protocols ignore unknown members, and AWS reads null as absent.
            if memberCheck is None or member is None:
                continue
            problem = memberCheck(member, _join(path, name))
            if problem is not None:
                return problem
        return None

    return check


def _listCheck(memberCheck: Check, shape: Mapping[str, Any]) -> Check:
    checkSize = _sizeCheck(shape, "items")

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, list):
            return f"{path} is {quoted(value)}: it must be a list."
        problem = checkSize(len(value), path)
        for index, item in enumerate(value):
            if problem is not None:
                break
            problem = memberCheck(item, f"{path}[{index}]")
        return problem

    return check


def _stringCheck(shape: Mapping[str, Any]) -> Check:
    checkSize = _sizeCheck(shape, "characters")
    allowed = shape.get("enum")
    pattern = shape.get("pattern")
    matches = None if pattern is None else compilePattern(pattern).fullmatch
    show = _hide if shape.get("sensitive") else quoted

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, str):
            return f"{path} is {show(value)}: it must be a string."
        problem = checkSize(len(value), path)
        if problem is not None:
            return problem
        if allowed is not None and value not in allowed:
            return f"{path} is {show(value)}: it must be one of {', '.join(allowed)}."
        if matches is not None and matches(value) is None:
            return f"{path} is {show(value)}: it must match {pattern} in full."
        return None

    return check


def _integerCheck(shape: Mapping[str, Any]) -> Check:
    least = max(shape.get("min", -(2**31)), -(2**31))
    most = min(shape.get("max", 2**31 - 1), 2**31 - 1)

    def check(value: Any, path: str) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"{path} is {quoted(value)}: it must be a whole number."
        if not least <= value <= most:
            return f"{path} is {quoted(value)}: it must be from {least} to {most}."
        return None

    return check


def _doubleCheck(shape: Mapping[str, Any]) -> Check:
    # What JSON does not have but Python's reader takes, NaN and infinities, is in no range.
    least = shape.get("min", -float_info.max)
    most = shape.get("max", float_info.max)

    def check(value: Any, path: str) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{path} is {quoted(value)}: it must be a number."
        if not least <= value <= most:
            return f"{path} is {quoted(value)}: it must be from {least:g} to {most:g}."
        return None

    return check


def _sizeCheck(shape: Mapping[str, Any], unit: str) -> Callable[[int, str], str | None]:
    least, most = shape.get("min", 0), shape.get("max")

    def check(size: int, path: str) -> str | None:
        if size < least:
            return f"{path} has {size} {unit}: it must have at least {least}."
        if most is not None and size > most:
            return f"{path} has {size} {unit}: it must have at most {most}."
        return None

    return check


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _hide(_value: object) -> str:
    return "a value that is not shown"
