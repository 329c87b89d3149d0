"""
The contract against AWS. The tests exist only if FLEETIQ_LIVE_GROUP names a game server group
without game servers, with at least two ACTIVE instances, and the credentials allow every operation.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echoserver.local.testing import RunningFleetIQ
from tests.contract import CallFailed, Reply, fleetIQContract

GROUP = os.environ.get("FLEETIQ_LIVE_GROUP")


class LiveAccess:
    """Calls operations on a group in AWS through boto3, and deregisters its game servers."""

    def __init__(self, group: str, reactor: Any, pool: ThreadPool) -> None:
        self.group = group
        self.instances: list[str] = []
        self._reactor = reactor
        self._pool = pool
        self._client: Any = None
        self._registered: set[str] = set()

    async def open(self) -> None:
        import boto3

        self._client = await self._inThread(boto3.client, "gamelift")
        group = {"GameServerGroupName": self.group}
        reply = await self.call("ListGameServers", group)
        if reply["GameServers"]:
            raise AssertionError(
                f"{self.group} has game servers: the contract would claim them. Name another "
                "group in FLEETIQ_LIVE_GROUP, or deregister them."
            )
        reply = await self.call("DescribeGameServerInstances", group)
        self.instances = [
            each["InstanceId"]
            for each in reply["GameServerInstances"]
            if each["InstanceStatus"] == "ACTIVE"
        ]
        if len(self.instances) < 2:
            raise AssertionError(
                f"{self.group} has {len(self.instances)} ACTIVE instances: the contract needs two."
            )

    async def call(self, operation: str, request: dict[str, Any]) -> Reply:
        from botocore.exceptions import ClientError

        try:
            reply: Reply = await self._inThread(self._client._make_api_call, operation, request)
        except ClientError as error:
            raise CallFailed(error.response["Error"]["Code"]) from error
        if operation == "RegisterGameServer":
            self._registered.add(request["GameServerId"])
        del reply["ResponseMetadata"]
        return reply

    def advance(self, seconds: float) -> None:
        raise AssertionError("AWS's clock cannot be advanced: mark this test with advancesClock.")

    async def clean(self) -> None:
        for gameServerId in self._registered:
            try:
                await self.call(
                    "DeregisterGameServer",
                    {"GameServerGroupName": self.group, "GameServerId": gameServerId},
                )
            except CallFailed as failed:
                if failed.code != "NotFoundException":
                    raise

    def _inThread(self, work: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool, work, *args)


async def openLive(test: TestCase) -> LiveAccess:
    from twisted.internet import reactor

    assert GROUP is not None
    pool = ThreadPool(1, 1, "boto3")
    pool.start()
    test.addCleanup(pool.stop)
    access = LiveAccess(GROUP, reactor, pool)
    test.addCleanup(lambda: Deferred.fromCoroutine(access.clean()))
    await access.open()
    return access


class RehearsalTests(SynchronousTestCase):
    """The tests themselves, against a local FleetIQ instead of AWS."""

    def test_rehearsal(self) -> None:
        """The tests pass, and leave no registered game server."""
        trial = [sys.executable, "-m", "twisted.trial", f"--temp-directory={self.mktemp()}"]
        with RunningFleetIQ() as fleetIQ:
            run = subprocess.run(
                [*trial, "tests.test_live.LiveTests"],
                env={**os.environ, **fleetIQ.environment, "FLEETIQ_LIVE_GROUP": "local"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                check=False,
            )
            state = fleetIQ.state()
        self.assertEqual(0, run.returncode, run.stdout)
        self.assertIn("RegisterGameServer", state["calls"])
        self.assertEqual([], state["gameServers"])


if GROUP is not None:

    class LiveTests(fleetIQContract(openLive, live=True)):  # type: ignore[misc] # a computed base class
        """The contract, in AWS."""
