"""Tests of echoserver.ec2.notices: valid notices, values that are not notices, invalid text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.notices import (
    DEFAULT_NOTICE_SECONDS,
    PATHS,
    InvalidNotice,
    Notice,
    NoticeKind,
    parseNotices,
)

SPOT, REBALANCE, LIFECYCLE, MAINTENANCE = PATHS
END = 1505722920.0  # 2017-09-18T08:22:00Z
EVENT = {
    "NotBefore": "18 Sep 2017 08:27:00 GMT",
    "Code": "instance-stop",
    "Description": "The instance is running on degraded hardware",
    "EventId": "instance-event-0d59937288b749b32",
    "State": "active",
}
VALUES = ["system-reboot", "1 Jan 2019 00:00:00 GMT", "canceled"]
ERROR_PAGE = (
    '<?xml version="1.0" encoding="iso-8859-1"?><html><title>404 - Not Discovered</title></html>'
)


def spot(action: object, time: object) -> str:
    """Return the text at C{spot/instance-action}."""
    return json.dumps({"action": action, "time": time})


class ParseNoticeTests(SynchronousTestCase):
    """Each path, in the format of the EC2 user guide."""

    def test_spot(self) -> None:
        """The time left is the notice's time less the response's date."""
        for action in ("terminate", "stop", "hibernate"):
            text = spot(action, "2017-09-18T08:22:00Z")
            reason = f"EC2 will {action} this Spot instance at 2017-09-18T08:22:00Z"
            self.assertEqual(
                [Notice(NoticeKind.SPOT, 118.0, reason, text)],
                parseNotices(SPOT, text, END - 118.0),
            )

    def test_spotWithoutTime(self) -> None:
        """Without a valid time or a date, the default time is used."""
        cases: list[tuple[str, float | None]] = [
            (spot("stop", time), END)
            for time in ("soon", None, 7, "2017-13-18T08:22:00Z", "2017-09-18T08:22:00+09:00")
        ]
        cases += [('{"action": "stop"}', END), (spot("stop", "2017-09-18T08:22:00Z"), None)]
        for text, date in cases:
            reason = "EC2 will stop this Spot instance"
            expected = Notice(NoticeKind.SPOT, DEFAULT_NOTICE_SECONDS, reason, text)
            self.assertEqual([expected], parseNotices(SPOT, text, date))

    def test_rebalance(self) -> None:
        """A rebalance recommendation has no end time."""
        text = '{"noticeTime": "2020-11-05T08:22:00Z"}'
        reason = "EC2 recommends to replace this Spot instance"
        expected = [Notice(NoticeKind.REBALANCE, None, reason, text)]
        self.assertEqual(expected, parseNotices(REBALANCE, text, END))

    def test_lifecycleState(self) -> None:
        """Only C{Terminated} is a notice. It has no end time."""
        reason = "Auto Scaling will terminate this instance"
        for state in ("Terminated", "Warmed:Terminated"):
            self.assertEqual(
                [Notice(NoticeKind.AUTO_SCALING, None, reason, state)],
                parseNotices(LIFECYCLE, state, END),
                state,
            )
        for state in ("InService", "Standby", "Detached", "Warmed:Stopped", "Warmed:Running"):
            self.assertEqual([], parseNotices(LIFECYCLE, state, END))

    def test_invalid(self) -> None:
        """An error page with status 200, or JSON of another shape, is invalid."""
        for path in PATHS:
            for text in (ERROR_PAGE, "{}", "[1]", '"terminate"', "17", "[" * 100_000, "\x1b[31m"):
                self.assertRaises(InvalidNotice, parseNotices, path, text, END)
            if path != MAINTENANCE:
                self.assertRaises(InvalidNotice, parseNotices, path, "[]", END)
        for text in (spot("reboot", "2017-09-18T08:22:00Z"), spot(["stop"], None), spot(None, 1)):
            self.assertRaises(InvalidNotice, parseNotices, SPOT, text, END)

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from(PATHS), st.text(), st.none() | st.floats(0, 1e10))
    def test_anyText(self, path: str, text: str, date: float | None) -> None:
        """Any text is some notices, or invalid; no other exception is raised."""
        try:
            notices = parseNotices(path, text, date)
        except InvalidNotice:
            return
        for notice in notices:
            self.assertTrue(notice.reason.isprintable())


class MaintenanceTests(SynchronousTestCase):
    """Scheduled events, in the format of the EC2 user guide."""

    def parse(self, *events: dict[str, Any], date: float | None = END) -> list[Notice]:
        return parseNotices(MAINTENANCE, json.dumps(events), date)

    def test_codes(self) -> None:
        """Each code has its reason. Maintenance of the host does not end the instance."""
        for code, reason, endsInstance in [
            ("instance-stop", "EC2 will stop this instance at {} ({})", True),
            ("instance-retirement", "EC2 will retire this instance at {} ({})", True),
            ("instance-reboot", "EC2 will reboot this instance at {} ({})", True),
            ("system-reboot", "EC2 will reboot the host of this instance at {} ({})", True),
            (
                "system-maintenance",
                "EC2 has scheduled system-maintenance for this instance at {}",
                False,
            ),
            ("\x1b[2J", "EC2 has scheduled \\x1b[2J for this instance at {}", False),
        ]:
            [notice] = self.parse({**EVENT, "Code": code})
            self.assertEqual(
                (NoticeKind.MAINTENANCE, 300.0, reason.format(EVENT["NotBefore"], code)),
                (notice.kind, notice.secondsLeft, notice.reason),
            )
            self.assertEqual(endsInstance, notice.endsInstance)

    def test_states(self) -> None:
        """Events that are completed or canceled are not notices."""
        for state, count in (("active", 1), ("completed", 0), ("canceled", 0)):
            self.assertEqual(count, len(self.parse({**EVENT, "State": state})))
        self.assertEqual([], self.parse())

    def test_key(self) -> None:
        """An event with another description is the same notice. One with another time is not."""
        later = "18 Sep 2017 09:27:00 GMT"
        [first, same, other] = self.parse(
            EVENT, {**EVENT, "Description": "x"}, {**EVENT, "NotBefore": later}
        )
        self.assertEqual(first, same)
        self.assertNotEqual(first.key, other.key)

    def test_time(self) -> None:
        """An event without a valid time is invalid, and so is a response without a date."""
        for time in (
            None,
            7,
            "",
            "soon",
            "2017-09-18T08:22:00Z",
            "18 Foo 2017 08:27:00 GMT",
            "99 Sep 2017 08:27:00 GMT",
            "18 Sep 2017 25:27:00 GMT",
            "18 Sep 2017 08:27:00 GMT\x1b[2J",
        ):
            self.assertRaises(InvalidNotice, self.parse, {**EVENT, "NotBefore": time})
        self.assertRaises(InvalidNotice, self.parse, EVENT, date=None)
        [notice] = self.parse({**EVENT, "NotBefore": "1 Oct 2017 00:00:00 GMT"})
        self.assertEqual(1506816000.0 - END, notice.secondsLeft)

    @settings(deadline=None, max_examples=300)
    @given(
        st.dictionaries(
            st.sampled_from(sorted(EVENT)),
            st.text(st.characters()) | st.none() | st.integers() | st.sampled_from(VALUES),
        )
    )
    def test_anyEvent(self, event: dict[str, Any]) -> None:
        """Any event is a notice or invalid, and its reason is printable."""
        try:
            notices = self.parse({**EVENT, **event})
        except InvalidNotice:
            return
        for notice in notices:
            self.assertTrue(notice.reason.isprintable())
            notice.key.encode()
