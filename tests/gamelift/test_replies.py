"""Tests of echoserver.gamelift.replies: the real boto3 client and invalid replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, cast

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.loaders import Loader
from cbor2 import dumps as toCBOR
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.client import EndpointConfig, openCheckedClient
from echoserver.gamelift.errors import CallFailed, NotFoundException
from echoserver.gamelift.replies import MAX_REPLY
from tests.awsdoubles import ONE, LoopbackEndpoint, gameLiftWith, localSession
from tests.repliesdoubles import JSON, URL, MemorySession, httpResponse

HEAD = "HTTP/1.1 {status} Said\r\nContent-Type: application/x-amz-json-1.1\r\n"
CBOR = "application/cbor"
SERVER: dict[str, Any] = {
    "GameServerGroupName": "group",
    "GameServerId": "server",
    "InstanceId": "i-0123456789abcdef0",
    "ConnectionInfo": "localhost:7000",
    "UtilizationStatus": "AVAILABLE",
}
# The members of a valid request, by operation.
REQUESTS: dict[str, dict[str, Any]] = {
    "ClaimGameServer": ONE,
    "DeregisterGameServer": ONE,
    "DescribeGameServer": ONE,
    "DescribeGameServerInstances": {"GameServerGroupName": "group"},
    "ListGameServerGroups": {},
    "ListGameServers": {"GameServerGroupName": "group"},
    "RegisterGameServer": ONE | {"InstanceId": SERVER["InstanceId"]},
    "UpdateGameServer": ONE,
}
# The kernel's buffers on loopback, and the bytes that are read.
MOST_SENT = 32 * 1024 * 1024


class LoopbackTestCase(SynchronousTestCase):
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


class LengthTests(LoopbackTestCase):
    """Replies that do not end."""

    def assertStopped(self) -> None:
        """The call fails, and only a part of the reply has been sent."""
        error = self.error()
        self.assertEqual(error.code, "unreadable")
        self.assertIn(
            f"{self.endpoint.url} responded with more than {MAX_REPLY:,d} bytes.", str(error)
        )
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


class RepliesTestCase(SynchronousTestCase):
    """Calls with replies in memory."""

    def setUp(self) -> None:
        self.sent = httpResponse(200, JSON, iter([b""]))
        self.gameLift = self.open(lambda _request: self.sent)

    def open(self, send: Callable[[Any], AWSResponse]) -> Any:
        where = EndpointConfig(endpoint=URL, local=True)
        client: Any = openCheckedClient(self.session(), where, "us-east-1")
        client._endpoint.http_session = MemorySession(send)
        return gameLiftWith(client)

    def session(self) -> Any:
        return localSession()

    def call(
        self, operation: str, body: object, contentType: str = JSON, status: int = 200
    ) -> Deferred[dict[str, Any]]:
        """Call an operation; the reply has these bytes, or this value."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.sent = httpResponse(status, contentType, iter([data]))
        called: Deferred[dict[str, Any]] = self.gameLift.call(operation, **REQUESTS[operation])
        return called

    def problem(
        self, operation: str, body: object, contentType: str = JSON, status: int = 200
    ) -> str:
        """
        Return the text of a call that fails by its reply. It is one short line that names the
        endpoint, and the call is to be retried.
        """
        error: Any = self.failureResultOf(
            self.call(operation, body, contentType, status), CallFailed
        ).value
        self.assertEqual(
            (error.code, error.retry, error.mayHaveHappened), ("unreadable", True, True), error
        )
        text = str(error)
        self.assertTrue(text.startswith(f"{operation} returned an invalid reply: "), text)
        self.assertIn(f"{URL} responded with status {status} and ", text)
        self.assertTrue(text.isprintable(), repr(text))
        self.assertLess(len(text), 400)
        return text


