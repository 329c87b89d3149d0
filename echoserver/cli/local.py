"""The subcommands of C{fleetiq local}: the controls of a local FleetIQ, in their own words."""

from __future__ import annotations

from math import isfinite, nan
from typing import Any
from urllib.parse import quote

from twisted.python import usage

from echoserver.cli.command import Options, Subcommand
from echoserver.cli.console import Console, Refused, Reply
from echoserver.cli.controls import Controls
from echoserver.cli.localwords import describeState, wordDate, wordEntry


class _Control(Subcommand):
    """A subcommand that speaks to the controls."""

    async def run(self, controls: Controls, console: Console) -> int:
        """
        Do it.

        @return: the exit status.
        @raise Refused: what to tell the user; the exit status is 1.
        """
        raise NotImplementedError

    def number(self, name: str) -> float | None:
        """The number that an option is, if it is given; which ones are right, FleetIQ knows."""
        given = self[name]
        if given is None:
            return None
        try:
            number = float(given)
        except ValueError:
            number = nan
        if not isfinite(number):
            raise usage.UsageError(f"--{name} is {given!r}: it must be a number.")
        return int(number) if number.is_integer() else number


class State(_Control):
    """C{local state}"""

    longdesc = "Shows its clock, groups, instances, game servers, faults, and calls so far."

    async def run(self, controls: Controls, console: Console) -> int:
        """With --json in one line, as the control has it."""
        state = await controls.get("state")
        if console.json:
            console.showLine(state)
        else:
            console.show(describeState(state))
        return 0


class Journal(_Control):
    """C{local journal}"""

    longdesc = (
        "Shows the last 1,000 calls, each with its caller and its outcome, and among them the last "
        "1,000 events: why a game server was dropped, for example. Times are the local clock's."
    )

    async def run(self, controls: Controls, console: Console) -> int:
        """The oldest first."""
        journal = await controls.get("journal")
        for entry in journal["entries"]:
            _showEntry(console, entry)
        if journal["forgotten"]:
            console.say(f"{journal['forgotten']} older entries are forgotten.")
        return 0


class Events(_Control):
    """C{local events}"""

    longdesc = "Shows the journal, and goes on with what happens, until it is interrupted."

    async def run(self, controls: Controls, console: Console) -> int:
        """Until the local FleetIQ stops, or nobody reads on."""

        def show(entry: Reply) -> None:
            _showEntry(console, entry)
            if console.lost is not None:
                raise Refused("Nobody reads on.")

        try:
            await controls.follow("events", show)
        except Refused:
            if console.lost is None:
                raise
        else:
            console.say("The local FleetIQ has stopped.")
        return 0


class Interrupt(_Control):
    """C{local interrupt ID}"""

    synopsis = "[options] INSTANCE"
    longdesc = (
        "Tells an instance that it will be taken away: in its metadata, in its FleetIQ status, and "
        "to claims, all at once. At the end of spot and autoscaling it is gone, and its game "
        "servers with it. 'fleetiq local state' lists the instances."
    )
    optParameters = (
        ["kind", None, "spot", "spot, rebalance, autoscaling or draining."],
        ["seconds", None, None, "How long it has, on the local clock. [default: 120]"],
    )

    def parseArgs(self, *ids: str) -> None:
        """Take the id."""
        if len(ids) != 1:
            raise usage.UsageError(f"name one instance id, not {len(ids)}.")
        self.instanceId = ids[0]

    def postOptions(self) -> None:
        """Read the number."""
        self.seconds = self.number("seconds")

    async def run(self, controls: Controls, console: Console) -> int:
        """Once; of two, the local FleetIQ says what it makes."""
        body = _given(InstanceId=self.instanceId, kind=self["kind"], seconds=self.seconds)
        reply = await controls.post("interrupt", body)
        end = reply.get("end")
        sentence = f"{reply['InstanceId']} has its {reply['kind']} notice and is " + (
            f"{reply['InstanceStatus']}"
            + ("." if end is None else f"; at {wordDate(end)} of the local clock it is gone.")
        )
        _showReply(console, reply, sentence)
        return 0


