"""Tests of echoserver.ec2.interruption: intervals, errors, and the effect of a notice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.interruption import (
    MAINTENANCE_LEAD,
    MAX_INTERVAL,
    METADATA_INTERVAL,
    InterruptionConfig,
    InterruptionPoller,
)
from echoserver.ec2.metadata import RESPONSE_TIMEOUT, InstanceMetadata, NoMetadata
from echoserver.ec2.notices import PATHS, InstanceStatus, NoticeKind
from tests.awsdoubles import METADATA, MetadataService, logLines
from tests.doubles import LongRandom

SPOT, REBALANCE, LIFECYCLE, MAINTENANCE = PATHS
TERMINATE = '{"action": "terminate", "time": "2017-09-18T08:22:00Z"}'
RECOMMENDATION = '{"noticeTime": "2017-09-18T08:20:00Z"}'
DEREGISTERS = "every game server deregisters when its session has ended."


class StatusCallFailed(Exception):
    """The failure of a call for the instance's status."""


class RecordingServer:
    """A L{Drainable} that records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def terminate(self, deadline: float | None, reason: str) -> None:
        self.calls.append(("terminate", deadline, reason))

    def drain(self, reason: str) -> None:
        self.calls.append(("drain", reason))

    def cancelDrain(self) -> None:
        self.calls.append(("cancelDrain",))


class StatusCalls:
    """
    The calls to FleetIQ for the instance's status.

    @ivar result: what a call returns; an exception is raised; None is a call that does not end.
    @ivar count: the number of calls.
    """

    def __init__(self) -> None:
        self.result: str | Exception | None = "ACTIVE"
        self.count = 0

    def call(self) -> Deferred[str | None]:
        self.count += 1
        result: Deferred[Any] = Deferred()
        if isinstance(self.result, Exception):
            result.errback(self.result)
        elif self.result is not None:
            result.callback(self.result)
        return result


class PollerTestCase(SynchronousTestCase):
    """A poller with a metadata service and a FleetIQ in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.service = MetadataService({LIFECYCLE: "InService"})
        self.fleetIQ = StatusCalls()
        self.servers = [RecordingServer(), RecordingServer()]

    def poll(self, *, url: str = METADATA, **config: Any) -> InterruptionPoller:
        """Return a started poller. After the test it is stopped, and must leave no timer."""

        def serviceURL() -> str:
            if not url:
                raise NoMetadata("It is disabled.")
            return url

        poller = InterruptionPoller(
            self.clock,
            LongRandom(7),
            InstanceMetadata(self.clock, self.service.http(), serviceURL),
            self.fleetIQ.call,
            self.servers,
            InterruptionConfig(**config),
            statusError=StatusCallFailed,
        )
        poller.start()
        self.addCleanup(lambda: self.assertEqual([], self.clock.getDelayedCalls()))
        self.addCleanup(poller.stop)
        return poller

    def advance(self, seconds: float, *, step: float = METADATA_INTERVAL) -> list[str]:
        """Advance the clock, and return what the poller logs meanwhile."""
        with capturedLogs() as events:
            self.clock.pump([step] * int(seconds / step))
        return self.lines(events)

    def lines(self, events: Sequence[LogEvent]) -> list[str]:
        """Return the log lines of the poller."""
        return logLines([each for each in events if each["log_namespace"] == "fleetiq.ec2"])

    def calls(self) -> list[tuple[object, ...]]:
        """Return the calls of the game servers, which are the same for both."""
        first, second = self.servers
        self.assertEqual(first.calls, second.calls)
        return first.calls


