"""Checks of values of the command line, with the limits that AWS documents."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite, nan
from typing import Any

import click
from click import UsageError

_GROUP = re.compile(r"[A-Za-z0-9.-]{1,128}|arn:[A-Za-z0-9:/.-]{1,252}")
_GAME_SERVER_ID = re.compile(r"[A-Za-z0-9.-]{3,128}")
_INSTANCE_ID = re.compile(r"i-[A-Za-z0-9]{17}")
_LONGEST_CONNECTION = 512


class Checked(click.ParamType[Any]):
    """
    A value that a function of this module checks.

    @param check: takes the text, and returns the value or raises C{UsageError}.
    """

    name = "text"

    def __init__(self, check: Callable[[str], Any]) -> None:
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check a text."""
        return self._check(value) if isinstance(value, str) else value


class Number(click.ParamType[Any]):
    """A number above 0, which is an C{int} if it is whole."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse a text."""
        option = param.opts[0] if param is not None else "it"
        try:
            number = float(value)
        except ValueError:
            number = nan
        if not isfinite(number):
            raise UsageError(f"{option} is {value!r}: it must be a number.")
        parsed = int(number) if number.is_integer() else number
        if parsed <= 0:
            raise UsageError(f"{option} is {parsed}: it must be a number above 0.")
        return parsed


def groupName(text: str) -> str:
    """
    Return the name or the ARN of a game server group, or an empty text.

    @raise UsageError: if FleetIQ does not accept it.
    """
    if text and not _GROUP.fullmatch(text):
        raise UsageError(
            f"{text!r} is not a game server group: use its name (1 to 128 letters, digits, '-' and "
            "'.') or its ARN."
        )
    return text


def gameServerId(text: str) -> str:
    """
    Return a game server id.

    @raise UsageError: if FleetIQ does not accept it.
    """
    if not _GAME_SERVER_ID.fullmatch(text):
        raise UsageError(
            f"{text!r} is not a game server id: use 3 to 128 letters, digits, '-' and '.'."
        )
    return text


def instanceId(text: str) -> str:
    """
    Return an instance id.

    @raise UsageError: if FleetIQ does not accept it.
    """
    if not _INSTANCE_ID.fullmatch(text):
        raise UsageError(f"{text!r} is not an instance id: use i- and 17 letters or digits.")
    return text


def connectionInfo(text: str) -> str:
    """
    Return ConnectionInfo.

    @raise UsageError: if FleetIQ does not accept it.
    """
    if not (text.strip() and len(text) <= _LONGEST_CONNECTION):
        raise UsageError(
            f"--connection has {len(text)} characters: use 1 to {_LONGEST_CONNECTION}, not only "
            "blanks."
        )
    return text


def gameServerData(text: str) -> str:
    """
    Return GameServerData.

    @raise UsageError: if FleetIQ does not accept it.
    """
    from echoserver.gamelift.service import checkData

    try:
        checkData(text)
    except ValueError as reason:
        raise UsageError(f"--data cannot be sent: {reason}") from reason
    return text
