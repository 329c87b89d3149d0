"""
A client for players: claim a game server, connect to it, and send lines to it.

The game server is expected to send back what it receives, and to close the connection after a quit
command: L{echoserver.echo}, and the server of the FleetIQ workshop.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet import error
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echoserver.address import Address
from echoserver.gamelift.errors import CallFailed, ConflictException
from echoserver.gamelift.service import FleetIQ, GameServerDescription

CLAIM_DURATION = 60.0
CONNECT_TIMEOUT = 5.0
ECHO_TIMEOUT = 3.0
CLOSE_TIMEOUT = 3.0
FIRST_DELAY = 1.0
MAX_DELAY = 8.0

QUIT = b"q"
# The first line that is a quit command, at the end of the data or before a line ending.
_QUIT_LINE = re.compile(rb"(?:\A|(?<=\n))[qQ](?=\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A game server that is reserved for this player.

    @ivar requestedAt: when the call was sent, in seconds of the clock that was passed to L{claim}.
    """

    server: GameServerDescription
    requestedAt: float

    def secondsLeft(self, now: float) -> float:
        """Return for how many more seconds no other client can claim the game server."""
        return max(0.0, self.requestedAt + CLAIM_DURATION - now)


def claim(
    fleet: FleetIQ,
    clock: IReactorTime,
    *,
    random: Callable[[], float],
    gameServerId: str | None = None,
    wait: float = 0.0,
    onRetry: Callable[[CallFailed, float], object] = lambda _reason, _delay: None,
) -> Deferred[Claim]:
    """
    Claim any free game server, or a given one.

    A call that may have happened is not repeated, because it could reserve a second game server.

    @param random: returns a number from 0 to 1. It spreads the retries of concurrent clients.
    @param gameServerId: the game server to claim; None for any.
    @param wait: for how many seconds to retry. A L{ConflictException} is retried too: the claim
        of another client expires after 60 s if its player does not connect.
    @param onRetry: called after a failed attempt, with the error and the seconds until the next.
    @return: fails with the L{CallFailed} of the last attempt.
    """

    async def attempts() -> Claim:
        deadline = clock.seconds() + wait
        longest = FIRST_DELAY
        while True:
            requestedAt = clock.seconds()
            try:
                return Claim(await fleet.claim(gameServerId), requestedAt)
            except CallFailed as reason:
                left = deadline - clock.seconds()
                mayRetry = reason.retry or isinstance(reason, ConflictException)
                if left <= 0 or not mayRetry or reason.mayHaveHappened:
                    raise
                delay = min(longest * (0.5 + random() / 2), left)
                onRetry(reason, delay)
            longest = min(longest * 2, MAX_DELAY)
            await deferLater(clock, delay)

    return Deferred.fromCoroutine(attempts())


class ConnectFailed(Exception):
    """
    No connection to a claimed game server.

    The message gives the reason and the remaining time of the claim. A retry can help until then.
    """


