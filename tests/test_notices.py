"""What stands at the metadata's paths: notices, nothing, or something else."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.notices import PATHS, UNTOLD, Kind, Notice, Unreadable, read

SPOT, REBALANCE, LIFECYCLE = PATHS
ENDS = 1505722920.0  # 2017-09-18T08:22:00Z
ERROR_PAGE = (
    '<?xml version="1.0" encoding="iso-8859-1"?><html><title>404 - Not Found</title></html>'
)


def spot(action: object, time: object) -> str:
    """What stands at C{spot/instance-action}."""
    return json.dumps({"action": action, "time": time})


class ReadTests(SynchronousTestCase):
    """Each path, as the EC2 user guide describes it."""

    def test_spot(self) -> None:
        """Time left is the notice's time less the metadata's, whatever our clock says."""
        for action in ("terminate", "stop", "hibernate"):
            notice = read(SPOT, spot(action, "2017-09-18T08:22:00Z"), ENDS - 118.0)
            reason = f"EC2 is to {action} this Spot instance at 2017-09-18T08:22:00Z"
            self.assertEqual(Notice(Kind.SPOT, 118.0, reason), notice)

    def test_spotWithoutTime(self) -> None:
        """Without a time, or without the reply's date, it is the usual, less a little."""
        told = Notice(Kind.SPOT, UNTOLD, "EC2 is to stop this Spot instance")
        for time in ("soon", None, 7, "2017-13-18T08:22:00Z", "2017-09-18T08:22:00+09:00"):
            self.assertEqual(told, read(SPOT, spot("stop", time), ENDS))
        self.assertEqual(told, read(SPOT, '{"action": "stop"}', ENDS))
        self.assertEqual(told, read(SPOT, spot("stop", "2017-09-18T08:22:00Z"), None))

    def test_rebalance(self) -> None:
        """A recommendation is no end."""
        notice = read(REBALANCE, '{"noticeTime": "2020-11-05T08:22:00Z"}', ENDS)
        told = "EC2 sees this Spot instance at risk"
        self.assertEqual(Notice(Kind.REBALANCE, None, told), notice)

    def test_lifecycleState(self) -> None:
        """Only C{Terminated} is a notice; when is not said."""
        told = "Auto Scaling is to terminate this instance"
        for state in ("Terminated", "Warmed:Terminated"):
            self.assertEqual(
                Notice(Kind.AUTO_SCALING, None, told), read(LIFECYCLE, state, ENDS), state
            )
        for state in ("InService", "Standby", "Detached", "Warmed:Stopped", "Warmed:Running"):
            self.assertIsNone(read(LIFECYCLE, state, ENDS))

    def test_somethingElse(self) -> None:
        """An error page with a status of 200 is no notice, nor is JSON of another shape."""
        for path in PATHS:
            for text in (ERROR_PAGE, "{}", "[]", '"terminate"', "17", "[" * 100_000, "\x1b[31m"):
                self.assertRaises(Unreadable, read, path, text, ENDS)
        for text in (spot("reboot", "2017-09-18T08:22:00Z"), spot(["stop"], None), spot(None, 1)):
            self.assertRaises(Unreadable, read, SPOT, text, ENDS)

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from(PATHS), st.text(), st.none() | st.floats(0, 1e10))
    def test_anything(self, path: str, text: str, date: float | None) -> None:
        """Whatever stands there, it is a notice, or none, or unreadable."""
        try:
            notice = read(path, text, date)
        except Unreadable:
            return
        self.assertIsInstance(notice, Notice | None)
