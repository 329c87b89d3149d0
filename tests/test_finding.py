"""The start: what is asked side by side, and what is shown of what was found."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.instance import Instance
from echoserver.finding import Found, both
from echoserver.gamelift.aws import GameLift, Where
from tests.awsdoubles import INSTANCE_ID, gameLiftWith


class FoundTests(SynchronousTestCase):
    """What operators see of it."""

    def test_noPassword(self) -> None:
        """A password in the endpoint's URL is not shown."""

        class AtPlace:
            where = Where("r", "https://user:secret@host:1/path")

        found = Found("group", "r", Instance(INSTANCE_ID, "--instance-id", {}))
        self.assertEqual(
            found.shown(cast(GameLift, AtPlace)),
            {
                "fleet": "AWS",
                "endpoint": "host:1",
                "region": "r",
                "group": "group",
                "instanceId": INSTANCE_ID,
            },
        )
        self.assertIsNone(found.shown(gameLiftWith(None))["endpoint"])


class BothTests(SynchronousTestCase):
    """Two things side by side."""

    @staticmethod
    async def wait(for_: Deferred[str]) -> str:
        return await for_

    def testboth(self) -> None:
        """Both results, in whichever order they come."""
        one: Deferred[int] = Deferred()
        other: Deferred[str] = Deferred()
        pair = Deferred.fromCoroutine(both(one, self.wait(other)))
        other.callback("two")
        self.assertNoResult(pair)
        one.callback(1)
        self.assertEqual(self.successResultOf(pair), (1, "two"))

    def test_failure(self) -> None:
        """The first failure is the failure, as it was; a second one is not left in the log."""
        never: Deferred[str] = Deferred()
        pair = Deferred.fromCoroutine(both(fail(KeyError("one")), self.wait(never)))
        self.failureResultOf(pair, KeyError)
        never.errback(ValueError("too late"))
        del never
        pair = Deferred.fromCoroutine(both(succeed(1), self.wait(fail(ValueError("two")))))
        self.failureResultOf(pair, ValueError)
        self.assertEqual(self.flushLoggedErrors(), [])
