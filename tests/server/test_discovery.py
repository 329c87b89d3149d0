"""Tests of echoserver.server.discovery: the targets, their groups, and the result."""

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
from echoserver.server.discovery import (
    AWSTarget,
    Discovered,
    LocalTarget,
    gatherBoth,
    groupOf,
    logTarget,
    warnOfTwoRegions,
)
from tests.awsdoubles import INSTANCE_ID, METADATA, gameLiftWith, logLines

URL = "http://127.0.0.1:4571"


class State(Resource):
    """The /_local/state of a local FleetIQ."""

    isLeaf = True

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def render_GET(self, request: Request) -> bytes:
        return self._body if request.path == b"/_local/state" else b"?"


class AWSTests(SynchronousTestCase):
    """L{AWSTarget}."""

    def region(self, given: str | None, **environ: str) -> tuple[str | None, list[str]]:
        """Return the region, and what was logged."""
        target = AWSTarget("group", given, None)
        config = target.endpointConfig(environ)
        self.assertEqual(config, EndpointConfig(region=config.region))
        with capturedLogs() as events:
            warnOfTwoRegions(target, environ)
        return config.region, logLines(events)

    def test_region(self) -> None:
        """The order is --region, AWS_REGION, AWS_DEFAULT_REGION."""
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
        """If the two variables differ, a warning names the region in use."""
        self.assertEqual(
            self.region(None, AWS_REGION="eu-west-3", AWS_DEFAULT_REGION="us-east-1"),
            (
                "eu-west-3",
                ["AWS_REGION is eu-west-3, AWS_DEFAULT_REGION is us-east-1: using eu-west-3."],
            ),
        )

    def test_metadata(self) -> None:
        """The variables give the URL of the metadata service."""
        target = AWSTarget("group", None, None)
        self.assertEqual(target.metadataURL({}), METADATA)
        off = {"AWS_EC2_METADATA_DISABLED": "true"}
        self.assertRaises(NoMetadata, target.metadataURL, off)

    def test_group(self) -> None:
        """The group is the value of --group; no request is sent."""
        http: Any = None
        target = AWSTarget("group", None, None)
        group = Deferred.fromCoroutine(groupOf(target, http, INSTANCE_ID))
        self.assertEqual(self.successResultOf(group), "group")

    def test_hint(self) -> None:
        """The hint names the options that help if the instance has no identity."""
        for option in ("--group", "--region", "--instance-id", "--connection-info"):
            self.assertIn(option, AWSTarget.hint)

    def test_told(self) -> None:
        """The log names FleetIQ, the region and the group; the play command has them too."""
        target = AWSTarget("group", None, None)
        with capturedLogs() as events:
            logTarget(target, "eu-west-3", "group")
        self.assertEqual(logLines(events), ["AWS FleetIQ in eu-west-3, group group."])
        self.assertIn(
            "--region eu-west-3 --group group play", target.playCommand("eu-west-3", "group")
        )

    def test_endpoint(self) -> None:
        """Another endpoint is called, logged, and part of the play command."""
        target = AWSTarget("group", endpoint=URL)
        self.assertEqual(target.endpointConfig({}).endpoint, URL)
        with capturedLogs() as events:
            logTarget(target, "eu-west-3", "group")
        self.assertEqual(logLines(events), [f"FleetIQ on {URL} in eu-west-3, group group."])
        self.assertTrue(
            target.playCommand("eu-west-3", "group").startswith(f"--endpoint-url {URL} ")
        )


