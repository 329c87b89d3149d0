"""The journal as a list, GET /_local/journal, and as a stream of events, GET /_local/events."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from echoserver.local.http.controls import respondJSON
from echoserver.local.http.site import LocalRequest
from echoserver.local.model.journal import MAX_ENTRIES, Entry, Journal, formatEntry

_log = Logger(namespace="fleetiq.local")

# Entries that may wait for one reader: the whole journal, 2 * MAX_ENTRIES, and as many new ones.
MAX_BEHIND = 4 * MAX_ENTRIES
# Real seconds between comments. They detect readers that have vanished while nothing happened.
COMMENT_SECONDS = 15.0
_HEADERS = ((b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-store"))


class JournalControl(Resource):
    """C{GET /_local/journal}: the entries of the journal as JSON."""

    isLeaf = True

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def render_GET(self, request: LocalRequest) -> int:
        entries = [formatEntry(each) for each in self._journal.entries()]
        return respondJSON(request, 200, {"entries": entries, "forgotten": self._journal.discarded})


class EventStream(Resource):
    """
    A stream of server-sent events that shows each entry of the journal. All readers receive the
    same messages after their first ones.
    """

    isLeaf = True
    # Messages that may wait for one reader.
    maxBehind = MAX_BEHIND

    def __init__(self, journal: Journal, clock: IReactorTime) -> None:
        """
        @param clock: real time.
        """
        super().__init__()
        self._journal = journal
        self._clock = clock
        self._readers: set[_Reader] = set()
        self._comment: IDelayedCall | None = None

    def firstMessages(self) -> list[bytes]:
        """Return what a new reader receives first."""
        raise NotImplementedError

    def entryAdded(self, entry: Entry) -> None:
        """Show a new entry to the readers. Called only while there are readers."""
        raise NotImplementedError

    def firstReaderConnected(self) -> None:
        """Prepare for readers."""

    def lastReaderDisconnected(self) -> None:
        """Release what is needed only for readers."""

    def render_GET(self, request: LocalRequest) -> int:
        if not self._readers:
            self._journal.readers.append(self.entryAdded)
            self._comment = self._clock.callLater(COMMENT_SECONDS, self._sendComments)
            self.firstReaderConnected()
        first = self.firstMessages()
        reader = _Reader(request)
        self._readers.add(reader)
        request.notifyFinish().addBoth(self._disconnected, reader)
        for name, value in _HEADERS:
            request.setHeader(name, value)
        reader.begin(first)
        return NOT_DONE_YET

    def render_HEAD(self, request: LocalRequest) -> int:
        request.respond(200, _HEADERS, b"")
        return NOT_DONE_YET

    def stop(self) -> None:
        """End all streams."""
        for reader in list(self._readers):
            reader.end()

    def send(self, message: bytes) -> None:
        """Send a message to all readers."""
        for reader in list(self._readers):
            if not reader.send(message, self.maxBehind):
                _log.warn(
                    "a reader of the events is {count} entries behind: its connection is aborted",
                    count=self.maxBehind,
                    eventName="local.readerAborted",
                )
                reader.abort()

    def _sendComments(self) -> None:
        self._comment = self._clock.callLater(COMMENT_SECONDS, self._sendComments)
        self.send(b":\n\n")

    def _disconnected(self, _reason: Failure | None, reader: _Reader) -> None:
        self._readers.discard(reader)
        if not self._readers and self._comment is not None:
            self._journal.readers.remove(self.entryAdded)
            self._comment.cancel()
            self._comment = None
            self.lastReaderDisconnected()


class EventsControl(EventStream):
    """C{GET /_local/events}: first the journal's entries, then the new ones, one a message."""

    def firstMessages(self) -> list[bytes]:
        kept = [formatMessage(formatEntry(each)) for each in self._journal.entries()]
        return [b": the journal, then new entries\n\n", *kept]

    def entryAdded(self, entry: Entry) -> None:
        self.send(formatMessage(formatEntry(entry)))


@implementer(IPushProducer)
class _Reader:
    """One stream. Buffers up to L{MAX_BEHIND} messages while its connection is paused."""

    def __init__(self, request: LocalRequest) -> None:
        self._request = request
        self._buffer: deque[bytes] = deque()
        self._paused = False

    def begin(self, messages: list[bytes]) -> None:
        self._buffer.extend(messages)
        self._request.registerProducer(self, True)
        self.resumeProducing()

    def send(self, message: bytes, maxBehind: int) -> bool:
        """Send or buffer a message. Return C{False} if the buffer is full."""
        if len(self._buffer) >= maxBehind:
            return False
        self._buffer.append(message)
        self._write()
        return True

    def end(self) -> None:
        self._request.unregisterProducer()
        self._request.finish()

    def abort(self) -> None:
        self._buffer.clear()
        self._request.transport.abortConnection()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._write()

    def stopProducing(self) -> None:
        """Drop the buffer: the connection is lost, and notifyFinish fires."""
        self._buffer.clear()
        self._paused = True

    def _write(self) -> None:
        while self._buffer and not self._paused:
            self._request.write(self._buffer.popleft())


def formatMessage(content: dict[str, Any]) -> bytes:
    """Return a server-sent event."""
    return b"data: " + json.dumps(content).encode("ascii") + b"\n\n"
