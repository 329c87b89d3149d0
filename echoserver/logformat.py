"""The formats of the log: lines of text, or of JSON with stable names of events."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    formatEventAsClassicLogText,
)

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warn", "error", "critical")
# The event of a line of Twisted or of another library.
OTHER = "other"
_TOP_LEVEL = ("gameServerId", "session", "requestId")
# What Twisted adds to an event while a legacy observer is installed.
_LEGACY = ("message", "time", "system", "format", "isError", "failure", "why", "logLevel")
_SYSLOG_PRIORITIES = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}

Format = Callable[[LogEvent], str | None]


def formatText(event: LogEvent) -> str | None:
    """Return an event as a line of text, as Twisted does; None if it has no text."""
    return formatEventAsClassicLogText(event)


def formatJSON(event: LogEvent) -> str | None:
    """
    Return an event as a line of JSON; None if it has no text.

    The keys C{time}, C{level}, C{event}, C{namespace} and C{message} are in each line. If the event
    has them, so are C{gameServerId}, C{session}, C{requestId} and C{traceback}. C{fields} has the
    other fields of the message.
    """
    message = formatEvent(event)
    failure = event.get("log_failure")
    if not message and failure is None:
        return None
    time = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    line: dict[str, Any] = {
        "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": event.get("log_level", LogLevel.info).name,
        "event": event.get("eventName", OTHER),
        "namespace": event.get("log_namespace", ""),
        "message": message,
    }
    line |= {name: event[name] for name in _TOP_LEVEL if event.get(name) is not None}
    if "eventName" in event:
        # An event of another library can have any fields, also large ones.
        hidden = {*_TOP_LEVEL, *_LEGACY, "eventName"}
        fields = {
            name: _plain(value)
            for name, value in event.items()
            if not name.startswith("log_") and name not in hidden
        }
        if fields:
            line["fields"] = fields
    if failure is not None:
        try:
            line["traceback"] = failure.getTraceback()
        except Exception as error:  # noqa: BLE001 # it formats objects of any class
            line["traceback"] = f"(unformattable: {type(error).__name__})"
    return json.dumps(line, ensure_ascii=False, default=str) + "\n"


def formatOf(name: str) -> Format:
    """Return the format of that name in L{FORMATS}."""
    return formatJSON if name == "json" else formatText


def fileObserver(file: Any, name: str, level: str) -> ILogObserver:
    """Return an observer that writes the events of this level and above to a file."""
    return filtered(_Observer(formatOf(name), lambda _, line: file.write(line)), level)


def syslogObserver(file: Any, level: str) -> ILogObserver:
    """Return an observer that writes JSON for syslog: C{<PRIORITY>JSON}."""

    def write(event: LogEvent, line: str) -> None:
        priority = _SYSLOG_PRIORITIES[event.get("log_level", LogLevel.info)]
        file.write(f"<{priority}>{line.rstrip()}")

    return filtered(_Observer(formatJSON, write), level)


def filtered(observer: Any, level: str) -> ILogObserver:
    """Return an observer that passes on the events of this level and above."""
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))
    result: ILogObserver = FilteringLogObserver(observer, [predicate])
    return result


class _Observer:
    """Formats events, and passes on those that have a text."""

    def __init__(self, format: Format, write: Callable[[LogEvent, str], object]) -> None:
        self._format = format
        self._write = write

    def __call__(self, event: LogEvent) -> None:
        if line := self._format(event):
            self._write(event, line)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        # JSON has no NaN and no infinity.
        return value if value - value == 0 else str(value)
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 # it formats objects of any class
        return f"(unformattable: {type(error).__name__})"
