"""The FleetIQ of AWS and the local one: where they are, whose group it is, what is told of them.
The start: what is asked side by side, and what is shown of what was found."""

from __future__ import annotations

import json
from typing import Any, cast

from treq.testing import StubTreq
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from echoserver.address import LOCAL_FLEETIQ_URL
from echoserver.ec2.identity import Instance
from echoserver.ec2.metadata import NoIdentity, NoMetadata
from echoserver.gamelift.client import EndpointConfig, GameLift
from echoserver.server.discovery import AWSTarget, Discovered, LocalTarget, both
from tests.awsdoubles import INSTANCE_ID, METADATA, gameLiftWith, told

URL = "http://127.0.0.1:4571"


class State(Resource):
    """The state of a local FleetIQ, and nothing else."""

    isLeaf = True

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def render_GET(self, request: Request) -> bytes:
        return self._body if request.path == b"/_local/state" else b"?"


class AWSTests(SynchronousTestCase):
    """The FleetIQ of AWS."""

    def region(self, given: str | None, **environ: str) -> tuple[str | None, list[str]]:
        """The region it comes to, and what was told."""
        with capturedLogs() as events:
            where = AWSTarget("group", given, None).endpointConfig(environ)
        self.assertEqual(where, EndpointConfig(region=where.region))
        return where.region, told(events)

    def test_region(self) -> None:
        """A region given, AWS_REGION, AWS_DEFAULT_REGION: the first there is."""
        one, other = "eu-west-3", "us-east-1"
        for given, environ, region in [
            (one, {"AWS_REGION": other, "AWS_DEFAULT_REGION": "sa-east-1"}, one),
            (None, {"AWS_REGION": one}, one),
            (None, {"AWS_DEFAULT_REGION": one}, one),
            (None, {"AWS_REGION": "", "AWS_DEFAULT_REGION": one}, one),
            (None, {"AWS_REGION": one, "AWS_DEFAULT_REGION": one}, one),
            (None, {}, None),
        ]:
            self.assertEqual(self.region(given, **environ), (region, []))

    def test_twoRegions(self) -> None:
        """Two variables that differ are warned of, with the winner's name."""
        self.assertEqual(
            self.region(None, AWS_REGION="eu-west-3", AWS_DEFAULT_REGION="us-east-1"),
            (
                "eu-west-3",
                ["AWS_REGION is eu-west-3, AWS_DEFAULT_REGION is us-east-1: eu-west-3 it is."],
            ),
        )

    def test_metadata(self) -> None:
        """The metadata service is where the variables say."""
        fleet = AWSTarget("group", None, None)
        self.assertEqual(fleet.metadataURL({}), METADATA)
        off = {"AWS_EC2_METADATA_DISABLED": "true"}
        self.assertRaises(NoMetadata, fleet.metadataURL, off)

    def test_group(self) -> None:
        """Its group is the one named: nobody is asked."""
        http: Any = None
        group = Deferred.fromCoroutine(AWSTarget("group", None, None).groupOf(http, INSTANCE_ID))
        self.assertEqual(self.successResultOf(group), "group")

    def test_waysOut(self) -> None:
        """Who cannot be identified is offered both ways out."""
        for option in ("--group", "--region", "--instance-id", "--connection-info"):
            self.assertIn(option, AWSTarget.hint)

    def test_told(self) -> None:
        """Where we speak, and how to play there."""
        fleet = AWSTarget("group", None, None)
        with capturedLogs() as events:
            fleet.logTarget("eu-west-3", "group")
        self.assertEqual(told(events), ["AWS FleetIQ in eu-west-3, group group."])
        self.assertIn(
            "--region eu-west-3 --group group play", fleet.playCommand("eu-west-3", "group")
        )

    def test_endpoint(self) -> None:
        """Another endpoint than AWS's own is called, named, and handed on to players."""
        fleet = AWSTarget("group", endpoint=URL)
        self.assertEqual(fleet.endpointConfig({}).endpoint, URL)
        with capturedLogs() as events:
            fleet.logTarget("eu-west-3", "group")
        self.assertEqual(told(events), [f"FleetIQ on {URL} in eu-west-3, group group."])
        self.assertTrue(
            fleet.playCommand("eu-west-3", "group").startswith(f"--endpoint-url {URL} ")
        )


class LocalTests(SynchronousTestCase):
    """A local FleetIQ."""

    def groupOf(self, body: bytes) -> Deferred[str]:
        http: Any = StubTreq(State(body))
        return Deferred.fromCoroutine(LocalTarget(URL, URL).groupOf(http, INSTANCE_ID))

    def test_where(self) -> None:
        """It is called with dummy credentials, whatever the variables say."""
        environ = {"AWS_REGION": "eu-west-3", "AWS_EC2_METADATA_DISABLED": "true"}
        fleet = LocalTarget(URL, f"{URL}/instances/{INSTANCE_ID}")
        self.assertEqual(fleet.endpointConfig(environ), EndpointConfig(endpoint=URL, local=True))
        self.assertEqual(fleet.metadataURL(environ), f"{URL}/instances/{INSTANCE_ID}")

    def test_group(self) -> None:
        """Its group is the one that the instance is in."""
        instances = [
            {"InstanceId": "i-another", "GameServerGroupName": "another"},
            {"InstanceId": INSTANCE_ID, "GameServerGroupName": "mine"},
        ]
        self.assertEqual(
            self.successResultOf(self.groupOf(json.dumps({"instances": instances}).encode())),
            "mine",
        )

    def test_strangersInstance(self) -> None:
        """An instance that is not of this FleetIQ is a sentence."""
        failure = self.failureResultOf(self.groupOf(b'{"instances": []}'), NoIdentity)
        self.assertEqual(
            str(failure.value), f"The local FleetIQ at {URL} has no instance {INSTANCE_ID}."
        )

    def test_noFleetIQ(self) -> None:
        """Another web server is no local FleetIQ."""
        for body in (b"<html>", b"{}", b"[]", b'{"instances": null}', b'{"instances": [1]}'):
            failure = self.failureResultOf(self.groupOf(body), NoMetadata)
            self.assertTrue(
                str(failure.value).startswith(f"No local FleetIQ answers at {URL}: "),
                str(failure.value),
            )

    def test_waysOut(self) -> None:
        """Who finds none is told how to start one."""
        self.assertEqual(
            LocalTarget.hint, " Start one with 'twistd -n fleetiq-local', or leave out --local."
        )

    def test_told(self) -> None:
        """How to play there: on the default port, no word too many."""
        for url, typed in [
            (LOCAL_FLEETIQ_URL, "play"),
            (URL, f"--endpoint-url {URL} --group group play"),
        ]:
            with capturedLogs() as events:
                LocalTarget(url, url).logTarget("us-east-1", "group")
            self.assertEqual(told(events), [])
            command = LocalTarget(url, url).playCommand("us-east-1", "group")
            self.assertEqual(command.removeprefix("fleetiq "), typed)


class FoundTests(SynchronousTestCase):
    """What operators see of it."""

    def test_noPassword(self) -> None:
        """A password in the endpoint's URL is not shown."""

        class AtPlace:
            where = EndpointConfig("r", "https://user:secret@host:1/path")

        found = Discovered("group", "r", Instance(INSTANCE_ID, "--instance-id", {}))
        self.assertEqual(
            found.asDict(cast(GameLift, AtPlace)),
            {
                "fleet": "AWS",
                "endpoint": "host:1",
                "region": "r",
                "group": "group",
                "instanceId": INSTANCE_ID,
            },
        )
        self.assertIsNone(found.asDict(gameLiftWith(None))["endpoint"])


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
