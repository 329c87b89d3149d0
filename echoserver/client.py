"""Claim a game server, connect to it, play: what a player of a FleetIQ group does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from twisted.internet import error, protocol
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echoserver.address import Address
from echoserver.gamelift.errors import CallFailed, ConflictException
from echoserver.gamelift.service import FleetIQ, GameServerDescription

CLAIM_HOLDS = 60.0
CONNECT_WITHIN = 5.0
ANSWER_WITHIN = 3.0
CLOSE_WITHIN = 3.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 8.0

GOODBYE = b"q"
_GOODBYES = {b"q", b"Q"}


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A game server reserved for us.

    @ivar made: when it was asked for, on the clock that L{claim} was given.
    """

    server: GameServerDescription
    made: float

    def holds(self, now: float) -> float:
        """For how many more seconds nobody else can claim the server, for certain."""
        return max(0.0, self.made + CLAIM_HOLDS - now)


def claim(
    fleet: FleetIQ,
    clock: IReactorTime,
    *,
    random: Callable[[], float],
    gameServerId: str | None = None,
    wait: float = 0.0,
    retrying: Callable[[CallFailed, float], object] = lambda _reason, _pause: None,
) -> Deferred[Claim]:
    """
    Claim any free game server, or the one named.

    A call that may have happened is never repeated: it might reserve a second server.

    @param wait: for how many seconds to try again where that helps. It may with a
        L{ConflictException}: another client's claim expires after 60 s, unless its player connects.
    @param random: from 0 to 1, spreads players who wait together.
    @param retrying: told of a failed try, and the seconds until the next.
    @return: fails with the L{CallFailed} of the last try.
    """

    async def tries() -> Claim:
        deadline = clock.seconds() + wait
        longest = FIRST_PAUSE
        while True:
            asked = clock.seconds()
            try:
                return Claim(await fleet.claim(gameServerId), asked)
            except CallFailed as reason:
                left = deadline - clock.seconds()
                helps = reason.retry or isinstance(reason, ConflictException)
                if left <= 0 or not helps or reason.mayHaveHappened:
                    raise
                pause = min(longest * (0.5 + random() / 2), left)
                retrying(reason, pause)
            longest = min(longest * 2, LONGEST_PAUSE)
            await deferLater(clock, pause)

    return Deferred.fromCoroutine(tries())


class NotReached(Exception):
    """A claimed game server gave no connection: says why, and how long the claim holds."""