class FormatTests(RepliesTestCase):
    """Replies that are not those of GameLift."""

    def test_valid(self) -> None:
        """A valid reply is returned. Unknown members are ignored."""
        reply = self.successResultOf(
            self.call("ClaimGameServer", {"GameServer": SERVER | {"New": [1]}, "Newer": 1})
        )
        self.assertEqual(reply, {"GameServer": SERVER})
        date = self.successResultOf(
            self.call("DescribeGameServer", {"GameServer": SERVER | {"LastClaimTime": 1.5}})
        )["GameServer"]["LastClaimTime"]
        self.assertEqual(date.timestamp(), 1.5)
        listed = {"GameServers": [SERVER | {"New": 7}], "NextToken": "x", "New": 1}
        self.assertEqual(
            self.successResultOf(self.call("ListGameServers", listed)),
            {"GameServers": [SERVER], "NextToken": "x"},
        )
        self.assertEqual(
            self.successResultOf(self.call("ListGameServers", {"GameServers": []})),
            {"GameServers": []},
        )
        for body in (b"", b"{}"):
            self.assertEqual(self.successResultOf(self.call("DeregisterGameServer", body)), {})

    def test_refused(self) -> None:
        """FleetIQ's own errors are not affected."""
        body = {"__type": "NotFoundException", "message": "no such server"}
        failure = self.failureResultOf(self.call("DescribeGameServer", body, status=400))
        failure.trap(NotFoundException)

    def test_otherFormat(self) -> None:
        """HTML, an empty body and other JSON are errors, which show the beginning of the body."""
        bodies: tuple[tuple[bytes, str, str], ...] = (
            (b"<html>\n<p>Welcome</p>", "text/html", r"'<html>\n<p>Welcome</p>'"),
            (b"null", "application/json", "'null'"),
            (b"[]", "application/json", "'[]'"),
            (b'"GameServer"', JSON, "'\"GameServer\"'"),
            (b"<html>", JSON, "'<html>'"),
            (b"null", JSON, "'null'"),
            (b"[1]", JSON, "'[1]'"),
            (b"[" * 200_000, JSON, f"'{'[' * 40}'..."),
            (b"1" * 5000, JSON, f"'{'1' * 40}'..."),
            (b"\xff\x00", JSON, r"'\xff\x00'"),
            (b"\x1b[31mred", JSON, r"'\x1b[31mred'"),
            (b"[{}]", JSON, "'[{}]'"),
            (b"", JSON, "an empty body"),
            (b"", "text/html", "an empty body"),
        )
        for operation in REQUESTS:
            for body, contentType, shown in bodies:
                if operation == "DeregisterGameServer" and not body:
                    continue
                problem = self.problem(operation, body, contentType)
                self.assertIn("an empty body" if not body else f"{len(body):,d} bytes, ", problem)
                self.assertIn(f"{shown}: not FleetIQ's format.", problem)

    def test_withoutRequestId(self) -> None:
        """A reply without members is FleetIQ's only if it has a request id."""
        for body, shown in ((b"", "an empty body"), (b"{}", "2 bytes, '{}'")):
            problem = self.problem("DeregisterGameServer", body, "text/html")
            self.assertIn(f"{URL} responded with status 200 and {shown}: without", problem)

    def test_otherStatus(self) -> None:
        """FleetIQ sends the status 200, and no other one of success."""
        for status in (201, 204):
            problem = self.problem("DescribeGameServer", {"GameServer": SERVER}, status=status)
            self.assertIn("not FleetIQ's format", problem)

    def test_htmlError(self) -> None:
        """HTML with the status of an error is one, too."""
        for status in (301, 403, 404, 502):
            called = self.call("ListGameServers", b"<html>No</html>", "text/html", status)
            failure = self.failureResultOf(called, CallFailed)
            self.assertRegex(
                str(failure.value), f"^ListGameServers (was refused|failed): {status}: "
            )

    def test_tooLong(self) -> None:
        """A body without end is read up to the limit; the connection is closed then."""
        read = 0

        def chunks() -> Iterator[bytes]:
            nonlocal read
            while True:
                read += 65536
                yield bytes(65536)

        self.sent = httpResponse(200, JSON, chunks())
        failure = self.failureResultOf(self.gameLift.call("ListGameServerGroups"), CallFailed)
        self.assertIn(f"{URL} responded with more than {MAX_REPLY:,d} bytes", str(failure.value))
        self.assertTrue(self.sent.raw.closed)
        self.assertLess(read, MAX_REPLY + 2 * 65536)

    def test_nothingReceived(self) -> None:
        """An error before a response is not one of the reply."""

        def refuse(_request: Any) -> AWSResponse:
            raise ConnectionRefusedError("nobody")

        failure = self.failureResultOf(self.open(refuse).call("ListGameServerGroups"), CallFailed)
        self.assertNotIn("responded with", str(failure.value))


