"""The subcommands of C{fleetiq local}: the controls of a local FleetIQ, and the text they write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import isfinite, nan
from typing import Any
from urllib.parse import quote

from twisted.python import usage

from echoserver.cli.command import Help, Options, Subcommand
from echoserver.cli.controls import Controls
from echoserver.cli.output import CommandFailed, Console, Reply, inline, serverTable, table
from echoserver.gamelift.service import GameServerDescription
from echoserver.local.model.faults import KINDS as FAULTS
from echoserver.local.model.interruptions import KINDS as INTERRUPTIONS

_FAULT = ("kind", "operation", "seconds", "code", "probability", "count")
_TIMES = ("RegistrationTime", "LastHealthCheckTime", "LastClaimTime")


class _ControlCommand(Subcommand):
    """A subcommand that uses the controls of a local FleetIQ."""

    async def run(self, controls: Controls, console: Console) -> int:
        """
        Run the subcommand.

        @return: the exit status.
        @raise CommandFailed: with a message for the user. The exit status is 1.
        """
        raise NotImplementedError

    def number(self, name: str) -> float | None:
        """
        Return the number that an option has, if it is given.

        The local FleetIQ checks the upper limit.
        """
        text = self[name]
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = nan
        if not isfinite(number):
            raise usage.UsageError(f"--{name} is {text!r}: it must be a number.")
        value = int(number) if number.is_integer() else number
        if value <= 0:
            raise usage.UsageError(f"--{name} is {value}: it must be a number above 0.")
        return value

    def choice(self, name: str, choices: Iterable[str]) -> None:
        """Require that an option, if it is given, has one of these values."""
        value = self[name]
        if value is not None and value not in choices:
            raise usage.UsageError(
                f"--{name} is {value!r}: it must be one of {', '.join(choices)}."
            )


class State(_ControlCommand):
    """C{local state}"""

    longdesc = "Show the clock, groups, instances, game servers, faults, and numbers of calls."

    async def run(self, controls: Controls, console: Console) -> int:
        """Write tables, or with --json the control's reply as one line."""
        state = await controls.get("state")
        if console.json:
            console.writeJSON(state)
        else:
            console.write(formatState(state))
        return 0


class Journal(_ControlCommand):
    """C{local journal}"""

    longdesc = (
        "Show the last 1,000 calls, with their callers and outcomes, and the last 1,000 events "
        "with their reasons, for example why a game server was dropped. Times are those of the "
        "local clock."
    )

    async def run(self, controls: Controls, console: Console) -> int:
        """Write the entries, the oldest first."""
        journal = await controls.get("journal")
        for entry in journal["entries"]:
            _writeEntry(console, entry)
        if journal["forgotten"]:
            console.writeMessage(f"{journal['forgotten']} older entries have been discarded.")
        return 0


class Events(_ControlCommand):
    """C{local events}"""

    longdesc = "Show the journal, then show new calls and events until you interrupt it."

    async def run(self, controls: Controls, console: Console) -> int:
        """Write events until the local FleetIQ stops, or standard output is closed."""

        def write(entry: Reply) -> None:
            _writeEntry(console, entry)
            if console.writeError is not None:
                raise CommandFailed("Standard output is closed.")

        try:
            await controls.follow("events", write)
        except CommandFailed:
            if console.writeError is None:
                raise
        else:
            console.writeMessage("The local FleetIQ has stopped.")
        return 0


