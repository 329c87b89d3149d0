"""The API endpoint: calls and replies in both protocols, counting, and faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.operations import Operations
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import FleetIQError, instanceIdOf
from tests.local.inmemory import (
    CBOR_HEADERS,
    Connection,
    MemoryFleetIQ,
    Response,
    callHeaders,
    requestBytes,
    rpcPath,
)

SERVED = {
    "ClaimGameServer",
    "CreateGameServerGroup",
    "DeleteGameServerGroup",
    "DeregisterGameServer",
    "DescribeGameServer",
    "DescribeGameServerGroup",
    "DescribeGameServerInstances",
    "ListGameServerGroups",
    "ListGameServers",
    "ListTagsForResource",
    "RegisterGameServer",
    "ResumeGameServerGroup",
    "SuspendGameServerGroup",
    "TagResource",
    "UntagResource",
    "UpdateGameServer",
    "UpdateGameServerGroup",
}
SRV_1 = {"GameServerGroupName": "local", "GameServerId": "srv-1"}


class EndpointTests(SynchronousTestCase):
    """Calls in AWS JSON to a complete local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def register(self, gameServerId: str = "srv-1") -> Response:
        return self.fleetIQ.call(
            "RegisterGameServer",
            GameServerGroupName="local",
            GameServerId=gameServerId,
            InstanceId=instanceIdOf("local", 0),
        )

    def fault(self, **order: Any) -> str:
        """Add a fault, and return its id."""
        response = self.fleetIQ.request("POST", "/_local/faults", {}, json.dumps(order).encode())
        self.assertEqual(200, response.status, response.body)
        faultId: str = response.json["id"]
        return faultId

    def send(self, operation: str, **request: Any) -> Connection:
        """Send a call on a connection that stays open, and return the connection."""
        connection = self.fleetIQ.connect()
        body = json.dumps(request).encode()
        connection.send(requestBytes("POST", "/", callHeaders(operation), body))
        return connection

    def test_call(self) -> None:
        """A call returns its result. Times are seconds with milliseconds."""
        self.fleetIQ.clock.advance(0.123456)
        response = self.register()
        self.assertEqual(200, response.status)
        self.assertEqual("application/x-amz-json-1.1", response.headers["content-type"])
        self.assertEqual(1_700_000_000.123, response.json["GameServer"]["RegistrationTime"])
        self.assertEqual(
            {
                "GameServerGroupName",
                "GameServerGroupArn",
                "GameServerId",
                "InstanceId",
                "UtilizationStatus",
                "RegistrationTime",
                "LastHealthCheckTime",
            },
            set(response.json["GameServer"]),
        )

    def test_requestIds(self) -> None:
        """Each reply has a unique request id; the same seed makes the same ids."""

        def ids(seed: int) -> list[str]:
            fleetIQ = MemoryFleetIQ(seed=seed)
            replies = [fleetIQ.call("ListGameServerGroups") for _ in range(3)]
            return [each.headers["x-amzn-requestid"] for each in replies]

        self.assertEqual(3, len(set(ids(1))))
        self.assertEqual(ids(1), ids(1))
        self.assertNotEqual(ids(1), ids(2))

    def test_error(self) -> None:
        """An error has FleetIQ's code and a message, in body and header."""
        self.register()
        response = self.register()
        self.assertEqual(400, response.status)
        self.assertEqual("ConflictException", response.json["__type"])
        self.assertIn("srv-1 is already registered", response.json["Message"])
        self.assertEqual("conflictexception", response.headers["x-amzn-errortype"])

    def test_hostileBody(self) -> None:
        """A body that cannot be parsed is an error, and the connection serves the next call."""
        connection = self.fleetIQ.connect()
        for body in (b"garbage", b"[" * 10_000, b"\xff"):
            connection.send(requestBytes("POST", "/", callHeaders("ListGameServers"), body))
            response = connection.response()
            assert response is not None
            self.assertEqual(400, response.status)
            self.assertEqual("SerializationException", response.json["__type"])
        connection.send(requestBytes("POST", "/", callHeaders("ListGameServerGroups"), b"{}"))
        response = connection.response()
        self.assertEqual(200, response and response.status)

    def test_unknownOperations(self) -> None:
        """The error of an unknown operation says whether GameLift has it."""
        for operation, sentence in (
            ("CreateFleet", "CreateFleet is an operation of GameLift, but not one of FleetIQ's"),
            ("Dance", "Dance is not an operation of GameLift. Served are ClaimGameServer, Cre"),
        ):
            response = self.fleetIQ.call(operation)
            self.assertEqual(400, response.status)
            self.assertEqual("UnknownOperationException", response.json["__type"])
            self.assertIn(sentence, response.json["Message"])
        self.assertEqual({}, self.fleetIQ.state()["calls"])

    def test_callsAreCounted(self) -> None:
        """Calls are counted by operation, also those that fail or cannot be parsed."""
        self.register()
        self.register()
        self.fault(operation="*", kind="error", code="ConflictException", count=1)
        self.register("srv-2")
        self.fleetIQ.request("POST", "/", callHeaders("ListGameServers"), b"garbage")
        self.assertEqual(
            {"RegisterGameServer": 3, "ListGameServers": 1}, self.fleetIQ.state()["calls"]
        )

    def test_errorFault(self) -> None:
        """A call with an error fault returns that error and has no effect."""
        self.fault(operation="RegisterGameServer", kind="error", code="InternalServiceException")
        response = self.register()
        self.assertEqual(500, response.status)
        self.assertEqual("InternalServiceException", response.json["__type"])
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_slowFault(self) -> None:
        """A slow call takes effect, and returns, after its delay."""
        self.register()
        self.fault(operation="UpdateGameServer", kind="slow", seconds=2)
        connection = self.send(
            "UpdateGameServer",
            GameServerGroupName="local",
            GameServerId="srv-1",
            UtilizationStatus="UTILIZED",
        )
        self.fleetIQ.clock.advance(1.9)
        self.assertIsNone(connection.response())
        [server] = self.fleetIQ.state()["gameServers"]
        self.assertEqual("AVAILABLE", server["UtilizationStatus"])
        self.fleetIQ.clock.advance(0.1)
        response = connection.response()
        assert response is not None
        self.assertEqual("UTILIZED", response.json["GameServer"]["UtilizationStatus"])

    def test_slowFaultOutlivesItsCaller(self) -> None:
        """A slow call takes effect even if its caller has disconnected."""
        self.register()
        self.fault(operation="*", kind="slow", seconds=2)
        connection = self.send(
            "DeregisterGameServer", GameServerGroupName="local", GameServerId="srv-1"
        )
        connection.disconnect()
        self.fleetIQ.clock.advance(2)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_slowThenError(self) -> None:
        """With a slow and an error fault, the error comes after the delay."""
        self.fault(operation="*", kind="slow", seconds=2)
        self.fault(operation="*", kind="error", code="UnauthorizedException")
        connection = self.send("ListGameServerGroups")
        self.assertIsNone(connection.response())
        self.fleetIQ.clock.advance(2)
        response = connection.response()
        assert response is not None
        self.assertEqual("UnauthorizedException", response.json["__type"])

    def test_throttleFault(self) -> None:
        """A throttled call returns AWS's throttling error and has no effect."""
        self.fault(operation="*", kind="throttle")
        response = self.register()
        self.assertEqual(400, response.status)
        self.assertEqual(
            {"__type": "ThrottlingException", "Message": "Rate exceeded"}, response.json
        )
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_dropFault(self) -> None:
        """A drop fault closes the connection without a response. The call is only counted."""
        self.register()
        self.fault(operation="*", kind="drop", count=1)
        connection = self.send("DeregisterGameServer", **SRV_1)
        self.assertTrue(connection.closed)
        self.assertIsNone(connection.response())
        state = self.fleetIQ.state()
        self.assertEqual(1, len(state["gameServers"]))
        self.assertEqual(1, state["calls"]["DeregisterGameServer"])

    def test_lostReplyFault(self) -> None:
        """A lost-reply fault closes the connection after the call took effect."""
        self.register()
        self.fault(operation="*", kind="lost-reply", count=1)
        connection = self.send("DeregisterGameServer", **SRV_1)
        self.assertTrue(connection.closed)
        self.assertIsNone(connection.response())
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_slowThenClosed(self) -> None:
        """With a slow fault, drop and lost-reply close the connection after the delay."""
        for kind, left in (("drop", 1), ("lost-reply", 0)):
            self.register()
            self.fault(operation="DeregisterGameServer", kind=kind, count=1)
            self.fault(operation="DeregisterGameServer", kind="slow", seconds=2, count=1)
            connection = self.send("DeregisterGameServer", **SRV_1)
            self.fleetIQ.clock.advance(1.9)
            self.assertFalse(connection.closed)
            self.assertEqual(1, len(self.fleetIQ.state()["gameServers"]))
            self.fleetIQ.clock.advance(0.1)
            self.assertTrue(connection.closed)
            self.assertIsNone(connection.response())
            self.assertEqual(left, len(self.fleetIQ.state()["gameServers"]))

    def test_closedCallerIsGone(self) -> None:
        """A call whose reply will be lost takes effect even if its caller disconnects before."""
        self.register()
        self.fault(operation="*", kind="lost-reply")
        self.fault(operation="*", kind="slow", seconds=2)
        self.send("DeregisterGameServer", **SRV_1).disconnect()
        self.fleetIQ.clock.advance(2)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_stopCancelsSlowCalls(self) -> None:
        """Slow calls leave no timer when the service stops."""
        self.fault(operation="*", kind="slow", seconds=2)
        self.send("ListGameServerGroups")
        self.successResultOf(self.fleetIQ.service.stopService())
        self.assertEqual([], self.fleetIQ.clock.getDelayedCalls())


