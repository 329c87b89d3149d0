"""What happened: GET /_local/journal as a list, and GET /_local/events as a stream."""

from __future__ import annotations

import json
from collections import deque

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from echoserver.local.http.controls import answer
from echoserver.local.http.site import LocalRequest
from echoserver.local.model.journal import KEPT, Entry, Journal, formatEntry

_log = Logger(namespace="fleetiq.local")

# A reader may be the whole journal behind, which is two times KEPT, and as much again.
MOST_BEHIND = 4 * KEPT
# A comment this often, in real seconds, finds out readers who vanished while nothing happened.
COMMENT_SECONDS = 15.0
_HEADERS = ((b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-store"))


class JournalControl(Resource):
    """C{GET /_local/journal}"""

    isLeaf = True

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def render_GET(self, request: LocalRequest) -> int:
        entries = [formatEntry(each) for each in self._journal.entries()]
        return answer(request, 200, {"entries": entries, "forgotten": self._journal.forgotten})


class EventsControl(Resource):
    """C{GET /_local/events}: server-sent events, first those of the journal, then the new ones."""

    isLeaf = True

    def __init__(self, journal: Journal, clock: IReactorTime) -> None:
        """
        @param clock: real time.
        """
        super().__init__()
        self._journal = journal
        self._clock = clock
        self._readers: set[_Reader] = set()
        self._comment: IDelayedCall | None = None

    def render_GET(self, request: LocalRequest) -> int:
        if not self._readers:
            self._journal.readers.append(self._tell)
            self._comment = self._clock.callLater(COMMENT_SECONDS, self._sendComments)
        reader = _Reader(request)
        self._readers.add(reader)
        request.notifyFinish().addBoth(self._left, reader)
        for name, value in _HEADERS:
            request.setHeader(name, value)
        reader.begin([b": the journal, and all that follows\n\n", *self._kept()])
        return NOT_DONE_YET

    def render_HEAD(self, request: LocalRequest) -> int:
        request.respond(200, _HEADERS, b"")
        return NOT_DONE_YET

    def stop(self) -> None:
        """End each stream."""
        for reader in list(self._readers):
            reader.end()

    def _kept(self) -> list[bytes]:
        return [_wordMessage(each) for each in self._journal.entries()]

    def _tell(self, entry: Entry) -> None:
        self._send(_wordMessage(entry))

    def _sendComments(self) -> None:
        self._comment = self._clock.callLater(COMMENT_SECONDS, self._sendComments)
        self._send(b":\n\n")

    def _send(self, message: bytes) -> None:
        for reader in list(self._readers):
            if not reader.send(message):
                _log.warn(
                    "a reader of the events did not read the last {count}: its connection is cut",
                    count=MOST_BEHIND,
                )
                reader.cut()

    def _left(self, _reason: Failure | None, reader: _Reader) -> None:
        self._readers.discard(reader)
        if not self._readers and self._comment is not None:
            self._journal.readers.remove(self._tell)
            self._comment.cancel()
            self._comment = None


@implementer(IPushProducer)
class _Reader:
    """One stream. What its connection does not take yet waits here, at most C{MOST_BEHIND}."""

    def __init__(self, request: LocalRequest) -> None:
        self._request = request
        self._behind: deque[bytes] = deque()
        self._paused = False

    def begin(self, messages: list[bytes]) -> None:
        self._behind.extend(messages)
        self._request.registerProducer(self, True)
        self.resumeProducing()

    def send(self, message: bytes) -> bool:
        """C{False} if that is too much for a reader who does not read."""
        if len(self._behind) >= MOST_BEHIND:
            return False
        self._behind.append(message)
        self._write()
        return True

    def end(self) -> None:
        self._request.unregisterProducer()
        self._request.finish()

    def cut(self) -> None:
        self._behind.clear()
        self._request.transport.abortConnection()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._write()

    def stopProducing(self) -> None:
        """The connection is gone, of which notifyFinish tells."""
        self._behind.clear()
        self._paused = True

    def _write(self) -> None:
        while self._behind and not self._paused:
            self._request.write(self._behind.popleft())


def _wordMessage(entry: Entry) -> bytes:
    return b"data: " + json.dumps(formatEntry(entry)).encode("ascii") + b"\n\n"
