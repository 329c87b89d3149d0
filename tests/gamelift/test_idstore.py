"""Tests of echoserver.gamelift.idstore: files on disk, damaged files, and errors of the disk."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.idstore import MAX_FILE, IdStore, prepare
from echoserver.gamelift.service import RegistrationRequest
from tests.awsdoubles import INSTANCE_ID, inThisThread, logLines

US = RegistrationRequest(INSTANCE_ID, "localhost:5000", 5000)
DRAWN = f"{INSTANCE_ID}-5000-abcdefghij"


class IdStoreTestCase(SynchronousTestCase):
    """A store in an empty folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        prepare(self.folder)
        self.clock = Clock()
        self.store = IdStore(self.clock, self.folder, "group", inThisThread)

    def left(self, identity: RegistrationRequest = US, group: str = "group") -> str | None:
        """Return the id that another process loads."""
        with capturedLogs() as events:
            left = IdStore(self.clock, self.folder, group, inThisThread).load(identity)
        self.lines = logLines(events)
        return left


class KeepTests(IdStoreTestCase):
    """A saved id is loaded by the next process with the same registration only."""

    def test_kept(self) -> None:
        """The id is loaded until it is removed. The folder has no other file."""
        self.assertIsNone(self.left())
        self.store.save(US, DRAWN)
        self.assertEqual(self.left(), DRAWN)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["5000.json"])
        self.successResultOf(self.store.flushed())
        self.store.save(US, None)
        self.store.save(US, None)
        self.assertIsNone(self.left())
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_atOnce(self) -> None:
        """A file is replaced in one step: after a crash there is the old or the new one."""
        self.store.save(US, DRAWN)
        path, before = self.folder / "5000.json", self.folder / "before"
        before.hardlink_to(path)
        self.store.save(US, f"{DRAWN[:-1]}z")
        self.assertEqual(self.left(), f"{DRAWN[:-1]}z")
        self.assertIn(DRAWN, before.read_text())

    def test_anothers(self) -> None:
        """The id of another port, instance, ConnectionInfo or group is not loaded."""
        self.store.save(US, DRAWN)
        for other in (
            RegistrationRequest(INSTANCE_ID, "localhost:5000", 5001),
            RegistrationRequest(INSTANCE_ID[:-1] + "1", "localhost:5000", 5000),
            RegistrationRequest(INSTANCE_ID, "elsewhere:5000", 5000),
        ):
            self.assertIsNone(self.left(other))
        self.assertIsNone(self.left(group="other"))
        self.assertIn("is of another registration: it is ignored.", self.lines[0])
        self.assertEqual(self.left(), DRAWN)

    def test_fixedId(self) -> None:
        """An id that was not drawn at random is not loaded."""
        for gameServerId in ("my-server", f"{DRAWN}x", DRAWN[:-1], f"{DRAWN[:-1]}A", f"x{DRAWN}"):
            self.store.save(US, gameServerId)
            self.assertIsNone(self.left())
            self.assertIn("is of another registration", self.lines[0])


