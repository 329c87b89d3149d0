"""The endpoint: counting, faults, and calls that wait.
The endpoint in Smithy RPC v2 CBOR: what is a call, and how it is answered."""

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
    """Calls to a whole local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def register(self, gameServerId: str = "srv-1") -> Response:
        return self.fleetIQ.call(
            "RegisterGameServer",
            GameServerGroupName="local",
            GameServerId=gameServerId,
            InstanceId=instanceIdOf("local", 0),
        )

    def order(self, **order: Any) -> str:
        response = self.fleetIQ.ask("POST", "/_local/faults", {}, json.dumps(order).encode())
        self.assertEqual(200, response.status, response.body)
        faultId: str = response.json["id"]
        return faultId

    def send(self, operation: str, **request: Any) -> Connection:
        """A call on a connection that stays open."""
        connection = self.fleetIQ.connect()
        body = json.dumps(request).encode()
        connection.send(requestBytes("POST", "/", callHeaders(operation), body))
        return connection

    def test_call(self) -> None:
        """A call is answered with its result, times in seconds with milliseconds."""
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
        """Each reply has a request id of its own, the same ones with the same seed."""

        def ids(seed: int) -> list[str]:
            fleetIQ = MemoryFleetIQ(seed=seed)
            replies = [fleetIQ.call("ListGameServerGroups") for _ in range(3)]
            return [each.headers["x-amzn-requestid"] for each in replies]

        self.assertEqual(3, len(set(ids(1))))
        self.assertEqual(ids(1), ids(1))
        self.assertNotEqual(ids(1), ids(2))

    def test_refusal(self) -> None:
        """A refusal carries FleetIQ's code and a sentence, in body and header."""
        self.register()
        response = self.register()
        self.assertEqual(400, response.status)
        self.assertEqual("ConflictException", response.json["__type"])
        self.assertIn("srv-1 is already registered", response.json["Message"])
        self.assertEqual("conflictexception", response.headers["x-amzn-errortype"])

    def test_hostileBody(self) -> None:
        """A body that cannot be read is a refusal, and the connection serves the next call."""
        connection = self.fleetIQ.connect()
        for body in (b"garbage", b"[" * 10_000, b"\xff"):
            connection.send(requestBytes("POST", "/", callHeaders("ListGameServers"), body))
            response = connection.response()
            assert response is not None
            self.assertEqual(400, response.status)
            self.assertEqual("SerializationException", response.json["__type"])
        connection.send(requestBytes("POST", "/", callHeaders("ListGameServerGroups"), b"{}"))
        answer = connection.response()
        self.assertEqual(200, answer and answer.status)

    def test_unknownOperations(self) -> None:
        """An operation that is not FleetIQ's is told so, and whether GameLift has it at all."""
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
        """Each call counts by its operation, failures and unreadable ones too."""
        self.register()
        self.register()
        self.order(operation="*", kind="error", code="ConflictException", count=1)
        self.register("srv-2")
        self.fleetIQ.ask("POST", "/", callHeaders("ListGameServers"), b"garbage")
        self.assertEqual(
            {"RegisterGameServer": 3, "ListGameServers": 1}, self.fleetIQ.state()["calls"]
        )

    def test_errorFault(self) -> None:
        """An ordered error is answered instead of the call, which has no effect."""
        self.order(operation="RegisterGameServer", kind="error", code="InternalServiceException")
        response = self.register()
        self.assertEqual(500, response.status)
        self.assertEqual("InternalServiceException", response.json["__type"])
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_slowFault(self) -> None:
        """A slow call waits, takes effect at the end of its wait, and is answered then."""
        self.register()
        self.order(operation="UpdateGameServer", kind="slow", seconds=2)
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
        """A slow call takes effect even if its caller has gone."""
        self.register()
        self.order(operation="*", kind="slow", seconds=2)
        connection = self.send(
            "DeregisterGameServer", GameServerGroupName="local", GameServerId="srv-1"
        )
        connection.hangUp()
        self.fleetIQ.clock.advance(2)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_slowThenError(self) -> None:
        """Slow and error together: the error comes after the wait."""
        self.order(operation="*", kind="slow", seconds=2)
        self.order(operation="*", kind="error", code="UnauthorizedException")
        connection = self.send("ListGameServerGroups")
        self.assertIsNone(connection.response())
        self.fleetIQ.clock.advance(2)
        response = connection.response()
        assert response is not None
        self.assertEqual("UnauthorizedException", response.json["__type"])

    def test_throttleFault(self) -> None:
        """A throttled call is answered as AWS throttles, and has no effect."""
        self.order(operation="*", kind="throttle")
        response = self.register()
        self.assertEqual(400, response.status)
        self.assertEqual(
            {"__type": "ThrottlingException", "Message": "Rate exceeded"}, response.json
        )
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_dropFault(self) -> None:
        """A dropped call's connection closes without a byte; it counts, and has no effect."""
        self.register()
        self.order(operation="*", kind="drop", count=1)
        connection = self.send("DeregisterGameServer", **SRV_1)
        self.assertTrue(connection.closed)
        self.assertIsNone(connection.response())
        state = self.fleetIQ.state()
        self.assertEqual(1, len(state["gameServers"]))
        self.assertEqual(1, state["calls"]["DeregisterGameServer"])

    def test_lostReplyFault(self) -> None:
        """A call whose reply is lost takes effect, and its connection closes without a byte."""
        self.register()
        self.order(operation="*", kind="lost-reply", count=1)
        connection = self.send("DeregisterGameServer", **SRV_1)
        self.assertTrue(connection.closed)
        self.assertIsNone(connection.response())
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_slowThenClosed(self) -> None:
        """Slow with drop or lost-reply: the wait, then the effect, if any, then the close."""
        for kind, left in (("drop", 1), ("lost-reply", 0)):
            self.register()
            self.order(operation="DeregisterGameServer", kind=kind, count=1)
            self.order(operation="DeregisterGameServer", kind="slow", seconds=2, count=1)
            connection = self.send("DeregisterGameServer", **SRV_1)
            self.fleetIQ.clock.advance(1.9)
            self.assertFalse(connection.closed)
            self.assertEqual(1, len(self.fleetIQ.state()["gameServers"]))
            self.fleetIQ.clock.advance(0.1)
            self.assertTrue(connection.closed)
            self.assertIsNone(connection.response())
            self.assertEqual(left, len(self.fleetIQ.state()["gameServers"]))

    def test_closedCallerIsGone(self) -> None:
        """A caller who leaves during the wait of a lost reply changes nothing about the effect."""
        self.register()
        self.order(operation="*", kind="lost-reply")
        self.order(operation="*", kind="slow", seconds=2)
        self.send("DeregisterGameServer", **SRV_1).hangUp()
        self.fleetIQ.clock.advance(2)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_stopForgetsSlowCalls(self) -> None:
        """Calls that wait when the service stops leave no timer behind."""
        self.order(operation="*", kind="slow", seconds=2)
        self.send("ListGameServerGroups")
        self.successResultOf(self.fleetIQ.service.stopService())
        self.assertEqual([], self.fleetIQ.clock.getDelayedCalls())


