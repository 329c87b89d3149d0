"""The entries that the journal keeps, and their format."""

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.journal import (
    MAX_ENTRIES,
    MAX_LENGTH,
    Call,
    Entry,
    Journal,
    callerOf,
    formatEntry,
    shorten,
)
from echoserver.local.model.values import Event

MEMBERS = (1.0, "ClaimGameServer", b"", "OK", 0.0, None, None, None, None)
CALL = Call(*MEMBERS)
EVENT = Event(2.0, "dropped", "g", "i-1", "srv-1", "dropped: last health report 181 s ago")


class JournalTests(SynchronousTestCase):
    """A journal of calls and events."""

    def setUp(self) -> None:
        self.journal = Journal()

    def test_order(self) -> None:
        """Entries are in the order in which they were added."""
        self.journal.addCall(MEMBERS)
        self.journal.addEvent(EVENT)
        self.journal.addCall(MEMBERS)
        self.assertEqual([CALL, EVENT, CALL], self.journal.entries())

    def test_bounded(self) -> None:
        """The last calls and the last events are kept; discarded entries are counted."""
        self.journal.addEvent(EVENT)
        for _ in range(MAX_ENTRIES + 5):
            self.journal.addCall(MEMBERS)
        self.assertEqual([EVENT, *[CALL] * MAX_ENTRIES], self.journal.entries())
        self.assertEqual(5, self.journal.discarded)

    def test_clear(self) -> None:
        """A cleared journal has no entries, and keeps its readers."""
        read: list[Entry] = []
        self.journal.readers.append(read.append)
        self.journal.addCall(MEMBERS)
        self.journal.clear()
        self.assertEqual(([], 0), (self.journal.entries(), self.journal.discarded))
        self.journal.addEvent(EVENT)
        self.assertEqual([CALL, EVENT], read)

    def test_readerRemovesItself(self) -> None:
        """If a reader removes itself, the other readers are still called."""
        read: list[Entry] = []

        def remove(_entry: Entry) -> None:
            self.journal.readers.remove(remove)

        self.journal.readers += [remove, read.append]
        self.journal.addEvent(EVENT)
        self.assertEqual([EVENT], read)


class FormatTests(SynchronousTestCase):
    """Entries as the controls return them."""

    def test_call(self) -> None:
        """A call has the name of its group, even if the caller sent an ARN."""
        call = Call(
            1.23456,
            "UpdateGameServer",
            b"Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux",
            "NotFoundException",
            0.00123456,
            "arn:aws:gamelift:us-east-1:0:gameservergroup/g",
            "srv-1",
            "i-1",
            "Not there.",
        )
        self.assertEqual(
            {
                "time": 1.235,
                "event": "call",
                "operation": "UpdateGameServer",
                "outcome": "NotFoundException",
                "seconds": 0.001235,
                "caller": "Boto3/1.44.5",
                "GameServerGroupName": "g",
                "GameServerId": "srv-1",
                "InstanceId": "i-1",
                "sentence": "Not there.",
            },
            formatEntry(call),
        )

    def test_unknown(self) -> None:
        """Members without a value are omitted."""
        self.assertEqual(
            {"time", "event", "operation", "outcome", "seconds"}, set(formatEntry(CALL))
        )

    def test_event(self) -> None:
        """An event has its ids and a sentence with the reason."""
        self.assertEqual(
            {
                "time": 2.0,
                "event": "dropped",
                "GameServerGroupName": "g",
                "GameServerId": "srv-1",
                "InstanceId": "i-1",
                "sentence": "dropped: last health report 181 s ago",
            },
            formatEntry(EVENT),
        )

    def test_callers(self) -> None:
        """A caller is the first word of its User-Agent, shortened and escaped."""
        for userAgent, caller in (
            (
                b"Boto3/1.34.162 md/Botocore#1.34.162 ua/2.0 os/linux#5 lang/python",
                "Boto3/1.34.162",
            ),
            (b"aws-cli/2.15.0 md/awscrt#0.19 ua/2.0", "aws-cli/2.15.0"),
            (b"aws-sdk-js/3.600.0 ua/2.0 os/linux lang/js", "aws-sdk-js/3.600.0"),
            (b"curl/7.88.1", "curl/7.88.1"),
            (b"", None),
            (b"  ", None),
            ("\x1b[31m한".encode(), r"\x1b[31m\xed\x95\x9c"),
            (b"x" * 1000, "x" * 40),
        ):
            self.assertEqual(caller, callerOf(userAgent))

    def test_shorten(self) -> None:
        """Only strings are kept, and at most 500 characters of each."""
        self.assertEqual("srv-1", shorten("srv-1"))
        self.assertEqual("x" * MAX_LENGTH, shorten("x" * 1_000_000))
        odd: tuple[object, ...] = (None, 1, ["srv-1"], {})
        for value in odd:
            self.assertIsNone(shorten(value))
