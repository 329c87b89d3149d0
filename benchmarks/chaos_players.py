"""The players of the chaos benchmark: they claim, play, and disconnect in different ways."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from collections import Counter
from random import Random
from time import perf_counter

from benchmarks.chaos_fleet import Claim, Fleet, Kind

# A player that receives nothing for so long counts as disconnected.
TIMEOUT = 30.0
FULL, CLAIM_FIRST = b"FULL\n", b"CLAIM FIRST\n"


class ClaimFirst(Exception):
    """The connection was rejected, because the game server knows no claim."""


class Disconnected(Exception):
    """The connection ended, or was rejected, before all bytes were echoed."""


class WrongEcho(Exception):
    """The received bytes are not the bytes that were sent."""


class Players:
    """
    Play a number of sessions, some with two or three players.

    @ivar counted: the number of each outcome.
    @ivar failures: a sentence for each player that was disconnected without a known reason.
    @ivar unexplained: the ids of their game servers.
    """

    def __init__(self, fleet: Fleet, rng: Random, sessions: int) -> None:
        self.counted: Counter[str] = Counter()
        self.failures: list[str] = []
        self.unexplained: list[str] = []
        self._fleet = fleet
        self._rng = rng
        self._toPlay = sessions
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE

    async def play(self, atATime: int) -> None:
        """Play all sessions, C{atATime} of them concurrently."""
        await asyncio.gather(*(self._playSessions() for _ in range(atATime)))

    async def _playSessions(self) -> None:
        while self._toPlay > 0:
            claimed = await self._fleet.claim()
            if claimed is None:
                self.counted["claims that failed"] += 1
                await asyncio.sleep(self._rng.uniform(0.05, 0.5))
                continue
            if self._toPlay <= 0:
                return
            self._toPlay -= 1
            self.counted["sessions"] += 1
            players = self._rng.choice((1, 1, 1, 2, 3))
            if self._fleet.kindOf(claimed.port) is Kind.CLAIMED:
                players = 1  # another one may arrive after the session of the first one
            await asyncio.gather(*(self._playOne(claimed) for _ in range(players)))

    async def _playOne(self, claim: Claim) -> None:
        began, port = perf_counter(), claim.port
        tls = self._tls if self._fleet.kindOf(port) is Kind.TLS else None
        self.counted["players"] += 1
        # A connection in the accept queue of a closed port is reset: it counts as rejected.
        outcome = "rejected"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            try:
                await self._sendAndCheck(reader, writer)
                outcome = "disconnected"
                await self._exchange(reader, writer)
            finally:
                await close(writer)
            self.counted["players that received all bytes"] += 1
        except (OSError, EOFError, TimeoutError, ClaimFirst, Disconnected) as error:
            connected = outcome == "disconnected"
            reason = self._fleet.reasonFor(port, began, connected=connected)
            if reason is None and isinstance(error, ClaimFirst):
                reason = await self._fleet.claimIsGone(claim)
            if reason is None:
                self.failures.append(f"a player of port {port} was {outcome}: {error!r}")
                self.unexplained.append(claim.gameServerId)
            else:
                self.counted[f"{outcome}: {reason}"] += 1
        except WrongEcho as error:
            self.failures.append(f"a player of port {port}: {error}")

    async def _exchange(self, reader: StreamReader, writer: StreamWriter) -> None:
        for _ in range(self._rng.randint(0, 3)):
            await asyncio.sleep(self._rng.uniform(0, 0.3))
            await self._sendAndCheck(reader, writer)
        leave = self._rng.choice((self._quit, self._finish, self._reset))
        if not writer.can_write_eof():  # TLS
            leave = self._rng.choice((self._quit, self._reset))
        await leave(reader, writer)

    async def _sendAndCheck(self, reader: StreamReader, writer: StreamWriter) -> None:
        message = self._message()
        writer.write(message)
        await checkEcho(reader, message)
        self.counted["echoed bytes"] += len(message)

    def _message(self) -> bytes:
        """Return random bytes without a quit command."""
        data = self._rng.randbytes(self._rng.randint(2, 20000))
        return data.replace(b"q", b"-").replace(b"Q", b"-") + b"\n"

    async def _quit(self, reader: StreamReader, writer: StreamWriter) -> None:
        last, quitCommand = self._message(), self._rng.choice((b"q\n", b"Q\r\n"))
        writer.write(last + quitCommand)
        await checkEcho(reader, last, unless=quitCommand)
        await checkEnd(reader, unless=quitCommand)

    async def _finish(self, reader: StreamReader, writer: StreamWriter) -> None:
        last = self._message()
        writer.write(last)
        writer.write_eof()
        await checkEcho(reader, last)
        await checkEnd(reader)

    async def _reset(self, reader: StreamReader, writer: StreamWriter) -> None:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def checkEcho(reader: StreamReader, message: bytes, unless: bytes = b"") -> None:
    """
    Read the echo of a message, and compare it with the message.

    @param unless: the quit command. A part of it that arrives before the rest, for example at the
        end of a TLS record, is echoed: it may be the start of another line.
    """
    back = b""
    while len(back) < len(message):
        data = await asyncio.wait_for(reader.read(65536), TIMEOUT)
        if not data:
            raise Disconnected(f"{len(back)} of {len(message)} bytes were echoed")
        back += data
        if back == CLAIM_FIRST:
            raise ClaimFirst(f"received {back!r}")
        if back == FULL:
            raise Disconnected(f"received {back!r}")
    if back != message and not (
        back.startswith(message) and isPartOf(back[len(message) :], unless)
    ):
        raise WrongEcho(f"the {len(back)} echoed bytes differ from the sent bytes")


def isPartOf(data: bytes, quitCommand: bytes) -> bool:
    """Return whether data is the start of the quit command, but not all of it."""
    return len(data) < len(quitCommand) and quitCommand.startswith(data)


async def checkEnd(reader: StreamReader, unless: bytes = b"") -> None:
    """Check that the server closes the connection. For C{unless}, see L{checkEcho}."""
    data = await asyncio.wait_for(reader.read(), TIMEOUT)
    if data and not isPartOf(data, unless):
        raise WrongEcho("bytes were echoed after the quit command")


async def close(writer: StreamWriter) -> None:
    """Close the connection, and wait until it is closed."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
