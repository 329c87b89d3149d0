"""
Parse and check the values of command line options.

Every error is a C{usage.UsageError} with one sentence: the option, its value, and what is allowed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.python import usage
from twisted.python.reflect import namedAny

from echoserver.ratelimit import TokenBucket

T = TypeVar("T")

FACTORY_EXAMPLE = "MODULE.CALLABLE, for example tictactoe.makeFactory"
_MAX_QUOTED = 80
_MAX_REASON = 200


def checkedBy(option: str, check: Callable[[], T]) -> T:
    """Return the result of C{check}. Its ValueError becomes a usage error that names the option."""
    try:
        return check()
    except ValueError as error:
        raise usage.UsageError(f"--{option}: {error}") from error


def whole(options: usage.Options, name: str, least: int) -> int:
    """Return a whole number from C{least} to 65535."""
    value: str = options[name]
    if not (re.fullmatch("[0-9]{1,5}", value) and least <= int(value) <= 65535):
        raise invalid(name, value, f"a whole number from {least} to 65535")
    return int(value)


def limit(options: usage.Options, name: str) -> int | None:
    """Return a whole number from 1 to 65535, or None if the option is not given."""
    return None if options[name] is None else whole(options, name, 1)


def seconds(options: usage.Options, name: str, least: float) -> float:
    """Return a number of seconds, C{least} or more."""
    value: str = options[name]
    if not (re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) and float(value) >= least):
        raise invalid(name, value, f"seconds from {least:.0f} to 999999, for example 60")
    return float(value)


def secondsOrNever(options: usage.Options, name: str) -> float:
    """Return a number of seconds, 1 or more, or 0 for never."""
    value = seconds(options, name, 0)
    if 0 < value < 1:
        raise invalid(name, options[name], "1 or more, or 0 for never")
    return value


def rate(options: usage.Options, name: str) -> TokenBucket:
    """Parse C{RATE} or C{RATE,BURST}. Without BURST, it is the rate of four seconds."""
    value: str = options[name]
    words = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)(?:,([0-9]{1,4}))?", value)
    perSecond = float(words[1]) if words else 0.0
    burst = float((words and words[2]) or max(1, int(4 * perSecond)))
    if perSecond < 0.1 or burst < 1:
        allowed = "RATE or RATE,BURST, from 0.1 and 1 to 9999, for example 5 or 5,20"
        raise invalid(name, value, allowed)
    return TokenBucket(perSecond, burst)


def matching(options: usage.Options, name: str, pattern: str, allowed: str) -> str | None:
    """Return a value that matches the whole pattern, or None if the option is not given."""
    value: str | None = options[name]
    if value is not None and not re.fullmatch(pattern, value):
        raise invalid(name, value, allowed)
    return value


def oneOf(options: usage.Options, name: str, *allowed: str) -> str:
    """Return one of the allowed words."""
    value: str = options[name]
    if value not in allowed:
        *most, last = allowed
        raise invalid(name, value, f"{', '.join(most)} or {last}")
    return value


def imported(subject: str, name: str) -> Callable[..., Any]:
    """
    Import C{MODULE.CALLABLE} and return the callable. The module can be in the current directory.

    @param subject: what has the name, for sentences.
    """
    # A console script such as twistd does not search the current directory.
    if (directory := os.getcwd()) not in sys.path:
        sys.path.append(directory)
    try:
        found = namedAny(name)
    except Exception as error:
        # Importing a game runs its code, which can raise anything.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_REASON].rstrip(".")
        raise usage.UsageError(
            f"{subject} is {quoted(name)}, which cannot be imported ({reason}): write"
            f" {FACTORY_EXAMPLE}. The module must be installed, or in this directory."
        ) from error
    if not callable(found):
        raise usage.UsageError(
            f"{subject} is {quoted(name)}, which is not callable: write {FACTORY_EXAMPLE}."
        )
    function: Callable[..., Any] = found
    return function


def invalid(name: str, value: str, allowed: str) -> usage.UsageError:
    """Return the error of an invalid value."""
    return usage.UsageError(f"--{name} is {quoted(value)}: write {allowed}.")


def quoted(value: str) -> str:
    """Return a value in quotes, escaped, and truncated to 80 characters."""
    return repr(value if len(value) <= _MAX_QUOTED else f"{value[: _MAX_QUOTED - 3]}...")
