"""Pure: the journal, the last calls and events, which are put into words only for who reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter
from typing import Any

from echoserver.local.model.values import Event

KEPT = 1000
LONGEST = 500
_LONGEST_CALLER = 40


@dataclass(frozen=True, slots=True)
class Call:
    """
    One call of the API, when it was answered.

    @ivar time: of the local clock.
    @ivar userAgent: as the caller sent it.
    @ivar outcome: C{OK}, the code it was refused with, or the fault that closed its connection.
    @ivar seconds: from its arrival to its answer, in real time.
    @ivar groupName: a name or an ARN; it and the ids are whatever the caller sent.
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


Entry = Call | Event
# The members of a Call. Plain tuples of plain values are none of the garbage collector's business:
# a thousand Calls kept made it look at them again and again, for 2 us a call.
CallMembers = tuple[float, str, bytes, str, float, str | None, str | None, str | None, str | None]


class Journal:
    """
    The last calls, and the last events: C{KEPT} of each, so that no crowd of calls hides an event.

    @ivar readers: told each entry as it is written.
    """

    def __init__(self) -> None:
        self.readers: list[Callable[[Entry], None]] = []
        self._written = 0
        self._calls: deque[tuple[int, CallMembers]] = deque(maxlen=KEPT)
        self._events: deque[tuple[int, Event]] = deque(maxlen=KEPT)

    @property
    def forgotten(self) -> int:
        """How many entries were written, and are no longer kept."""
        return self._written - len(self._calls) - len(self._events)

    def called(self, members: CallMembers) -> None:
        self._written += 1
        self._calls.append((self._written, members))
        if self.readers:
            self._tell(Call(*members))

    def happened(self, event: Event) -> None:
        self._written += 1
        self._events.append((self._written, event))
        self._tell(event)

    def entries(self) -> list[Entry]:
        """The oldest first."""
        calls = ((number, Call(*members)) for number, members in self._calls)
        numbered: Iterable[tuple[int, Entry]] = merge(calls, self._events, key=itemgetter(0))
        return [entry for _, entry in numbered]

    def clear(self) -> None:
        self._written = 0
        self._calls.clear()
        self._events.clear()

    def _tell(self, entry: Entry) -> None:
        for read in tuple(self.readers):
            read(entry)


def short(value: object) -> str | None:
    """What a caller sent, or what it was told, short enough to keep; C{None} if it is no text."""
    return value[:LONGEST] if isinstance(value, str) else None


def formatEntry(entry: Entry) -> dict[str, Any]:
    """An entry as the controls have it: without what it does not know."""
    words = _wordCall(entry) if isinstance(entry, Call) else _wordEvent(entry)
    return {name: value for name, value in words.items() if value is not None}


def _wordCall(call: Call) -> dict[str, Any]:
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


def _wordEvent(event: Event) -> dict[str, Any]:
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
    What a caller calls itself, in short: SDKs put their name and version first, as in
    C{Boto3/1.44.5}. Escaped, for it may be any bytes.
    """
    first = userAgent.split(maxsplit=1)[:1]
    if not first:
        return None
    return first[0][:_LONGEST_CALLER].decode("latin-1").encode("unicode_escape").decode("ascii")
