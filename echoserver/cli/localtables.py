"""The text of what a local FleetIQ replies: its state as tables, its journal as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from echoserver.cli.output import Reply, inline
from echoserver.cli.tables import serverTable, table
from echoserver.gamelift.service import GameServerDescription

_FAULT = ("kind", "operation", "seconds", "code", "probability", "count")
_TIMES = ("RegistrationTime", "LastHealthCheckTime", "LastClaimTime")


def formatDate(seconds: float) -> str:
    """Format epoch seconds of the local clock as C{2026-11-23T01:02:03.456Z}."""
    date = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return f"{date.isoformat(timespec='milliseconds')}Z"


def formatEntry(entry: Reply) -> str:
    """Format a journal entry, a call or an event, as one line."""
    isCall = entry["event"] == "call" and "outcome" in entry
    text = _formatCall(entry) if isCall else _formatEvent(entry)
    # A caller can send a name with newlines, which would look like further entries.
    return inline(f"{formatDate(entry['time'])} {text}")


def _formatCall(call: Reply) -> str:
    resource = call.get("GameServerId") or call.get("GameServerGroupName")
    words = [
        call.get("operation") or "(no operation)",
        f"of {resource}" if resource else "",
        f"by {call['caller']}" if "caller" in call else "",
    ]
    what = " ".join(filter(None, words))
    sentence = f" ({call['sentence']})" if "sentence" in call else ""
    return f"{what}: {call['outcome']}{sentence}, {call.get('seconds', 0) * 1000:.1f} ms"


def _formatEvent(event: Reply) -> str:
    names = map(event.get, ("GameServerId", "InstanceId", "GameServerGroupName"))
    resource = next(filter(None, names), None)
    sentence = event.get("sentence", event["event"])
    return f"{resource} {sentence}" if resource else str(sentence)


def formatClock(clock: Reply) -> str:
    now, scale = formatDate(clock["now"]), clock["timeScale"]
    return f"The local clock is at {now} and advances {scale:g} s per second."


def formatState(state: Reply) -> str:
    """Format the state as tables, without the empty ones."""
    servers = [
        GameServerDescription.fromReply(_withDates(server)) for server in state["gameServers"]
    ]
    tables = (
        _memberTable(state["groups"], GROUP="GameServerGroupName", STATUS="Status"),
        _memberTable(
            state["instances"],
            INSTANCE="InstanceId",
            STATUS="InstanceStatus",
            GROUP="GameServerGroupName",
        ),
        str(serverTable(servers, state["now"])),
        _memberTable(state["faults"], FAULT="id", **{name.upper(): name for name in _FAULT}),
        _titledTable(("OPERATION", "CALLS"), sorted(state["calls"].items())),
    )
    return "\n".join([f"{formatClock(state)}\n", *filter(None, tables)])


def _withDates(server: Reply) -> Reply:
    return {
        name: datetime.fromtimestamp(value, UTC) if name in _TIMES and value else value
        for name, value in server.items()
    }


def _memberTable(values: Iterable[Reply], **members: str) -> str:
    """Format members of the values; the keyword arguments map titles to members."""
    rows = [[value[name] for name in members.values()] for value in values]
    return _titledTable(list(members), rows)


def _titledTable(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return table([titles, *rows]) if rows else ""
