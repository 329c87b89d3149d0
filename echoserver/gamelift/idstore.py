"""Persist game server ids, so that a restart after a crash can deregister them."""

from __future__ import annotations

import json
import os
import re
import stat
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
from echoserver.printable import printable

_log = Logger(namespace="fleetiq.gamelift")

# Seconds. A disk that hangs delays a registration by no more than this.
WRITE_TIMEOUT = 1.0
# In bytes. The longest ConnectionInfo has 512 characters, of 12 bytes each when escaped.
MAX_FILE = 16_384
# O_NONBLOCK is for a FIFO, which would block until another process writes to it.
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ID = re.compile(r"[a-zA-Z0-9.-]{3,128}")


class InThread(TypingProtocol):
    """Runs a function in a thread; the Deferred fires on the reactor thread."""

    def __call__(self, function: Callable[[], None], /) -> Deferred[None]: ...


@dataclass(frozen=True, slots=True)
class StoredId:
    """The content of a file: a game server id that is registered, or may be."""

    group: str
    instanceId: str
    connectionInfo: str
    gameServerId: str


def prepare(folder: Path) -> None:
    """
    Make the folder, and check that files can be written there. Blocks.

    @raise ValueError: with a sentence, if it cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot write in '{folder}' ({reason}): name a folder that this user may write in, or"
            " leave it out."
        ) from error


class IdStore:
    """
    Stores one file for each port, for example C{5000.json}. Processes can share the folder, because
    only the process that has bound the port uses its file. A file is replaced in one step. There is
    no C{fsync}.

    @param inThread: runs a function in a thread, to write files. C{load} reads on the calling
        thread.
    """

    def __init__(self, clock: IReactorTime, folder: Path, group: str, inThread: InThread) -> None:
        self._clock = clock
        self._folder = folder
        self._group = group
        self._inThread = inThread
        # The ids to write next, by port. None removes the file.
        self._due: dict[int, StoredId | None] = {}
        self._writing = False
        # Deferreds that fire when the current write ends, and when the next one ends.
        self._waiting: list[Deferred[None]] = []
        self._waitingNext: list[Deferred[None]] = []

    def load(self, request: RegistrationRequest) -> str | None:
        """
        Return the id that an earlier process on this port did not deregister. Blocks.

        @return: None if there is none, if it belongs to another registration, or if the file is
            damaged. A damaged file is renamed, and logged.
        """
        path = self._path(request.port)
        try:
            stored = _read(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._setAside(path, error)
            return None
        gameServerId = stored.gameServerId
        ours = StoredId(self._group, request.instanceId, request.connectionInfo, gameServerId)
        if stored != ours or not request.isRandomId(gameServerId):
            # An id that the user chose can be in use by another server now. Register detects that.
            _log.info(
                "{path} is of another registration: it is ignored.",
                path=str(path),
                eventName="state.otherRegistration",
            )
            return None
        _log.warn(
            "{gameServerId} was left registered by an earlier process: it is deregistered first.",
            gameServerId=gameServerId,
            eventName="state.idLeft",
        )
        return gameServerId

    def save(self, request: RegistrationRequest, gameServerId: str | None) -> Deferred[None]:
        """
        Store the id of this registration; None removes it. An error of the disk is logged.

        @return: fires when this is done or has failed, or after L{WRITE_TIMEOUT}; never fails.
        """
        stored = gameServerId and StoredId(
            self._group, request.instanceId, request.connectionInfo, gameServerId
        )
        self._due[request.port] = stored or None
        written: Deferred[None] = Deferred()
        self._waitingNext.append(written)
        if not self._writing:
            self._write()
        return written.addTimeout(WRITE_TIMEOUT, self._clock).addErrback(_ignoreTimeout)

    def flushed(self) -> Deferred[None]:
        """Return a Deferred that fires when nothing is left to write."""
        if not self._writing:
            return succeed(None)
        written: Deferred[None] = Deferred()
        (self._waitingNext if self._due else self._waiting).append(written)
        return written

    def _write(self) -> None:
        # At most one thread writes, so that a disk that hangs does not block the calls.
        due, self._due = self._due, {}
        self._waiting, self._waitingNext = self._waitingNext, []
        self._writing = True
        done = self._inThread(lambda: self._writeFiles(due))
        done.addErrback(self._failed).addCallback(self._written)

    def _writeFiles(self, due: dict[int, StoredId | None]) -> None:
        for port, stored in due.items():
            path = self._path(port)
            if stored is None:
                path.unlink(missing_ok=True)
            else:
                _replace(path, json.dumps(asdict(stored)))

    def _failed(self, failure: Failure) -> None:
        _log.warn(
            "Cannot store game server ids in {folder}: {reason}. After a crash, game servers stay"
            " registered until their health check expires.",
            folder=str(self._folder),
            reason=printable(failure.getErrorMessage()),
            eventName="state.cannotStore",
        )

    def _written(self, _: None) -> None:
        written, self._waiting = self._waiting, []
        self._writing = False
        if self._due:
            self._write()
        for each in written:
            each.callback(None)

    def _setAside(self, path: Path, error: Exception) -> None:
        damaged = path.with_suffix(".damaged")
        try:
            os.replace(path, damaged)
        except OSError:
            damaged = path
        _log.warn(
            "{path} has no valid game server id ({reason}); it is {damaged} now. If a crash has"
            " left one registered, 'fleetiq deregister --instance ID' removes it.",
            path=str(path),
            reason=printable(error),
            damaged=str(damaged),
            eventName="state.damaged",
        )

    def _path(self, port: int) -> Path:
        return self._folder / f"{port}.json"


def _read(path: Path) -> StoredId:
    """
    Read a file.

    @raise OSError: if it cannot be opened, also if it is a symbolic link.
    @raise ValueError: if it is not a regular file of this user, or damaged.
    """
    descriptor = os.open(path, _READ_FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_uid != os.geteuid():
            raise ValueError(f"it belongs to user {status.st_uid}")
        data = os.read(descriptor, MAX_FILE + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE:
        raise ValueError(f"it has more than {MAX_FILE} bytes")
    try:
        stored = StoredId(**json.loads(data))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(repr(error)) from error
    if not all(isinstance(value, str) for value in asdict(stored).values()):
        raise ValueError("a value is not a string")
    if not _ID.fullmatch(stored.gameServerId):
        raise ValueError(f"the id is {printable(stored.gameServerId, 40)!r}")
    return stored


def _replace(path: Path, text: str) -> None:
    """Write a new file for this user only, and rename it to C{path}."""
    new = path.with_suffix(".new")
    # It can be the file of a crashed process, or a link by another user.
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, _WRITE_FLAGS, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _ignoreTimeout(failure: Failure) -> None:
    failure.trap(TimeoutError)