class DamagedTests(IdStoreTestCase):
    """A file that is not valid, or not a file."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "5000.json"
        self.damaged = self.folder / "5000.damaged"

    def assertSetAside(self, reason: str) -> None:
        """Nothing is loaded, the file is renamed and logged, and the next id can be saved."""
        self.assertIsNone(self.left())
        [line] = self.lines
        self.assertIn(f"{self.path} has no valid game server id ({reason}", line)
        self.assertIn(f"; it is {self.damaged} now. ", line)
        self.assertTrue(line.isprintable(), repr(line))
        self.assertLess(len(line), 700)
        self.assertFalse(os.path.lexists(self.path))
        self.assertTrue(os.path.lexists(self.damaged))
        self.store.save(US, DRAWN)
        self.assertEqual(self.left(), DRAWN)
        self.path.unlink()

    def write(self, **values: object) -> None:
        """Write a file with these values instead of valid ones."""
        valid = {"group": "group", "instanceId": INSTANCE_ID, "connectionInfo": "localhost:5000"}
        self.path.write_text(json.dumps({**valid, "gameServerId": DRAWN, **values}))

    def test_id(self) -> None:
        """An id that FleetIQ does not allow is damage."""
        for gameServerId in (
            "a" * 129,
            "\x1b[2J",
            "../../etc/passwd",
            f"{INSTANCE_ID}-5000-\x1b[31mabcde",
            f"{INSTANCE_ID}-5000-abcde/fghij",
            f"{INSTANCE_ID}-5000-\ud800abcdefghi",
            f"{DRAWN}\n",
            "ab",
            "",
        ):
            self.write(gameServerId=gameServerId)
            self.assertSetAside("the id is '")

    def test_values(self) -> None:
        """Values that are not strings are damage."""
        for name in ("group", "instanceId", "connectionInfo", "gameServerId"):
            values: tuple[object, ...] = (7, None, ["x"], {}, True)
            for value in values:
                self.write(**{name: value})
                self.assertSetAside("a value is not a string")

    def test_long(self) -> None:
        """A long file is not read further than the limit."""
        self.write(gameServerId="a" * 100_000)
        self.assertSetAside(f"it has more than {MAX_FILE} bytes")
        self.path.write_bytes(b"[" * 200_000)
        self.assertSetAside(f"it has more than {MAX_FILE} bytes")
        with self.path.open("wb") as file:
            file.truncate(1 << 40)
        self.assertSetAside(f"it has more than {MAX_FILE} bytes")

    def test_nested(self) -> None:
        """JSON that is nested too deeply is damage."""
        self.path.write_bytes(b"[" * MAX_FILE)
        self.assertSetAside("RecursionError(")

    def test_name(self) -> None:
        """A name with control characters is escaped in the log."""
        self.write(**{"\x1b[2J\u202e" + "x" * 1000: 1})
        self.assertSetAside("TypeError(")

    def test_fifo(self) -> None:
        """A FIFO does not block."""
        os.mkfifo(self.path)
        self.assertSetAside("it is not a regular file")

    def test_directory(self) -> None:
        """A directory is not a file."""
        self.path.mkdir()
        self.assertSetAside("it is not a regular file")

    def test_socket(self) -> None:
        """A socket is not a file."""
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        here = Path.cwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.folder)  # the path of a socket has at most 108 bytes
        listening.bind("5000.json")
        os.chdir(here)
        self.assertSetAside("[Errno ")

    def test_link(self) -> None:
        """A symbolic link is not followed, also if its target is valid."""
        self.store.save(US, DRAWN)
        target = self.folder / "target"
        self.path.rename(target)
        self.path.symlink_to(target.absolute())
        self.assertSetAside("[Errno ")
        self.assertIn(DRAWN, target.read_text())

    def test_device(self) -> None:
        """A link to a device that has no end is not followed."""
        self.path.symlink_to("/dev/zero")
        self.assertSetAside("[Errno ")

    def test_otherUser(self) -> None:
        """A file of another user is not read."""
        self.store.save(US, DRAWN)
        self.patch(os, "geteuid", lambda: os.getuid() + 1)
        self.assertIsNone(self.left())
        self.assertIn(f"(it belongs to user {os.getuid()}); it is {self.damaged} ", self.lines[0])

    def test_notRenamed(self) -> None:
        """A damaged file that cannot be renamed is logged too."""
        self.path.write_text("{")
        self.damaged.mkdir()
        self.assertIsNone(self.left())
        self.assertIn(f"; it is {self.path} now. ", self.lines[0])

    def test_plantedLink(self) -> None:
        """A link at the name of the new file is replaced. Its target is not written."""
        target = self.folder / "target"
        target.write_text("precious")
        (self.folder / "5000.new").symlink_to(target.absolute())
        self.store.save(US, DRAWN)
        self.assertEqual(self.left(), DRAWN)
        self.assertEqual(target.read_text(), "precious")
        self.assertFalse(self.path.is_symlink())

    def test_plantedFile(self) -> None:
        """A new file that a crash left, or that has another link, is replaced."""
        new, other = self.folder / "5000.new", self.folder / "other"
        new.write_text("half")
        other.hardlink_to(new)
        self.store.save(US, DRAWN)
        self.assertEqual((self.left(), other.read_text()), (DRAWN, "half"))

    def test_mode(self) -> None:
        """Only this user can read the file and a new folder."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.store.save(US, DRAWN)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        folder = self.folder / "new"
        prepare(folder)
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)

    def test_setAside(self) -> None:
        """Content that is not valid is renamed and logged, so that the next start finds no file."""
        path, aside = self.path, self.damaged
        held = {"group": "group", "instanceId": INSTANCE_ID, "connectionInfo": "localhost:5000"}
        for content in (b"", b"{", b"\xff", b"[]", b"7", b"{}", json.dumps(held).encode()):
            path.write_bytes(content)
            self.assertIsNone(self.left())
            self.assertIn(f"{path} has no valid game server id (", self.lines[0])
            self.assertEqual((path.exists(), aside.read_bytes()), (False, content))

    def test_noText(self) -> None:
        """An id that is not a string is not loaded."""
        self.store.save(US, DRAWN)
        path = self.folder / "5000.json"
        path.write_text(path.read_text().replace(f'"{DRAWN}"', "7"))
        self.assertIsNone(self.left())
        self.assertFalse(path.exists())