class OperationsTests(SynchronousTestCase):
    """The registry of the operations."""

    def setUp(self) -> None:
        self.operations = Operations(Fleet(lambda _event: None), lambda: 0.0)

    def test_registered(self) -> None:
        """The names are those of the classes, in each registry."""
        self.assertEqual(SERVED, self.operations.names)
        again = Operations(Fleet(lambda _event: None), lambda: 0.0)
        self.assertEqual(SERVED, again.names)

    def test_errorHasText(self) -> None:
        """An unknown operation raises our exception, whose text can be printed."""
        error = self.assertRaises(FleetIQError, self.operations.check, "Dance")
        self.assertIn("Dance is not an operation", str(error))


class CborEndpointTests(SynchronousTestCase):
    """Calls in CBOR to a complete local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def rejection(
        self, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[str, str]:
        """Return the code and the message of the error that a request causes."""
        response = self.fleetIQ.request("POST", path, {**CBOR_HEADERS, **(headers or {})}, body)
        self.assertEqual(400, response.status)
        self.assertNotIn("x-amzn-errortype", response.headers)
        namespace, _, code = response.cbor["__type"].partition("#")
        self.assertEqual("com.amazonaws.gamelift", namespace)
        return code, response.cbor["Message"]

    def test_call(self) -> None:
        """A call returns its result in CBOR, with a date for each time, and is counted."""
        self.fleetIQ.clock.advance(0.123456)
        request = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
        instanceId = instanceIdOf("local", 0)
        response = self.fleetIQ.callInCbor("RegisterGameServer", **request, InstanceId=instanceId)
        self.assertEqual(200, response.status)
        self.assertIn("x-amzn-requestid", response.headers)
        registered = response.cbor["GameServer"]["RegistrationTime"]
        self.assertEqual(datetime(2023, 11, 14, 22, 13, 20, 123000, UTC), registered)
        self.assertEqual({"RegisterGameServer": 1}, self.fleetIQ.state()["calls"])

    def test_bothProtocolsOneState(self) -> None:
        """A game server registered in one protocol can be deregistered in the other."""
        request = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
        self.fleetIQ.call("RegisterGameServer", **request, InstanceId=instanceIdOf("local", 0))
        response = self.fleetIQ.callInCbor("DeregisterGameServer", **request)
        self.assertEqual((200, b""), (response.status, response.body))
        self.assertEqual("rpc-v2-cbor", response.headers["smithy-protocol"])
        self.assertNotIn("content-type", response.headers)
        again = self.fleetIQ.call("DeregisterGameServer", **request)
        self.assertEqual("NotFoundException", again.json["__type"])

    def test_paths(self) -> None:
        """Only the last four segments count, and the service may have a namespace."""
        for path in (
            "/service/GameLift/operation/ListGameServerGroups?query",
            "/v1/any//prefix/service/GameLift/operation/ListGameServerGroups",
            "/service/X/operation/Y/service/GameLift/operation/ListGameServerGroups",
            "/service/com.amazonaws.gamelift.GameLift/operation/ListGameServerGroups",
        ):
            response = self.fleetIQ.request("POST", path, CBOR_HEADERS)
            self.assertIn("GameServerGroups", response.cbor, path)

    def test_notAPath(self) -> None:
        """Other paths are 404, and only POST is a call."""
        path = rpcPath("ListGameServerGroups")
        for method, wrong in (("POST", path + "/"), ("GET", path), ("POST", "/service/GameLift")):
            response = self.fleetIQ.request(method, wrong, CBOR_HEADERS)
            self.assertEqual(404, response.status)
            self.assertIn(b"/service/GameLift/operation/", response.body)

    def test_invalidCalls(self) -> None:
        """An unknown operation and wrong headers are errors in this protocol."""
        path = rpcPath("ListGameServerGroups")
        strange = path.replace("GameLift", "DynamoDB")
        for wrong in (rpcPath("Dance"), rpcPath(""), "/", strange):
            self.assertEqual("UnknownOperationException", self.rejection(wrong)[0])
        # The specification forbids both headers: two servers could route such a call differently.
        for name in ("X-Amz-Target", "X-Amzn-Target"):
            code, sentence = self.rejection(path, {name: "GameLift.ListGameServerGroups"})
            self.assertEqual("SerializationException", code)
            self.assertIn(name.lower(), sentence)
        for headers in ({"smithy-protocol": "rpc-v2-json"}, {"smithy-protocol": ""}):
            self.assertIn("it must be rpc-v2-cbor", self.rejection(path, headers)[1])
        jsonAtRpcPath = self.fleetIQ.request(
            "POST", path, callHeaders("ListGameServerGroups"), b"{}"
        )
        self.assertIn("smithy-protocol is ''", jsonAtRpcPath.cbor["Message"])
        self.assertEqual({}, self.fleetIQ.state()["calls"])

    def test_hostileBody(self) -> None:
        """A body that cannot be parsed is an error, and the server serves the next call."""
        path = rpcPath("ListGameServerGroups")
        for body in (b"garbage", b"\x81" * 10_000, b"\xbb\x40" + bytes(7), b"{}"):
            self.assertEqual("SerializationException", self.rejection(path, body=body)[0])
        code, sentence = self.rejection(path, {"Content-Type": "application/json"}, b"\xa0")
        self.assertEqual("SerializationException", code)
        self.assertIn("it must be application/cbor", sentence)
        self.assertEqual(200, self.fleetIQ.callInCbor("ListGameServerGroups").status)

    def test_wrongInput(self) -> None:
        """An input that the model does not allow is an InvalidRequestException, as in JSON."""
        for request in ({}, {"GameServerGroupName": 1}, {"GameServerGroupName": "g", "Limit": 1.0}):
            response = self.fleetIQ.callInCbor("ListGameServers", **request)
            self.assertEqual(400, response.status)
            shape = "com.amazonaws.gamelift#InvalidRequestException"
            self.assertEqual(shape, response.cbor["__type"])

    def test_faults(self) -> None:
        """Faults apply to calls in both protocols."""
        order = {"operation": "*", "kind": "error", "code": "InternalServiceException"}
        self.fleetIQ.request("POST", "/_local/faults", {}, json.dumps(order).encode())
        response = self.fleetIQ.callInCbor("ListGameServerGroups")
        self.assertEqual(500, response.status)
        shape = "com.amazonaws.gamelift#InternalServiceException"
        self.assertEqual(shape, response.cbor["__type"])

    def test_throttleFault(self) -> None:
        """A throttled call returns AWS's error; drop and lost-reply return nothing."""
        for kind in ("throttle", "drop", "lost-reply"):
            order = {"operation": "*", "kind": kind, "count": 1}
            self.fleetIQ.request("POST", "/_local/faults", {}, json.dumps(order).encode())
        path = rpcPath("ListGameServerGroups")
        self.assertEqual(("ThrottlingException", "Rate exceeded"), self.rejection(path))
        for _ in range(2):
            connection = self.fleetIQ.connect()
            connection.send(requestBytes("POST", path, CBOR_HEADERS, b""))
            self.assertTrue(connection.closed)
            self.assertIsNone(connection.response())
        self.assertEqual(200, self.fleetIQ.callInCbor("ListGameServerGroups").status)
