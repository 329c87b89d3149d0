"""The players of the chaos benchmark: they claim, play, and leave in every way there is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections import Counter
from random import Random
from time import perf_counter

from benchmarks.chaos_fleet import Fleet

# A player that receives nothing for this long has lost its connection.
SILENCE = 30.0
REFUSALS = (b"FULL\n", b"CLAIM FIRST\n")


class Cut(Exception):
    """The connection ended, or never began, before all had come back."""


class Mistaken(Exception):
    """What came back is not what was sent."""


class Players:
    """
    Plays so many sessions, some with a friend who joins.

    @ivar counted: what became of them.
    @ivar failures: a sentence for each who lost something for no reason.
    """

    def __init__(self, fleet: Fleet, rng: Random, sessions: int) -> None:
        self.counted: Counter[str] = Counter()
        self.failures: list[str] = []
        self._fleet = fleet
        self._dice = rng
        self._toPlay = sessions

    async def play(self, atATime: int) -> None:
        """Play all sessions, so many at a time."""
        await asyncio.gather(*(self._one() for _ in range(atATime)))

    async def _one(self) -> None:
        while self._toPlay > 0:
            claimed = await self._fleet.claim()
            if claimed is None:
                self.counted["claims that failed"] += 1
                await asyncio.sleep(self._dice.uniform(0.05, 0.5))
                continue
            if self._toPlay <= 0:
                return
            self._toPlay -= 1
            self.counted["sessions"] += 1
            port = int(claimed["ConnectionInfo"].rpartition(":")[2])
            friends = self._dice.choice((1, 1, 1, 2, 3))
            await asyncio.gather(*(self._visit(port) for _ in range(friends)))

    async def _visit(self, port: int) -> None:
        began = perf_counter()
        self.counted["players"] += 1
        # Who is still in the accept queue when the port closes is refused, though connected.
        what = "refused"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await self._say(reader, writer)
                what = "cut"
                await self._converse(reader, writer)
            finally:
                await close(writer)
            self.counted["players who had every byte back"] += 1
        except (OSError, EOFError, TimeoutError, Cut) as error:
            why = self._fleet.whyBroken(port, began, cut=what == "cut")
            if why is None:
                self.failures.append(f"a player of port {port} was {what}: {error!r}")
            else:
                self.counted[f"{what}: {why}"] += 1
        except Mistaken as error:
            self.failures.append(f"a player of port {port}: {error}")

    async def _converse(self, reader: StreamReader, writer: StreamWriter) -> None:
        for _ in range(self._dice.randint(0, 3)):
            await asyncio.sleep(self._dice.uniform(0, 0.3))
            await self._say(reader, writer)
        leave = self._dice.choice((self._goodbye, self._finish, self._reset))
        await leave(reader, writer)

    async def _say(self, reader: StreamReader, writer: StreamWriter) -> None:
        said = self._words()
        writer.write(said)
        await heard(reader, said)
        self.counted["bytes that came back"] += len(said)

    def _words(self) -> bytes:
        """Any bytes, but no goodbye."""
        data = self._dice.randbytes(self._dice.randint(2, 20000))
        return data.replace(b"q", b"-").replace(b"Q", b"-") + b"\n"

    async def _goodbye(self, reader: StreamReader, writer: StreamWriter) -> None:
        last = self._words()
        writer.write(last + self._dice.choice((b"q\n", b"Q\r\n")))
        await heard(reader, last)
        await end(reader)

    async def _finish(self, reader: StreamReader, writer: StreamWriter) -> None:
        last = self._words()
        writer.write(last)
        writer.write_eof()
        await heard(reader, last)
        await end(reader)

    async def _reset(self, reader: StreamReader, writer: StreamWriter) -> None:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def heard(reader: StreamReader, said: bytes) -> None:
    """All comes back as it was said, and nothing else."""
    back = b""
    while len(back) < len(said):
        data = await asyncio.wait_for(reader.read(65536), SILENCE)
        if not data:
            raise Cut(f"of {len(said)} bytes {len(back)} came back")
        back += data
        if back in REFUSALS:
            raise Cut(f"told {back!r}")
    if back != said:
        raise Mistaken(f"{len(back)} bytes came back, and not those that were sent")


async def end(reader: StreamReader) -> None:
    """After that comes the end."""
    if await asyncio.wait_for(reader.read(1), SILENCE):
        raise Mistaken("something came back after the goodbye")


async def close(writer: StreamWriter) -> None:
    """Close the connection, and wait until it is."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
