"""The subcommands of C{fleetiq local}: the controls of a local FleetIQ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote

import click
from click import UsageError

from echoserver.cli.command import Command, ControlAction, Group, idArgument
from echoserver.cli.controls import Controls
from echoserver.cli.localtables import formatClock, formatDate, formatEntry, formatState
from echoserver.cli.output import CommandFailed, Console, Reply, inline
from echoserver.cli.values import Checked, Number
from echoserver.local.model.faults import KINDS as FAULTS
from echoserver.local.model.interruptions import KINDS as INTERRUPTIONS

_HERE = __name__
local = Group(
    "local",
    help=(
        "Control the local FleetIQ that 'make run' or 'twistd -n fleetiq-local' starts. AWS has no "
        "API for these actions. Try 'fleetiq local COMMAND --help'."
    ),
    lazy={
        "interrupt": (f"{_HERE}:interrupt", "Send an interruption notice to an instance."),
        "fault": (f"{_HERE}:fault", "Make calls slow, fail, or lose their connection."),
        "clock": (f"{_HERE}:clock", "Advance the local clock, or change its speed."),
        "reset": (f"{_HERE}:reset", "Restore the state of the start."),
        "state": (f"{_HERE}:state", "Show the current state."),
        "journal": (f"{_HERE}:journal", "Show the last calls and events."),
        "events": (f"{_HERE}:events", "Show the journal, and new entries as they occur."),
        "open": (f"{_HERE}:openPage", "Open the page of the local FleetIQ in a browser."),
    },
    examples=["local state", "local interrupt i-0123456789abcdef0 --seconds 30"],
)


def _command(*examples: str) -> Callable[[Any], click.Command]:
    return click.command(cls=Command, examples=examples)


def _choice(name: str, choices: Iterable[str]) -> Callable[[str], str]:
    """Return the check of an option that has one of these values."""

    def check(value: str) -> str:
        if value not in choices:
            raise UsageError(f"--{name} is {value!r}: it must be one of {', '.join(choices)}.")
        return value

    return check


def _number(name: str, metavar: str, text: str) -> Callable[[Any], Any]:
    return click.option(f"--{name}", metavar=metavar, type=Number(), help=text)


@_command("local state", "local state --json")
def state() -> ControlAction:
    """Show the clock, groups, instances, game servers, faults, and numbers of calls."""

    async def run(controls: Controls, console: Console) -> int:
        reply = await controls.get("state")
        if console.json:
            console.writeJSON(reply)
        else:
            console.write(formatState(reply))
        return 0

    return ControlAction(run)


@_command("local journal", "local journal --json")
def journal() -> ControlAction:
    """
    Show the last 1,000 calls, with their callers and outcomes, and the last 1,000 events with
    their reasons, for example why a game server was dropped.

    Times are those of the local clock.
    """

    async def run(controls: Controls, console: Console) -> int:
        reply = await controls.get("journal")
        for entry in reply["entries"]:
            _writeEntry(console, entry)
        if reply["forgotten"]:
            console.writeMessage(f"{reply['forgotten']} older entries have been discarded.")
        return 0

    return ControlAction(run)


@_command("local events")
def events() -> ControlAction:
    """Show the journal, then show new calls and events until you interrupt it."""
    return ControlAction(_follow)


async def _follow(controls: Controls, console: Console) -> int:
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


@_command(
    "local interrupt i-0123456789abcdef0",
    "local interrupt i-0123456789abcdef0 --kind rebalance",
)
@idArgument("INSTANCE")
@click.option(
    "--kind",
    metavar="KIND",
    default="spot",
    type=Checked(_choice("kind", INTERRUPTIONS)),
    help=(
        "spot, rebalance, autoscaling, draining, or maintenance such as system-reboot. "
        "[default: spot]"
    ),
)
@_number("seconds", "SECONDS", "Seconds until the end, on the local clock. [default: 120]")
def interrupt(ids: Sequence[str], kind: str, seconds: float | None) -> ControlAction:
    """
    Interrupt an instance.

    The notice affects its metadata, its FleetIQ status and claims at once. At the end of a spot or
    autoscaling notice, the instance and its game servers are removed. 'fleetiq local state' lists
    the instances.
    """
    if len(ids) != 1:
        raise UsageError(f"name one instance id, not {len(ids)}.")

    async def run(controls: Controls, console: Console) -> int:
        # The local FleetIQ decides whether a second notice is allowed.
        body = _withoutNone(InstanceId=ids[0], kind=kind, seconds=seconds)
        reply = await controls.post("interrupt", body)
        end = reply.get("end")
        message = f"{reply['InstanceId']} received a {reply['kind']} notice and is " + (
            f"{reply['InstanceStatus']}"
            + ("." if end is None else f"; it terminates at {formatDate(end)} of the local clock.")
        )
        _writeReply(console, reply, message)
        return 0

    return ControlAction(run)


@_command(
    "local fault --kind throttle --count 5",
    "local fault --kind slow --seconds 4 --operation ClaimGameServer",
    "local fault --end-all",
)
@click.option(
    "--kind",
    metavar="KIND",
    type=Checked(_choice("kind", FAULTS)),
    help="slow, error, throttle, drop or lost-reply.",
)
@click.option(
    "--operation",
    metavar="NAME",
    default="*",
    help="The operation whose calls are affected; * for all. [default: *]",
)
@_number("seconds", "SECONDS", "How long slow calls wait, in real time.")
@click.option(
    "--code",
    metavar="CODE",
    help="The code of an error fault, such as InternalServiceException.",
)
@_number("probability", "NUMBER", "For each call, above 0, at most 1. [default: 1]")
@_number("count", "NUMBER", "How many calls are affected. [default: no limit]")
@click.option("--end", metavar="ID", help="End the fault with this id instead.")
@click.option("--end-all", is_flag=True, help="End all faults instead.")
def fault(operation: str, end: str | None, end_all: bool, **members: Any) -> ControlAction:
    """
    Inject a fault into calls: slow (calls take longer), error (calls fail with a code), throttle,
    drop (the connection closes and the call has no effect) or lost-reply (the call has its effect,
    but the connection closes without a reply).

    Several faults can be active. 'fleetiq local state' lists them.
    """
    new = _withoutNone(**members)
    if end == "":
        raise UsageError("--end is empty; give the id of a fault, or use --end-all.")
    ends = sum((end is not None, end_all))
    if ends + bool(new) > 1:
        raise UsageError("inject a fault, or end one, or end all: only one at a time.")
    if not ends and members["kind"] is None:
        raise UsageError(
            "add --kind slow, error, throttle, drop or lost-reply, or --end ID, or --end-all."
        )

    async def run(controls: Controls, console: Console) -> int:
        if end is not None:
            path = f"faults/{quote(end, safe='')}"
            _writeReply(console, await controls.delete(path), f"{end} has ended.")
        elif end_all:
            _writeReply(console, await controls.delete("faults"), "All faults have ended.")
        else:
            reply = await controls.post("faults", {"operation": operation, **new})
            faultId = reply.get("id", "The fault")
            message = f"{faultId} is active; 'fleetiq local fault --end {faultId}' ends it."
            _writeReply(console, reply, message)
        return 0

    return ControlAction(run)


@_command("local clock --advance 60", "local clock --scale 60")
@_number("advance", "SECONDS", "Advance the clock by this many seconds.")
@_number("scale", "SECONDS", "Seconds of the local clock in one real second.")
def clock(advance: float | None, scale: float | None) -> ControlAction:
    """
    Advance the local clock, or change its speed.

    Claims, health checks, group states, metadata tokens and notices use this clock.
    """
    change = _withoutNone(advance=advance, scale=scale)
    if not change:
        raise UsageError("add --advance SECONDS or --scale SECONDS.")

    async def run(controls: Controls, console: Console) -> int:
        reply = await controls.post("clock", change)
        _writeReply(console, reply, formatClock(reply))
        return 0

    return ControlAction(run)


@_command("local reset", "local reset --yes")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> ControlAction:
    """
    Restore the state that the local FleetIQ had at its start.

    All game servers are removed, also those that run.
    """

    async def run(controls: Controls, console: Console) -> int:
        if not yes:
            console.confirm(f"Remove everything that is in the local FleetIQ on {controls.url}?")
        reply = await controls.post("reset", {})
        _writeReply(console, reply, "The local FleetIQ is in the state of its start again.")
        return 0

    def check(console: Console) -> None:
        if not yes:
            console.checkTerminal("removes every game server of the local FleetIQ")

    return ControlAction(run, check)


@_command("local open")
def openPage() -> ControlAction:
    """Open the page of the local FleetIQ in a browser, and write its address."""

    async def run(controls: Controls, console: Console) -> int:
        await controls.get("state")
        url = f"{controls.url}/"
        if console.json:
            console.writeJSON({"url": url})
        else:
            console.write(f"{url}\n")
        if not openURL(url):
            console.writeMessage("No browser was found: open this address in one.")
        return 0

    return ControlAction(run)


def openURL(url: str) -> bool:
    """Open a URL in a browser, and return whether one was found."""
    import webbrowser

    return webbrowser.open(url)


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
