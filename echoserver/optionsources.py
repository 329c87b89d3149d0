"""
The sources of options beside the command line: environment variables, and a configuration file.

An option has the value of the first source that has it: command line, environment, file, default.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from json import dumps
from pathlib import Path
from typing import Any

PREFIX = "FLEETIQ_"
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off", "")
# In bytes. A larger file is a mistake, for instance a device.
_MAX_FILE = 1_000_000


@dataclass(frozen=True, slots=True)
class Setting:
    """
    The value of an option, and where it comes from.

    @ivar name: the option, without its dashes.
    @ivar values: the values as on the command line. Only an option that may be repeated can have
        several. A flag has none.
    @ivar source: the source, for a list: C{environment FLEETIQ_GRACE}.
    @ivar subject: how a sentence names the option: C{FLEETIQ_GRACE}.
    """

    name: str
    values: tuple[str, ...]
    source: str
    subject: str

    def words(self) -> list[str]:
        """Return the setting as words of a command line."""
        return [f"--{self.name}={value}" for value in self.values] or [f"--{self.name}"]


@dataclass(frozen=True, slots=True)
class OptionNames:
    """
    The options of a command.

    @ivar parameters: those that have a value.
    @ivar flags: those that have none.
    @ivar repeated: those of the parameters that may be repeated.
    """

    parameters: Collection[str]
    flags: Collection[str]
    repeated: Collection[str] = ()

    def all(self) -> list[str]:
        """Return all names, sorted."""
        return sorted({*self.parameters, *self.flags})


def variableOf(option: str) -> str:
    """Return the environment variable of an option: C{FLEETIQ_MAX_PLAYERS} for C{max-players}."""
    return PREFIX + option.upper().replace("-", "_")


def fromEnvironment(environ: Mapping[str, str], names: OptionNames) -> list[Setting]:
    """
    Return the settings of the environment. Variables that are not of an option are ignored.

    @raise ValueError: with a sentence, if the value of a flag is wrong.
    """
    found = []
    for name in names.all():
        variable = variableOf(name)
        value = environ.get(variable)
        if value is None:
            continue
        if name in names.flags:
            if value.lower() in _FALSE:
                continue
            if value.lower() not in _TRUE:
                raise ValueError(f"{variable} is {value[:80]!r}: write 1 or 0.")
        values = () if name in names.flags else (value,)
        found.append(Setting(name, values, f"environment {variable}", variable))
    return found


def fromFile(path: str, names: OptionNames) -> list[Setting]:
    """
    Return the settings of a TOML file.

    @raise ValueError: with a sentence that has the file, and where possible the line and the key.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"--config is {path[:80]!r}, which cannot be read ({reason}): name a TOML file."
        ) from error
    if len(data) > _MAX_FILE:
        raise ValueError(f"{path} has more than {_MAX_FILE} bytes: name a TOML file.")
    try:
        text = data.decode("utf-8")
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: it is not UTF-8: write it in UTF-8.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(_notTOML(path, text, str(error))) from error
    found = []
    for name, value in table.items():
        subject = f"{path}, line {_lineOf(text, name)}: {name}"
        if name not in names.parameters and name not in names.flags:
            near = suggestion(name, names.all()) or "; '--help' lists the options."
            raise ValueError(f"{subject} is not an option{near}")
        values = _values(name, value, names, subject)
        if values is not None:
            found.append(Setting(name, values, f"{path}, line {_lineOf(text, name)}", subject))
    return found


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """Return a question with the nearest right name; empty if none is near."""
    near = get_close_matches(name.replace("_", "-").lower(), list(allowed), 1)
    return f": did you mean {near[0]}?" if near else ""


def asTOML(values: Iterable[tuple[str, object, str]]) -> str:
    """
    Format options as a TOML file with their sources in comments.

    @param values: name, value and source; an option whose value is None is a comment.
    """
    lines = []
    for name, value, source in values:
        shown = f"# {name} is not set" if value is None else f"{name} = {_formatted(value)}"
        lines.append(f"{shown:<50} # {source}")
    return "\n".join(lines)


def _formatted(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_formatted, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    # A basic string of TOML has the escapes of JSON; DEL must be escaped too.
    return dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _notTOML(path: str, text: str, error: str) -> str:
    reason, _, place = error.partition(" (at ")
    found = re.match(r"line (\d+),", place)
    line = found[1] if found else len(text.splitlines())
    return f"{path}, line {line}: not TOML ({reason}): write for example max-players = 10."


def _lineOf(text: str, name: str) -> int:
    """Return the line of a key. TOML forbids a second one in the same table."""
    key = re.compile(rf"""\s*\[*\s*["']?{re.escape(name)}["']?\s*[=.\]]""")
    return next((i for i, line in enumerate(text.splitlines(), 1) if key.match(line)), 1)


def _values(name: str, value: Any, names: OptionNames, subject: str) -> tuple[str, ...] | None:
    """Return the values as on the command line; None for a flag that is off."""
    if name in names.flags:
        if not isinstance(value, bool):
            raise ValueError(f"{subject} is {_shown(value)}: write true or false.")
        return () if value else None
    if name in names.repeated and isinstance(value, list):
        if not value or not all(isinstance(each, str) for each in value):
            raise ValueError(f'{subject} is {_shown(value)}: write strings, as in ["a", "b"].')
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{subject} is {_shown(value)}: write a string or a number.")
    return (str(value),)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    text = repr(value) if isinstance(value, (str, int, float, list)) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
