"""The timeouts of connections: no data yet, idle, paused."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.game.timeouts import (
    CHECKS_PER_TIMEOUT,
    COALESCE,
    PAUSED_CHECK_INTERVAL,
    HandshakeTimeout,
    IdleTimeout,
    PausedConnections,
    PendingConnections,
)


class FakeConnection:
    """A connection that records what the timeouts do with it."""

    def __init__(self, clock: Clock, onRequest: Callable[[], object] = lambda: None) -> None:
        self.clock = clock
        self.bytesReceived = 0
        self.lastData = clock.seconds()
        self.finReceived = False
        self.requestedAt: float | None = None
        self.closedAt: float | None = None
        self.abortsIn: float | None = None
        self._onRequest = onRequest

    def send(self) -> None:
        """Receive a byte from the peer."""
        self.bytesReceived += 1
        self.lastData = self.clock.seconds()

    def requestAdmission(self) -> None:
        assert self.requestedAt is None
        self.requestedAt = self.clock.seconds()
        self._onRequest()

    def close(self, reason: str) -> None:
        self.reason = reason
        self.closedAt = self.closedAt or self.clock.seconds()

    def abortConnection(self) -> None:
        self.close("aborted")

    def peerHasClosed(self) -> bool:
        return self.finReceived

    def abortIn(self, seconds: float) -> None:
        self.abortsIn = seconds


class PendingConnectionsTests(SynchronousTestCase):
    """Connections without data request admission by one timer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pending = PendingConnections(self.clock, 0.5)

    @given(st.lists(st.floats(0.0, 0.7), max_size=8))
    def test_delay(self, gaps: list[float]) -> None:
        """Each requests admission half a second after it connected, to the millisecond."""
        self.setUp()
        connectedAt: dict[FakeConnection, float] = {}
        for gap in gaps:
            self.advance(gap)
            connection = FakeConnection(self.clock)
            connectedAt[connection] = self.clock.seconds()
            self.pending.add(connection)
            self.assertEqual(1, len(self.due()))
        self.advance(0.6)
        for connection, when in connectedAt.items():
            assert connection.requestedAt is not None
            self.assertLessEqual(abs(when + 0.5 - connection.requestedAt), 1.01 * COALESCE)
        self.assertEqual([], self.due())

    def advance(self, seconds: float) -> None:
        """Advance from call to call, not in one step."""
        end = self.clock.seconds() + seconds
        while (left := end - self.clock.seconds()) > 0:
            self.clock.advance(min([left, *(when - self.clock.seconds() for when in self.due())]))

    def due(self) -> list[float]:
        """Return the times of the clock's delayed calls."""
        return [call.getTime() for call in self.clock.getDelayedCalls()]

    def test_exact(self) -> None:
        """A connection that comes later requests admission later by the same time."""
        first, second = FakeConnection(self.clock), FakeConnection(self.clock)
        self.pending.add(first)
        self.clock.advance(0.2)
        self.pending.add(second)
        self.clock.advance(0.3)
        self.assertEqual((0.5, None), (first.requestedAt, second.requestedAt))
        self.clock.advance(0.2)
        self.assertEqual(0.7, second.requestedAt)

    def test_discarded(self) -> None:
        """A connection that was discarded requests nothing, and cannot be discarded twice."""
        connection = FakeConnection(self.clock)
        self.pending.add(connection)
        self.assertTrue(self.pending.discard(connection))
        self.assertFalse(self.pending.discard(connection))
        self.clock.advance(0.5)
        self.assertEqual((None, []), (connection.requestedAt, self.due()))

    def test_requestDiscardsAnother(self) -> None:
        """A request that discards the connection that is due next takes effect."""
        second = FakeConnection(self.clock)
        first = FakeConnection(self.clock, lambda: self.pending.discard(second))
        for connection in (first, second):
            self.pending.add(connection)
        self.clock.advance(0.5)
        self.assertEqual((0.5, None), (first.requestedAt, second.requestedAt))

    def test_requestFails(self) -> None:
        """If one request raises, the other connections request admission nevertheless."""

        def fail() -> None:
            raise ValueError("a request that fails")

        second, third = FakeConnection(self.clock), FakeConnection(self.clock)
        self.pending.add(FakeConnection(self.clock, fail))
        self.pending.add(second)
        self.clock.advance(0.2)
        self.pending.add(third)
        self.clock.advance(0.3)
        self.clock.advance(0.2)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual((0.5, 0.7), (second.requestedAt, third.requestedAt))

    def test_requestAddsAnother(self) -> None:
        """A connection that is added during a request has its own delay, and one timer serves."""
        last = FakeConnection(self.clock)
        second = FakeConnection(self.clock)
        self.pending.add(FakeConnection(self.clock, lambda: self.pending.add(last)))
        self.pending.add(second)
        self.clock.advance(0.5)
        self.assertEqual((0.5, 1), (second.requestedAt, len(self.due())))
        self.clock.advance(0.5)
        self.assertEqual((1.0, []), (last.requestedAt, self.due()))

    def test_stop(self) -> None:
        """After stop no timer is left; the next connection starts one."""
        self.pending.add(FakeConnection(self.clock))
        self.pending.stop()
        self.pending.stop()
        self.assertEqual([], self.due())
        self.pending.add(FakeConnection(self.clock))
        self.assertEqual(1, len(self.due()))


