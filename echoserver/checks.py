"""What values on a command line must be; what is wrong is one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.python import usage

from echoserver.bucket import Bucket


def checked(option: str, check: Callable[[], Any]) -> Any:
    """What C{check} brings; its ValueError becomes a usage error that names the option."""
    try:
        return check()
    except ValueError as error:
        raise usage.UsageError(f"--{option}: {error}") from error


def whole(options: usage.Options, name: str, least: int) -> int:
    """A whole number from C{least} to 65535."""
    value: str = options[name]
    if not (re.fullmatch("[0-9]{1,5}", value) and least <= int(value) <= 65535):
        raise wrong(name, value, f"a whole number from {least} to 65535")
    return int(value)


def atMost(options: usage.Options, name: str) -> int | None:
    """A limit: a whole number from 1 to 65535, or None where none is given."""
    return None if options[name] is None else whole(options, name, 1)


def seconds(options: usage.Options, name: str, least: float) -> float:
    """A number of seconds from C{least} on."""
    value: str = options[name]
    if not (re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) and float(value) >= least):
        raise wrong(name, value, f"seconds from {least:.0f} to 999999, for instance 60")
    return float(value)


def rate(options: usage.Options, name: str) -> Bucket:
    """So many a second, and at once; without a burst, that of four seconds."""
    value: str = options[name]
    words = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)(?:,([0-9]{1,4}))?", value)
    many = float(words[1]) if words else 0.0
    burst = float((words and words[2]) or max(1, int(4 * many)))
    if many < 0.1 or burst < 1:
        allowed = "RATE or RATE,BURST, from 0.1 and 1 to 9999, for instance 5 or 5,20"
        raise wrong(name, value, allowed)
    return Bucket(many, burst)


def matching(options: usage.Options, name: str, pattern: str, allowed: str) -> str | None:
    """A value that matches in full, or None where none is given."""
    value: str | None = options[name]
    if value is not None and not re.fullmatch(pattern, value):
        raise wrong(name, value, allowed)
    return value


def oneOf(options: usage.Options, name: str, *words: str) -> str:
    """One of these words."""
    value: str = options[name]
    if value not in words:
        raise wrong(name, value, " or ".join(words))
    return value


def wrong(name: str, value: str, allowed: str) -> usage.UsageError:
    """The error of a wrong value: which option, what it is, what is allowed."""
    return usage.UsageError(f"--{name} is {shown(value)}: write {allowed}.")


def shown(value: str) -> str:
    """A value as sentences show it: quoted, and cut."""
    return repr(value if len(value) <= 80 else f"{value[:77]}...")
