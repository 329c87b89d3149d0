"""Pure: what the controls of a local FleetIQ answer, in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from echoserver.cli.console import Reply, table
from echoserver.cli.gameservers import serverTable
from echoserver.gamelift.service import GameServerDescription

_FAULT = ("kind", "operation", "seconds", "code", "probability", "count")
_TIMES = ("RegistrationTime", "LastHealthCheckTime", "LastClaimTime")


def wordDate(seconds: float) -> str:
    """A time of the local clock, which is epoch seconds, as C{2026-11-23T01:02:03.456Z}."""
    date = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return f"{date.isoformat(timespec='milliseconds')}Z"


def wordEntry(entry: Reply) -> str:
    """One line: a call, or an event."""
    words = _wordCall(entry) if entry["event"] == "call" else _wordEvent(entry)
    # A name that a caller sent may have newlines, and look like entries that never were.
    return f"{wordDate(entry['time'])} {words}".replace("\n", r"\n")


def _wordCall(call: Reply) -> str:
    about = call.get("GameServerId") or call.get("GameServerGroupName")
    words = [
        call["operation"] or "(no operation)",
        f"of {about}" if about else "",
        f"by {call['caller']}" if "caller" in call else "",
    ]
    what = " ".join(filter(None, words))
    sentence = f" ({call['sentence']})" if "sentence" in call else ""
    return f"{what}: {call['outcome']}{sentence}, {call['seconds'] * 1000:.1f} ms"


def _wordEvent(event: Reply) -> str:
    names = map(event.get, ("GameServerId", "InstanceId", "GameServerGroupName"))
    who = next(filter(None, names), None)
    return f"{who} {event['sentence']}" if who else str(event["sentence"])


def describeState(state: Reply) -> str:
    """Tables, but for those that would be empty."""
    clock = f"The local clock reads {wordDate(state['now'])}, {state['timeScale']:g} s in a second."
    servers = [GameServerDescription.fromReply(_withDates(each)) for each in state["gameServers"]]
    tables = (
        _members(state["groups"], GROUP="GameServerGroupName", STATUS="Status"),
        _members(
            state["instances"],
            INSTANCE="InstanceId",
            STATUS="InstanceStatus",
            GROUP="GameServerGroupName",
        ),
        serverTable(servers, state["now"]),
        _members(state["faults"], FAULT="id", **{name.upper(): name for name in _FAULT}),
        _tableOf(("OPERATION", "CALLS"), sorted(state["calls"].items())),
    )
    return "\n".join([f"{clock}\n", *filter(None, tables)])


def _withDates(server: Reply) -> Reply:
    return {
        name: datetime.fromtimestamp(value, UTC) if name in _TIMES else value
        for name, value in server.items()
    }


def _members(values: Iterable[Reply], **members: str) -> str:
    return _tableOf(list(members), [[each[name] for name in members.values()] for each in values])


def _tableOf(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return table([titles, *rows]) if rows else ""