class HandshakeTimeoutTests(SynchronousTestCase):
    """Connections whose handshake is not complete are aborted by one timer."""

    def test_aborted(self) -> None:
        """Each connection is aborted when its timeout expires. One log line has their number."""
        clock = Clock()
        timeout = HandshakeTimeout(clock, 10.0)
        first, second, third, complete = (FakeConnection(clock) for _ in range(4))
        for connection in (first, second, complete):
            timeout.add(connection)
        clock.advance(5.0)
        timeout.add(third)
        self.assertTrue(timeout.discard(complete))
        with capturedLogs() as events:
            clock.advance(5.0)
            clock.advance(5.0)
        self.assertEqual((10.0, 10.0, 15.0), (first.closedAt, second.closedAt, third.closedAt))
        self.assertIsNone(complete.closedAt)
        self.assertEqual([2, 1], [event["count"] for event in events])
        self.assertEqual([], clock.getDelayedCalls())

    def test_manyLines(self) -> None:
        """Connections at any rate are aborted at most a second late, with one line a second."""
        clock = Clock()
        timeout = HandshakeTimeout(clock, 10.0)
        connections = []
        with capturedLogs() as events:
            for _ in range(100):
                connections.append(FakeConnection(clock))
                timeout.add(connections[-1])
                clock.advance(0.05)
            clock.pump([0.05] * 220)
        for i, connection in enumerate(connections):
            assert connection.closedAt is not None
            self.assertTrue(9.99 <= connection.closedAt - i * 0.05 <= 11.06)
        self.assertEqual(100, sum(event["count"] for event in events))
        self.assertLessEqual(len(events), 6)

    def test_complete(self) -> None:
        """If all are complete in time, nothing is logged."""
        clock = Clock()
        timeout = HandshakeTimeout(clock, 10.0)
        connection = FakeConnection(clock)
        timeout.add(connection)
        timeout.discard(connection)
        with capturedLogs() as events:
            clock.advance(10.0)
        self.assertEqual([], events)


class IdleTimeoutTests(SynchronousTestCase):
    """Idle connections are closed by one timer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connections: list[FakeConnection] = []
        self.idle = IdleTimeout(self.clock, 60.0, lambda: self.connections)

    def join(self) -> FakeConnection:
        """Add a connection."""
        self.connections.append(FakeConnection(self.clock))
        self.idle.start()
        return self.connections[-1]

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.floats(0.1, 59.9), max_size=8), st.floats(0.0, 20.0))
    def test_when(self, pauses: list[float], joins: float) -> None:
        """A connection that sends in time stays; another is closed after 60 s to 72 s."""
        self.setUp()
        self.join()
        self.clock.pump([joins / 4] * 4)
        connection = self.join()
        for pause in pauses:
            self.clock.pump([pause / 20] * 20)
            self.assertIsNone(connection.closedAt)
            connection.send()
        self.clock.pump([0.5] * 2 * 73)
        assert connection.closedAt is not None
        idle = connection.closedAt - connection.lastData
        self.assertTrue(idle + 1e-6 >= 60.0 and idle <= 72.5, idle)
        self.idle.stop()

    def test_reason(self) -> None:
        """The reason names the time without data."""
        connection = self.join()
        self.clock.pump([6.0] * 11)
        self.assertEqual("sent nothing for 60 s", connection.reason)

    def test_oneTimer(self) -> None:
        """There is one timer for any number of connections, and none after stop."""
        for _ in range(100):
            self.join()
        [due] = self.clock.getDelayedCalls()
        self.assertEqual(60.0 / CHECKS_PER_TIMEOUT, due.getTime())
        self.idle.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.idle.stop()
        self.idle.start()
        self.assertEqual(1, len(self.clock.getDelayedCalls()))


class PausedConnectionsTests(SynchronousTestCase):
    """Paused connections are checked for a FIN each second."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.paused = PausedConnections(self.clock, 10.0)

    def test_finIsSeen(self) -> None:
        """After a FIN a connection has ten seconds, less the interval of the check."""
        closed, still = FakeConnection(self.clock), FakeConnection(self.clock)
        for connection in (closed, still):
            self.paused.add(connection)
        self.clock.advance(PAUSED_CHECK_INTERVAL)
        self.assertIsNone(closed.abortsIn)
        closed.finReceived = True
        self.clock.advance(PAUSED_CHECK_INTERVAL)
        self.assertEqual((9.0, None), (closed.abortsIn, still.abortsIn))

    def test_noTimer(self) -> None:
        """A second after the last connection resumed no timer is left; nor is one after stop."""
        connection = FakeConnection(self.clock)
        for _ in range(3):
            self.paused.add(connection)
            self.assertIn(connection, self.paused)
            self.assertEqual(1, len(self.clock.getDelayedCalls()))
            self.paused.discard(connection)
            self.assertNotIn(connection, self.paused)
        connection.finReceived = True
        self.clock.advance(PAUSED_CHECK_INTERVAL)
        self.assertEqual(([], None), (self.clock.getDelayedCalls(), connection.abortsIn))
        self.paused.add(connection)
        self.paused.stop()
        self.paused.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
