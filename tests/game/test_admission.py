"""The claim check and the player limits."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.game.admission import CALL_INTERVAL, CHECK_TIMEOUT, ClaimCheck, overLimit
from tests.awsdoubles import logLines
from tests.doubles import callFailed


class ClaimCheckTests(SynchronousTestCase):
    """Claim checks with calls whose results the test controls."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[Deferred[bool]] = []
        self.claims = ClaimCheck(self.clock, self.call)

    def tearDown(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())

    def call(self) -> Deferred[bool]:
        self.calls.append(Deferred())
        return self.calls[-1]

    def test_claimed(self) -> None:
        """A positive result is not kept: the next check makes another call."""
        for _ in range(2):
            check = self.claims.check()
            self.assertNoResult(check)
            self.calls[-1].callback(True)
            self.assertTrue(self.successResultOf(check))
            self.clock.advance(CALL_INTERVAL)
        self.assertEqual(2, len(self.calls))

    def test_oneCall(self) -> None:
        """A positive result is for all checks that wait, in the order in which they began."""
        fired: list[str] = []
        for name in ("first", "second", "third"):
            check = self.claims.check()
            check.addCallback(lambda _, name: fired.append(name), name)
        self.assertEqual(1, len(self.calls))
        self.calls[0].callback(True)
        self.assertEqual(["first", "second", "third"], fired)

    def test_negative(self) -> None:
        """A negative result is not for checks that began after its call: they share the next."""
        first = self.claims.check()
        self.clock.advance(0.1)
        later = [self.claims.check(), self.claims.check()]
        self.calls[0].callback(False)
        self.assertFalse(self.successResultOf(first))
        later.append(self.claims.check())
        self.clock.advance(CALL_INTERVAL - 0.2)
        self.assertEqual(1, len(self.calls))
        for check in later:
            self.assertNoResult(check)
        self.clock.advance(0.1)
        self.assertEqual(2, len(self.calls))
        self.calls[1].callback(True)
        self.assertEqual([True] * 3, [self.successResultOf(check) for check in later])

    def test_slowCall(self) -> None:
        """After a call of more than a second, the next one starts at once."""
        first = self.claims.check()
        self.clock.advance(CALL_INTERVAL + 0.5)
        later = self.claims.check()
        self.calls[0].callback(False)
        self.assertFalse(self.successResultOf(first))
        self.assertEqual(2, len(self.calls))
        self.calls[1].callback(False)
        self.assertFalse(self.successResultOf(later))

    def test_stranger(self) -> None:
        """Checks at any rate cost one call a second, and delay a positive result by one second."""
        for _ in range(100):
            self.claims.check()
            self.clock.advance(0.05)
            if not self.calls[-1].called:
                self.calls[-1].callback(False)
        self.assertEqual(5, len(self.calls))
        claimed = self.claims.check()
        self.clock.advance(CALL_INTERVAL)
        self.calls[-1].callback(True)
        self.assertTrue(self.successResultOf(claimed))

    def test_stop(self) -> None:
        """After stop no call is made for those that wait."""
        self.claims.check()
        self.calls[0].callback(False)
        self.assertNoResult(self.claims.check())
        self.claims.stop()
        self.clock.advance(CALL_INTERVAL)
        self.assertEqual(1, len(self.calls))

    def test_timeout(self) -> None:
        """No result within 5 s counts as negative; a later one is ignored."""
        check = self.claims.check()
        with capturedLogs() as events:
            self.clock.advance(CHECK_TIMEOUT)
        self.assertFalse(self.successResultOf(check))
        [line] = logLines(events)
        self.assertTrue(line.endswith(" the claim check failed: no result within 5 s"), line)
        self.calls[0].callback(True)

    def test_rateLimit(self) -> None:
        """The time until the call may be made does not count, and its result is for all by then."""
        turns: list[Deferred[None]] = []

        def mayCall() -> Deferred[None]:
            turns.append(Deferred())
            return turns[-1]

        self.claims = ClaimCheck(self.clock, self.call, mayCall)
        first = self.claims.check()
        self.clock.advance(10 * CHECK_TIMEOUT)
        second = self.claims.check()
        self.assertEqual((1, []), (len(turns), self.calls))
        turns[0].callback(None)
        self.clock.advance(CHECK_TIMEOUT - 1)
        self.calls[0].callback(False)
        self.assertEqual([False, False], [self.successResultOf(each) for each in (first, second)])

    def test_stopBeforeCall(self) -> None:
        """After stop, no call waits for the rate limiter."""
        cancelled: list[object] = []
        self.claims = ClaimCheck(self.clock, self.call, lambda: Deferred(cancelled.append))
        self.assertNoResult(self.claims.check())
        self.claims.stop()
        self.claims.stop()
        self.assertEqual((1, []), (len(cancelled), self.calls))

    def test_failure(self) -> None:
        """A failed call counts as negative, and its reason is logged."""
        check = self.claims.check()
        with capturedLogs() as events:
            self.calls[0].errback(callFailed())
        self.assertFalse(self.successResultOf(check))
        self.assertIn("AnOperation was refused", str(events[0]["reason"]))


class LimitTests(SynchronousTestCase):
    """The limits of players, in all and from one address."""

    def test_limits(self) -> None:
        """A player exceeds a limit if it is reached already; None is no limit."""
        for maxPlayers, fromAddress, maxPerAddress, over in (
            (None, 2, None, False),
            (3, 2, None, False),
            (2, 0, None, True),
            (1, 0, None, True),
            (None, 1, 2, False),
            (None, 2, 2, True),
            (None, 3, 2, True),
            (3, 2, 2, True),
            (2, 0, 2, True),
        ):
            self.assertEqual(over, overLimit(2, maxPlayers, fromAddress, maxPerAddress))
