"""Tests of echoserver.ec2.notices: valid notices, values that are not notices, invalid text."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.notices import (
    DEFAULT_NOTICE_SECONDS,
    PATHS,
    InvalidNotice,
    Notice,
    NoticeKind,
    parseNotice,
)

SPOT, REBALANCE, LIFECYCLE = PATHS
END = 1505722920.0  # 2017-09-18T08:22:00Z
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
            notice = parseNotice(SPOT, spot(action, "2017-09-18T08:22:00Z"), END - 118.0)
            reason = f"EC2 will {action} this Spot instance at 2017-09-18T08:22:00Z"
            self.assertEqual(Notice(NoticeKind.SPOT, 118.0, reason), notice)

    def test_spotWithoutTime(self) -> None:
        """Without a valid time or a date, the default time is used."""
        expected = Notice(
            NoticeKind.SPOT, DEFAULT_NOTICE_SECONDS, "EC2 will stop this Spot instance"
        )
        for time in ("soon", None, 7, "2017-13-18T08:22:00Z", "2017-09-18T08:22:00+09:00"):
            self.assertEqual(expected, parseNotice(SPOT, spot("stop", time), END))
        self.assertEqual(expected, parseNotice(SPOT, '{"action": "stop"}', END))
        self.assertEqual(expected, parseNotice(SPOT, spot("stop", "2017-09-18T08:22:00Z"), None))

    def test_rebalance(self) -> None:
        """A rebalance recommendation has no end time."""
        notice = parseNotice(REBALANCE, '{"noticeTime": "2020-11-05T08:22:00Z"}', END)
        reason = "EC2 recommends to replace this Spot instance"
        self.assertEqual(Notice(NoticeKind.REBALANCE, None, reason), notice)

    def test_lifecycleState(self) -> None:
        """Only C{Terminated} is a notice. It has no end time."""
        reason = "Auto Scaling will terminate this instance"
        for state in ("Terminated", "Warmed:Terminated"):
            self.assertEqual(
                Notice(NoticeKind.AUTO_SCALING, None, reason),
                parseNotice(LIFECYCLE, state, END),
                state,
            )
        for state in ("InService", "Standby", "Detached", "Warmed:Stopped", "Warmed:Running"):
            self.assertIsNone(parseNotice(LIFECYCLE, state, END))

    def test_invalid(self) -> None:
        """An error page with status 200, or JSON of another shape, is invalid."""
        for path in PATHS:
            for text in (ERROR_PAGE, "{}", "[]", '"terminate"', "17", "[" * 100_000, "\x1b[31m"):
                self.assertRaises(InvalidNotice, parseNotice, path, text, END)
        for text in (spot("reboot", "2017-09-18T08:22:00Z"), spot(["stop"], None), spot(None, 1)):
            self.assertRaises(InvalidNotice, parseNotice, SPOT, text, END)

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from(PATHS), st.text(), st.none() | st.floats(0, 1e10))
    def test_anyText(self, path: str, text: str, date: float | None) -> None:
        """Any text is a notice, no notice, or invalid; no other exception is raised."""
        try:
            notice = parseNotice(path, text, date)
        except InvalidNotice:
            return
        self.assertIsInstance(notice, Notice | None)
