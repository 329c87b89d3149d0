"""The endpoint in Smithy RPC v2 CBOR: what is a call, and how it is answered."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.values import instanceIdOf
from tests.local.inmemory import CBOR_HEADERS, MemoryFleetIQ, callHeaders, requestBytes, rpcPath


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