class Interrupt(_ControlCommand):
    """C{local interrupt ID}"""

    synopsis = "[options] INSTANCE"
    longdesc = (
        "Interrupt an instance. The notice affects its metadata, its FleetIQ status and claims at "
        "once. At the end of a spot or autoscaling notice, the instance and its game servers are "
        "removed. 'fleetiq local state' lists the instances."
    )
    optParameters = (
        [
            "kind",
            None,
            "spot",
            "spot, rebalance, autoscaling, draining, or maintenance such as system-reboot.",
        ],
        ["seconds", None, None, "Seconds until the end, on the local clock. [default: 120]"],
    )

    def parseArgs(self, *ids: str) -> None:
        """Take the id."""
        if len(ids) != 1:
            raise usage.UsageError(f"name one instance id, not {len(ids)}.")
        self.instanceId = ids[0]

    def postOptions(self) -> None:
        """Check the kind, and parse the number."""
        self.choice("kind", INTERRUPTIONS)
        self.seconds = self.number("seconds")

    async def run(self, controls: Controls, console: Console) -> int:
        """Send one notice. The local FleetIQ decides whether a second one is allowed."""
        body = _withoutNone(InstanceId=self.instanceId, kind=self["kind"], seconds=self.seconds)
        reply = await controls.post("interrupt", body)
        end = reply.get("end")
        message = f"{reply['InstanceId']} received a {reply['kind']} notice and is " + (
            f"{reply['InstanceStatus']}"
            + ("." if end is None else f"; it terminates at {formatDate(end)} of the local clock.")
        )
        _writeReply(console, reply, message)
        return 0


class Fault(_ControlCommand):
    """C{local fault}"""

    longdesc = (
        "Inject a fault into calls: slow (calls take longer), error (calls fail with a code), "
        "throttle, drop (the connection closes and the call has no effect) or lost-reply (the call "
        "has its effect, but the connection closes without a reply). Several faults can be active. "
        "'fleetiq local state' lists them."
    )
    optParameters = (
        ["kind", None, None, "slow, error, throttle, drop or lost-reply."],
        ["operation", None, "*", "The operation whose calls are affected; * for all."],
        ["seconds", None, None, "How long slow calls wait, in real time."],
        ["code", None, None, "The code of an error fault, such as InternalServiceException."],
        ["probability", None, None, "For each call, above 0, at most 1. [default: 1]"],
        ["count", None, None, "How many calls are affected. [default: no limit]"],
        ["end", None, None, "End the fault with this id instead."],
    )
    optFlags = (["end-all", None, "End all faults instead."],)

    def postOptions(self) -> None:
        """Require either a new fault or the end of one or all, but not both."""
        self.choice("kind", FAULTS)
        fault = _withoutNone(
            kind=self["kind"],
            seconds=self.number("seconds"),
            code=self["code"],
            probability=self.number("probability"),
            count=self.number("count"),
        )
        if self["end"] == "":
            raise usage.UsageError("--end is empty; give the id of a fault, or use --end-all.")
        ends = sum((self["end"] is not None, bool(self["end-all"])))
        if ends + bool(fault) > 1:
            raise usage.UsageError("inject a fault, or end one, or end all: only one at a time.")
        if not ends and self["kind"] is None:
            raise usage.UsageError(
                "add --kind slow, error, throttle, drop or lost-reply, or --end ID, or --end-all."
            )
        self.fault = {"operation": self["operation"], **fault}

    async def run(self, controls: Controls, console: Console) -> int:
        """Inject the fault, or end faults."""
        if self["end"] is not None:
            path = f"faults/{quote(self['end'], safe='')}"
            _writeReply(console, await controls.delete(path), f"{self['end']} has ended.")
        elif self["end-all"]:
            _writeReply(console, await controls.delete("faults"), "All faults have ended.")
        else:
            reply = await controls.post("faults", self.fault)
            faultId = reply.get("id", "The fault")
            message = f"{faultId} is active; 'fleetiq local fault --end {faultId}' ends it."
            _writeReply(console, reply, message)
        return 0


class Clock(_ControlCommand):
    """C{local clock}"""

    longdesc = (
        "Advance the local clock, or change its speed. Claims, health checks, group states, "
        "metadata tokens and notices use this clock."
    )
    optParameters = (
        ["advance", None, None, "Advance the clock by this many seconds."],
        ["scale", None, None, "Seconds of the local clock in one real second."],
    )

    def postOptions(self) -> None:
        """Require at least one change."""
        self.change = _withoutNone(advance=self.number("advance"), scale=self.number("scale"))
        if not self.change:
            raise usage.UsageError("add --advance SECONDS or --scale SECONDS.")

    async def run(self, controls: Controls, console: Console) -> int:
        """Make both changes at once, if both are given."""
        reply = await controls.post("clock", self.change)
        _writeReply(console, reply, _formatClock(reply))
        return 0


