"""The connection of a bot: it sends lines, and checks each byte that comes back."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from echoserver.client import CLOSE_TIMEOUT

# Longer than the stalls of a busy game server: a byte that is late is not lost.
ECHO_TIMEOUT = 10.0
# A game server sends one of these before it closes, if it rejects a player.
_REJECTIONS = (b"FULL\n", b"CLAIM FIRST\n")


class BotPlayer(Protocol):
    """
    A player of an echo server.

    @ivar closed: whether the connection has ended.
    @ivar isRejected: whether the game server rejected this player.
    @ivar lostBytes: sent bytes that did not come back before the connection ended, or in time.
    @ivar wrongBytes: received bytes that differ from the next ones that were sent.
    """

    transport: ITransport

    def __init__(self, clock: IReactorTime) -> None:
        self.closed = False
        self.isRejected = False
        self.lostBytes = 0
        self.wrongBytes = 0
        self._clock = clock
        self._expected = bytearray()
        self._hasEchoed = False
        self._echoed: Deferred[bool] | None = None
        self._ended: Deferred[None] | None = None

    def send(self, line: bytes) -> Deferred[bool]:
        """Send a line, and fire with whether it came back. One at a time."""
        if self.closed:
            return succeed(False)
        self._expected += line
        echoed: Deferred[bool] = Deferred()
        self._echoed = echoed
        self.transport.write(line)

        def late(_result: object, _seconds: float) -> bool:
            self._echoed = None
            self._countLost()
            return False

        return echoed.addTimeout(ECHO_TIMEOUT, self._clock, onTimeoutCancel=late)

    def quit(self) -> Deferred[None]:
        """Send the quit command, and fire when the connection has ended."""
        if self.closed:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._ended = ended
        self.transport.write(b"q\n")

        def late(_result: object, _seconds: float) -> None:
            self._ended = None
            self.transport.loseConnection()

        return ended.addTimeout(CLOSE_TIMEOUT, self._clock, onTimeoutCancel=late)

    def dataReceived(self, data: bytes) -> None:
        """Compare the bytes with the next ones that were sent."""
        if not self._hasEchoed and data in _REJECTIONS:
            self.isRejected = True
            return
        self._hasEchoed = True
        expected = bytes(self._expected[: len(data)])
        if data == expected:
            del self._expected[: len(data)]
        else:
            same = sum(a == b for a, b in zip(data, expected, strict=False))
            self.wrongBytes += len(data) - same
            del self._expected[: len(data)]
        if not self._expected and self._echoed is not None:
            echoed, self._echoed = self._echoed, None
            echoed.callback(True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count what has not come back. A rejected player has not lost it."""
        self.closed = True
        if self.isRejected:
            self._expected.clear()
        self._countLost()
        echoed, self._echoed = self._echoed, None
        if echoed is not None:
            echoed.callback(False)
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.callback(None)

    def _countLost(self) -> None:
        self.lostBytes += len(self._expected)
        self._expected.clear()
