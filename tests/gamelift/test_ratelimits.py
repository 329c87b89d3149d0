"""The rate limiter: order, delays, and the calls of many game servers."""

from __future__ import annotations

from math import inf
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from echoserver.clock import WallClock
from echoserver.gamelift.degraded import Degraded
from echoserver.gamelift.lifecycle import Available, Desired, Step, Utilized
from echoserver.gamelift.registration import _PRIORITIES, LOWEST_PRIORITY, Registration
from echoserver.gamelift.service import GameServerDescription, RegistrationRequest
from echoserver.ratelimit import RateLimiter, TokenBucket, Waiter
from tests.doubles import gameServer

INSTANCE = "i-0123456789abcdef0"


class RateLimiterTests(SynchronousTestCase):
    """The queue, with one token a second."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limiter = RateLimiter(self.clock, TokenBucket(1.0, 1))
        self.called: list[str] = []
        self.limiter.waiter(self.fail).mayCall(_PRIORITIES[Step.REGISTER])

    def wants(self, name: str, step: Step | None, urgentAt: float = inf) -> Waiter:
        """Return a waiter that calls when it may. With None it gives up instead."""

        def ask() -> None:
            if step is None:
                waiter.giveUp()
            elif waiter.mayCall(_PRIORITIES[step], urgentAt):
                self.called.append(name)

        waiter = self.limiter.waiter(ask)
        waiter.mayCall(_PRIORITIES[step or Step.UTILIZE], urgentAt)
        return waiter

    def test_noLimit(self) -> None:
        """Without a bucket each call may be made at once, and no timer is left."""
        waiter = RateLimiter(self.clock).waiter(self.fail)
        self.assertTrue(all(waiter.mayCall(_PRIORITIES[Step.REGISTER]) for _ in range(100)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_order(self) -> None:
        """The order is utilize, deregister, inspect, heartbeat, register; then by arrival."""
        for name in ("register", "heartbeat", "inspect", "deregister", "utilize"):
            self.wants(f"{name} 1", Step(name))
            self.wants(f"{name} 2", Step(name))
        self.clock.pump([1.0] * 10)
        ranks = ("utilize", "deregister", "inspect", "heartbeat", "register")
        self.assertEqual(self.called, [f"{name} {i}" for name in ranks for i in (1, 2)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rate(self) -> None:
        """One call a second is made, and none earlier."""
        self.wants("first", Step.REGISTER)
        self.wants("second", Step.REGISTER)
        self.clock.advance(0.9)
        self.assertEqual(self.called, [])
        self.clock.advance(0.1)
        self.clock.advance(0.9)
        self.assertEqual(self.called, ["first"])
        self.clock.advance(0.1)
        self.assertEqual(self.called, ["first", "second"])

    def test_backOfTheQueue(self) -> None:
        """A waiter that has called goes behind those that have waited longer."""
        first = self.wants("first", Step.UTILIZE)
        self.wants("second", Step.UTILIZE)
        self.clock.advance(1.0)
        self.assertFalse(first.mayCall(_PRIORITIES[Step.UTILIZE]))
        self.clock.pump([1.0] * 2)
        self.assertEqual(self.called, ["first", "second", "first"])

    def test_newPriority(self) -> None:
        """A waiter can change its priority, and keeps its ticket."""
        changing = self.wants("changing", Step.HEARTBEAT)
        self.wants("deregister", Step.DEREGISTER)
        self.assertFalse(changing.mayCall(_PRIORITIES[Step.UTILIZE]))
        self.assertFalse(changing.mayCall(_PRIORITIES[Step.DEREGISTER]))
        changing.retry = lambda: self.called.append("changing")
        self.clock.advance(1.0)
        self.assertEqual(self.called[0], "changing")

    def test_givesUp(self) -> None:
        """If the first waiter gives up, the next one calls at once."""
        self.wants("nothing", None)
        self.wants("register", Step.REGISTER)
        self.clock.advance(1.0)
        self.clock.advance(0.0)
        self.assertEqual(self.called, ["register"])

    def test_gaveUp(self) -> None:
        """A waiter that has given up is not called, and no timer is left."""
        self.wants("gone", Step.UTILIZE).giveUp()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(5.0)
        self.assertEqual(self.called, [])

    def test_noOvertaking(self) -> None:
        """A token goes to the first waiter in the queue."""
        self.wants("waits", Step.UTILIZE)
        self.clock.rightNow += 1.0
        self.assertFalse(self.limiter.waiter(self.fail).mayCall(_PRIORITIES[Step.HEARTBEAT]))
        self.clock.advance(0.0)
        self.assertEqual(self.called, ["waits"])

    def test_lateHeartbeat(self) -> None:
        """A heartbeat that is 2 s late goes first."""
        self.wants("late", Step.HEARTBEAT, urgentAt=2.5)
        for i in range(4):
            self.wants(f"utilize {i}", Step.UTILIZE)
        self.clock.pump([1.0] * 3)
        self.assertEqual(self.called, ["utilize 0", "utilize 1", "late"])

    def test_acquire(self) -> None:
        """C{acquire} has the lowest priority here. Cancelled, it leaves the queue."""
        first, second = self.limiter.acquire(LOWEST_PRIORITY), self.limiter.acquire(LOWEST_PRIORITY)
        self.wants("register", Step.REGISTER)
        self.clock.advance(1.0)
        self.assertEqual(self.called, ["register"])
        self.assertNoResult(first)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.clock.advance(1.0)
        self.successResultOf(second)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_acquireAtOnce(self) -> None:
        """C{acquire} fires at once if no call waits, or if there is no limit."""
        self.successResultOf(RateLimiter(self.clock).acquire(LOWEST_PRIORITY))
        self.clock.advance(1.0)
        self.successResultOf(self.limiter.acquire(LOWEST_PRIORITY))


class PromptFleet:
    """A FleetIQ that replies after 50 ms, and records each call with its time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.sent: list[tuple[float, str, str]] = []

    def register(self, gameServerId: str, *rest: str | None) -> Deferred[GameServerDescription]:
        return self._answer("register", gameServerId)

    def utilize(self, gameServerId: str) -> Deferred[GameServerDescription]:
        return self._answer("utilize", gameServerId)

    def heartbeat(
        self, gameServerId: str, data: str | None = None
    ) -> Deferred[GameServerDescription]:
        return self._answer("heartbeat", gameServerId)

    def describe(self, gameServerId: str) -> Deferred[GameServerDescription]:
        return self._answer("describe", gameServerId)

    def deregister(self, gameServerId: str) -> Deferred[None]:
        return self._answer("deregister", gameServerId).addCallback(lambda _: None)

    def _answer(self, operation: str, gameServerId: str) -> Deferred[GameServerDescription]:
        self.sent.append((self._clock.seconds(), operation, gameServerId))
        seen = gameServer(gameServerId, utilized=operation == "utilize")
        return deferLater(self._clock, 0.05, lambda: seen)


