"""The watch over this instance: what it asks, how often, and what it does with the answers.
What stands at the metadata's paths: notices, nothing, or something else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.interruption import (
    EVERY,
    PATHS,
    SLOWEST,
    UNTOLD,
    InterruptionConfig,
    InterruptionPoller,
    Kind,
    Notice,
    Status,
    Unreadable,
    read,
)
from echoserver.ec2.metadata import ANSWER_TIMEOUT, InstanceMetadata, NoMetadata
from tests.awsdoubles import METADATA, MetadataService, told
from tests.doubles import LongRandom, callFailed

SPOT, REBALANCE, LIFECYCLE = PATHS
TERMINATE = '{"action": "terminate", "time": "2017-09-18T08:22:00Z"}'
AT_RISK = '{"noticeTime": "2017-09-18T08:20:00Z"}'


class RecordingServer:
    """A game server that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def terminate(self, deadline: float | None, reason: str) -> None:
        self.told.append(("terminate", deadline, reason))

    def drain(self, reason: str) -> None:
        self.told.append(("drain", reason))

    def cancelDrain(self) -> None:
        self.told.append(("cancelDrain",))


class Statuses:
    """
    A FleetIQ that says what it thinks of the instance.

    @ivar says: its answer; an exception is a failed call, None is silence.
    @ivar asked: how often.
    """

    def __init__(self) -> None:
        self.says: str | Exception | None = "ACTIVE"
        self.asked = 0

    def ask(self) -> Deferred[str | None]:
        self.asked += 1
        answer: Deferred[Any] = Deferred()
        if isinstance(self.says, Exception):
            answer.errback(self.says)
        elif self.says is not None:
            answer.callback(self.says)
        return answer


