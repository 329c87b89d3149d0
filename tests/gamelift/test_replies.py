"""Tests of echoserver.gamelift.replies: the real boto3 client against a hostile endpoint."""

from __future__ import annotations

import json
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.client import EndpointConfig, openCheckedClient
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.replies import MAX_REPLY
from tests.awsdoubles import ONE, LoopbackEndpoint, gameLiftWith, localSession

HEAD = "HTTP/1.1 {status} Said\r\nContent-Type: application/x-amz-json-1.1\r\n"
SERVER = {"GameServerId": "server", "InstanceId": "i-0123456789abcdef0"}
# The kernel's buffers on loopback, and the bytes that are read.
MOST_SENT = 32 * 1024 * 1024


class RepliesTestCase(SynchronousTestCase):
    """A client and an endpoint on loopback."""

    def setUp(self) -> None:
        self.endpoint = LoopbackEndpoint()
        self.addCleanup(self.endpoint.close)
        where = EndpointConfig(endpoint=self.endpoint.url, local=True)
        self.client = openCheckedClient(localSession(), where, "us-east-1")

    def call(self, operation: str = "DescribeGameServer", **members: Any) -> Any:
        call = gameLiftWith(self.client).call(operation, **members)
        return self.successResultOf(call)

    def error(self, operation: str = "DescribeGameServer", **members: Any) -> CallFailed:
        """Return the error, which must be retried, and name the endpoint in one short line."""
        call = gameLiftWith(self.client).call(operation, **(members or ONE))
        error: Any = self.failureResultOf(call, CallFailed).value
        self.assertEqual((error.retry, error.mayHaveHappened), (True, True), str(error))
        self.assertIn(self.endpoint.url, str(error))
        self.assertTrue(str(error).isprintable(), repr(str(error)))
        self.assertLess(len(str(error)), 400)
        return cast(CallFailed, error)


class LengthTests(RepliesTestCase):
    """Replies that do not end."""

    def assertStopped(self) -> None:
        """The call fails, and only a part of the reply has been sent."""
        error = self.error()
        self.assertEqual(error.code, "unreadable")
        self.assertIn(f" sent more than {MAX_REPLY} bytes.", str(error))
        self.assertLess(self.endpoint.endlessBytes, MOST_SENT)

    def test_contentLength(self) -> None:
        """A reply of 300 MB with a Content-Length is not read to the end."""
        for status in (200, 400, 500):
            head = f"{HEAD}Content-Length: 300000000\r\n\r\n".format(status=status)
            self.endpoint.response = head.encode() + b'{"GameServer": "'
            self.endpoint.endless = b"x" * 65_536
            self.assertStopped()

    def test_chunked(self) -> None:
        """A chunked reply without an end is not read further than the limit."""
        self.endpoint.response = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".format(
            status=200
        ).encode()
        self.endpoint.endless = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        self.assertStopped()

    def test_untilClose(self) -> None:
        """A reply without a length is not read further than the limit."""
        self.endpoint.response = f"{HEAD}Connection: close\r\n\r\n".format(status=200).encode()
        self.endpoint.endless = b"[" * 65_536
        self.assertStopped()

    def test_chunkLine(self) -> None:
        """A line with the length of a chunk that does not end is an error, and is not kept."""
        self.endpoint.response = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".format(
            status=200
        ).encode()
        self.endpoint.endless = b"1" * 65_536
        self.error()
        self.assertLess(self.endpoint.endlessBytes, MOST_SENT)

    def test_headers(self) -> None:
        """Headers without an end are an error."""
        self.endpoint.response = HEAD.format(status=200).encode()
        self.endpoint.endless = b"X-Header: x\r\n" * 5000
        self.error()
        self.assertLess(self.endpoint.endlessBytes, MOST_SENT)

    def test_longest(self) -> None:
        """A reply of exactly the limit is read, also in chunks."""
        reply = json.dumps({"GameServer": SERVER}).encode()
        body = reply + b" " * (MAX_REPLY - len(reply))
        self.endpoint.setResponse(200, body)
        self.assertEqual(self.call(**ONE), {"GameServer": SERVER})
        chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        head = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".format(status=200).encode()
        self.endpoint.response = head + chunk
        self.assertEqual(self.call(**ONE), {"GameServer": SERVER})
        self.endpoint.setResponse(200, body + b" ")
        self.error()

    def test_short(self) -> None:
        """A body that is shorter than its Content-Length is an error, also if it is valid JSON."""
        self.endpoint.setResponse(200, {"GameServer": SERVER}, short=1)
        self.assertEqual(self.error().code, "ConnectionClosedError")


