"""
The echo game, C{twistd fleetiq-echo}: send back what a player sends, until the quit command.

It uses the public interface L{echoserver.game} alone.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python import usage

from echoserver.game import Game, GameServer

_log = Logger(namespace="fleetiq.game")

_SMALL_Q, _LARGE_Q, _LINE_END = b"qQ\n"
_QUIT = re.compile(rb"[qQ]\r?\n")
_QUIT_INSIDE = re.compile(rb"\n[qQ]\r?\n")
_QUIT_BEGINNINGS = (b"", b"q", b"Q", b"q\r", b"Q\r")
_SHOWN_CHARACTERS = 80


def findQuit(line: bytes | None, data: bytes) -> tuple[int, bytes | None]:
    r"""
    Find the quit command: a line that is C{q} or C{Q} alone, ended by C{\n} or C{\r\n}, however TCP
    splits it.

    @param line: the unfinished line so far, at most two bytes, if it may still become a quit
        command; None if it may not. C{b""} at the start.
    @param data: what has been received now; never empty.
    @return: the number of bytes of C{data} before the command, or -1 without one; and the
        unfinished line for the next call.
    """
    if line is None and b"\n" not in data:
        return -1, None
    if line is not None and _QUIT.match(line + data[:3]):
        return 0, None
    inside = _QUIT_INSIDE.search(data)
    if inside:
        return inside.start() + 1, None
    lineEnd = data.rfind(b"\n", -3)
    if lineEnd >= 0:
        line = data[lineEnd + 1 :]
    elif line is not None:
        line += data[:3]
    return -1, line if line in _QUIT_BEGINNINGS else None


class Echo(Protocol):
    """Send back what is received, until the quit command."""

    # Without slots each player would have a dictionary: 0.4 KiB, and slower access.
    __slots__ = ("_lastByte", "_line", "_lineEnded", "connected", "factory", "transport")

    factory: EchoFactory
    transport: Any

    def __init__(self) -> None:
        self._line: bytes | None = b""
        self._lineEnded = False
        self._lastByte = _LINE_END

    def dataReceived(self, data: bytes) -> None:
        # Data without a q contains no quit command, and begins none.
        if not self._line and _SMALL_Q not in data and _LARGE_Q not in data:
            self._lastByte = data[-1]
            if not self._lineEnded:
                self._lineEnded = _LINE_END in data
            self.transport.writeBytes(data)
        else:
            self._lookForQuit(data)

    def _lookForQuit(self, data: bytes) -> None:
        if not self._lineEnded:
            if len(data) == 1 and data in b"qQ":
                # The workshop's client sends no line ends: each chunk is a line.
                self.transport.close("quit command")
                return
            self._lineEnded = b"\n" in data
        line = self._line or (b"" if self._lastByte == _LINE_END else None)
        before, self._line = findQuit(line, data)
        self._lastByte = data[-1]
        if before < 0:
            self.transport.write(data)
            return
        self.transport.write(data[:before])
        self.transport.close("quit command")


class LoggingEcho(Echo):
    """An L{Echo} that logs what it receives, for C{--show-bytes}."""

    __slots__ = ()

    def dataReceived(self, data: bytes) -> None:
        _log.info(
            "Player {address} sends {data}",
            address=self.transport.address,
            data=repr(data[:_SHOWN_CHARACTERS])[2:-1][:_SHOWN_CHARACTERS],
            eventName="player.bytes",
        )
        super().dataReceived(data)


class EchoFactory(Game, Factory):
    """
    Make an L{Echo} for each player.

    @param showBytes: whether to log what players send.
    """

    noisy = False

    def __init__(self, gameServer: GameServer, showBytes: bool = False) -> None:
        super().__init__(gameServer)
        self.protocol = LoggingEcho if showBytes else Echo  # type: ignore[assignment] # as Twisted


class Options(usage.Options):
    """The options of the echo game."""

    optFlags = [  # noqa: RUF012 # usage.Options reads it from the class
        ["show-bytes", None, "Log what players send, escaped, at most 80 characters."]
    ]


def makeFactory(gameServer: GameServer) -> EchoFactory:
    """Make the factory of one game server."""
    return EchoFactory(gameServer, bool(gameServer.options["show-bytes"]))