class MemberTests(RepliesTestCase):
    """The members of a reply."""

    def test_gameServer(self) -> None:
        """A member that is missing, or of another type, is an error that names it."""
        members: list[tuple[str, object, str]] = [
            ("GameServerId", "gs-2", "it is about game server 'gs-2', not 'server'"),
            ("GameServerId", "\x1b" * 100_000, "it is about game server '"),
            ("RegistrationTime", "never", "GameServer.RegistrationTime is 'never', not a date"),
            ("RegistrationTime", 1e300, "GameServer.RegistrationTime is 1e+300, not a date"),
            ("LastClaimTime", True, "GameServer.LastClaimTime is a bool, not a timestamp"),
            ("LastClaimTime", [1], "GameServer.LastClaimTime is a list, not a timestamp"),
        ]
        for name in ("GameServerId", "InstanceId", "UtilizationStatus"):
            missing = f"GameServer.{name} is missing"
            members += [(name, None, missing), (name, "", missing)]
        for name in ("GameServerId", "ConnectionInfo", "GameServerData", "ClaimStatus"):
            values: tuple[object, ...] = (7, True, ["x"], {"x": "y"})
            for value in values:
                kind = type(value).__name__
                article = "an" if kind == "int" else "a"
                members.append((name, value, f"GameServer.{name} is {article} {kind}, not a strin"))
        for operation in (
            "ClaimGameServer",
            "DescribeGameServer",
            "RegisterGameServer",
            "UpdateGameServer",
        ):
            for name, value, what in members:
                self.assertIn(what, self.problem(operation, {"GameServer": SERVER | {name: value}}))

    def test_missing(self) -> None:
        """A reply without the member of the operation is an error that names it."""
        for operation, name in (
            ("ClaimGameServer", "GameServer"),
            ("DescribeGameServer", "GameServer"),
            ("DescribeGameServerInstances", "GameServerInstances"),
            ("ListGameServerGroups", "GameServerGroups"),
            ("ListGameServers", "GameServers"),
            ("RegisterGameServer", "GameServer"),
            ("UpdateGameServer", "GameServer"),
        ):
            bodies: tuple[dict[str, Any], ...] = ({}, {name: None}, {"Other": []})
            for body in bodies:
                self.assertIn(f": {name} is missing.", self.problem(operation, body))

    def test_nested(self) -> None:
        """The elements of a list, and their members, are checked too."""
        replies: tuple[tuple[str, dict[str, Any], str], ...] = (
            ("ClaimGameServer", {"GameServer": []}, "GameServer is a list, not a structure"),
            ("ClaimGameServer", {"GameServer": "gs-1"}, "GameServer is a str, not a structure"),
            ("ListGameServers", {"GameServers": {}}, "GameServers is a dict, not a list"),
            ("ListGameServers", {"GameServers": ""}, "GameServers is missing"),
            ("ListGameServers", {"GameServers": [SERVER, None]}, "GameServers[1] is a NoneType"),
            ("ListGameServers", {"GameServers": [SERVER, 7]}, "GameServers[1] is an int"),
            ("ListGameServers", {"GameServers": [SERVER, "server"]}, "GameServers[1] is a str"),
            ("ListGameServers", {"GameServers": [SERVER, []]}, "GameServers[1] is a list"),
            ("ListGameServers", {"GameServers": [SERVER, {}]}, "GameServers[1].GameServerId is"),
            (
                "ListGameServers",
                {"GameServers": [SERVER, SERVER | {"GameServerId": 7}]},
                "GameServers[1].GameServerId is an int, not a string",
            ),
            ("ListGameServers", {"GameServers": [], "NextToken": 7}, "NextToken is an int"),
            (
                "ListGameServerGroups",
                {"GameServerGroups": [{}]},
                "GameServerGroups[0].GameServerGroupName is missing",
            ),
            (
                "DescribeGameServerInstances",
                {"GameServerInstances": [{"InstanceId": SERVER["InstanceId"]}]},
                "GameServerInstances[0].InstanceStatus is missing",
            ),
        )
        for operation, reply, what in replies:
            self.assertIn(what, self.problem(operation, reply))