class BodyTests(RepliesTestCase):
    """Replies with status 200 that are not those of GameLift."""

    def test_notJSON(self) -> None:
        """A body that is not a JSON object is an error, which shows the beginning of the body."""
        for body, shown in [
            (b"<html>\n<p>Welcome</p>", "<html> <p>Welcome</p>"),
            (b"", "nothing"),
            (b"null", "null"),
            (b"[1]", "[1]"),
            (b'"text"', '"text"'),
            (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
            (b"\x1b[31mred", "\\x1b[31mred"),
            (b"[" * 200_000, "[" * 60),
        ]:
            self.endpoint.setResponse(200, body)
            self.assertIn(f" sent no JSON object, but: {shown}.", str(self.error()))

    def test_deregister(self) -> None:
        """The reply to DeregisterGameServer is empty, or an object. A page is an error."""
        for body in (b"", b"{}"):
            self.endpoint.setResponse(200, body)
            self.assertEqual(self.call("DeregisterGameServer", **ONE), {})
        self.endpoint.setResponse(200, b"<html>")
        self.error("DeregisterGameServer", **ONE)

    def test_missing(self) -> None:
        """A reply without the member of the operation is an error."""
        group = {"GameServerGroupName": "group"}
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("DescribeGameServer", ONE, "GameServer"),
            ("ListGameServers", group, "GameServers"),
            ("DescribeGameServerInstances", group, "GameServerInstances"),
            ("ListGameServerGroups", {"Limit": 1}, "GameServerGroups"),
        ]
        for operation, members, name in cases:
            bodies: list[dict[str, Any]] = [{}, {name: None}, {"Other": []}]
            for body in bodies:
                self.endpoint.setResponse(200, body)
                self.assertIn(f" sent no {name}.", str(self.error(operation, **members)))

    def test_types(self) -> None:
        """A member of another type is an error that names it."""
        for member in ("GameServerId", "ConnectionInfo", "GameServerData", "ClaimStatus"):
            for value in (7, True, ["x"], {"x": "y"}):
                self.endpoint.setResponse(200, {"GameServer": {**SERVER, member: value}})
                line = f" sent {value!r} as GameServer.{member}."
                self.assertIn(line, str(self.error()))

    def test_list(self) -> None:
        """Elements of another type are an error."""
        elements: list[Any] = [None, 7, "server", [], {"GameServerId": 7}]
        for element in elements:
            self.endpoint.setResponse(200, {"GameServers": [SERVER, element]})
            self.error("ListGameServers", GameServerGroupName="group")
        self.endpoint.setResponse(200, {"GameServers": [], "NextToken": 7})
        self.error("ListGameServers", GameServerGroupName="group")

    def test_valid(self) -> None:
        """Valid replies are returned. Unknown members are ignored."""
        self.endpoint.setResponse(
            200, {"GameServers": [{**SERVER, "New": 7}], "NextToken": "x", "New": 1}
        )
        reply = self.call("ListGameServers", GameServerGroupName="group")
        self.assertEqual(reply, {"GameServers": [SERVER], "NextToken": "x"})
        self.endpoint.setResponse(200, {"GameServers": []})
        self.assertEqual(
            self.call("ListGameServers", GameServerGroupName="group"), {"GameServers": []}
        )