class PlayerProtocol(Protocol):
    """
    A player's connection to a game server that echoes.

    @ivar closed: whether the connection has ended.
    """

    transport: ITransport

    def __init__(self, clock: IReactorTime, received: Callable[[bytes], object]) -> None:
        """
        @param received: called with all received bytes, as they arrive.
        """
        self.closed = False
        self._clock = clock
        self._received = received
        self._expected = bytearray()
        self._overdueBytes = 0
        self._lineEndSent = False
        self._midLine = False
        self._quitLine = b""
        self._bareCommand: bytes | None = None
        self._echoed: Deferred[bool] | None = None
        self._timeout: IDelayedCall | None = None
        self._closeWaiters: list[Deferred[None]] = []

    @property
    def missingBytes(self) -> int:
        """The number of sent bytes that did not come back, or not in time."""
        return self._overdueBytes + len(self._expected)

    def send(self, data: bytes) -> Deferred[bool]:
        """
        Send bytes and wait for their echo. Only one call may be pending.

        @return: fires with True when all bytes have come back. Fires with False if nothing arrives
            for 3 s, or if the connection ends.
        """
        if self.closed:
            return succeed(False)
        self._expected += data
        self._lineEndSent = self._lineEndSent or b"\n" in data
        self._midLine = not data.endswith(b"\n")
        echoed: Deferred[bool] = Deferred()
        self._echoed = echoed
        self._timeout = self._clock.callLater(ECHO_TIMEOUT, self._timedOut)
        self.transport.write(data)
        return echoed

    def quit(self, command: bytes = QUIT) -> Deferred[bool]:
        """
        Send the quit command: as a chunk of its own, or as a line if a line ending was sent.

        After a line ending, L{echoserver.echo} waits for the end of a line. A server that sends
        this line back, as the one of the workshop does, is sent the bare command then.

        @return: fires with True when the server has closed the connection. If the server has not
            done so after 3 s, this side closes the connection, and the result is False.
        """

        def disconnect(_: object, _timeout: float) -> bool:
            self.transport.loseConnection()
            return False

        closed = self.whenClosed().addCallback(lambda _: True)
        if self._lineEndSent:
            self._bareCommand = command
            command = (b"\n" if self._midLine else b"") + command + b"\n"
            self._quitLine = command
        self.transport.write(command)
        return closed.addTimeout(CLOSE_TIMEOUT, self._clock, onTimeoutCancel=disconnect)

    def whenClosed(self) -> Deferred[None]:
        """Return a Deferred that fires with None when the connection has ended."""
        if self.closed:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closeWaiters.append(closed)
        return closed

    def dataReceived(self, data: bytes) -> None:
        """Pass the bytes on, and compare them with the bytes that were sent."""
        data = self._withoutQuitLine(data)
        if self._expected in data:
            self._expected.clear()
        elif self._expected.startswith(data):
            del self._expected[: len(data)]
        if data:
            self._received(data)
        if not self._expected:
            self._sendDone(True)
        elif self._timeout is not None:
            self._timeout.reset(ECHO_TIMEOUT)

    def _withoutQuitLine(self, data: bytes) -> bytes:
        """Remove what came back of L{quit}; the player did not send it."""
        if self._bareCommand is None:
            return data
        if data.endswith(self._quitLine):
            self.transport.write(self._bareCommand)
            self._bareCommand = None
            return data.removesuffix(self._quitLine)
        if self._midLine and data.startswith(b"\n"):
            self._midLine = False
            return data[1:]
        return data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the pending L{send}, and fire the Deferreds of L{whenClosed}."""
        self.closed = True
        self._sendDone(False)
        waiters, self._closeWaiters = self._closeWaiters, []
        for closed in waiters:
            closed.callback(None)

    def _timedOut(self) -> None:
        # Otherwise the next send would wait for these bytes, too.
        self._overdueBytes += len(self._expected)
        self._expected.clear()
        self._sendDone(False)

    def _sendDone(self, allEchoed: bool) -> None:
        echoed, self._echoed = self._echoed, None
        timeout, self._timeout = self._timeout, None
        if timeout is not None and timeout.active():
            timeout.cancel()
        if echoed is not None:
            echoed.callback(allEchoed)


def connect(
    claimed: Claim | None,
    address: Address,
    endpoint: IStreamClientEndpoint,
    clock: IReactorTime,
    received: Callable[[bytes], object],
) -> Deferred[PlayerProtocol]:
    """
    Connect to a game server, within 5 s.

    @param claimed: the claim of the game server, for error messages; None without a claim.
    @param address: the address of the game server, for error messages.
    @param endpoint: connects to C{address}.
    @param received: called with all received bytes, as they arrive.
    @return: fails with L{ConnectFailed}.
    """

    def timedOut(_: object, _timeout: float) -> Failure:
        return Failure(error.TimeoutError())

    def explain(failure: Failure) -> Failure:
        if claimed is None:
            return Failure(ConnectFailed(_connectError(failure, address, f"{address}")))
        gameServer = f"game server {claimed.server.gameServerId}"
        where = f"{address}, the address of {gameServer},"
        reason = _connectError(failure, address, where)
        left = claimed.secondsLeft(clock.seconds())
        return Failure(ConnectFailed(f"{reason} The claim is valid for another {left:.0f} s."))

    factory = Factory.forProtocol(partial(PlayerProtocol, clock, received))
    connecting: Deferred[Any] = endpoint.connect(factory)
    connecting.addTimeout(CONNECT_TIMEOUT, clock, onTimeoutCancel=timedOut)
    return connecting.addErrback(explain)


def _connectError(failure: Failure, address: Address, where: str) -> str:
    if failure.check(error.TimeoutError):
        return (
            f"{where} did not accept a connection within {CONNECT_TIMEOUT:.0f} s. Check the "
            f"address, and that the instance's security group and the subnet's network ACL allow "
            f"TCP port {address.port} from here."
        )
    if failure.check(error.ConnectionRefusedError):
        return (
            f"{where} refuses connections. No process listens on this port, or the address "
            f"belongs to another machine."
        )
    if failure.check(error.DNSLookupError):
        return f"{where} cannot be resolved: DNS does not know the host name {address.host}."
    return f"{where} cannot be reached: {str(failure.value).rstrip('.')}."


class Lines(TypingProtocol):
    """
    The lines that a player sends, without line endings.

    @ivar midLine: whether the last result of L{next} is a part of a line that goes on.
    """

    @property
    def midLine(self) -> bool: ...

    def next(self) -> Deferred[bytes | None]:
        """Return a Deferred that fires with the next line, or with None after the last one."""
        ...

    def end(self) -> None:
        """Stop reading. A pending L{next} fires with None."""
        ...


@dataclass(frozen=True, slots=True)
class PlayResult:
    """
    How a game ended.

    @ivar closedEarly: whether the server closed the connection before the quit command was sent.
    @ivar quitIgnored: whether the server did not close the connection after the quit command.
    @ivar missingBytes: the number of sent bytes that did not come back in time.
    """

    closedEarly: bool
    quitIgnored: bool
    missingBytes: int


def play(
    player: PlayerProtocol, lines: Lines, lineDone: Callable[[], object]
) -> Deferred[PlayResult]:
    """
    Send each line, then quit: at the end of the lines, or at a line that is C{q} or C{Q}. The
    rest of a text that contains such a line is not sent.

    The next line is sent after the last one has come back, so the server receives each line as a
    chunk of its own. Lines are sent without a line ending: the server of the FleetIQ workshop
    compares what it received with C{q}. Empty lines are not sent.

    @param lineDone: called when a line has come back, or when the wait for it is over.
    """

    async def game() -> PlayResult:
        player.whenClosed().addCallback(lambda _: lines.end())
        command: bytes | None = None
        inLine = False
        while not player.closed and command is None:
            line = await lines.next()
            if line is None:
                break
            if not inLine and (found := _QUIT_LINE.search(line)):
                line, command = line[: found.start()], found[0]
            inLine = lines.midLine
            if line:
                await player.send(line)
                if not inLine:
                    lineDone()
        if player.closed:
            return PlayResult(closedEarly=True, quitIgnored=False, missingBytes=player.missingBytes)
        lines.end()
        closed = await player.quit(command or QUIT)
        return PlayResult(
            closedEarly=False, quitIgnored=not closed, missingBytes=player.missingBytes
        )

    return Deferred.fromCoroutine(game())