class MetadataTests(PollerTestCase):
    """Polling the instance metadata."""

    def test_interval(self) -> None:
        """All paths are requested every 5 s, first after 5 s, with one token."""
        self.poll(statusInterval=0.0)
        self.advance(4.0, step=1.0)
        self.assertEqual([], self.service.asked)
        self.advance(20.0, step=1.0)
        self.assertEqual([*PATHS] * 4, self.service.got)
        self.assertEqual((1, 0), (self.service.tokens, self.fleetIQ.count))
        self.assertEqual([], self.calls())

    def test_spot(self) -> None:
        """Each game server is terminated once. The deadline does not depend on the wall clock."""
        poller = self.poll(statusInterval=0.0)
        self.advance(10.0)
        self.service.items[SPOT] = TERMINATE
        lines = self.advance(50.0)
        reason = "EC2 will terminate this Spot instance at 2017-09-18T08:22:00Z"
        self.assertEqual([("terminate", 15.0 + 120.0, reason)], self.calls())
        self.assertEqual([f"{reason}, in 120 s: {DEREGISTERS}"], lines)
        self.assertEqual({NoticeKind.SPOT: 1}, poller.notices)

    def test_changedNotice(self) -> None:
        """A notice with another time is a new one. A notice that was seen before is not."""
        self.poll()
        later = TERMINATE.replace(":22:", ":23:")
        for item in (TERMINATE, later, TERMINATE):
            self.service.items[SPOT] = item
            self.advance(5.0)
        self.assertEqual([125.0, 190.0], [deadline for _, deadline, _ in self.calls()])

    def test_autoScaling(self) -> None:
        """C{Terminated} terminates the game servers without a deadline."""
        poller = self.poll()
        self.service.items[LIFECYCLE] = "Terminated"
        lines = self.advance(10.0)
        reason = "Auto Scaling will terminate this instance"
        self.assertEqual([("terminate", None, reason)], self.calls())
        self.assertEqual([f"{reason}: {DEREGISTERS}"], lines)
        self.assertEqual({NoticeKind.AUTO_SCALING: 1}, poller.notices)

    def test_rebalance(self) -> None:
        """A rebalance recommendation is logged and counted."""
        poller = self.poll()
        self.service.items[REBALANCE] = RECOMMENDATION
        lines = self.advance(10.0)
        line = (
            "EC2 recommends to replace this Spot instance. No action is taken (--on-rebalance log)."
        )
        self.assertEqual(([line], []), (lines, self.calls()))
        self.assertEqual({NoticeKind.REBALANCE: 1}, poller.notices)

    def test_drainOnRebalance(self) -> None:
        """With --on-rebalance drain, a recommendation terminates the servers without a deadline."""
        self.poll(drainOnRebalance=True)
        self.service.items[REBALANCE] = RECOMMENDATION
        self.advance(10.0)
        self.assertEqual(
            [("terminate", None, "EC2 recommends to replace this Spot instance")], self.calls()
        )

    def test_errors(self) -> None:
        """An error is counted and logged once. A later notice is still seen."""
        poller = self.poll(statusInterval=0.0)
        self.advance(5.0)
        errors: list[str | int | None] = [503, 401, 403, 500, "<html>404</html>", None]
        for error in errors:
            self.service.items[SPOT] = error
            lines = self.advance(10.0)
            self.assertEqual(1, len(lines), lines)
            self.assertIn("The instance metadata service ", lines[0])
            self.assertTrue(lines[0].endswith(" Polling continues."), lines)
            self.service.items[SPOT] = 404
            [line] = self.advance(10.0)
            self.assertIn("The instance metadata service responds again; ", line)
        self.assertEqual(12, poller.metadataErrors)
        self.service.items[SPOT] = TERMINATE
        self.advance(5.0)
        self.assertEqual("terminate", self.calls()[0][0])

    def test_errorOfOnePath(self) -> None:
        """An error at one path does not prevent a notice at another."""
        self.poll()
        self.service.items = {SPOT: 500, REBALANCE: None, LIFECYCLE: "Terminated"}
        self.advance(5.0)
        self.clock.advance(RESPONSE_TIMEOUT)
        self.assertEqual(1, len(self.calls()))

    def test_noService(self) -> None:
        """If the service never responded, this is logged once."""
        self.poll(url="", statusInterval=0.0)
        lines = self.advance(3600.0)
        self.assertEqual(
            ["It is disabled. Interruption notices are not seen until the service responds."], lines
        )

    def test_noServiceInterval(self) -> None:
        """While the service never responded, the interval doubles up to 10 minutes."""
        poller = self.poll(statusInterval=0.0)
        self.service.tokenStatus = 403
        self.advance(5.0 * 127)  # 5, 10, 20, ... 320
        self.assertEqual(7 * len(PATHS), poller.metadataErrors)
        self.advance(MAX_INTERVAL)
        self.assertEqual(8 * len(PATHS), poller.metadataErrors)
        self.service.tokenStatus = 200
        self.assertEqual(1, len(self.advance(MAX_INTERVAL)))
        requests = len(self.service.got)
        self.advance(METADATA_INTERVAL)
        self.assertEqual(requests + len(PATHS), len(self.service.got))

    def test_oneServerPerIteration(self) -> None:
        """Two game servers are terminated in two reactor iterations."""
        order: list[str] = []

        def first(*_: object) -> None:
            self.clock.callLater(0.0, order.append, "a player is served")

        self.poll(statusInterval=0.0)
        self.servers[0].terminate = first  # type: ignore[assignment] # schedules a call
        self.servers[1].terminate = lambda *_: order.append("second server")  # type: ignore[method-assign] # records the order
        self.service.items[SPOT] = TERMINATE
        self.advance(5.0)
        self.assertEqual(["a player is served", "second server"], order)

    def test_serverRaises(self) -> None:
        """An exception of a game server is logged. The others are terminated; polling continues."""
        self.poll(statusInterval=0.0)
        self.servers[0].terminate = self.fail  # type: ignore[assignment] # it raises TypeError
        self.service.items[SPOT] = TERMINATE
        self.advance(10.0)
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))
        self.assertEqual(1, len(self.servers[1].calls))
        self.assertEqual(2 * len(PATHS), len(self.service.got))

    def test_pollRaises(self) -> None:
        """An unexpected exception is logged with its traceback. Polling continues."""
        self.poll(statusInterval=1.0)
        self.fleetIQ.result = ValueError("unexpected")
        self.advance(3.0, step=1.0)
        self.assertEqual(3, len(self.flushLoggedErrors(ValueError)))

    def test_stop(self) -> None:
        """Stopping during a request sends no more requests and logs nothing."""
        poller = self.poll()
        self.service.items[SPOT] = None
        self.advance(5.0)
        with capturedLogs() as events:
            poller.stop()
            self.clock.advance(100.0)
        self.assertEqual([SPOT], self.service.got)
        self.assertEqual([], self.lines(events))