class Reset(_ControlCommand):
    """C{local reset}"""

    longdesc = (
        "Restore the state that the local FleetIQ had at its start. All game servers are removed, "
        "also those that run."
    )
    optFlags = (["yes", None, "Do not ask."],)

    def checkConsole(self, console: Console) -> None:
        """Require --yes or a terminal."""
        if not self["yes"]:
            console.checkTerminal("removes every game server of the local FleetIQ")

    async def run(self, controls: Controls, console: Console) -> int:
        """Reset, after a confirmation."""
        if not self["yes"]:
            console.confirm(f"Remove everything that is in the local FleetIQ on {controls.url}?")
        reply = await controls.post("reset", {})
        _writeReply(console, reply, "The local FleetIQ is in the state of its start again.")
        return 0


class Open(_ControlCommand):
    """C{local open}"""

    longdesc = "Open the page of the local FleetIQ in a browser, and write its address."

    async def run(self, controls: Controls, console: Console) -> int:
        """Open the page if the local FleetIQ responds. Without a browser the address is enough."""
        await controls.get("state")
        url = f"{controls.url}/"
        if console.json:
            console.writeJSON({"url": url})
        else:
            console.write(f"{url}\n")
        if not self.openURL(url):
            console.writeMessage("No browser was found: open this address in one.")
        return 0

    @staticmethod
    def openURL(url: str) -> bool:
        """Open a URL in a browser, and return whether one was found."""
        import webbrowser

        return webbrowser.open(url)


class Local(Options):
    """C{local}, followed by a subcommand of its own."""

    synopsis = "COMMAND [options]"
    longdesc = (
        "Control the local FleetIQ that 'make run' or 'twistd -n fleetiq-local' starts. AWS has no "
        "API for these actions. Try 'fleetiq local COMMAND --help'."
    )
    subCommands = (
        ("interrupt", None, Interrupt, "Send an interruption notice to an instance."),
        ("fault", None, Fault, "Make calls slow, fail, or lose their connection."),
        ("clock", None, Clock, "Advance the local clock, or change its speed."),
        ("reset", None, Reset, "Restore the state of the start."),
        ("state", None, State, "Show the current state."),
        ("journal", None, Journal, "Show the last calls and events."),
        ("events", None, Events, "Show the journal, and new entries as they occur."),
        ("open", None, Open, "Open the page of the local FleetIQ in a browser."),
        ("help", None, Help, "Show the help of a command."),
    )

    def postOptions(self) -> None:
        """Require a subcommand."""
        if self.subCommand is None:
            commands = ", ".join(name for name, *_ in self.subCommands if name != "help")
            raise usage.UsageError(f"name a command: {commands}.")

    def checkConsole(self, console: Console) -> None:
        """Check what the subcommand needs."""
        self.subOptions.checkConsole(console)

    async def run(self, controls: Controls, console: Console) -> int:
        """Run the subcommand, and return its exit status."""
        status: int = await self.subOptions.run(controls, console)
        return status


def _withoutNone(**members: Any) -> Reply:
    return {name: value for name, value in members.items() if value is not None}


def _writeEntry(console: Console, entry: Reply) -> None:
    if console.json:
        console.writeJSON(entry)
    else:
        console.write(f"{formatEntry(entry)}\n")


def _writeReply(console: Console, reply: Reply, message: str) -> None:
    if console.json:
        console.writeJSON(reply)
    else:
        console.write(f"{inline(message)}\n")


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


def _formatClock(clock: Reply) -> str:
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
        serverTable(servers, state["now"]),
        _memberTable(state["faults"], FAULT="id", **{name.upper(): name for name in _FAULT}),
        _titledTable(("OPERATION", "CALLS"), sorted(state["calls"].items())),
    )
    return "\n".join([f"{_formatClock(state)}\n", *filter(None, tables)])


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
