"""Ids held: what is on disk, what a restart reads, what cannot be read or written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.idstore import IdStore, prepare
from echoserver.gamelift.service import RegistrationRequest
from tests.awsdoubles import INSTANCE_ID, atOnce, told

US = RegistrationRequest(INSTANCE_ID, "localhost:5000", 5000)
DRAWN = f"{INSTANCE_ID}-5000-abcdefghij"


class IdStoreTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        prepare(self.folder)
        self.clock = Clock()
        self.store = IdStore(self.clock, self.folder, "group", atOnce)

    def left(self, identity: RegistrationRequest = US, group: str = "group") -> str | None:
        """What another process reads."""
        with capturedLogs() as events:
            left = IdStore(self.clock, self.folder, group, atOnce).load(identity)
        self.lines = told(events)
        return left


class KeepTests(IdStoreTestCase):
    """What is kept is there for the next owner of the port, and only for him."""

    def test_kept(self) -> None:
        """The id, until there is none; nothing else is in the folder."""
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
        """A file is replaced, not written over: a crash leaves the old one or the new one."""
        self.store.save(US, DRAWN)
        path, before = self.folder / "5000.json", self.folder / "before"
        before.hardlink_to(path)
        self.store.save(US, f"{DRAWN[:-1]}z")
        self.assertEqual(self.left(), f"{DRAWN[:-1]}z")
        self.assertIn(DRAWN, before.read_text())

    def test_anothers(self) -> None:
        """Of another port, instance, ConnectionInfo or group, nothing is taken."""
        self.store.save(US, DRAWN)
        for other in (
            RegistrationRequest(INSTANCE_ID, "localhost:5000", 5001),
            RegistrationRequest(INSTANCE_ID[:-1] + "1", "localhost:5000", 5000),
            RegistrationRequest(INSTANCE_ID, "elsewhere:5000", 5000),
        ):
            self.assertIsNone(self.left(other))
        self.assertIsNone(self.left(group="other"))
        self.assertIn("is of another registration: left alone.", self.lines[0])
        self.assertEqual(self.left(), DRAWN)

    def test_fixedId(self) -> None:
        """An id that was not drawn may be somebody else's by now."""
        self.store.save(US, "my-server")
        self.assertIsNone(self.left())


class CorruptTests(IdStoreTestCase):
    """A file that cannot be read."""

    def test_setAside(self) -> None:
        """Whatever it says is said, and it is set aside, so that it is not met again."""
        path, aside = self.folder / "5000.json", self.folder / "5000.unreadable"
        held = {"group": "group", "instanceId": INSTANCE_ID, "connectionInfo": "localhost:5000"}
        for content in (b"", b"{", b"\xff", b"[]", b"7", b"{}", json.dumps(held).encode()):
            path.write_bytes(content)
            self.assertIsNone(self.left())
            self.assertIn(f"{path} does not say which id was held", self.lines[0])
            self.assertEqual((path.exists(), aside.read_bytes()), (False, content))

    def test_noText(self) -> None:
        """An id that is no text is none."""
        self.store.save(US, DRAWN)
        path = self.folder / "5000.json"
        path.write_text(path.read_text().replace(f'"{DRAWN}"', "7"))
        self.assertIsNone(self.left())
        self.assertFalse(path.exists())


class WriteTests(IdStoreTestCase):
    """When and how files are written."""

    def setUp(self) -> None:
        super().setUp()
        self.waiting: list[tuple[Deferred[None], Callable[[], None]]] = []
        self.store = IdStore(self.clock, self.folder, "group", self.inThread)

    def inThread(self, function: Callable[[], None], /) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.waiting.append((done, function))
        return done

    def finish(self) -> None:
        """Let the one thread that writes do so."""
        [(done, function)], self.waiting = self.waiting, []
        execute(function).chainDeferred(done)

    def test_oneThread(self) -> None:
        """While one writes nobody else does; then only the last of each port is written."""
        first = self.store.save(US, DRAWN)
        other = RegistrationRequest(INSTANCE_ID, "localhost:5001", 5001)
        later = []
        for i in range(3):
            later.append(self.store.save(US, f"{DRAWN}{i}"))
            later.append(self.store.save(other, f"{INSTANCE_ID}-5001-{i}"))
        written = self.store.flushed()
        self.assertNoResult(first)
        self.finish()
        self.assertEqual(self.left(), DRAWN)
        self.successResultOf(first)
        for each in (*later, written):
            self.assertNoResult(each)
        self.finish()
        self.assertEqual((self.left(), self.left(other)), (f"{DRAWN}2", f"{INSTANCE_ID}-5001-2"))
        for each in (*later, written):
            self.successResultOf(each)
        self.assertEqual(self.waiting, [])

    def test_hangingDisk(self) -> None:
        """Nobody is held back longer than 1 s, however long the disk takes."""
        kept = self.store.save(US, DRAWN)
        self.clock.advance(0.9)
        self.assertNoResult(kept)
        self.clock.advance(0.1)
        self.successResultOf(kept)
        self.finish()
        self.assertEqual(self.left(), DRAWN)

    def test_nothingToWrite(self) -> None:
        """What is being written alone is waited for."""
        self.store.save(US, DRAWN)
        written = self.store.flushed()
        self.assertNoResult(written)
        self.finish()
        self.successResultOf(written)
        self.successResultOf(self.store.flushed())

    def test_failure(self) -> None:
        """A folder that has gone is a log line; what comes later is written again."""
        self.folder.rmdir()
        with capturedLogs() as events:
            self.store.save(US, DRAWN)
            self.finish()
        [line] = told(events)
        self.assertIn(f"Ids held could not be kept in {self.folder}: ", line)
        self.folder.mkdir()
        self.store.save(US, DRAWN)
        self.finish()
        self.assertEqual(self.left(), DRAWN)


class PrepareTests(SynchronousTestCase):
    """The folder, at the start."""

    def test_made(self) -> None:
        """It is made, and nothing is left in it."""
        folder = Path(self.mktemp()) / "below"
        prepare(folder)
        prepare(folder)
        self.assertEqual(list(folder.iterdir()), [])

    def test_refused(self) -> None:
        """One that cannot be written in is a sentence."""
        taken = Path(self.mktemp())
        taken.touch()
        for folder in (taken, taken / "below", Path("nul\0")):
            error = self.assertRaises(ValueError, prepare, folder)
            self.assertRegex(str(error), r"^cannot write in '.*' \(.+\): name a folder that this ")
