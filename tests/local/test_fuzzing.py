"""The local FleetIQ replies to any request in its protocol, and keeps running."""

import json
from collections import Counter
from random import Random

import cbor2
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.operations import Operations
from echoserver.local.model.fleet import Fleet
from tests.local.fuzzing import VALID, Call, drawCall
from tests.local.inmemory import MemoryFleetIQ, Response, requestBytes

CALLS = 3000


class FuzzingTests(SynchronousTestCase):
    """Random and mutated requests to one local FleetIQ on one connection."""

    def assertReply(self, call: Call, response: Response) -> None:
        """Check that the response is a complete result or error in the protocol of the call."""
        self.assertIn(response.status, (200, 400), (call, response))
        headers = response.headers
        self.assertEqual(call.inCbor, headers.get("smithy-protocol") == "rpc-v2-cbor", call)
        self.assertEqual(str(len(response.body)), headers["content-length"], call)
        if response.body:
            contentType = "application/cbor" if call.inCbor else "application/x-amz-json-1.1"
            self.assertEqual(contentType, headers["content-type"], call)
            body = (cbor2.loads if call.inCbor else json.loads)(response.body)
            self.assertEqual(response.status == 400, "__type" in body, (call, response))
        else:
            self.assertEqual(200, response.status, call)

    def test_everyOperation(self) -> None:
        """The requests include every operation."""
        operations = Operations(Fleet(lambda _event: None), lambda: 0.0).names
        self.assertEqual(set(), set(operations) - set(VALID))

    def test_everyCall(self) -> None:
        """Each of 3,000 calls has a reply, some with results and most with errors."""
        rng = Random(20261122)
        fleetIQ = MemoryFleetIQ(seed=1)
        connection = fleetIQ.connect()
        statuses: Counter[tuple[bool, int]] = Counter()
        for _ in range(CALLS):
            call = drawCall(rng)
            connection.send(requestBytes("POST", call.path, call.headers, call.body))
            response = connection.response()
            assert response is not None, call
            self.assertReply(call, response)
            statuses[call.inCbor, response.status] += 1
        self.assertEqual(4, len(statuses))
        self.assertGreater(min(statuses.values()), CALLS / 20)
