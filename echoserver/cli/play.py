"""The subcommand play: claim a game server, connect to it, and send lines from input or options."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click
from click import UsageError

from echoserver.address import DEFAULT_PORT, Address, parseConnectionInfo
from echoserver.cli.command import Action, Command
from echoserver.cli.echooutput import EchoOutput, JSONOutput
from echoserver.cli.inputlines import FixedLines, InputLines, TimedLines
from echoserver.cli.output import CommandFailed, Console
from echoserver.cli.tables import serverState
from echoserver.cli.target import Target, everyPage
from echoserver.cli.values import Checked, gameServerId
from echoserver.client import Claim, Lines, PlayResult, claim, connect
from echoserver.client import play as playLines
from echoserver.gamelift.errors import CallFailed, ConflictException, OutOfCapacityException
from echoserver.gamelift.service import FleetIQ, GameServerDescription


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise UsageError(f"--port {text!r} is not a port: use 1 to 65535.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"--wait {text!r} is not a number of seconds: use 0 or more.")
    return seconds


def _text(text: str) -> bytes:
    if not text:
        raise UsageError("--send is empty; give a text to send.")
    return text.encode()


@click.command(
    cls=Command,
    examples=["play", "play --send hello --wait 60", "play --address localhost:5000"],
)
@click.option(
    "--id",
    "gameServer",
    metavar="ID",
    type=Checked(gameServerId),
    help="Claim this game server instead of any free one.",
)
@click.option(
    "--server",
    metavar="ID",
    type=Checked(gameServerId),
    help="Join the session of this game server, without a claim.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="Connect to this address, without a claim and without FleetIQ.",
)
@click.option(
    "--port",
    metavar="PORT",
    default=DEFAULT_PORT,
    type=Checked(_port),
    help=f"The port to use if ConnectionInfo has none. [default: {DEFAULT_PORT}]",
)
@click.option(
    "--wait",
    metavar="SECONDS",
    default=0.0,
    type=Checked(_seconds),
    help="For how many seconds to retry until one is free. [default: 0]",
)
@click.option(
    "--send",
    metavar="TEXT",
    multiple=True,
    type=Checked(_text),
    help="Send this text and quit, without reading input. May be repeated.",
)
def play(
    gameServer: str | None,
    server: str | None,
    address: str | None,
    port: int,
    wait: float,
    send: Sequence[bytes],
) -> Action:
    """
    Claim a game server and play on it: send each line that you type, and show what comes back.

    A line q, or the end of input, ends the connection. Each claim reserves a game server without a
    session; to join a session that runs, use --server or --address.
    """
    given = (("--id", gameServer), ("--server", server), ("--address", address))
    named = [name for name, value in given if value is not None]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} contradict each other: use one.")
    if wait and named and named != ["--id"]:
        raise UsageError(f"--wait has no effect with {named[0]}, which claims nothing.")
    playing = _Play(gameServer, server, address, port, wait, send)
    return Action(playing.run, usesFleetIQ=address is None)


@dataclass(frozen=True, slots=True)
class _Play:
    """The options of C{play}, and how it runs."""

    gameServerId: str | None
    server: str | None
    address: str | None
    port: int
    wait: float
    texts: Sequence[bytes]

    async def run(self, target: Target) -> int:
        """Play until the player quits or the connection ends."""
        claimed, name, address = await self._choose(target)
        console = target.console
        echo = JSONOutput(console) if console.json else EchoOutput(console)
        endpoint = target.endpointFor(address)
        player = await connect(claimed, address, endpoint, target.clock, echo.write)
        hint = "" if self.texts else " Type a line, and it comes back; q ends the connection."
        console.writeMessage(f"Connected to {address}.{hint}")
        if console.json:
            gameServerId = claimed.server.gameServerId if claimed else self.server
            connected = {"event": "connected", "address": str(address)}
            console.writeJSON(connected | {"gameServerId": gameServerId})
        lines = TimedLines(self._lines(target), target.clock)
        echo.onWriteError = lines.end
        result = await playLines(player, lines, lambda: echo.endLine(lines.elapsed))
        echo.endLine(None)
        if console.json:
            console.writeJSON({"event": "end", **asdict(result)})
        return _exitStatus(result, name, console)

    async def _choose(self, target: Target) -> tuple[Claim | None, str, Address]:
        """Claim or find a game server. Return the claim, what to call the server, its address."""
        if self.address is not None:
            try:
                address = parseConnectionInfo(self.address, self.port)
            except ValueError as reason:
                raise UsageError(
                    f"--address {self.address!r} is not an address: use HOST:PORT."
                ) from reason
            return None, str(address), address
        claimed = None
        if self.server is not None:
            server = await FleetIQ(target.calls, target.group).describe(self.server)
        else:
            claimed = await self._claim(target)
            server = claimed.server
            target.console.writeMessage(f"Claimed game server {server.gameServerId}.")
        name = f"game server {server.gameServerId}"
        try:
            address = parseConnectionInfo(server.connectionInfo, self.port)
        except ValueError as reason:
            raise CommandFailed(f"Cannot connect to {name}: {reason}") from reason
        return claimed, name, address

    async def _claim(self, target: Target) -> Claim:
        def onRetry(reason: CallFailed, delay: float) -> None:
            match reason:
                case OutOfCapacityException():
                    what = "No game server is free"
                case ConflictException():
                    what = f"Game server {self.gameServerId} is claimed or in play"
                case _:
                    what = str(reason).rstrip(".")
            target.console.writeMessage(f"{what}; trying again in {delay:.1f} s.")

        try:
            return await claim(
                FleetIQ(target.calls, target.group),
                target.clock,
                random=random.random,
                gameServerId=self.gameServerId,
                wait=self.wait,
                onRetry=onRetry,
            )
        except OutOfCapacityException as reason:
            hint = "" if self.wait else " Add --wait SECONDS to retry."
            raise CommandFailed(await _noCapacity(target, hint)) from reason
        except ConflictException as reason:
            raise CommandFailed(
                f"Game server {self.gameServerId} is claimed or in play. Leave out --id to play on "
                f"any free one. ({reason})"
            ) from reason

    def _lines(self, target: Target) -> Lines:
        if self.texts:
            return FixedLines(self.texts)
        if target.openPrompt is not None and not target.console.json:
            return target.openPrompt()
        lines = InputLines()
        target.openInput(lines)
        return lines


async def _noCapacity(target: Target, hint: str) -> str:
    """Return an error message that counts the game servers of the group by state."""
    message = f"No game server of group {target.group} is free"
    try:
        replies = await everyPage(
            target.calls, "ListGameServers", "GameServers", GameServerGroupName=target.group
        )
    except CallFailed as reason:
        return f"{message}, and they could not be counted: {reason}"
    if not replies:
        # Port 0 is any free port: another game server may use 5000 on this machine.
        option = f"--group {target.group}"
        if target.config.local:
            option = f"--local {target.config.endpoint} --listen tcp:0"
        return (
            f"{message}: none is registered. One that runs registers again within 60 s: add "
            f"--wait 60. If none runs, start one, for example with "
            f"'twistd -n fleetiq-echo {option}'."
        )
    servers = [GameServerDescription.fromReply(reply) for reply in replies]
    counts = Counter(map(serverState, servers))
    states = ", ".join(
        f"{counts[state]} {state.lower()}" for state in ("AVAILABLE", "CLAIMED", "UTILIZED")
    )
    running = next((server.gameServerId for server in servers if server.utilized), None)
    join = f" To join a session, type 'fleetiq play --server {running}'." if running else ""
    return f"{message}: of {len(replies)} listed, {states}.{hint}{join}"


def _exitStatus(result: PlayResult, name: str, console: Console) -> int:
    """Report how a game ended, and return the exit status."""
    server = name[0].upper() + name[1:]
    if result.closedEarly:
        console.writeMessage(f"{server} closed the connection before you quit.")
    if result.quitIgnored:
        console.writeMessage(
            f"{server} did not close the connection after q, so this side closed it."
        )
    if result.missingBytes and not result.closedEarly:
        console.writeMessage(f"{result.missingBytes} of the bytes sent did not come back in time.")
    return 1 if result.closedEarly or result.quitIgnored or result.missingBytes else 0
