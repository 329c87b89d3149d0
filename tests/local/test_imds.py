"""The instance metadata service, as SDKs use it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.imds import Tokens
from echoserver.local.model.values import instanceIdOf
from tests.groupcontract import NEW_GROUP
from tests.local.inmemory import MemoryFleetIQ, Response, requestBytes

FIRST, SECOND = (instanceIdOf("local", index) for index in range(2))
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


class MetadataTests(SynchronousTestCase):
    """Requests to a complete local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ(seed=1)

    def get(self, path: str, token: str | None = None) -> Response:
        headers = {} if token is None else {TOKEN: token}
        return self.fleetIQ.request("GET", path, headers)

    def put(self, ttl: str | None, path: str = "/latest/api/token", **more: str) -> Response:
        headers = more if ttl is None else {TTL: ttl, **more}
        return self.fleetIQ.request("PUT", path, headers)

    def token(self, ttl: str = "60", path: str = "/latest/api/token") -> str:
        return self.put(ttl, path).body.decode()

    def metadata(self, instanceId: str, path: str) -> str | None:
        response = self.get(f"/instances/{instanceId}/latest/meta-data/{path}")
        return response.body.decode() if response.status == 200 else None

    def interrupt(self, instanceId: str, **more: Any) -> None:
        response = self.fleetIQ.control("interrupt", {"InstanceId": instanceId, **more})
        self.assertEqual(200, response.status, response.body)

    def assertPage(self, status: int, response: Response) -> None:
        self.assertEqual(status, response.status)
        self.assertEqual("text/html", response.headers["content-type"])
        self.assertIn(b'<html xmlns="http://www.w3.org/1999/xhtml"', response.body)
        self.assertIn(f"<h1>{status} - ".encode(), response.body)

    def test_values(self) -> None:
        """Each value is plain text without a line end. Addresses are this machine's."""
        for path, value in (
            ("instance-id", FIRST),
            ("public-hostname", "localhost"),
            ("public-ipv4", "127.0.0.1"),
            ("local-hostname", "localhost"),
            ("local-ipv4", "127.0.0.1"),
            ("placement/region", "us-east-1"),
            ("placement/availability-zone", "us-east-1a"),
            ("placement/availability-zone-id", "use1-az1"),
            ("instance-life-cycle", "spot"),
            ("tags/instance/GameLift", "GameServerGroups"),
            ("autoscaling/target-lifecycle-state", "InService"),
            ("events/maintenance/scheduled", "[]"),
            ("iam/security-credentials/", "fleetiq-local"),
        ):
            response = self.get(f"/latest/meta-data/{path}")
            self.assertEqual((200, value.encode()), (response.status, response.body), path)
            self.assertEqual("text/plain", response.headers["content-type"])
            self.assertEqual("ec2ws", response.headers["server"])
            self.assertEqual("tue, 14 nov 2023 22:13:20 gmt", response.headers["last-modified"])
            self.assertNotIn(TTL.lower(), response.headers)

    def test_listings(self) -> None:
        """A directory lists its entries, sub-directories with a slash."""
        self.assertEqual(b"dynamic\nmeta-data", self.get("/latest/").body)
        self.assertEqual(b"fws/\ninstance-identity/", self.get("/latest/dynamic").body)
        self.assertEqual(b"instance/", self.get("/latest/meta-data/tags/").body)
        self.assertEqual(
            b"availability-zone\navailability-zone-id\nregion",
            self.get("/latest/meta-data/placement/").body,
        )
        top = self.get("/latest/meta-data").body.split(b"\n")
        self.assertIn(b"placement/", top)
        self.assertIn(b"instance-id", top)

    def test_trailingSlash(self) -> None:
        """A value with a trailing slash is the same: botocore's region fetcher requests it so."""
        for path in ("instance-id", "placement/availability-zone", "tags/instance/GameLift"):
            value = self.get(f"/latest/meta-data/{path}")
            self.assertEqual(200, value.status)
            self.assertEqual(value.body, self.get(f"/latest/meta-data/{path}/").body)

    def test_missing(self) -> None:
        """A missing path is a page with 404, also the notices before there are any."""
        for path in (
            "/latest/meta-data/spot/instance-action",
            "/latest/meta-data/spot/termination-time",
            "/latest/meta-data/spot/",
            "/latest/meta-data/events/recommendations/rebalance",
            "/latest/meta-data/instance-id//",
            "/latest/meta-data/instance-id/more",
            "/latest/meta-data//",
            "/instances/i-00000000000000000/latest/meta-data/",
            "/instances/i-00000000000000000/",
            f"/instances/{FIRST}",
            f"/instances/{FIRST}/2021-01-01/meta-data/",
            "/instances",
            "/latest/user-data",
            "/latest/meta-data/kernel-id",
            "/latest/meta-data/product-codes",
            "/latest/meta-data/ancestor-ami-ids",
        ):
            self.assertPage(404, self.get(path))

    def test_eachInstance(self) -> None:
        """Each instance has its own metadata; /latest is that of the first."""
        path = f"/instances/{SECOND}/latest/meta-data/instance-id"
        self.assertEqual(SECOND.encode(), self.get(path).body)
        path = f"/instances/{FIRST}/latest/meta-data/instance-id"
        self.assertEqual(FIRST.encode(), self.get(path).body)

    def test_instancesComeAndGo(self) -> None:
        """An instance has metadata from its launch to its end."""
        self.fleetIQ.call("CreateGameServerGroup", **NEW_GROUP)
        for seconds in (1, 4):
            self.assertEqual(2, len(self.fleetIQ.state()["instances"]))
            self.fleetIQ.clock.advance(seconds)
        new = self.fleetIQ.state()["instances"][-1]
        self.assertEqual(NEW_GROUP["GameServerGroupName"], new["GameServerGroupName"])
        path = f"/instances/{new['InstanceId']}/latest"
        value = self.get(f"{path}/meta-data/instance-id").body
        self.assertEqual(new["InstanceId"].encode(), value)
        token = self.token(path=f"{path}/api/token")
        self.assertEqual(200, self.get(f"{path}/meta-data/", token).status)
        self.assertPage(401, self.get("/latest/meta-data/", token))
        self.fleetIQ.call("DeleteGameServerGroup", GameServerGroupName=new["GameServerGroupName"])
        # The expiry timer may be late: a request still sees the current state.
        self.fleetIQ.clock.rightNow += 5
        self.assertPage(404, self.get(f"{path}/meta-data/", token))
        self.assertPage(404, self.put("60", f"{path}/api/token"))

    def test_firstInstanceEnds(self) -> None:
        """If the first instance ends, /latest is the next one's, and 404 after the last."""
        self.fleetIQ.call("CreateGameServerGroup", **NEW_GROUP)
        self.fleetIQ.clock.pump([1] * 5)
        self.fleetIQ.call("DeleteGameServerGroup", GameServerGroupName="local")
        self.assertEqual(FIRST.encode(), self.get("/latest/meta-data/instance-id").body)
        self.fleetIQ.clock.pump([1] * 5)
        [last] = self.fleetIQ.state()["instances"]
        value = self.get("/latest/meta-data/instance-id").body
        self.assertEqual(last["InstanceId"].encode(), value)
        group = NEW_GROUP["GameServerGroupName"]
        self.fleetIQ.call("DeleteGameServerGroup", GameServerGroupName=group)
        self.fleetIQ.clock.pump([1] * 5)
        self.assertPage(404, self.get("/latest/meta-data/instance-id"))

    def test_token(self) -> None:
        """A token has 56 characters. Responses have its remaining seconds."""
        response = self.put("21600")
        self.assertEqual(200, response.status)
        self.assertEqual("21600", response.headers[TTL.lower()])
        token = response.body.decode()
        self.assertEqual(56, len(token))
        self.fleetIQ.clock.advance(100)
        response = self.get("/latest/meta-data/instance-id", token)
        self.assertEqual((200, FIRST.encode()), (response.status, response.body))
        self.assertEqual("21500", response.headers[TTL.lower()])

    def test_tokenEnds(self) -> None:
        """An expired token is 401, also for a missing path."""
        token = self.token("60")
        self.fleetIQ.clock.advance(60)
        self.assertPage(401, self.get("/latest/meta-data/instance-id", token))
        self.assertPage(401, self.get("/latest/meta-data/nothing", token))

    def test_strangeTokens(self) -> None:
        """A token that this instance did not issue is 401."""
        other = self.token(path=f"/instances/{SECOND}/latest/api/token")
        for token in (other, "", "x", "A" * 56, "\xff" * 56, self.token() + "A"):
            self.assertPage(401, self.get("/latest/meta-data/instance-id", token))

    def test_badTTL(self) -> None:
        """A token request must have a TTL from 1 to 21600."""
        for ttl in (None, "", "0", "21601", "-1", "1.5", "x", "9" * 1000):
            self.assertPage(400, self.put(ttl))
        self.assertEqual(200, self.put("1").status)

    def test_forwarded(self) -> None:
        """A token request that a proxy has forwarded is rejected."""
        self.assertPage(403, self.put("60", **{"X-Forwarded-For": "10.0.0.1"}))

    def test_otherMethods(self) -> None:
        """PUT is only for the token, and GET is not for the token."""
        self.assertPage(405, self.put("60", "/latest/meta-data/instance-id"))
        self.assertPage(405, self.get("/latest/api/token"))

    def test_eachResponseClosesConnection(self) -> None:
        """The connection closes after each response, as on EC2."""
        for path in ("/latest/meta-data/", "/latest/meta-data/nothing"):
            connection = self.fleetIQ.connect()
            connection.send(requestBytes("GET", path, {}, b""))
            response = connection.response()
            assert response is not None
            self.assertEqual("close", response.headers["connection"])
            self.assertEqual("none", response.headers["accept-ranges"])
            self.assertFalse(connection.transport.connected)

    def test_dates(self) -> None:
        """A dated version has the same values, but issues no tokens."""
        for start in ("", f"/instances/{FIRST}"):
            response = self.get(f"{start}/2021-03-23/meta-data/instance-id", self.token())
            self.assertEqual(FIRST.encode(), response.body)
            self.assertPage(403, self.put("60", f"{start}/2021-03-23/api/token"))

    def test_versions(self) -> None:
        """An instance lists the versions that EC2 has, with a token if one is required."""
        self.fleetIQ = MemoryFleetIQ(imds="v2")
        self.assertPage(401, self.get(f"/instances/{FIRST}/"))
        token = self.token(path=f"/instances/{FIRST}/latest/api/token")
        versions = self.get(f"/instances/{FIRST}/", token).body.decode().split("\n")
        self.assertEqual(["1.0", "2007-01-19", "latest"], [*versions[:2], versions[-1]])
        self.assertEqual(versions, self.get("/", token).body.decode().split("\n"))
        self.assertPage(401, self.get("/", token[::-1]))
        for version in versions:
            for start in ("", f"/instances/{FIRST}"):
                response = self.get(f"{start}/{version}/meta-data/instance-id", token)
                self.assertEqual(FIRST.encode(), response.body, version)

    def test_publicKeys(self) -> None:
        """Keys are listed with their names, but have paths of their numbers."""
        path = "/latest/meta-data/public-keys"
        self.assertEqual(b"0=fleetiq-local", self.get(f"{path}/").body)
        self.assertEqual(b"openssh-key", self.get(f"{path}/0/").body)
        self.assertTrue(self.get(f"{path}/0/openssh-key").body.startswith(b"ssh-ed25519 AAAA"))
        self.assertPage(404, self.get(f"{path}/1/"))

    def test_userData(self) -> None:
        """User data may be any bytes, and is listed if there is any."""
        self.fleetIQ = MemoryFleetIQ(userData=b"#!/bin/sh\xff\n")
        response = self.get("/latest/user-data")
        self.assertEqual((200, b"#!/bin/sh\xff\n"), (response.status, response.body))
        self.assertEqual("application/octet-stream", response.headers["content-type"])
        self.assertEqual(b"dynamic\nmeta-data\nuser-data", self.get("/latest/").body)

    def test_setAtStart(self) -> None:
        """A value that is set replaces that of all instances; the identity document has it too."""
        self.fleetIQ = MemoryFleetIQ(
            metadata={"instance-type": "c7g.large", "tags/instance/A": "b"}
        )
        for instanceId in (FIRST, SECOND):
            self.assertEqual("c7g.large", self.metadata(instanceId, "instance-type"))
            self.assertEqual("b", self.metadata(instanceId, "tags/instance/A"))
        document = self.get("/latest/dynamic/instance-identity/document").json
        self.assertEqual(("c7g.large", FIRST), (document["instanceType"], document["instanceId"]))

    def test_maintenance(self) -> None:
        """Scheduled maintenance is in the metadata, and when it is over in the history."""
        self.interrupt(SECOND, kind="system-reboot", seconds=60)
        [event] = json.loads(self.metadata(SECOND, "events/maintenance/scheduled") or "")
        self.assertTrue(event.pop("EventId").startswith("instance-event-"))
        self.assertEqual(
            {
                "NotBefore": "14 Nov 2023 22:14:20 GMT",
                "Code": "system-reboot",
                "Description": "scheduled reboot",
                "NotAfter": "14 Nov 2023 22:31:00 GMT",
                "State": "active",
            },
            event,
        )
        self.assertEqual("[]", self.metadata(SECOND, "events/maintenance/history"))
        self.assertEqual("[]", self.metadata(FIRST, "events/maintenance/scheduled"))
        self.fleetIQ.clock.advance(1060)
        self.assertEqual("[]", self.metadata(SECOND, "events/maintenance/scheduled"))
        [event] = json.loads(self.metadata(SECOND, "events/maintenance/history") or "")
        self.assertEqual(
            ("[Completed] scheduled reboot", "completed"), (event["Description"], event["State"])
        )

    def test_maintenanceThatEnds(self) -> None:
        """A scheduled stop or retirement ends the instance at its time."""
        for instanceId, kind in ((FIRST, "instance-stop"), (SECOND, "instance-retirement")):
            self.interrupt(instanceId, kind=kind, seconds=60)
            [event] = json.loads(self.metadata(instanceId, "events/maintenance/scheduled") or "")
            self.assertEqual(kind, event["Code"])
            self.assertNotIn("NotAfter", event)
            self.assertIsNone(self.metadata(instanceId, "spot/instance-action"))
        self.fleetIQ.clock.advance(60)
        self.assertEqual([], self.fleetIQ.state()["instances"])

    def test_credentials(self) -> None:
        """The role's credentials have the form that SDKs parse, and end in the future."""
        response = self.get("/latest/meta-data/iam/security-credentials/fleetiq-local")
        self.assertEqual(
            {
                "Code": "Success",
                "LastUpdated": "2023-11-14T22:13:20Z",
                "Type": "AWS-HMAC",
                "AccessKeyId": "local",
                "SecretAccessKey": "local",
                "Token": "local",
                "Expiration": "2023-11-15T04:13:20Z",
            },
            response.json,
        )

    def test_version1(self) -> None:
        """With v1 no tokens are issued, and a token in a request is ignored."""
        self.fleetIQ = MemoryFleetIQ(imds="v1")
        self.assertPage(404, self.put("60"))
        response = self.get("/latest/meta-data/instance-id", "any")
        self.assertEqual(FIRST.encode(), response.body)
        self.assertNotIn(TTL.lower(), response.headers)

    def test_version2(self) -> None:
        """With v2 each request must have a token."""
        self.fleetIQ = MemoryFleetIQ(imds="v2")
        for path in ("instance-id", "nothing"):
            self.assertPage(401, self.get(f"/latest/meta-data/{path}"))
        response = self.get("/latest/meta-data/instance-id", self.token())
        self.assertEqual(FIRST.encode(), response.body)

    def test_spotNotice(self) -> None:
        """Both spot paths have the time at which the instance ends; other instances have none."""
        self.interrupt(SECOND, kind="spot", seconds=90)
        for seconds in (0, 89):
            self.fleetIQ.clock.advance(seconds)
            self.assertEqual(
                '{"action": "terminate", "time": "2023-11-14T22:14:50Z"}',
                self.metadata(SECOND, "spot/instance-action"),
            )
            self.assertEqual("2023-11-14T22:14:50Z", self.metadata(SECOND, "spot/termination-time"))
        self.assertIsNone(self.metadata(FIRST, "spot/instance-action"))
        self.assertEqual("InService", self.metadata(SECOND, "autoscaling/target-lifecycle-state"))
        self.fleetIQ.clock.advance(1)
        self.assertPage(404, self.get(f"/instances/{SECOND}/latest/meta-data/instance-id"))

    def test_rebalanceNotice(self) -> None:
        """A rebalance recommendation has its time, which is also Last-Modified."""
        self.fleetIQ.clock.advance(100)
        self.interrupt(SECOND, kind="rebalance")
        response = self.get(
            f"/instances/{SECOND}/latest/meta-data/events/recommendations/rebalance"
        )
        self.assertEqual(b'{"noticeTime": "2023-11-14T22:15:00Z"}', response.body)
        self.assertEqual("tue, 14 nov 2023 22:15:00 gmt", response.headers["last-modified"])
        self.assertIsNone(self.metadata(FIRST, "events/recommendations/rebalance"))
        self.fleetIQ.clock.advance(1000)
        self.assertEqual("InService", self.metadata(SECOND, "autoscaling/target-lifecycle-state"))

    def test_autoscalingNotice(self) -> None:
        """The target state of Auto Scaling is Terminated until the instance ends."""
        self.interrupt(SECOND, kind="autoscaling")
        self.assertEqual("Terminated", self.metadata(SECOND, "autoscaling/target-lifecycle-state"))
        self.assertEqual("InService", self.metadata(FIRST, "autoscaling/target-lifecycle-state"))
        self.fleetIQ.clock.advance(120)
        self.assertIsNone(self.metadata(SECOND, "autoscaling/target-lifecycle-state"))

    def test_drainingIsNoNotice(self) -> None:
        """The metadata has no notice of an instance that FleetIQ drains."""
        self.interrupt(SECOND, kind="draining")
        self.assertEqual("InService", self.metadata(SECOND, "autoscaling/target-lifecycle-state"))
        self.assertIsNone(self.metadata(SECOND, "spot/instance-action"))

    def test_head(self) -> None:
        """HEAD returns the headers of GET without a body."""
        response = self.fleetIQ.request("HEAD", "/latest/meta-data/instance-id")
        self.assertEqual((200, b""), (response.status, response.body))
        self.assertEqual("19", response.headers["content-length"])


class TokensTests(SynchronousTestCase):
    """Tokens cannot be forged."""

    @settings(deadline=None)
    @given(index=st.integers(0, 55), character=st.characters(codec="latin-1"))
    def test_anyChange(self, index: int, character: str) -> None:
        """A token with any changed character is invalid."""
        tokens = Tokens(Random(1))
        token = tokens.issue(FIRST, 60, 1000.0)
        changed = token[:index] + character + token[index + 1 :]
        left = tokens.secondsLeft(FIRST, changed, 1000.0)
        self.assertEqual(left > 0, changed == token)