class Fault(_Control):
    """C{local fault}"""

    longdesc = (
        "Orders a fault: slow (calls wait), error (they are refused with a code), throttle, drop "
        "(the connection closes, nothing happened) or lost-reply (it happened, but nobody is "
        "told). Faults add up. 'fleetiq local state' lists them."
    )
    optParameters = (
        ["kind", None, None, "slow, error, throttle, drop or lost-reply."],
        ["operation", None, "*", "The operation whose calls it strikes; * is any."],
        ["seconds", None, None, "How long slow calls wait, in real time."],
        ["code", None, None, "What error answers, such as InternalServiceException."],
        ["probability", None, None, "Of each call, above 0, at most 1. [default: 1]"],
        ["count", None, None, "How many calls it strikes. [default: no limit]"],
        ["end", None, None, "End the fault of this id instead."],
    )
    optFlags = (["end-all", None, "End all faults instead."],)

    def postOptions(self) -> None:
        """Order one or end some, not both."""
        order = _given(
            kind=self["kind"],
            seconds=self.number("seconds"),
            code=self["code"],
            probability=self.number("probability"),
            count=self.number("count"),
        )
        if self["end"] == "":
            raise usage.UsageError("--end is empty; name a fault, or take --end-all.")
        ends = sum((self["end"] is not None, bool(self["end-all"])))
        if ends + bool(order) > 1:
            raise usage.UsageError("order a fault, or end one, or all; one thing at a time.")
        if not ends and self["kind"] is None:
            raise usage.UsageError(
                "add --kind slow, error, throttle, drop or lost-reply, or --end ID, or --end-all."
            )
        self.order = {"operation": self["operation"], **order}

    async def run(self, controls: Controls, console: Console) -> int:
        """Order it or end it."""
        if self["end"] is not None:
            path = f"faults/{quote(self['end'], safe='')}"
            _showReply(console, await controls.delete(path), f"{self['end']} is ended.")
        elif self["end-all"]:
            _showReply(console, await controls.delete("faults"), "All faults are ended.")
        else:
            reply = await controls.post("faults", self.order)
            faultId = reply["id"]
            sentence = f"{faultId} is ordered; 'fleetiq local fault --end {faultId}' ends it."
            _showReply(console, reply, sentence)
        return 0


class Clock(_Control):
    """C{local clock}"""

    longdesc = (
        "Moves the local clock ahead, or lets it run at another speed. Claims, health, group "
        "states, metadata tokens and notices follow it."
    )
    optParameters = (
        ["advance", None, None, "Seconds that pass at once."],
        ["scale", None, None, "Seconds that pass in a real one."],
    )

    def postOptions(self) -> None:
        """Ask for at least one."""
        self.move = _given(advance=self.number("advance"), scale=self.number("scale"))
        if not self.move:
            raise usage.UsageError("add --advance SECONDS or --scale SECONDS.")

    async def run(self, controls: Controls, console: Console) -> int:
        """Both at once, if both are given."""
        reply = await controls.post("clock", self.move)
        sentence = (
            f"The local clock reads {wordDate(reply['now'])}, {reply['timeScale']:g} s in a second."
        )
        _showReply(console, reply, sentence)
        return 0


class Reset(_Control):
    """C{local reset}"""

    longdesc = "Brings the local FleetIQ back to the state at its start."

    async def run(self, controls: Controls, console: Console) -> int:
        """Without asking: it is a toy."""
        reply = await controls.post("reset", {})
        _showReply(console, reply, "The local FleetIQ is as it was at its start.")
        return 0


class Local(Options):
    """C{local}, and one more word."""

    synopsis = ""
    longdesc = (
        "Controls the local FleetIQ that 'make run' or 'twistd -n fleetiq-local' starts: what AWS "
        "has no API for. Try 'fleetiq local COMMAND --help'."
    )
    subCommands = (
        ("interrupt", None, Interrupt, "Tell an instance that it will be taken away."),
        ("fault", None, Fault, "Let calls be slow, fail, or lose their connection."),
        ("clock", None, Clock, "Move the local clock, or speed it up."),
        ("reset", None, Reset, "Bring all back to the state at start."),
        ("state", None, State, "Show all there is."),
        ("journal", None, Journal, "Show the last calls and events."),
        ("events", None, Events, "Show them, and go on with what happens."),
    )

    def postOptions(self) -> None:
        """Ask for a command."""
        if self.subCommand is None:
            commands = ", ".join(name for name, *_ in self.subCommands)
            raise usage.UsageError(f"name a command: {commands}.")

    async def run(self, controls: Controls, console: Console) -> int:
        """See L{_Control.run}."""
        status: int = await self.subOptions.run(controls, console)
        return status


def _given(**members: Any) -> Reply:
    return {name: value for name, value in members.items() if value is not None}


def _showEntry(console: Console, entry: Reply) -> None:
    if console.json:
        console.showLine(entry)
    else:
        console.show(f"{wordEntry(entry)}\n")


def _showReply(console: Console, reply: Reply, sentence: str) -> None:
    if console.json:
        console.showLine(reply)
    else:
        console.show(f"{sentence}\n")
