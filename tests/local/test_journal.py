"""What the journal keeps, and its words."""

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.journal import (
    KEPT,
    LONGEST,
    Call,
    Entry,
    Journal,
    callerOf,
    formatEntry,
    short,
)
from echoserver.local.model.values import Event

MEMBERS = (1.0, "ClaimGameServer", b"", "OK", 0.0, None, None, None, None)
CALL = Call(*MEMBERS)
EVENT = Event(2.0, "dropped", "g", "i-1", "srv-1", "dropped: last health report 181 s ago")


class JournalTests(SynchronousTestCase):
    """Calls and events, as they come."""

    def setUp(self) -> None:
        self.journal = Journal()

    def test_order(self) -> None:
        """Entries come in the order in which they were written."""
        self.journal.called(MEMBERS)
        self.journal.happened(EVENT)
        self.journal.called(MEMBERS)
        self.assertEqual([CALL, EVENT, CALL], self.journal.entries())

    def test_bounded(self) -> None:
        """The last of each are kept: a crowd of calls hides no event, and all are counted."""
        self.journal.happened(EVENT)
        for _ in range(KEPT + 5):
            self.journal.called(MEMBERS)
        self.assertEqual([EVENT, *[CALL] * KEPT], self.journal.entries())
        self.assertEqual(5, self.journal.forgotten)

    def test_clear(self) -> None:
        """A journal that was cleared is as new, and its readers stay."""
        read: list[Entry] = []
        self.journal.readers.append(read.append)
        self.journal.called(MEMBERS)
        self.journal.clear()
        self.assertEqual(([], 0), (self.journal.entries(), self.journal.forgotten))
        self.journal.happened(EVENT)
        self.assertEqual([CALL, EVENT], read)

    def test_readersMayLeaveWhileTheyRead(self) -> None:
        """A reader who leaves at an entry keeps it from no other reader."""
        read: list[Entry] = []

        def leave(_entry: Entry) -> None:
            self.journal.readers.remove(leave)

        self.journal.readers += [leave, read.append]
        self.journal.happened(EVENT)
        self.assertEqual([EVENT], read)


class WordsTests(SynchronousTestCase):
    """Entries as the controls have them."""

    def test_call(self) -> None:
        """A call in words, its group by name even where the caller gave an ARN."""
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
        """What is not known is left out."""
        self.assertEqual(
            {"time", "event", "operation", "outcome", "seconds"}, set(formatEntry(CALL))
        )

    def test_event(self) -> None:
        """An event in words: why a game server was dropped is a sentence there."""
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
        """SDKs are known by what they put first; whatever else was sent is short and escaped."""
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

    def test_short(self) -> None:
        """Of what a caller sent only strings are kept, and not at any length."""
        self.assertEqual("srv-1", short("srv-1"))
        self.assertEqual("x" * LONGEST, short("x" * 1_000_000))
        odd: tuple[object, ...] = (None, 1, ["srv-1"], {})
        for value in odd:
            self.assertIsNone(short(value))