class WatchTestCase(SynchronousTestCase):
    """A watch over an instance whose metadata and FleetIQ are in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.service = MetadataService({LIFECYCLE: "InService"})
        self.fleet = Statuses()
        self.servers = [RecordingServer(), RecordingServer()]

    def watch(self, *, url: str = METADATA, **watching: Any) -> InterruptionPoller:
        """A watch that has begun. It is over, and leaves nothing behind, when the test is."""

        def where() -> str:
            if not url:
                raise NoMetadata("It is switched off.")
            return url

        watch = InterruptionPoller(
            self.clock,
            LongRandom(7),
            InstanceMetadata(self.clock, self.service.http(), where),
            self.fleet.ask,
            self.servers,
            InterruptionConfig(**watching),
        )
        watch.start()
        self.addCleanup(lambda: self.assertEqual([], self.clock.getDelayedCalls()))
        self.addCleanup(watch.stop)
        return watch

    def spend(self, seconds: float, *, each: float = EVERY) -> list[str]:
        """Let time pass; what is logged meanwhile."""
        with capturedLogs() as events:
            self.clock.pump([each] * int(seconds / each))
        return self.ours(events)

    def ours(self, events: Sequence[LogEvent]) -> list[str]:
        """What the watch has logged."""
        return told([each for each in events if each["log_namespace"] == "fleetiq.ec2"])

    def tells(self) -> list[tuple[object, ...]]:
        """What the game servers have been told: all the same."""
        first, second = self.servers
        self.assertEqual(first.told, second.told)
        return first.told


class MetadataTests(WatchTestCase):
    """Notices of the metadata."""

    def test_asksEvery5s(self) -> None:
        """All three paths, every 5 s, for the first time after 5; with one token, and no other."""
        self.watch(statusEvery=0.0)
        self.spend(4.0, each=1.0)
        self.assertEqual([], self.service.asked)
        self.spend(20.0, each=1.0)
        self.assertEqual([*PATHS] * 4, self.service.got)
        self.assertEqual((1, 0), (self.service.tokens, self.fleet.asked))
        self.assertEqual([], self.tells())

    def test_spot(self) -> None:
        """Every game server is told once, with a deadline by our clock, however skewed it is."""
        watch = self.watch(statusEvery=0.0)
        self.spend(10.0)
        self.service.items[SPOT] = TERMINATE
        lines = self.spend(50.0)
        reason = "EC2 is to terminate this Spot instance at 2017-09-18T08:22:00Z"
        self.assertEqual([("terminate", 15.0 + 120.0, reason)], self.tells())
        self.assertEqual([f"{reason}, in 120 s: every game server leaves once idle."], lines)
        self.assertEqual({Kind.SPOT: 1}, watch.notices)

    def test_changedNotice(self) -> None:
        """Another notice is another event; one that comes again is the same."""
        self.watch()
        later = TERMINATE.replace(":22:", ":23:")
        for item in (TERMINATE, later, TERMINATE):
            self.service.items[SPOT] = item
            self.spend(5.0)
        self.assertEqual([125.0, 190.0], [deadline for _, deadline, _ in self.tells()])

    def test_autoScaling(self) -> None:
        """C{Terminated} is a notice that does not say when."""
        watch = self.watch()
        self.service.items[LIFECYCLE] = "Terminated"
        lines = self.spend(10.0)
        reason = "Auto Scaling is to terminate this instance"
        self.assertEqual([("terminate", None, reason)], self.tells())
        self.assertEqual([f"{reason}: every game server leaves once idle."], lines)
        self.assertEqual({Kind.AUTO_SCALING: 1}, watch.notices)

    def test_rebalance(self) -> None:
        """A recommendation is told and counted."""
        watch = self.watch()
        self.service.items[REBALANCE] = AT_RISK
        lines = self.spend(10.0)
        said = "EC2 sees this Spot instance at risk. Nothing is done (--on-rebalance)."
        self.assertEqual(([said], []), (lines, self.tells()))
        self.assertEqual({Kind.REBALANCE: 1}, watch.notices)

    def test_leaveOnRebalance(self) -> None:
        """With --on-rebalance drain it is like a Spot notice that does not say when."""
        self.watch(leaveOnRebalance=True)
        self.service.items[REBALANCE] = AT_RISK
        self.spend(10.0)
        self.assertEqual([("terminate", None, "EC2 sees this Spot instance at risk")], self.tells())

    def test_hiccups(self) -> None:
        """503, 401, 403, silence, a page: counted, told once, and the notice behind it is seen."""
        watch = self.watch(statusEvery=0.0)
        self.spend(5.0)
        troubles: list[str | int | None] = [503, 401, 403, 500, "<html>404</html>", None]
        for trouble in troubles:
            self.service.items[SPOT] = trouble
            lines = self.spend(10.0)
            self.assertEqual(1, len(lines), lines)
            self.assertIn("The instance metadata at", lines[0].replace("data answers", "data at"))
            self.assertTrue(lines[0].endswith(" It is asked again."), lines)
            self.service.items[SPOT] = 404
            [line] = self.spend(10.0)
            self.assertIn("The instance metadata answers again; ", line)
        self.assertEqual(12, watch.hiccups)
        self.service.items[SPOT] = TERMINATE
        self.spend(5.0)
        self.assertEqual("terminate", self.tells()[0][0])

    def test_hiccupOfOne(self) -> None:
        """What is wrong with one path does not keep the others from being seen."""
        self.watch()
        self.service.items = {SPOT: 500, REBALANCE: None, LIFECYCLE: "Terminated"}
        self.spend(5.0)
        self.clock.advance(ANSWER_TIMEOUT)
        self.assertEqual(1, len(self.tells()))

    def test_noService(self) -> None:
        """Where nothing ever answered it is told once, and asked ever more rarely."""
        self.watch(url="", statusEvery=0.0)
        lines = self.spend(3600.0)
        said = "It is switched off. Notices of interruption are not seen before it answers."
        self.assertEqual([said], lines)

    def test_noServiceIsRarelyAsked(self) -> None:
        """Down to once in 10 minutes; an answer brings it back to 5 s."""
        watch = self.watch(statusEvery=0.0)
        self.service.tokenStatus = 403
        self.spend(5.0 * 127)  # 5, 10, 20, ... 320
        self.assertEqual(7 * len(PATHS), watch.hiccups)
        self.spend(SLOWEST)
        self.assertEqual(8 * len(PATHS), watch.hiccups)
        self.service.tokenStatus = 200
        self.assertEqual(1, len(self.spend(SLOWEST)))
        asked = len(self.service.got)
        self.spend(EVERY)
        self.assertEqual(asked + len(PATHS), len(self.service.got))

    def test_oneATurn(self) -> None:
        """Many game servers do not leave in one turn: players of the others are served."""
        order: list[str] = []

        def first(*_: object) -> None:
            self.clock.callLater(0.0, order.append, "a player is served")

        self.watch(statusEvery=0.0)
        self.servers[0].terminate = first  # type: ignore[assignment] # it takes its time
        self.servers[1].terminate = lambda *_: order.append("the next leaves")  # type: ignore[method-assign] # it is seen
        self.service.items[SPOT] = TERMINATE
        self.spend(5.0)
        self.assertEqual(["a player is served", "the next leaves"], order)

    def test_faultOfOurs(self) -> None:
        """A fault of ours is logged; the others are told all the same, and the watch goes on."""
        self.watch(statusEvery=0.0)
        self.servers[0].terminate = self.fail  # type: ignore[assignment] # it raises
        self.service.items[SPOT] = TERMINATE
        self.spend(10.0)
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))
        self.assertEqual(1, len(self.servers[1].told))
        self.assertEqual(2 * len(PATHS), len(self.service.got))

    def test_anotherFaultOfOurs(self) -> None:
        """Whatever it is, it does not end the watch."""
        self.watch(statusEvery=1.0)
        self.fleet.says = ValueError("nobody thought of it")
        self.spend(3.0, each=1.0)
        self.assertEqual(3, len(self.flushLoggedErrors(ValueError)))

    def test_stops(self) -> None:
        """Told to stop while the metadata is silent, it asks nothing more, and says nothing."""
        watch = self.watch()
        self.service.items[SPOT] = None
        self.spend(5.0)
        with capturedLogs() as events:
            watch.stop()
            self.clock.advance(100.0)
        self.assertEqual([SPOT], self.service.got)
        self.assertEqual([], self.ours(events))


class StatusTests(WatchTestCase):
    """What FleetIQ thinks of the instance."""

    def test_everyMinute(self) -> None:
        """Our instance alone, every 60 s less jitter; ACTIVE is nothing to tell."""
        self.watch()
        lines = self.spend(60.0, each=0.5)
        self.assertEqual(1, self.fleet.asked)
        self.spend(54.0 * 3, each=0.5)
        self.assertEqual(4, self.fleet.asked)
        self.assertEqual(([], [("cancelDrain",)]), (lines, self.tells()))

    def test_never(self) -> None:
        """Zero is never."""
        self.watch(statusEvery=0.0)
        self.spend(3600.0)
        self.assertEqual(0, self.fleet.asked)

    def test_draining(self) -> None:
        """DRAINING is told once, and ends with ACTIVE; what is not known changes nothing."""
        watch = self.watch(statusEvery=1.0)
        told = [("drain", "FleetIQ drains this instance"), ("cancelDrain",)]
        for says, then in (
            ("DRAINING", told[:1]),
            ("DRAINING", told[:1]),
            ("NONSENSE", told[:1]),
            ("ACTIVE", told),
        ):
            self.fleet.says = says
            self.spend(1.0, each=1.0)
            self.assertEqual(then, self.tells())
        self.assertIs(Status.ACTIVE, watch.status)

    def test_spotTerminating(self) -> None:
        """SPOT_TERMINATING is a notice that does not say when."""
        self.watch(statusEvery=1.0)
        self.fleet.says = "SPOT_TERMINATING"
        self.spend(3.0, each=1.0)
        reason = "FleetIQ sees the end of this Spot instance"
        self.assertEqual([("terminate", None, reason)], self.tells())

    def test_throttled(self) -> None:
        """Each failure doubles the pause, up to 10 minutes; a reply ends that."""
        self.watch()
        self.fleet.says = callFailed()
        pauses = [60, 120, 240, 480, 600, 600]
        for nth, pause in enumerate(pauses, 1):
            lines = self.spend(pause, each=1.0)
            self.assertEqual(nth, self.fleet.asked)
            then = min(600, 2 * pause)
            said = "AnOperation was refused: SomeException. The instance's status is asked for"
            self.assertEqual([f"{said} again in {then} s."], lines)
        self.fleet.says = "ACTIVE"
        self.spend(600 + 54, each=1.0)
        self.assertEqual(len(pauses) + 2, self.fleet.asked)

    def test_alreadySlow(self) -> None:
        """A pause that is longer than 10 minutes as it is stays so."""
        self.watch(statusEvery=1000.0)
        self.fleet.says = callFailed()
        self.assertTrue(self.spend(1000.0)[-1].endswith(" again in 1000 s."))

    def test_silent(self) -> None:
        """A call that is out keeps no notice from being seen, nor the watch from ending."""
        self.watch(statusEvery=1.0)
        self.fleet.says = None
        self.service.items[SPOT] = TERMINATE
        self.spend(10.0, each=1.0)
        self.assertEqual(1, self.fleet.asked)
        self.assertEqual("terminate", self.tells()[0][0])


SPOT, REBALANCE, LIFECYCLE = PATHS
ENDS = 1505722920.0  # 2017-09-18T08:22:00Z
ERROR_PAGE = (
    '<?xml version="1.0" encoding="iso-8859-1"?><html><title>404 - Not Discovered</title></html>'
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