class PlayerProtocol(protocol.Protocol):
    """
    One player's connection to a game server that echoes.

    @ivar closed: whether the connection has ended.
    """

    transport: ITransport

    def __init__(self, clock: IReactorTime, received: Callable[[bytes], object]) -> None:
        """
        @param received: told of all bytes that come, as they come.
        """
        self.closed = False
        self._clock = clock
        self._received = received
        self._owed = bytearray()
        self._givenUp = 0
        self._answer: Deferred[bool] | None = None
        self._patience: IDelayedCall | None = None
        self._untilClosed: list[Deferred[None]] = []

    @property
    def missing(self) -> int:
        """How many of the bytes sent have not come back, or not in time."""
        return self._givenUp + len(self._owed)

    def say(self, data: bytes) -> Deferred[bool]:
        """
        Send; fires when it has come back, with whether it has: False after 3 s of silence, or when
        the connection ends. One at a time.
        """
        if self.closed:
            return succeed(False)
        self._owed += data
        answer: Deferred[bool] = Deferred()
        self._answer = answer
        self._patience = self._clock.callLater(ANSWER_WITHIN, self._giveUp)
        self.transport.write(data)
        return answer

    def leave(self, goodbye: bytes = GOODBYE) -> Deferred[bool]:
        """
        Say goodbye in a chunk of its own; fires with whether the server closed the connection:
        False when it did not within 3 s, and we do.
        """

        def hangUp(_: object, _timeout: float) -> bool:
            self.transport.loseConnection()
            return False

        left = self.whenClosed().addCallback(lambda _: True)
        self.transport.write(goodbye)
        return left.addTimeout(CLOSE_WITHIN, self._clock, onTimeoutCancel=hangUp)

    def whenClosed(self) -> Deferred[None]:
        """Fires with None when the connection has ended, however."""
        if self.closed:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._untilClosed.append(ended)
        return ended

    def dataReceived(self, data: bytes) -> None:
        """Tell of it, and cross off what has come back."""
        if self._owed in data:
            self._owed.clear()
        elif self._owed.startswith(data):
            del self._owed[: len(data)]
        self._received(data)
        if not self._owed:
            self._settle(True)
        elif self._patience is not None:
            self._patience.reset(ANSWER_WITHIN)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Nothing more will come back."""
        self.closed = True
        self._settle(False)
        waiting, self._untilClosed = self._untilClosed, []
        for ended in waiting:
            ended.callback(None)

    def _giveUp(self) -> None:
        # The next line would wait for these bytes, too.
        self._givenUp += len(self._owed)
        self._owed.clear()
        self._settle(False)

    def _settle(self, cameBack: bool) -> None:
        answer, self._answer = self._answer, None
        patience, self._patience = self._patience, None
        if patience is not None and patience.active():
            patience.cancel()
        if answer is not None:
            answer.callback(cameBack)


def connect(
    claimed: Claim,
    address: Address,
    endpoint: IStreamClientEndpoint,
    clock: IReactorTime,
    received: Callable[[bytes], object],
) -> Deferred[PlayerProtocol]:
    """
    Connect to a claimed game server, within 5 s.

    @param endpoint: leads to C{address}.
    @return: fails with L{NotReached}.
    """

    def expired(_: object, _timeout: float) -> Failure:
        return Failure(error.TimeoutError())

    def explain(failure: Failure) -> Failure:
        holds = f"The claim holds for another {claimed.holds(clock.seconds()):.0f} s."
        why = _whyNot(failure, claimed.server.gameServerId, address)
        return Failure(NotReached(f"{why} {holds}"))

    factory = protocol.Factory.forProtocol(partial(PlayerProtocol, clock, received))
    connecting: Deferred[Any] = endpoint.connect(factory)
    connecting.addTimeout(CONNECT_WITHIN, clock, onTimeoutCancel=expired)
    return connecting.addErrback(explain)


def _whyNot(failure: Failure, gameServerId: str, address: Address) -> str:
    server = f"game server {gameServerId}"
    if failure.check(error.TimeoutError):
        return (
            f"{address}, the address of {server}, does not answer within {CONNECT_WITHIN:.0f} s: "
            f"check the address, and that the instance's security group and the subnet's network "
            f"ACL let TCP port {address.port} in from here."
        )
    if failure.check(error.ConnectionRefusedError):
        return (
            f"{address}, the address of {server}, refuses connections: nothing listens there "
            f"(any more), or it is another machine's address."
        )
    if failure.check(error.DNSLookupError):
        return f"{address.host}, the address of {server}, is a name that DNS here does not know."
    return (
        f"{address}, the address of {server}, cannot be reached: {str(failure.value).rstrip('.')}."
    )


class Lines(Protocol):
    """What a player says, line by line, without line endings."""

    def next(self) -> Deferred[bytes | None]:
        """Fires with the next line; with None after the last."""
        ...

    def end(self) -> None:
        """The game is over: fire what is waited for with None, and stop reading."""
        ...


@dataclass(frozen=True, slots=True)
class GameOver:
    """
    How a game ended.

    @ivar early: whether the server closed before we said goodbye.
    @ivar ignored: whether the server did not close when we said it.
    @ivar missing: how many of the bytes sent did not come back in time.
    """

    early: bool
    ignored: bool
    missing: int


def play(
    player: PlayerProtocol, lines: Lines, answered: Callable[[], object]
) -> Deferred[GameOver]:
    """
    Say each line, the next one once the last came back, so that no two arrive as one; then leave,
    at the end of the lines or with a line that is C{q} or C{Q}.

    Lines go out without an ending, since a server of FleetIQ's workshop compares what it received
    with C{q}. An empty one is nothing to send.

    @param answered: told when a line came back, or is no longer waited for.
    """

    async def game() -> GameOver:
        player.whenClosed().addCallback(lambda _: lines.end())
        line: bytes | None = None
        while not player.closed:
            line = await lines.next()
            if line is None or line in _GOODBYES:
                break
            if line:
                await player.say(line)
                answered()
        if player.closed:
            return GameOver(early=True, ignored=False, missing=player.missing)
        lines.end()
        closed = await player.leave(line or GOODBYE)
        return GameOver(early=False, ignored=not closed, missing=player.missing)

    return Deferred.fromCoroutine(game())