class LocalTests(SynchronousTestCase):
    """L{LocalTarget}."""

    def groupOf(self, body: bytes) -> Deferred[str]:
        http: Any = StubTreq(State(body))
        return Deferred.fromCoroutine(groupOf(LocalTarget(URL, URL), http, INSTANCE_ID))

    def test_endpointConfig(self) -> None:
        """It is called with dummy credentials. The variables are ignored."""
        environ = {"AWS_REGION": "eu-west-3", "AWS_EC2_METADATA_DISABLED": "true"}
        target = LocalTarget(URL, f"{URL}/instances/{INSTANCE_ID}")
        self.assertEqual(target.endpointConfig(environ), EndpointConfig(endpoint=URL, local=True))
        self.assertEqual(target.metadataURL(environ), f"{URL}/instances/{INSTANCE_ID}")

    def test_group(self) -> None:
        """The group is the one that has the instance."""
        instances = [
            {"InstanceId": "i-another", "GameServerGroupName": "another"},
            {"InstanceId": INSTANCE_ID, "GameServerGroupName": "mine"},
        ]
        self.assertEqual(
            self.successResultOf(self.groupOf(json.dumps({"instances": instances}).encode())),
            "mine",
        )

    def test_unknownInstance(self) -> None:
        """If no group has the instance, an error names the instance."""
        failure = self.failureResultOf(self.groupOf(b'{"instances": []}'), NoIdentity)
        self.assertEqual(
            str(failure.value), f"The local FleetIQ at {URL} has no instance {INSTANCE_ID}."
        )

    def test_noFleetIQ(self) -> None:
        """The response of another web server is an error."""
        for body in (b"<html>", b"{}", b"[]", b'{"instances": null}', b'{"instances": [1]}'):
            failure = self.failureResultOf(self.groupOf(body), NoMetadata)
            self.assertTrue(
                str(failure.value).startswith(f"No local FleetIQ responds at {URL}: "),
                str(failure.value),
            )

    def test_hint(self) -> None:
        """The hint says how to start a local FleetIQ."""
        self.assertEqual(
            LocalTarget.hint, " Start one with 'twistd -n fleetiq-local', or leave out --local."
        )

    def test_told(self) -> None:
        """The play command is short on the default port. The target is not logged."""
        for url, typed in [
            (LOCAL_FLEETIQ_URL, "play"),
            (URL, f"--endpoint-url {URL} --group group play"),
        ]:
            with capturedLogs() as events:
                logTarget(LocalTarget(url, url), "us-east-1", "group")
            self.assertEqual(logLines(events), [])
            command = LocalTarget(url, url).playCommand("us-east-1", "group")
            self.assertEqual(command.removeprefix("fleetiq "), typed)


class DiscoveredTests(SynchronousTestCase):
    """L{Discovered}."""

    def test_noPassword(self) -> None:
        """The dictionary does not have the password of the endpoint's URL."""

        class StubGameLift:
            where = EndpointConfig("r", "https://user:secret@host:1/path")

        discovered = Discovered("group", "r", Instance(INSTANCE_ID, "--instance-id", {}))
        self.assertEqual(
            discovered.asDict(cast(GameLift, StubGameLift)),
            {
                "fleet": "AWS",
                "endpoint": "host:1",
                "region": "r",
                "group": "group",
                "instanceId": INSTANCE_ID,
            },
        )
        self.assertIsNone(discovered.asDict(gameLiftWith(None))["endpoint"])


class GatherBothTests(SynchronousTestCase):
    """L{gatherBoth}."""

    @staticmethod
    async def wait(for_: Deferred[str]) -> str:
        return await for_

    def test_results(self) -> None:
        """Both results are returned, whichever is first."""
        one: Deferred[int] = Deferred()
        other: Deferred[str] = Deferred()
        pair = Deferred.fromCoroutine(gatherBoth(one, self.wait(other)))
        other.callback("two")
        self.assertNoResult(pair)
        one.callback(1)
        self.assertEqual(self.successResultOf(pair), (1, "two"))

    def test_failure(self) -> None:
        """The first failure is raised unchanged. A second failure is not logged."""
        never: Deferred[str] = Deferred()
        pair = Deferred.fromCoroutine(gatherBoth(fail(KeyError("one")), self.wait(never)))
        self.failureResultOf(pair, KeyError)
        never.errback(ValueError("too late"))
        del never
        pair = Deferred.fromCoroutine(gatherBoth(succeed(1), self.wait(fail(ValueError("two")))))
        self.failureResultOf(pair, ValueError)
        self.assertEqual(self.flushLoggedErrors(), [])