class OperationsTests(SynchronousTestCase):
    """The dispatch table."""

    def setUp(self) -> None:
        self.operations = Operations(Fleet(lambda _event: None), lambda: 0.0)

    def test_registered(self) -> None:
        """The operations are the classes' names, in each table made."""
        self.assertEqual(SERVED, self.operations.names)
        again = Operations(Fleet(lambda _event: None), lambda: 0.0)
        self.assertEqual(SERVED, again.names)

    def test_refusalIsText(self) -> None:
        """A refused operation is an exception of ours, whose text can be printed."""
        refusal = self.assertRaises(FleetIQError, self.operations.check, "Dance")
        self.assertIn("Dance is not an operation", str(refusal))


class CborEndpointTests(SynchronousTestCase):
    """Calls in CBOR to a whole local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def refused(
        self, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[str, str]:
        """The code and the sentence with which a request is refused."""
        response = self.fleetIQ.ask("POST", path, {**CBOR_HEADERS, **(headers or {})}, body)
        self.assertEqual(400, response.status)
        self.assertNotIn("x-amzn-errortype", response.headers)
        namespace, _, code = response.cbor["__type"].partition("#")
        self.assertEqual("com.amazonaws.gamelift", namespace)
        return code, response.cbor["Message"]

    def test_call(self) -> None:
        """A call is answered in CBOR, with a date for each time, and counted."""
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
        """What one protocol registers the other deregisters, on the same connection."""
        request = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
        self.fleetIQ.call("RegisterGameServer", **request, InstanceId=instanceIdOf("local", 0))
        response = self.fleetIQ.callInCbor("DeregisterGameServer", **request)
        self.assertEqual((200, b""), (response.status, response.body))
        self.assertEqual("rpc-v2-cbor", response.headers["smithy-protocol"])
        self.assertNotIn("content-type", response.headers)
        again = self.fleetIQ.call("DeregisterGameServer", **request)
        self.assertEqual("NotFoundException", again.json["__type"])

    def test_paths(self) -> None:
        """Only the last four segments count, and the service may have its namespace."""
        for path in (
            "/service/GameLift/operation/ListGameServerGroups?query",
            "/v1/any//prefix/service/GameLift/operation/ListGameServerGroups",
            "/service/X/operation/Y/service/GameLift/operation/ListGameServerGroups",
            "/service/com.amazonaws.gamelift.GameLift/operation/ListGameServerGroups",
        ):
            response = self.fleetIQ.ask("POST", path, CBOR_HEADERS)
            self.assertIn("GameServerGroups", response.cbor, path)

    def test_notAPath(self) -> None:
        """Elsewhere there is nothing, and only POST is a call."""
        path = rpcPath("ListGameServerGroups")
        for method, wrong in (("POST", path + "/"), ("GET", path), ("POST", "/service/GameLift")):
            response = self.fleetIQ.ask(method, wrong, CBOR_HEADERS)
            self.assertEqual(404, response.status)
            self.assertIn(b"/service/GameLift/operation/", response.body)

    def test_refusedCalls(self) -> None:
        """What is no operation of GameLift, or no call in this protocol, is told in it."""
        path = rpcPath("ListGameServerGroups")
        strange = path.replace("GameLift", "DynamoDB")
        for wrong in (rpcPath("Dance"), rpcPath(""), "/", strange):
            self.assertEqual("UnknownOperationException", self.refused(wrong)[0])
        # Routing by two headers at once is how one front fools another: the specification forbids.
        for name in ("X-Amz-Target", "X-Amzn-Target"):
            code, sentence = self.refused(path, {name: "GameLift.ListGameServerGroups"})
            self.assertEqual("SerializationException", code)
            self.assertIn(name.lower(), sentence)
        for headers in ({"smithy-protocol": "rpc-v2-json"}, {"smithy-protocol": ""}):
            self.assertIn("it must be rpc-v2-cbor", self.refused(path, headers)[1])
        jsonAtRpcPath = self.fleetIQ.ask("POST", path, callHeaders("ListGameServerGroups"), b"{}")
        self.assertIn("smithy-protocol is ''", jsonAtRpcPath.cbor["Message"])
        self.assertEqual({}, self.fleetIQ.state()["calls"])

    def test_hostileBody(self) -> None:
        """A body that cannot be read is a refusal, and the server answers the next call."""
        path = rpcPath("ListGameServerGroups")
        for body in (b"garbage", b"\x81" * 10_000, b"\xbb\x40" + bytes(7), b"{}"):
            self.assertEqual("SerializationException", self.refused(path, body=body)[0])
        code, sentence = self.refused(path, {"Content-Type": "application/json"}, b"\xa0")
        self.assertEqual("SerializationException", code)
        self.assertIn("it must be application/cbor", sentence)
        self.assertEqual(200, self.fleetIQ.callInCbor("ListGameServerGroups").status)

    def test_wrongInput(self) -> None:
        """Input that the model does not allow is FleetIQ's error, as in JSON."""
        for request in ({}, {"GameServerGroupName": 1}, {"GameServerGroupName": "g", "Limit": 1.0}):
            response = self.fleetIQ.callInCbor("ListGameServers", **request)
            self.assertEqual(400, response.status)
            shape = "com.amazonaws.gamelift#InvalidRequestException"
            self.assertEqual(shape, response.cbor["__type"])

    def test_faults(self) -> None:
        """Ordered faults strike calls in either protocol."""
        order = {"operation": "*", "kind": "error", "code": "InternalServiceException"}
        self.fleetIQ.ask("POST", "/_local/faults", {}, json.dumps(order).encode())
        response = self.fleetIQ.callInCbor("ListGameServerGroups")
        self.assertEqual(500, response.status)
        shape = "com.amazonaws.gamelift#InternalServiceException"
        self.assertEqual(shape, response.cbor["__type"])

    def test_throttleFault(self) -> None:
        """A throttled call is answered as AWS throttles, and an ordered close says nothing."""
        for kind in ("throttle", "drop", "lost-reply"):
            order = {"operation": "*", "kind": kind, "count": 1}
            self.fleetIQ.ask("POST", "/_local/faults", {}, json.dumps(order).encode())
        path = rpcPath("ListGameServerGroups")
        self.assertEqual(("ThrottlingException", "Rate exceeded"), self.refused(path))
        for _ in range(2):
            connection = self.fleetIQ.connect()
            connection.send(requestBytes("POST", path, CBOR_HEADERS, b""))
            self.assertTrue(connection.closed)
            self.assertIsNone(connection.response())
        self.assertEqual(200, self.fleetIQ.callInCbor("ListGameServerGroups").status)
