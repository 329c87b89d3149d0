"""Tests of the check of replies, with boto3's own client and HTTP responses in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from botocore.awsrequest import AWSResponse
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.cli.replies import MAX_BODY, checkClient
from echoserver.gamelift.client import EndpointConfig, GameLift, openClient, openSession
from echoserver.gamelift.errors import CallFailed, NotFoundException
from tests.repliesdoubles import JSON, URL, MemorySession, httpResponse

SERVER = {
    "GameServerGroupName": "local",
    "GameServerId": "gs-1",
    "InstanceId": "i-0123456789abcdef0",
    "ConnectionInfo": "localhost:7000",
    "UtilizationStatus": "AVAILABLE",
    "RegistrationTime": 1700000000.5,
}


def dumps(reply: object) -> bytes:
    """Serialize a reply as FleetIQ does."""
    return json.dumps(reply).encode()


class RepliesTestCase(SynchronousTestCase):
    """Calls with replies in memory."""

    def setUp(self) -> None:
        config = EndpointConfig(endpoint=URL, local=True)
        client: Any = openClient(openSession(config), config, "us-east-1")
        client._endpoint.http_session = MemorySession(lambda _request: self.response)
        inThread: Any = maybeDeferred

        self.gameLift = GameLift(Clock(), inThread, config, client=lambda *_: checkClient(client))
        self.successResultOf(self.gameLift.region())
        self.successResultOf(self.gameLift.open("us-east-1"))

    def call(
        self, operation: str, body: bytes, contentType: str = JSON, status: int = 200
    ) -> Deferred[dict[str, Any]]:
        self.response = httpResponse(status, contentType, iter([body]))
        members = {"GameServerGroupName": "local", "GameServerId": "gs-1"}
        if operation.startswith("List"):
            members.pop("GameServerId")
        if operation == "ListGameServerGroups":
            members = {}
        return self.gameLift.call(operation, **members)

    def problem(
        self, operation: str, body: bytes, contentType: str = JSON, status: int = 200
    ) -> str:
        """Return the message of a call that fails."""
        failure = self.failureResultOf(self.call(operation, body, contentType, status), CallFailed)
        return str(failure.value)


class CheckTests(RepliesTestCase):
    """What is believed, and what is not."""

    def test_right(self) -> None:
        """A reply of the right shape is returned; members of a later model are ignored."""
        reply = self.successResultOf(
            self.call("ClaimGameServer", dumps({"GameServer": SERVER | {"New": [1]}, "Newer": 1}))
        )
        self.assertEqual(reply["GameServer"]["GameServerId"], "gs-1")
        self.assertEqual(reply["GameServer"]["RegistrationTime"].timestamp(), 1700000000.5)
        for body in (b"", dumps({})):
            self.successResultOf(self.call("DeregisterGameServer", body))
        reply = self.successResultOf(self.call("ListGameServers", dumps({"GameServers": []})))
        self.assertEqual(reply, {"GameServers": []})

    def test_refused(self) -> None:
        """FleetIQ's own errors are not affected."""
        body = dumps({"__type": "NotFoundException", "message": "no such server"})
        failure = self.failureResultOf(self.call("DescribeGameServer", body, status=400))
        failure.trap(NotFoundException)

    def test_otherFormat(self) -> None:
        """HTML, an empty body and other JSON are errors that name the endpoint and what came."""
        for operation in (
            "ClaimGameServer",
            "DeregisterGameServer",
            "DescribeGameServer",
            "ListGameServerGroups",
            "ListGameServers",
            "UpdateGameServer",
        ):
            bodies: tuple[tuple[bytes, str], ...] = (
                (b"<html>It works!</html>", "text/html"),
                (b"null", "application/json"),
                (b"[]", "application/json"),
                (json.dumps("GameServer").encode(), "application/x-amz-json-1.1"),
                (b"<html>", JSON),
                (b"null", JSON),
                (b"[" * 100000, JSON),
                (b"1" * 5000, JSON),
                (b"\xff\x00", JSON),
                (dumps([{}]), JSON),
                (b"", JSON),
                (b"", "text/html"),
            )
            for body, contentType in bodies:
                if operation == "DeregisterGameServer" and not body:
                    continue
                problem = self.problem(operation, body, contentType)
                sentence = f"{operation} returned an invalid reply: "
                self.assertTrue(problem.startswith(sentence), problem)
                self.assertIn(f"{URL} responded with status 200 and ", problem)
                self.assertIn("an empty body" if not body else f"{len(body):,d} bytes, ", problem)

    def test_emptyWithoutRequestId(self) -> None:
        """An empty body of a web server is not FleetIQ's reply, also if FleetIQ's is empty."""
        problem = self.problem("DeregisterGameServer", b"", "text/html")
        self.assertIn(f"{URL} responded with status 200 and an empty body: without", problem)

    def test_htmlError(self) -> None:
        """HTML with the status of an error is one, too."""
        for status in (301, 403, 404, 502):
            problem = self.problem("ListGameServers", b"<html>No</html>", "text/html", status)
            self.assertRegex(problem, f"^ListGameServers (was refused|failed): {status}: ")

    def test_members(self) -> None:
        """Members that are missing, null or of another type are errors that name the member."""
        for member, value, what in (
            ("GameServerId", None, "GameServer.GameServerId is missing"),
            ("GameServerId", "", "GameServer.GameServerId is missing"),
            ("GameServerId", "gs-2", "it is about game server 'gs-2', not 'gs-1'"),
            ("InstanceId", None, "GameServer.InstanceId is missing"),
            ("UtilizationStatus", None, "GameServer.UtilizationStatus is missing"),
            ("ConnectionInfo", 7000, "GameServer.ConnectionInfo is an int, not a string"),
            ("ConnectionInfo", True, "GameServer.ConnectionInfo is a bool, not a string"),
            ("ConnectionInfo", ["a"], "GameServer.ConnectionInfo is a list, not a string"),
            ("GameServerData", {"a": 1}, "GameServer.GameServerData is a dict, not a string"),
            ("RegistrationTime", "never", "not FleetIQ's format"),
            ("RegistrationTime", 1e300, "not FleetIQ's format"),
        ):
            body = dumps({"GameServer": SERVER | {member: value}})
            self.assertIn(what, self.problem("DescribeGameServer", body))
        for operation, reply, what in (
            ("ClaimGameServer", {"GameServer": None}, "GameServer is missing"),
            ("ClaimGameServer", {"GameServer": []}, "responded with"),
            ("ClaimGameServer", {"GameServer": "gs-1"}, "responded with"),
            ("ListGameServers", {"GameServers": None}, "GameServers is missing"),
            ("ListGameServers", {"GameServers": {}}, "GameServers is a dict, not a list"),
            ("ListGameServers", {"GameServers": ""}, "GameServers is"),
            ("ListGameServers", {"GameServers": [SERVER, None]}, "responded with"),
            ("ListGameServers", {"GameServers": [SERVER, {}]}, "GameServers[1].GameServerId is"),
            ("ListGameServers", {"GameServers": [], "NextToken": 1}, "NextToken is an int"),
            ("ListGameServerGroups", {"GameServerGroups": [{}]}, "GameServerGroupName is missing"),
        ):
            self.assertIn(what, self.problem(operation, dumps(reply)))

    def test_tooLong(self) -> None:
        """A body without end is read up to the limit; the connection is closed then."""
        read = 0

        def chunks() -> Iterator[bytes]:
            nonlocal read
            while True:
                read += 65536
                yield bytes(65536)

        self.response = httpResponse(200, JSON, chunks())
        raw = self.response.raw
        failure = self.failureResultOf(self.gameLift.call("ListGameServerGroups"), CallFailed)
        self.assertIn(f"{URL} responded with more than {MAX_BODY:,d} bytes", str(failure.value))
        self.assertTrue(raw.closed)
        self.assertLess(read, MAX_BODY + 2 * 65536)

    def test_nothingReceived(self) -> None:
        """An error before a response is not one of the reply."""

        def refuse(_request: Any) -> AWSResponse:
            raise ConnectionRefusedError("nobody")

        self.response = httpResponse(200, JSON, iter([]))
        problem = ""
        client: Any = self.gameLift
        client._client._client._endpoint.http_session._session._response = refuse
        problem = str(self.failureResultOf(self.gameLift.call("ListGameServerGroups")).value)
        self.assertNotIn("responded with", problem)
