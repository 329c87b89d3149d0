"""The instance metadata service, as an SDK meets it."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.metadata import Tokens
from echoserver.local.values import instanceIdOf
from tests.groupcontract import NEW_GROUP
from tests.local.inmemory import MemoryFleetIQ, Response

FIRST, SECOND = (instanceIdOf("local", index) for index in range(2))
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


class MetadataTests(SynchronousTestCase):
    """Requests to a whole local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ(seed=1)

    def get(self, path: str, token: str | None = None) -> Response:
        headers = {} if token is None else {TOKEN: token}
        return self.fleetIQ.ask("GET", path, headers)

    def put(self, ttl: str | None, path: str = "/latest/api/token", **more: str) -> Response:
        headers = more if ttl is None else {TTL: ttl, **more}
        return self.fleetIQ.ask("PUT", path, headers)

    def token(self, ttl: str = "60", path: str = "/latest/api/token") -> str:
        return self.put(ttl, path).body.decode()

    def assertPage(self, status: int, response: Response) -> None:
        self.assertEqual(status, response.status)
        self.assertEqual("text/html", response.headers["content-type"])
        self.assertIn(b'<html xmlns="http://www.w3.org/1999/xhtml"', response.body)
        self.assertIn(f"<h1>{status} - ".encode(), response.body)

    def test_values(self) -> None:
        """Each value is plain text without a line end, and says what connects on this machine."""
        for path, value in (
            ("instance-id", FIRST),
            ("public-hostname", "localhost"),
            ("public-ipv4", "127.0.0.1"),
            ("local-hostname", "localhost"),
            ("local-ipv4", "127.0.0.1"),
            ("placement/region", "us-east-1"),
            ("placement/availability-zone", "us-east-1a"),
            ("instance-life-cycle", "spot"),
            ("tags/instance/GameLift", "GameServerGroups"),
        ):
            response = self.get(f"/latest/meta-data/{path}")
            self.assertEqual((200, value.encode()), (response.status, response.body), path)
            self.assertEqual("text/plain", response.headers["content-type"])
            self.assertEqual("ec2ws", response.headers["server"])
            self.assertNotIn(TTL.lower(), response.headers)

    def test_listings(self) -> None:
        """A directory lists what is in it, sub-directories with a slash."""
        self.assertEqual(b"meta-data/", self.get("/latest/").body)
        self.assertEqual(
            b"availability-zone\nregion", self.get("/latest/meta-data/placement/").body
        )
        top = self.get("/latest/meta-data").body.split(b"\n")
        self.assertIn(b"placement/", top)
        self.assertIn(b"instance-id", top)

    def test_missing(self) -> None:
        """What is not there is a page with 404: notices too, until there are some."""
        for path in (
            "/latest/meta-data/spot/instance-action",
            "/latest/meta-data/instance-id/",
            "/latest/meta-data/instance-id/more",
            "/latest/meta-data//",
            "/instances/i-00000000000000000/latest/meta-data/",
            f"/instances/{FIRST}/",
            "/instances",
        ):
            self.assertPage(404, self.get(path))

    def test_eachInstance(self) -> None:
        """Each instance has its own metadata; /latest is the first one's."""
        path = f"/instances/{SECOND}/latest/meta-data/instance-id"
        self.assertEqual(SECOND.encode(), self.get(path).body)
        path = f"/instances/{FIRST}/latest/meta-data/instance-id"
        self.assertEqual(FIRST.encode(), self.get(path).body)

    def test_instancesComeAndGo(self) -> None:
        """An instance has its metadata when it appears, and no longer than it runs."""
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
        # The timer of the service may be late: a request finds what is true by now all the same.
        self.fleetIQ.clock.rightNow += 5
        self.assertPage(404, self.get(f"{path}/meta-data/", token))
        self.assertPage(404, self.put("60", f"{path}/api/token"))

    def test_firstInstanceGoes(self) -> None:
        """/latest is the first instance that runs: another's when it goes, and at last nobody's."""
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
        """A token has 56 characters; its answers say how many seconds it has left."""
        response = self.put("21600")
        self.assertEqual(200, response.status)
        self.assertEqual("21600", response.headers[TTL.lower()])
        token = response.body.decode()
        self.assertEqual(56, len(token))
        self.fleetIQ.clock.advance(100)
        answer = self.get("/latest/meta-data/instance-id", token)
        self.assertEqual((200, FIRST.encode()), (answer.status, answer.body))
        self.assertEqual("21500", answer.headers[TTL.lower()])

    def test_tokenEnds(self) -> None:
        """An expired token is 401, on a path that is not there as well."""
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
        """A token request needs a TTL from 1 to 21600."""
        for ttl in (None, "", "0", "21601", "-1", "1.5", "x", "9" * 1000):
            self.assertPage(400, self.put(ttl))
        self.assertEqual(200, self.put("1").status)

    def test_forwarded(self) -> None:
        """A token request that a proxy passed on is refused."""
        self.assertPage(403, self.put("60", **{"X-Forwarded-For": "10.0.0.1"}))

    def test_otherMethods(self) -> None:
        """Only the token is PUT, and it is not read."""
        self.assertPage(405, self.put("60", "/latest/meta-data/instance-id"))
        self.assertPage(405, self.get("/latest/api/token"))

    def test_head(self) -> None:
        """HEAD has the headers of GET and no body."""
        response = self.fleetIQ.ask("HEAD", "/latest/meta-data/instance-id")
        self.assertEqual((200, b""), (response.status, response.body))
        self.assertEqual("19", response.headers["content-length"])


class TokensTests(SynchronousTestCase):
    """What a token carries cannot be changed."""

    @settings(deadline=None)
    @given(index=st.integers(0, 55), character=st.characters(codec="latin-1"))
    def test_anyChange(self, index: int, character: str) -> None:
        """A token that was changed anywhere is worth nothing."""
        tokens = Tokens(Random(1))
        token = tokens.issue(FIRST, 60, 1000.0)
        changed = token[:index] + character + token[index + 1 :]
        left = tokens.secondsLeft(FIRST, changed, 1000.0)
        self.assertEqual(left > 0, changed == token)