class MaintenanceTests(PollerTestCase):
    """Polling for scheduled events. The service's clock is C{date}."""

    def setUp(self) -> None:
        super().setUp()
        self.setDate("08:20:00")

    def setDate(self, time: str, day: int = 18) -> None:
        """Set the clock of the metadata service."""
        self.service.date = f"Mon, {day} Sep 2017 {time} GMT"

    def setEvents(self, *events: tuple[str, str, str]) -> None:
        """Set events, each with its code, time of day, and state."""
        self.service.items[MAINTENANCE] = json.dumps(
            [
                {
                    "NotBefore": f"18 Sep 2017 {time} GMT",
                    "Code": code,
                    "Description": "maintenance",
                    "EventId": f"instance-event-{code}",
                    "State": state,
                }
                for code, time, state in events
            ]
        )

    def test_ends(self) -> None:
        """A stop, retirement or reboot terminates the servers once, before its time."""
        for code, action in (
            ("instance-stop", "stop this instance"),
            ("instance-retirement", "retire this instance"),
            ("instance-reboot", "reboot this instance"),
            ("system-reboot", "reboot the host of this instance"),
        ):
            self.servers = [RecordingServer(), RecordingServer()]
            poller = self.poll(statusInterval=0.0)
            now = self.clock.seconds()
            self.setEvents((code, "08:30:00", "active"))
            lines = self.advance(50.0)
            reason = f"EC2 will {action} at 18 Sep 2017 08:30:00 GMT ({code})"
            self.assertEqual([("terminate", now + 5.0 + 600.0, reason)], self.calls())
            self.assertEqual([f"{reason}, in 600 s: {DEREGISTERS}"], lines)
            self.assertEqual({NoticeKind.MAINTENANCE: 1}, poller.notices)
            poller.stop()

    def test_farAhead(self) -> None:
        """An event that is far ahead is logged once. It terminates the servers an hour before."""
        poller = self.poll(statusInterval=0.0)
        self.setEvents(("instance-stop", "12:00:00", "active"))
        reason = "EC2 will stop this instance at 18 Sep 2017 12:00:00 GMT (instance-stop)"
        lines = self.advance(50.0)
        self.assertEqual(
            [f"{reason}, in 13200 s: game servers drain {MAINTENANCE_LEAD:.0f} s before."], lines
        )
        self.setDate("10:59:59")
        self.assertEqual(([], []), (self.advance(10.0), self.calls()))
        self.setDate("11:00:00")
        self.assertEqual([f"{reason}, in 3600 s: {DEREGISTERS}"], self.advance(10.0))
        self.assertEqual([("terminate", 65.0 + 3600.0, reason)], self.calls())
        self.assertEqual({NoticeKind.MAINTENANCE: 1}, poller.notices)

    def test_canceled(self) -> None:
        """An event that is canceled in time has no effect, and this is logged once."""
        reason = "EC2 will stop this instance at 18 Sep 2017 12:00:00 GMT (instance-stop)"
        ends: list[str | int] = [404, "[]", "canceled"]
        for end in ends:
            poller = self.poll(statusInterval=0.0)
            self.setEvents(("instance-stop", "12:00:00", "active"))
            self.advance(5.0)
            self.service.items[MAINTENANCE] = end
            if end == "canceled":
                self.setEvents(("instance-stop", "12:00:00", "canceled"))
            self.assertEqual([f"No longer scheduled: {reason}."], self.advance(10.0))
            self.setDate("11:59:00")
            self.assertEqual(([], []), (self.advance(10.0), self.calls()))
            poller.stop()
            self.setDate("08:20:00")

    def test_moved(self) -> None:
        """An event that gets another time is a new one."""
        self.poll(statusInterval=0.0)
        self.setEvents(("instance-stop", "12:00:00", "active"))
        self.advance(5.0)
        self.setEvents(("instance-stop", "08:30:00", "active"))
        lines = self.advance(5.0)
        self.assertTrue(lines[0].startswith("No longer scheduled: EC2 will stop "), lines)
        self.assertEqual([("terminate", 10.0 + 600.0)], [each[:2] for each in self.calls()])

    def test_passed(self) -> None:
        """An event whose time has passed at the start has no effect: the reboot can be over."""
        self.poll(statusInterval=0.0)
        self.setEvents(("system-reboot", "08:20:00", "active"))
        lines = self.advance(50.0)
        reason = "EC2 will reboot the host of this instance at 18 Sep 2017 08:20:00 GMT"
        self.assertEqual(
            [f"{reason} (system-reboot). No action is taken: this time has passed."], lines
        )
        self.assertEqual([], self.calls())

    def test_passedSince(self) -> None:
        """An event whose time passes while the service fails terminates the servers."""
        self.poll(statusInterval=0.0)
        self.setEvents(("instance-stop", "12:00:00", "active"))
        self.advance(5.0)
        self.setDate("12:00:01")
        self.advance(5.0)
        self.assertEqual([("terminate", 10.0 - 1.0)], [each[:2] for each in self.calls()])

    def test_keepsRunning(self) -> None:
        """Maintenance of the host is logged once. It does not end the instance."""
        poller = self.poll(statusInterval=0.0)
        self.setEvents(("system-maintenance", "08:30:00", "active"))
        event = "EC2 has scheduled system-maintenance for this instance at 18 Sep 2017 08:30:00 GMT"
        self.assertEqual(
            [f"{event}. No action is taken: the instance keeps running."], self.advance(50.0)
        )
        self.assertEqual([], self.calls())
        self.assertEqual({NoticeKind.MAINTENANCE: 1}, poller.notices)

    def test_several(self) -> None:
        """Each event of a list is handled. Completed ones are ignored."""
        self.poll(statusInterval=0.0)
        self.setEvents(
            ("system-maintenance", "08:25:00", "active"),
            ("instance-reboot", "08:26:00", "completed"),
            ("system-reboot", "08:30:00", "active"),
            ("instance-stop", "08:40:00", "active"),
        )
        self.advance(10.0)
        self.assertEqual(
            [("terminate", 605.0), ("terminate", 1205.0)], [each[:2] for each in self.calls()]
        )

    def test_invalid(self) -> None:
        """An invalid list is an error of the service. Polling continues."""
        poller = self.poll(statusInterval=0.0)
        for text in ("<html>404</html>", "{}", "[7]", '[{"Code": "instance-stop"}]', "[" * 9999):
            self.service.items[MAINTENANCE] = text
            [line] = self.advance(5.0)
            self.assertIn(f"returned no valid notice for {MAINTENANCE}: no ", line)
            self.service.items[MAINTENANCE] = "[]"
            self.advance(5.0)
        self.assertEqual(5, poller.metadataErrors)
        self.assertEqual([], self.calls())