class CBORLoader(Loader):  # type: ignore[misc] # botocore has no types
    """The data of botocore, with a GameLift that has only the protocol RPC v2 CBOR."""

    def load_service_model(self, *words: Any, **options: Any) -> Any:
        model = deepcopy(super().load_service_model(*words, **options))
        if model.get("metadata", {}).get("serviceId") == "GameLift":
            model["metadata"]["protocols"] = ["smithy-rpc-v2-cbor"]
        return model


class CBORTests(RepliesTestCase):
    """The protocol RPC v2 CBOR."""

    def session(self) -> Any:
        """Return a session of botocore, whose method create_client is named client here."""
        session: Any = botocore.session.Session()
        session.register_component(
            "data_loader", CBORLoader(extra_search_paths=[Loader.BUILTIN_DATA_PATH])
        )
        session.set_credentials("local", "local")
        session.client = session.create_client
        return session

    def call(
        self, operation: str, body: object, contentType: str = CBOR, status: int = 200
    ) -> Deferred[dict[str, Any]]:
        data = body if isinstance(body, bytes) else toCBOR(body)
        return super().call(operation, data, CBOR, status)

    def test_valid(self) -> None:
        """A valid reply is returned."""
        called = self.call("DescribeGameServer", {"GameServer": SERVER})
        self.assertEqual(self.successResultOf(called), {"GameServer": SERVER})
        self.assertEqual(self.successResultOf(self.call("DeregisterGameServer", toCBOR({}))), {})

    def test_invalid(self) -> None:
        """A body that is no map, and members that are missing or of another type, are errors."""
        cases: tuple[tuple[object, str], ...] = (
            (b"<html>", "not FleetIQ's format"),
            (b"{}", "not FleetIQ's format"),
            (b"", "not FleetIQ's format"),
            ({}, "GameServer is missing"),
            ({"GameServer": {}}, "GameServer.GameServerId is missing"),
            ({"GameServer": SERVER | {"InstanceId": None}}, "GameServer.InstanceId is missing"),
            ({"GameServer": SERVER | {"ConnectionInfo": 7}}, "GameServer.ConnectionInfo is an int"),
            ({"GameServer": SERVER | {"GameServerId": "gs-2"}}, "it is about game server 'gs-2'"),
        )
        for body, what in cases:
            self.assertIn(what, self.problem("DescribeGameServer", body))

    def test_damaged(self) -> None:
        """A body that botocore cannot parse is an invalid reply."""
        whole = toCBOR({"GameServer": SERVER})
        for body in (whole[:-3], b"\xa1", b"\xbf" * 5000, b"\xa1aa" * 5000):
            failure = self.failureResultOf(self.call("DescribeGameServer", body), CallFailed)
            error: Any = failure.value
            self.assertEqual((error.code, error.retry), ("unreadable", True), str(error))