class WriteTests(IdStoreTestCase):
    """Threads, and errors of the disk."""

    def setUp(self) -> None:
        super().setUp()
        self.waiting: list[tuple[Deferred[None], Callable[[], None]]] = []
        self.store = IdStore(self.clock, self.folder, "group", self.inThread)

    def inThread(self, function: Callable[[], None], /) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.waiting.append((done, function))
        return done

    def finish(self) -> None:
        """Run the one function that a thread was to run."""
        [(done, function)], self.waiting = self.waiting, []
        execute(function).chainDeferred(done)

    def test_oneThread(self) -> None:
        """One thread writes at a time. Then only the last id of each port is written."""
        first = self.store.save(US, DRAWN)
        other = RegistrationRequest(INSTANCE_ID, "localhost:5001", 5001)
        later = []
        for i in range(3):
            later.append(self.store.save(US, f"{DRAWN[:-1]}{i}"))
            later.append(self.store.save(other, f"{INSTANCE_ID}-5001-abcdefghi{i}"))
        written = self.store.flushed()
        self.assertNoResult(first)
        self.finish()
        self.assertEqual(self.left(), DRAWN)
        self.successResultOf(first)
        for each in (*later, written):
            self.assertNoResult(each)
        self.finish()
        last = (f"{DRAWN[:-1]}2", f"{INSTANCE_ID}-5001-abcdefghi2")
        self.assertEqual((self.left(), self.left(other)), last)
        for each in (*later, written):
            self.successResultOf(each)
        self.assertEqual(self.waiting, [])

    def test_hangingDisk(self) -> None:
        """A caller waits for at most 1 s, also if the disk takes longer."""
        kept = self.store.save(US, DRAWN)
        self.clock.advance(0.9)
        self.assertNoResult(kept)
        self.clock.advance(0.1)
        self.successResultOf(kept)
        self.finish()
        self.assertEqual(self.left(), DRAWN)

    def test_nothingToWrite(self) -> None:
        """C{flushed} waits for the write in progress."""
        self.store.save(US, DRAWN)
        written = self.store.flushed()
        self.assertNoResult(written)
        self.finish()
        self.successResultOf(written)
        self.successResultOf(self.store.flushed())

    def test_failure(self) -> None:
        """If the folder was removed, this is logged. The next id is written again."""
        self.folder.rmdir()
        with capturedLogs() as events:
            self.store.save(US, DRAWN)
            self.finish()
        [line] = logLines(events)
        self.assertIn(f"Cannot store game server ids in {self.folder}: ", line)
        self.folder.mkdir()
        self.store.save(US, DRAWN)
        self.finish()
        self.assertEqual(self.left(), DRAWN)


class PrepareTests(SynchronousTestCase):
    """L{prepare}."""

    def test_made(self) -> None:
        """The folder is made, and stays empty."""
        folder = Path(self.mktemp()) / "below"
        prepare(folder)
        prepare(folder)
        self.assertEqual(list(folder.iterdir()), [])

    def test_refused(self) -> None:
        """A folder that cannot be written is an error with a sentence."""
        path = Path(self.mktemp())
        path.touch()
        for folder in (path, path / "below", Path("nul\0")):
            error = self.assertRaises(ValueError, prepare, folder)
            self.assertRegex(str(error), r"^cannot write in '.*' \(.+\): name a folder that this ")