class StatusTests(PollerTestCase):
    """Polling the instance's status in FleetIQ."""

    def test_interval(self) -> None:
        """The status is requested every 60 s less jitter. ACTIVE is not logged."""
        self.poll()
        lines = self.advance(60.0, step=0.5)
        self.assertEqual(1, self.fleetIQ.count)
        self.advance(54.0 * 3, step=0.5)
        self.assertEqual(4, self.fleetIQ.count)
        self.assertEqual(([], [("cancelDrain",)]), (lines, self.calls()))

    def test_never(self) -> None:
        """With an interval of 0 the status is never requested."""
        self.poll(statusInterval=0.0)
        self.advance(3600.0)
        self.assertEqual(0, self.fleetIQ.count)

    def test_draining(self) -> None:
        """DRAINING drains once, ACTIVE cancels the drain, and an unknown status has no effect."""
        poller = self.poll(statusInterval=1.0)
        calls = [("drain", "FleetIQ is draining this instance"), ("cancelDrain",)]
        logged = []
        for status, expected in (
            ("DRAINING", calls[:1]),
            ("DRAINING", calls[:1]),
            ("NONSENSE", calls[:1]),
            ("ACTIVE", calls),
        ):
            self.fleetIQ.result = status
            logged += self.advance(1.0, step=1.0)
            self.assertEqual(expected, self.calls())
        self.assertIs(InstanceStatus.ACTIVE, poller.status)
        line = (
            "FleetIQ is draining this instance: the running or next session of each game server is"
            " its last."
        )
        self.assertEqual([line], logged)

    def test_spotTerminating(self) -> None:
        """SPOT_TERMINATING terminates the game servers without a deadline."""
        self.poll(statusInterval=1.0)
        self.fleetIQ.result = "SPOT_TERMINATING"
        self.advance(3.0, step=1.0)
        reason = "FleetIQ reports the end of this Spot instance"
        self.assertEqual([("terminate", None, reason)], self.calls())

    def test_backoff(self) -> None:
        """Each failure doubles the interval, up to 10 minutes. A success resets it."""
        self.poll()
        self.fleetIQ.result = StatusCallFailed("AnOperation failed.")
        intervals = [60, 120, 240, 480, 600, 600]
        for calls, interval in enumerate(intervals, 1):
            lines = self.advance(interval, step=1.0)
            self.assertEqual(calls, self.fleetIQ.count)
            longer = min(600, 2 * interval)
            line = f"AnOperation failed. The instance's status is requested again in {longer} s."
            self.assertEqual([line], lines)
        self.fleetIQ.result = "ACTIVE"
        self.advance(600 + 54, step=1.0)
        self.assertEqual(len(intervals) + 2, self.fleetIQ.count)

    def test_longInterval(self) -> None:
        """A configured interval over 10 minutes is not shortened by a failure."""
        self.poll(statusInterval=1000.0)
        self.fleetIQ.result = StatusCallFailed("AnOperation failed.")
        self.assertTrue(self.advance(1000.0)[-1].endswith(" again in 1000 s."))

    def test_callInFlight(self) -> None:
        """While a call has no result, notices are seen and the poller can be stopped."""
        self.poll(statusInterval=1.0)
        self.fleetIQ.result = None
        self.service.items[SPOT] = TERMINATE
        self.advance(10.0, step=1.0)
        self.assertEqual(1, self.fleetIQ.count)
        self.assertEqual("terminate", self.calls()[0][0])
