"""The ids held, kept in a folder: a restart learns what a crash left with FleetIQ."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from echoserver.gamelift.service import RegistrationRequest

_log = Logger(namespace="fleetiq.gamelift")


class InThread(TypingProtocol):
    """Runs a function in a thread; the Deferred fires on the reactor thread."""

    def __call__(self, function: Callable[[], None], /) -> Deferred[None]: ...


# A disk that hangs holds nobody back for longer.
LONGEST_WRITE = 1.0


@dataclass(frozen=True, slots=True)
class StoredId:
    """What a file says: this id is registered, or may be."""

    group: str
    instanceId: str
    connectionInfo: str
    gameServerId: str


def prepare(folder: Path) -> None:
    """
    Have the folder, and be able to write there. Blocks.

    @raise ValueError: with a sentence.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot write in '{folder}' ({why}): name a folder that this user may write in, or"
            " leave it out."
        ) from error


class IdStore:
    """
    One file for each port, C{5000.json}, so that processes may share the folder: who holds the port
    owns the file. Files are replaced at once or not at all, without waiting for the disk.

    @param inThread: where files are written; read they are on the calling thread, at the start.
    """

    def __init__(self, clock: IReactorTime, folder: Path, group: str, inThread: InThread) -> None:
        self._clock = clock
        self._folder = folder
        self._group = group
        self._inThread = inThread
        self._due: dict[int, StoredId | None] = {}
        self._writing = False
        # Who waits for what is written now, and for what is due then.
        self._waiting: list[Deferred[None]] = []
        self._waitingNext: list[Deferred[None]] = []

    def load(self, request: RegistrationRequest) -> str | None:
        """The id that a former owner of the port left registered as us, drawn by it. Blocks."""
        path = self._path(request.port)
        try:
            held = StoredId(**json.loads(path.read_bytes()))
            gameServerId = held.gameServerId
            ours = held == StoredId(
                self._group, request.instanceId, request.connectionInfo, gameServerId
            )
            drawn = gameServerId.startswith(f"{request.instanceId}-{request.port}-")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            self._setAside(path, error)
            return None
        if not (ours and drawn):
            # A fixed id may be somebody else's by now; Register finds out.
            _log.info("{path} is of another registration: left alone.", path=str(path))
            return None
        _log.warn("{id} was left behind: it is deregistered first.", id=gameServerId)
        return gameServerId

    def save(self, request: RegistrationRequest, gameServerId: str | None) -> Deferred[None]:
        """
        From now on this id is held, or none. A file that cannot be written is a log line.

        @return: fires when it is written, or cannot be, or after 1 s; never fails.
        """
        held = gameServerId and StoredId(
            self._group, request.instanceId, request.connectionInfo, gameServerId
        )
        self._due[request.port] = held or None
        written: Deferred[None] = Deferred()
        self._waitingNext.append(written)
        if not self._writing:
            self._write()
        return written.addTimeout(LONGEST_WRITE, self._clock).addErrback(_goOn)

    def flushed(self) -> Deferred[None]:
        """Fires when all that was to be kept is."""
        if not self._writing:
            return succeed(None)
        written: Deferred[None] = Deferred()
        (self._waitingNext if self._due else self._waiting).append(written)
        return written

    def _write(self) -> None:
        # One thread at a time, however many wait: a disk that hangs takes no other from FleetIQ.
        due, self._due = self._due, {}
        self._waiting, self._waitingNext = self._waitingNext, []
        self._writing = True
        done = self._inThread(lambda: self._put(due))
        done.addErrback(self._failed).addCallback(self._wrote)

    def _put(self, due: dict[int, StoredId | None]) -> None:
        for port, held in due.items():
            path = self._path(port)
            if held is None:
                path.unlink(missing_ok=True)
            else:
                new = path.with_suffix(".new")
                new.write_text(json.dumps(asdict(held)))
                new.replace(path)

    def _failed(self, failure: Failure) -> None:
        _log.warn(
            "Ids held could not be kept in {folder}: {why}. After a crash they would stay"
            " registered until their health lapses.",
            folder=str(self._folder),
            why=failure.getErrorMessage(),
        )

    def _wrote(self, _: None) -> None:
        written, self._waiting = self._waiting, []
        self._writing = False
        if self._due:
            self._write()
        for each in written:
            each.callback(None)

    def _setAside(self, path: Path, error: Exception) -> None:
        aside = path.with_suffix(".unreadable")
        try:
            os.replace(path, aside)
        except OSError:
            aside = path
        _log.warn(
            "{path} does not say which id was held ({why}), and is {aside} now. If a crash left"
            " one, 'fleetiq deregister --instance ID' cleans.",
            path=str(path),
            why=repr(error),
            aside=str(aside),
        )

    def _path(self, port: int) -> Path:
        return self._folder / f"{port}.json"


def _goOn(failure: Failure) -> None:
    failure.trap(TimeoutError)
