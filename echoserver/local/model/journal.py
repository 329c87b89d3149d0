"""Pure: the journal, which keeps the last calls and events."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter
from typing import Any

from echoserver.local.model.values import Event

# How many calls, and how many events, are kept.
MAX_ENTRIES = 1000
# Characters of a text that is kept.
MAX_LENGTH = 500
# Characters of the input or the output of a call.
MAX_DETAIL_LENGTH = 4000
_MAX_CALLER_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Call:
    """
    One call of the API.

    @ivar time: the local time of the reply.
    @ivar userAgent: as the caller sent it.
    @ivar outcome: C{OK}, the error code, or the kind of fault that closed the connection.
    @ivar seconds: from the arrival of the call to its reply, in real time.
    @ivar groupName: a name or an ARN. It and the ids are not validated.
    @ivar sentence: the message of the error, or what a fault did; C{None} if there is none.
    @ivar input: the input as JSON; C{None} if details were not kept.
    @ivar output: the output as JSON; C{None} if details were not kept, or after an error.
    """

    time: float
    operation: str
    userAgent: bytes
    outcome: str
    seconds: float
    groupName: str | None
    gameServerId: str | None
    instanceId: str | None
    sentence: str | None
    input: str | None = None
    output: str | None = None


Entry = Call | Event
# The members of a Call. The garbage collector does not track tuples of strings and numbers.
# With 1,000 Call objects instead, its runs cost 2 us for each call.
CallMembers = tuple[float, str, bytes, str, float, str | None, str | None, str | None, str | None]
# The input and output of a call; nothing if details are not kept.
CallDetails = tuple[str | None, ...]


class Journal:
    """
    The last calls and the last events, L{MAX_ENTRIES} of each. Many calls do not remove events.

    @ivar readers: called with each new entry.
    @ivar keepsDetails: whether calls are added with their input and output, which takes time.
    """

    def __init__(self) -> None:
        self.keepsDetails = False
        self.readers: list[Callable[[Entry], None]] = []
        self._added = 0
        self._calls: deque[tuple[int, CallMembers, CallDetails]] = deque(maxlen=MAX_ENTRIES)
        self._events: deque[tuple[int, Event]] = deque(maxlen=MAX_ENTRIES)

    @property
    def discarded(self) -> int:
        """How many entries have been discarded."""
        return self._added - len(self._calls) - len(self._events)

    def addCall(self, members: CallMembers, details: CallDetails = ()) -> None:
        self._added += 1
        self._calls.append((self._added, members, details))
        if self.readers:
            self._callReaders(Call(*members, *details))

    def addEvent(self, event: Event) -> None:
        self._added += 1
        self._events.append((self._added, event))
        self._callReaders(event)

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first."""
        calls = ((number, Call(*members, *details)) for number, members, details in self._calls)
        numbered: Iterable[tuple[int, Entry]] = merge(calls, self._events, key=itemgetter(0))
        return [entry for _, entry in numbered]

    def clear(self) -> None:
        self._added = 0
        self._calls.clear()
        self._events.clear()

    def _callReaders(self, entry: Entry) -> None:
        for read in tuple(self.readers):
            read(entry)


def shorten(value: object) -> str | None:
    """Return at most L{MAX_LENGTH} characters of a string; C{None} for any other value."""
    return value[:MAX_LENGTH] if isinstance(value, str) else None


def formatDetail(value: object) -> str:
    """Return the input or output of a call as JSON, at most L{MAX_DETAIL_LENGTH} characters."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= MAX_DETAIL_LENGTH else text[: MAX_DETAIL_LENGTH - 1] + "\u2026"


def formatEntry(entry: Entry) -> dict[str, Any]:
    """Return an entry as the controls return it, without members that have no value."""
    members = _formatCall(entry) if isinstance(entry, Call) else _formatEvent(entry)
    return {name: value for name, value in members.items() if value is not None}


def _formatCall(call: Call) -> dict[str, Any]:
    return {
        "time": round(call.time, 3),
        "event": "call",
        "operation": call.operation,
        "outcome": call.outcome,
        "seconds": round(call.seconds, 6),
        "caller": callerOf(call.userAgent),
        "GameServerGroupName": call.groupName and call.groupName.rpartition("/")[2],
        "GameServerId": call.gameServerId,
        "InstanceId": call.instanceId,
        "sentence": call.sentence,
    }


def _formatEvent(event: Event) -> dict[str, Any]:
    return {
        "time": round(event.time, 3),
        "event": event.event,
        "GameServerGroupName": event.groupName,
        "GameServerId": event.gameServerId,
        "InstanceId": event.instanceId,
        **event.statuses,
        "sentence": event.sentence,
    }


def callerOf(userAgent: bytes) -> str | None:
    """
    Return the name and version of a caller, escaped, in at most 40 bytes of its User-Agent. SDKs
    begin the header with it, as in C{Boto3/1.44.5}. C{None} if the header is empty.
    """
    first = userAgent.split(maxsplit=1)[:1]
    if not first:
        return None
    return first[0][:_MAX_CALLER_LENGTH].decode("latin-1").encode("unicode_escape").decode("ascii")
