"""The subcommand play: claim a game server, connect to it, and send lines from input or options."""

from __future__ import annotations

import codecs
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable

from twisted.internet import protocol
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocol, IReactorFDSet
from twisted.internet.stdio import StandardIO
from twisted.python import usage
from twisted.python.failure import Failure

from echoserver.address import DEFAULT_PORT, parseConnectionInfo
from echoserver.cli.command import Command
from echoserver.cli.output import CommandFailed, Console, serverState
from echoserver.cli.target import Target, everyPage
from echoserver.client import Claim, Lines, PlayResult, claim, connect, play
from echoserver.gamelift.errors import CallFailed, ConflictException, OutOfCapacityException
from echoserver.gamelift.service import FleetIQ, GameServerDescription

# Input without a line ending is sent in chunks of this size, so a pipe cannot fill the memory.
MAX_LINE_LENGTH = 65536


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise usage.UsageError(f"--port {text!r} is not a port: use 1 to 65535.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise usage.UsageError(f"--wait {text!r} is not a number of seconds: use 0 or more.")
    return seconds


class Play(Command):
    """C{play}"""

    longdesc = (
        "Claim a game server and play on it: send each line that you type, and show what comes "
        "back. A line q, or the end of input, quits."
    )
    optParameters = (
        ["id", None, None, "Claim this game server instead of any free one."],
        ["port", None, DEFAULT_PORT, "The port to use if ConnectionInfo has none.", _port],
        ["wait", None, 0, "For how many seconds to retry until one is free.", _seconds],
    )

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []

    def opt_send(self, text: str) -> None:
        """Send this text and quit, without reading input. May be repeated."""
        if not text:
            raise usage.UsageError("--send is empty; give a text to send.")
        self.texts.append(text.encode())

    def postOptions(self) -> None:
        """Reject --json, which has no effect here."""
        if self.parent is not None and self.parent["json"]:
            raise usage.UsageError("--json has no effect on play. For scripts, use --send.")

    async def run(self, target: Target) -> int:
        """Play until the player quits or the connection ends."""
        claimed = await self._claim(target)
        gameServerId = claimed.server.gameServerId
        target.console.writeMessage(f"Claimed game server {gameServerId}.")
        try:
            address = parseConnectionInfo(claimed.server.connectionInfo, self["port"])
        except ValueError as reason:
            raise CommandFailed(
                f"Cannot connect to game server {gameServerId}: {reason}"
            ) from reason
        echo = _EchoOutput(target.console)
        endpoint = target.endpointFor(address)
        player = await connect(claimed, address, endpoint, target.clock, echo.write)
        hint = "" if self.texts else " Type a line, and it comes back; q leaves."
        target.console.writeMessage(f"Connected to {address}.{hint}")
        lines = self._lines(target)
        echo.onWriteError = lines.end
        result = await play(player, lines, echo.endLine)
        echo.endLine()
        return _exitStatus(result, gameServerId, target.console)

    async def _claim(self, target: Target) -> Claim:
        def onRetry(reason: CallFailed, delay: float) -> None:
            match reason:
                case OutOfCapacityException():
                    what = "No game server is free"
                case ConflictException():
                    what = f"Game server {self['id']} is claimed or in play"
                case _:
                    what = str(reason).rstrip(".")
            target.console.writeMessage(f"{what}; trying again in {delay:.1f} s.")

        try:
            return await claim(
                FleetIQ(target.calls, target.group),
                target.clock,
                random=random.random,
                gameServerId=self["id"],
                wait=self["wait"],
                onRetry=onRetry,
            )
        except OutOfCapacityException as reason:
            hint = "" if self["wait"] else " Add --wait SECONDS to retry."
            raise CommandFailed(await _noCapacity(target, hint)) from reason
        except ConflictException as reason:
            raise CommandFailed(
                f"Game server {self['id']} is claimed or in play. Leave out --id to play on any "
                f"free one. ({reason})"
            ) from reason

    def _lines(self, target: Target) -> Lines:
        if self.texts:
            return FixedLines(self.texts)
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
        local = target.config.local
        option = f"--local {target.config.endpoint}" if local else f"--group {target.group}"
        return (
            f"{message}: none is registered. Start one, for example with "
            f"'twistd -n fleetiq-echo {option}'."
        )
    counts = Counter(serverState(GameServerDescription.fromReply(reply)) for reply in replies)
    states = ", ".join(
        f"{counts[state]} {state.lower()}" for state in ("AVAILABLE", "CLAIMED", "UTILIZED")
    )
    return f"{message}: of {len(replies)} listed, {states}.{hint}"


def _exitStatus(result: PlayResult, gameServerId: str, console: Console) -> int:
    """Report how a game ended, and return the exit status."""
    server = f"Game server {gameServerId}"
    if result.closedEarly:
        console.writeMessage(f"{server} closed the connection before you quit.")
    if result.quitIgnored:
        console.writeMessage(
            f"{server} did not close the connection after q, so this side closed it."
        )
    if result.missingBytes and not result.closedEarly:
        console.writeMessage(f"{result.missingBytes} of the bytes sent did not come back in time.")
    return 1 if result.closedEarly or result.missingBytes else 0


class _EchoOutput:
    """
    Writes received bytes as UTF-8 text, however TCP splits them. Invalid bytes are escaped.

    @ivar onWriteError: called after standard output could not be written to.
    """

    def __init__(self, console: Console) -> None:
        self.onWriteError: Callable[[], object] = lambda: None
        self._console = console
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._midLine = False

    def write(self, data: bytes) -> None:
        """Write received bytes at once: a game server may send at any time."""
        self._write(self._decoder.decode(data))

    def endLine(self) -> None:
        """Start a new line, unless the output is at the start of one."""
        self._write(self._decoder.decode(b"", final=True))
        if self._midLine:
            self._write("\n")

    def _write(self, text: str) -> None:
        if text:
            self._midLine = not text.endswith("\n")
            self._console.write(text)
            if self._console.writeError is not None:
                self.onWriteError()


class FixedLines:
    """L{Lines} that are known in advance: the texts of C{--send}."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._texts = iter(texts)

    def next(self) -> Deferred[bytes | None]:
        """Return a Deferred that has fired."""
        return succeed(next(self._texts, None))

    def end(self) -> None:
        """Discard the remaining lines."""
        self._texts = iter(())


class InputLines(protocol.Protocol):
    """L{Lines} from standard input, which is read only while L{next} is pending."""

    transport: StandardIO

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ended = False
        self._pending: Deferred[bytes | None] | None = None

    def next(self) -> Deferred[bytes | None]:
        """Fire with a line, without its C{\\n} or C{\\r\\n}, or with None at the end of input."""
        pending: Deferred[bytes | None] = Deferred()
        self._pending = pending
        if not self._ended:
            self.transport.resumeProducing()
        self._deliver()
        return pending

    def end(self) -> None:
        """Stop reading. Unread input stays available to the next program."""
        self._buffer.clear()
        self._ended = True
        self.transport.pauseProducing()
        self._deliver()

    def dataReceived(self, data: bytes) -> None:
        """Buffer the input until it has a complete line and L{next} is pending."""
        self._buffer += data
        self._deliver()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Deliver the rest of the input. The last line needs no line ending."""
        self._ended = True
        self._deliver()

    def _deliver(self) -> None:
        length = self._buffer.find(b"\n")
        complete = length >= 0 or len(self._buffer) >= MAX_LINE_LENGTH or self._ended
        if not complete:
            return
        if not self._ended:
            self.transport.pauseProducing()
        if self._pending is None:
            return
        line: bytes | None = None
        if length >= 0:
            line = bytes(self._buffer[:length]).removesuffix(b"\r")
            del self._buffer[: length + 1]
        elif self._buffer:
            line = bytes(self._buffer)
            self._buffer.clear()
        pending, self._pending = self._pending, None
        pending.callback(line)


def openStandardInput(reactor: IReactorFDSet, stdin: int, lines: IProtocol) -> None:
    """
    Connect a protocol to a terminal, a pipe or a file, through a copy of its file descriptor.

    StandardIO makes the descriptor non-blocking. This affects every program that shares the
    terminal: this command's output, and the shell afterwards. The descriptor is made blocking
    again, which is safe because it is read only when input is available.
    """
    unused = os.open(os.devnull, os.O_WRONLY)
    StandardIO(lines, os.dup(stdin), unused, reactor=reactor)  # type: ignore[call-arg,misc] # Windows'
    os.set_blocking(stdin, True)
