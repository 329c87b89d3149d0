"""The subcommand play: claim a game server, connect to it, and send lines from input or options."""

from __future__ import annotations

import codecs
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable

from twisted.internet import protocol
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocol, IReactorFDSet
from twisted.internet.stdio import StandardIO
from twisted.python import usage
from twisted.python.failure import Failure

from echoserver.address import DEFAULT_PORT, Address, parseConnectionInfo
from echoserver.cli.command import Command
from echoserver.cli.output import CommandFailed, Console, serverState
from echoserver.cli.target import Target, everyPage
from echoserver.cli.values import gameServerId
from echoserver.client import Claim, Lines, PlayResult, claim, connect, play
from echoserver.gamelift.errors import CallFailed, ConflictException, OutOfCapacityException
from echoserver.gamelift.service import FleetIQ, GameServerDescription

_ENDING_SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}
# A longer line is sent in chunks of this size, so that a pipe cannot fill the memory.
CHUNK_LENGTH = 65536
# The rest of a line is never so short that the server could take it for the quit command.
_SHORTEST_REST = 3


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
        "back. A line q, or the end of input, ends the connection. Each claim reserves a game "
        "server without a session; to join a session that runs, use --server or --address."
    )
    optParameters = (
        ["id", None, None, "Claim this game server instead of any free one.", gameServerId],
        [
            "server",
            None,
            None,
            "Join the session of this game server, without a claim.",
            gameServerId,
        ],
        ["address", None, None, "Connect to HOST:PORT, without a claim and without FleetIQ."],
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
        """Reject options that have no effect, or contradict each other."""
        if any(each is not None and each["json"] for each in (self, self.parent)):
            raise usage.UsageError("--json has no effect on play. For scripts, use --send.")
        named = [f"--{each}" for each in ("id", "server", "address") if self[each] is not None]
        if len(named) > 1:
            raise usage.UsageError(f"{' and '.join(named)} contradict each other: use one.")
        if self["wait"] and named and named != ["--id"]:
            raise usage.UsageError(f"--wait has no effect with {named[0]}, which claims nothing.")

    @property
    def usesFleetIQ(self) -> bool:
        """Whether FleetIQ is called: not with --address."""
        return self["address"] is None

    async def run(self, target: Target) -> int:
        """Play until the player quits or the connection ends."""
        claimed, name, address = await self._choose(target)
        echo = _EchoOutput(target.console)
        endpoint = target.endpointFor(address)
        player = await connect(claimed, address, endpoint, target.clock, echo.write)
        hint = "" if self.texts else " Type a line, and it comes back; q ends the connection."
        target.console.writeMessage(f"Connected to {address}.{hint}")
        lines = self._lines(target)
        echo.onWriteError = lines.end
        result = await play(player, lines, echo.endLine)
        echo.endLine()
        return _exitStatus(result, name, target.console)

    async def _choose(self, target: Target) -> tuple[Claim | None, str, Address]:
        """Claim or find a game server. Return the claim, what to call the server, its address."""
        if self["address"] is not None:
            try:
                address = parseConnectionInfo(self["address"], self["port"])
            except ValueError as reason:
                raise usage.UsageError(
                    f"--address {self['address']!r} is not an address: use HOST:PORT."
                ) from reason
            return None, str(address), address
        claimed = None
        if self["server"] is not None:
            server = await FleetIQ(target.calls, target.group).describe(self["server"])
        else:
            claimed = await self._claim(target)
            server = claimed.server
            target.console.writeMessage(f"Claimed game server {server.gameServerId}.")
        name = f"game server {server.gameServerId}"
        try:
            address = parseConnectionInfo(server.connectionInfo, self["port"])
        except ValueError as reason:
            raise CommandFailed(f"Cannot connect to {name}: {reason}") from reason
        return claimed, name, address

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

    midLine = False

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._texts = iter(texts)

    def next(self) -> Deferred[bytes | None]:
        """Return a Deferred that has fired."""
        return succeed(next(self._texts, None))

    def end(self) -> None:
        """Discard the remaining lines."""
        self._texts = iter(())


class InputLines(protocol.Protocol):
    """
    L{Lines} from standard input, which is read only while L{next} is pending.

    @ivar midLine: whether the last result of L{next} is a part of a line that goes on.
    """

    transport: StandardIO

    def __init__(self) -> None:
        self.midLine = False
        self._buffer = bytearray()
        self._ended = False
        self._pending: Deferred[bytes | None] | None = None

    def next(self) -> Deferred[bytes | None]:
        """
        Fire with a line or a part of a long one, or with None at the end of input. A line has no
        C{\\n} or C{\\r\\n}.
        """
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
        isLong = (
            max(length, len(self._buffer) if length < 0 else 0) >= CHUNK_LENGTH + _SHORTEST_REST
        )
        complete = length >= 0 or isLong or self._ended
        if not complete:
            return
        if not self._ended:
            self.transport.pauseProducing()
        if self._pending is None:
            return
        line: bytes | None = None
        self.midLine = isLong
        if isLong:
            line = bytes(self._buffer[:CHUNK_LENGTH])
            del self._buffer[:CHUNK_LENGTH]
        elif length >= 0:
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
    # A signal that ends the command must not leave the terminal non-blocking.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    try:
        StandardIO(lines, os.dup(stdin), unused, reactor=reactor)  # type: ignore[call-arg,misc] # Windows'
    finally:
        os.set_blocking(stdin, True)
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