class IgnoringListener:
    """A listener of a registration that ignores all events."""

    def registered(self) -> None:
        """Ignore the event."""

    def refused(self, message: str) -> bool:
        return False

    def sessionConfirmed(self, data: str) -> None:
        """Ignore the event."""

    def claimChanged(self, claimed: bool, data: str) -> None:
        """Ignore the event."""


class CrowdTests(SynchronousTestCase):
    """1,000 players that send one byte, on the game servers of one process."""

    RATE, BURST = 5.0, 20

    def crowd(self, servers: int, rng: Random) -> PromptFleet:
        """Let them connect within 10 s, 150 s after the start. Return the calls of 500 s."""
        clock = Clock()
        fleet = PromptFleet(clock)
        limiter = RateLimiter(clock, TokenBucket(self.RATE, self.BURST))
        degraded = Degraded(clock, WallClock(clock))

        def start(index: int) -> Registration:
            request = RegistrationRequest(INSTANCE, "localhost:5000", 5000 + index)
            registration = Registration(
                clock,
                rng,
                fleet,
                request,
                limiter=limiter,
                degraded=degraded,
                heartbeat=60.0,
                listener=IgnoringListener(),
            )
            registration.setDesired(Desired(Available()))
            registration.run()
            return registration

        registrations = [start(index) for index in range(servers)]

        def plays(index: int, session: int) -> None:
            registrations[index].setDesired(Desired(Utilized(session)))
            clock.callLater(0.02, leaves, index)

        def leaves(index: int) -> None:
            registrations[index].setDesired(Desired(Available()))

        def comes(session: int) -> None:
            plays(rng.randrange(servers), session)
            if session < 1000:
                clock.callLater(rng.uniform(0, 0.02), comes, session + 1)

        clock.callLater(150.0, comes, 1)
        while clock.seconds() < 500:
            clock.advance(0.05)
        return fleet

    def assertSound(self, fleet: PromptFleet, servers: int) -> None:
        """Check that no call is above the limit, and no health report over 5 s late."""
        times = [when for when, _, _ in fleet.sent]
        for i in range(len(times) - self.BURST):
            took = times[i + self.BURST] - times[i]
            self.assertGreaterEqual(took, 1 / self.RATE - 0.06, times[i])
        for i in range(len(times) - 200):
            self.assertLessEqual(200, self.BURST + self.RATE * (times[i + 199] - times[i] + 0.06))
        reported: dict[str, float] = {}
        for when, operation, gameServerId in fleet.sent:
            if operation == "deregister":
                del reported[gameServerId]
            else:
                self.assertLessEqual(when - reported.get(gameServerId, when), 65.0)
                reported[gameServerId] = when
        self.assertEqual(len(reported), servers)

    def test_oneServer(self) -> None:
        """One and ten game servers, where each byte causes three calls."""
        for servers in (1, 10):
            self.assertSound(self.crowd(servers, Random(servers)), servers)

    def test_manyServers(self) -> None:
        """200 game servers, whose heartbeats alone need two thirds of the limit."""
        self.assertSound(self.crowd(200, Random(3)), 200)
