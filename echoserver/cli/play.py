"""The subcommand play: claim a game server, connect, and play on it by hand or by script."""

from __future__ import annotations

import codecs
import random
from collections import Counter
from collections.abc import Callable

from twisted.python import usage

from echoserver.address import DEFAULT_PORT, parseConnectionInfo
from echoserver.cli.command import Command
from echoserver.cli.console import Console, Refused
from echoserver.cli.gameservers import stateOf
from echoserver.cli.lines import Script, Typed
from echoserver.cli.paging import everyPage
from echoserver.cli.where import Fleet
from echoserver.client import (
    Claim,
    GameOver,
    Lines,
    claim,
    connect,
    play,
)
from echoserver.gamelift.errors import CallFailed, ConflictException, OutOfCapacityException
from echoserver.gamelift.service import FleetIQ, GameServerDescription


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise usage.UsageError(f"--port {text!r} is no port: it should be from 1 to 65535.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise usage.UsageError(f"--wait {text!r} is no number of seconds: it should be 0 or more.")
    return seconds


class Play(Command):
    """C{play}"""

    longdesc = (
        "Claims a free game server, connects to it, sends what you type and shows what comes "
        "back. A line that is q, or the end of input, leaves."
    )
    optParameters = (
        ["id", None, None, "Claim this game server, not any free one."],
        ["port", None, DEFAULT_PORT, "The port, where ConnectionInfo names none.", _port],
        ["wait", None, 0, "For how many seconds to try again until one is free.", _seconds],
    )

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []

    def opt_send(self, text: str) -> None:
        """Send this and leave, reading no input; may be repeated."""
        if not text:
            raise usage.UsageError("--send is empty; there is nothing to send.")
        self.texts.append(text.encode())

    def postOptions(self) -> None:
        """Refuse a --json that would do nothing."""
        if self.parent is not None and self.parent["json"]:
            raise usage.UsageError("--json is for the other commands; --send serves scripts.")

    async def run(self, fleet: Fleet) -> int:
        """Until the game is over."""
        claimed = await self._claim(fleet)
        gameServerId = claimed.server.gameServerId
        fleet.console.say(f"Claimed game server {gameServerId}.")
        try:
            address = parseConnectionInfo(claimed.server.connectionInfo, self["port"])
        except ValueError as reason:
            raise Refused(f"Game server {gameServerId} cannot be played on: {reason}") from reason
        heard = _Heard(fleet.console)
        endpoint = fleet.endpoint(address)
        player = await connect(claimed, address, endpoint, fleet.clock, heard.show)
        hint = "" if self.texts else " Type a line, and it comes back; q leaves."
        fleet.console.say(f"Connected to {address}.{hint}")
        lines = self._lines(fleet)
        heard.lost = lines.end
        over = await play(player, lines, heard.endLine)
        heard.endLine()
        return _status(over, gameServerId, fleet.console)

    async def _claim(self, fleet: Fleet) -> Claim:
        def retrying(reason: CallFailed, pause: float) -> None:
            match reason:
                case OutOfCapacityException():
                    what = "No game server is free"
                case ConflictException():
                    what = f"Game server {self['id']} is claimed or in play"
                case _:
                    what = str(reason).rstrip(".")
            fleet.console.say(f"{what}; trying again in {pause:.1f} s.")

        try:
            return await claim(
                FleetIQ(fleet.calls, fleet.group),
                fleet.clock,
                random=random.random,
                gameServerId=self["id"],
                wait=self["wait"],
                retrying=retrying,
            )
        except OutOfCapacityException as reason:
            advice = "" if self["wait"] else " --wait SECONDS keeps trying."
            raise Refused(await _noCapacity(fleet, advice)) from reason
        except ConflictException as reason:
            raise Refused(
                f"Game server {self['id']} is claimed or in play. Leave out --id to play on any "
                f"free one. ({reason})"
            ) from reason

    def _lines(self, fleet: Fleet) -> Lines:
        if self.texts:
            return Script(self.texts)
        typed = Typed()
        fleet.openInput(typed)
        return typed


async def _noCapacity(fleet: Fleet, advice: str) -> str:
    none = f"No game server of group {fleet.group} is free"
    try:
        listed = await everyPage(
            fleet.calls, "ListGameServers", "GameServers", GameServerGroupName=fleet.group
        )
    except CallFailed as reason:
        return f"{none}, and they could not be counted: {reason}"
    if not listed:
        there = f"--local {fleet.where.endpoint}" if fleet.where.local else f"--group {fleet.group}"
        return (
            f"{none}: none is registered. Start one, for instance with "
            f"'twistd -n fleetiq-echo {there}'."
        )
    counts = Counter(stateOf(GameServerDescription.fromReply(reply)) for reply in listed)
    states = ", ".join(f"{counts[s]} {s.lower()}" for s in ("AVAILABLE", "CLAIMED", "UTILIZED"))
    return f"{none}: of {len(listed)} listed, {states}.{advice}"


def _status(over: GameOver, gameServerId: str, console: Console) -> int:
    if over.early:
        console.say(f"Game server {gameServerId} closed the connection before you left.")
    if over.ignored:
        console.say(f"Game server {gameServerId} did not close after q: we did.")
    if over.missing and not over.early:
        console.say(f"{over.missing} of the bytes you sent did not come back in time.")
    return 1 if over.early or over.missing else 0


class _Heard:
    """
    What comes back, as text: UTF-8, however TCP cuts it, with bytes that are none escaped.

    @ivar lost: called when nobody reads it any more.
    """

    def __init__(self, console: Console) -> None:
        self.lost: Callable[[], object] = lambda: None
        self._console = console
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._midLine = False

    def show(self, data: bytes) -> None:
        """Show it now: a game server may speak at any time."""
        self._put(self._decoder.decode(data))

    def endLine(self) -> None:
        """Whatever comes next begins a line of its own."""
        self._put(self._decoder.decode(b"", final=True))
        if self._midLine:
            self._put("\n")

    def _put(self, text: str) -> None:
        if text:
            self._midLine = not text.endswith("\n")
            self._console.show(text)
            if self._console.lost is not None:
                self.lost()
