"""The wire protocols AWS JSON 1.1 and Smithy RPC v2 CBOR, byte by byte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.operations import Operations
from echoserver.local.http.validation import gameLift
from echoserver.local.http.wire import (
    AwsJson,
    RpcV2Cbor,
    isCall,
    protocolOf,
    readObject,
    readStructure,
)
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import FleetIQError
from echoserver.webaccess import LONGEST_BODY

JSON = "application/x-amz-json-1.1"


class AwsJsonTests(SynchronousTestCase):
    """Parse calls and serialize replies."""

    def setUp(self) -> None:
        self.protocol = AwsJson("GameLift.ListGameServers", JSON)

    def rejection(self, target: str | None, contentType: str | None) -> FleetIQError:
        protocol = AwsJson(target, contentType)
        error: FleetIQError = self.assertRaises(FleetIQError, protocol.operationName)
        return error

    def test_operation(self) -> None:
        """The operation follows the last dot of the target. A charset is allowed."""
        self.assertEqual("ListGameServers", self.protocol.operationName())
        protocol = AwsJson("com.amazonaws.GameLift.Claim", f"{JSON.upper()}; charset=utf-8")
        self.assertEqual("Claim", protocol.operationName())

    def test_headersChoose(self) -> None:
        """The protocol takes its headers from the request."""
        headers = {"x-amz-target": "GameLift.Claim", "content-type": JSON}
        self.assertEqual("Claim", protocolOf(headers.get).operationName())

    def test_noOperation(self) -> None:
        """A missing or empty target is an UnknownOperationException."""
        for target in (None, "", "GameLift."):
            self.assertEqual("UnknownOperationException", self.rejection(target, JSON).code)

    def test_wrongContentType(self) -> None:
        """A content type that a browser's form can send is rejected."""
        for contentType in (None, "text/plain", "application/json", "application/cbor"):
            error = self.rejection("GameLift.Claim", contentType)
            self.assertEqual("SerializationException", error.code)

    def test_noBody(self) -> None:
        """An empty body is an empty input."""
        self.assertEqual({}, self.protocol.decode(b""))

    def test_hostileBodies(self) -> None:
        """A body that is not a JSON object in UTF-8 is rejected with a short message."""
        for body in (
            b"[]",
            b"null",
            b"{",
            b'{"a": "b',
            b"{} {}",
            b'{"a": 1, "a": 2}',
            b'{"b": [{"a": 1, "a": 1}]}',
            b"{1: 2}",
            b'{"a": NaN}',
            b'{"a": -Infinity}',
            b"\xff\xfe{\x00}\x00",
            b"\xef\xbb\xbf{}",
            b'{"a": "\\ud800"}',
            b'{"\\udfff": 1}',
            b"[" * 10_000,
            b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
            b'{"a": ' + b"9" * 5000 + b"}",
        ):
            error = self.assertRaises(FleetIQError, self.protocol.decode, body)
            self.assertEqual("SerializationException", error.code)
            self.assertLess(len(error.message), 200)

    @settings(deadline=None)
    @given(st.binary(max_size=60))
    def test_anyBody(self, body: bytes) -> None:
        """Any bytes result in an object or a sentence."""
        try:
            self.assertIsInstance(readObject(body), dict)
        except ValueError as error:
            self.assertTrue(str(error).startswith("The body"))

    def test_wholeEscapes(self) -> None:
        """A character beyond the BMP may be escaped as two surrogates."""
        self.assertEqual({"a": "\U0001f600"}, readObject(b'{"a": "\\ud83d\\ude00"}'))

    def test_reply(self) -> None:
        """A reply has a content type and a request id. Timestamps are numbers."""
        reply = self.protocol.serialize({"Time": 1.25, "Text": "é"}, "id-1")
        self.assertEqual(200, reply.status)
        self.assertEqual(b'{"Time":1.25,"Text":"\\u00e9"}', reply.body)
        self.assertEqual(
            {b"Content-Type": JSON.encode(), b"x-amzn-RequestId": b"id-1"}, dict(reply.headers)
        )

    def test_noOutput(self) -> None:
        """An operation without output has an empty body."""
        self.assertEqual(b"", self.protocol.serialize(None, "id-1").body)

    def test_errors(self) -> None:
        """An error has its code in body and header, and the status that AWS uses."""
        for code, status in (
            ("ConflictException", 400),
            ("NotFoundException", 400),
            ("ThrottlingException", 400),
            ("InternalServiceException", 500),
            ("InternalFailure", 500),
            ("ServiceUnavailable", 503),
        ):
            reply = self.protocol.serializeError(FleetIQError(code, "Why."), "id-1")
            self.assertEqual(status, reply.status)
            self.assertEqual({"__type": code, "Message": "Why."}, json.loads(reply.body))
            headers = dict(reply.headers)
            self.assertEqual(code.encode(), headers[b"x-amzn-errortype"])
            self.assertNotIn(b"x-amzn-query-error", headers)


def head(majorType: int, value: int) -> bytes:
    """Return the first nine bytes of an item: its type, and its value or length as 64 bits."""
    return bytes([majorType << 5 | 27]) + value.to_bytes(8, "big")


BYTES, TEXT, ARRAY, MAP, TAG = range(2, 7)
HUGE = (2**31, 2**32, 2**62, 2**63, 2**64 - 1)
HOSTILE = (
    b"garbage",
    b"{}",
    b"\x80",  # a list
    b"\xf6",  # null
    b"\xa1\x61a",  # a key without its value
    b"\xa1\x61a\x65four",  # cut off
    b"\xbf\x61a\x01",  # without an end
    b"\xbf\x61a\xff",
    b"\xff",
    b"\x1c",
    b"\xa0\x00",  # bytes after its end
    b"\xa0\xa0",
    b"\xa2\x61a\x01\x61a\x02",  # the same key twice
    b"\xbf\x61a\x01\x61a\x02\xff",
    b"\xa1\x01\x02",  # keys that are not text: 1, bytes, null, nan, a list, a map
    b"\xa1\x41a\x02",
    b"\xa1\xf6\x02",
    b"\xa1\xf9\x7e\x00\x02",
    b"\xa1\x80\x02",
    b"\xa1\xa0\x02",
    b"\xa1\x61a\x41b",  # bytes
    b"\xa1\x61a\xf9\x7e\x00",  # nan, infinity, -infinity, in three sizes
    b"\xa1\x61a\xfa\x7f\x80\x00\x00",
    b"\xa1\x61a\xfb\xff\xf0" + bytes(6),
    b"\xa1\x61a\xf0",  # simple values without a meaning
    b"\xa1\x61a\xf8\xff",
    b"\xa1\x61a\x61\xff",  # not UTF-8; a lone surrogate
    b"\xa1\x61a\x63\xed\xa0\x80",
    b"\x81" * 10_000,
    b"\x81" * LONGEST_BODY,
    b"\xa1\x61a" * 10_000 + b"\x00",
    b"\xa1\x61a" + b"\x81" * 10_000 + b"\x00",
    b"\xbf\x61a" * 10_000 + b"\x00" + b"\xff" * 10_000,
    b"\xa1\x61a" + b"\xc6" * 10_000 + b"\x00",
    b"\xa1\x61a\xc2" + head(BYTES, 500_000) + b"\xff" * 500_000,  # a number of 500,000 bytes
    *(head(majorType, length) for majorType in (BYTES, TEXT, ARRAY, MAP) for length in HUGE),
    *(b"\xa1" + head(TEXT, length) + b"a" * 1000 for length in HUGE),
    *(b"\xa1\x61a\x7f" + head(TEXT, length) + b"\xff" for length in HUGE),
    *(b"\xa1\x61a" * 20 + head(ARRAY, length) * 5 for length in HUGE),
)
# Dates, big numbers, shared and repeated values, patterns, mail, sets, and undefined tags.
TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 1004, 43000, 55799, 2**63)
TAGGED = (b"\xa0", b"\x00", b"\x60", b"\x41a", b"\x82\x01\x02", b"\xfb\x41\xd9" + bytes(6))


class RpcV2CborTests(SynchronousTestCase):
    """Parse calls and serialize replies."""

    def setUp(self) -> None:
        self.protocol = self.protocolWith({})

    def protocolWith(self, headers: Mapping[str, str]) -> RpcV2Cbor:
        given = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor", **headers}
        return RpcV2Cbor(b"/service/GameLift/operation/ListGameServers", given.get)

    def assertRejected(self, body: bytes) -> None:
        error = self.assertRaises(FleetIQError, self.protocol.decode, body)
        self.assertEqual("SerializationException", error.code)
        self.assertLess(len(error.message), 200)

    def test_requestsChoose(self) -> None:
        """The path or a header select CBOR. Only POST is a call."""
        path = b"/service/GameLift/operation/ListGameServers"
        none: dict[str, str] = {}
        self.assertIsInstance(protocolOf(none.get, path), RpcV2Cbor)
        self.assertIsInstance(protocolOf({"smithy-protocol": "x"}.get), RpcV2Cbor)
        self.assertIsInstance(protocolOf(none.get), AwsJson)
        self.assertTrue(isCall(b"POST", b"/a/b" + path))
        self.assertFalse(isCall(b"GET", path))
        self.assertFalse(isCall(b"POST", path + b"/"))
        self.assertFalse(isCall(b"POST", b"/latest"))

    def test_asBotocoreSends(self) -> None:
        """The bytes that botocore sent, configured for CBOR, are parsed."""
        body = bytes.fromhex(
            "a37347616d6553657276657247726f75704e616d656b4d794c69766547726f7570"
            "69536f72744f7264657269415343454e44494e47654c696d69740a"
        )
        self.assertEqual(
            {"GameServerGroupName": "MyLiveGroup", "SortOrder": "ASCENDING", "Limit": 10},
            self.protocol.decode(body),
        )

    def test_noInput(self) -> None:
        """An empty body, also without a content type, and an empty map are an empty input."""
        self.assertEqual({}, self.protocolWith({"content-type": ""}).decode(b""))
        self.assertEqual({}, self.protocol.decode(b"\xa0"))
        self.assertEqual({}, self.protocol.decode(b"\xbf\xff"))

    def test_contentType(self) -> None:
        """A body must have the content type of CBOR."""
        for contentType in ("", "application/json", "application/cborx", "text/plain"):
            protocol = self.protocolWith({"content-type": contentType})
            error = self.assertRaises(FleetIQError, protocol.decode, b"\xa0")
            self.assertEqual("SerializationException", error.code)
        for contentType in ("Application/CBOR", "application/cbor; charset=binary"):
            self.assertEqual({}, self.protocolWith({"content-type": contentType}).decode(b"\xa0"))

    def test_indefiniteLengths(self) -> None:
        """Items of indefinite length are parsed."""
        body = b"\xbf\x7f\x61a\x61b\xff\x9f\x01\x7f\x62xy\x61z\xff\xff\xff"
        self.assertEqual({"ab": [1, "xyz"]}, self.protocol.decode(body))

    def test_undefinedIsNull(self) -> None:
        """Undefined is null, as the specification requires of servers."""
        self.assertEqual({"a": None, "b": [None]}, readStructure(b"\xa2\x61a\xf7\x61b\x81\xf7"))

    def test_numbers(self) -> None:
        """Numbers may be encoded in any size."""
        body = b"\xa4\x61a\x1b" + bytes(7) + b"\x05\x61b\x20\x61c\xf9\x3e\x00\x61d\xf5"
        self.assertEqual({"a": 5, "b": -1, "c": 1.5, "d": True}, self.protocol.decode(body))

    def test_hostileBodies(self) -> None:
        """A body that is not a complete map of plain types and limited depth is rejected."""
        for body in HOSTILE:
            self.assertRejected(body)

    def test_depth(self) -> None:
        """32 levels are parsed, more than any input has; 33 are rejected."""
        self.assertEqual(["a"], list(self.protocol.decode(b"\xa1\x61a" + b"\x81" * 31 + b"\x00")))
        self.assertRejected(b"\xa1\x61a" + b"\x81" * 32 + b"\x00")

    def test_numbersAsNames(self) -> None:
        """Parsing ends at the first key that is not text: an attacker can make numbers collide."""
        error = self.assertRaises(FleetIQError, self.protocol.decode, b"\xa2\x01\x02\xff")
        self.assertIn("map key must be a text string", error.message)

    def test_tags(self) -> None:
        """Every tag is rejected, on a map, a value or a key."""
        for tag in TAGS:
            for value in TAGGED:
                for before in (b"", b"\xa1\x61a", b"\xa1\x61a\x81", b"\xa1"):
                    self.assertRejected(before + head(TAG, tag) + value + b"\x00")

    @settings(deadline=None)
    @given(st.binary(max_size=60))
    def test_anyBody(self, body: bytes) -> None:
        """Any bytes result in a map or a sentence."""
        try:
            self.assertIsInstance(readStructure(body), dict)
        except ValueError as error:
            self.assertTrue(str(error).startswith("The body"))

    @settings(deadline=None, max_examples=40)
    @given(
        st.dictionaries(
            st.text(max_size=8),
            st.recursive(st.none() | st.text() | st.integers(-5, 5), st.lists, max_leaves=8),
            max_size=6,
        )
    )
    def test_anyInput(self, value: dict[str, Any]) -> None:
        """An input that an SDK encodes is parsed to the same value."""
        self.assertEqual(value, readStructure(cbor2.dumps(value)))

    def test_reply(self) -> None:
        """A timestamp is tag 1 and a double, also for a whole second."""
        reply = self.protocol.serialize({"Time": 1.0, "Text": "é", "List": [{}]}, "id-1")
        self.assertEqual(200, reply.status)
        self.assertEqual(
            b"\xa3\x64Time\xc1\xfb\x3f\xf0" + bytes(6) + b"\x64Text\x62\xc3\xa9\x64List\x81\xa0",
            reply.body,
        )
        self.assertEqual(
            {
                b"Content-Type": b"application/cbor",
                b"smithy-protocol": b"rpc-v2-cbor",
                b"x-amzn-RequestId": b"id-1",
            },
            dict(reply.headers),
        )

    def test_noOutput(self) -> None:
        """An operation without output has no body and no content type."""
        reply = self.protocol.serialize(None, "id-1")
        self.assertEqual((200, b""), (reply.status, reply.body))
        self.assertEqual(
            {b"smithy-protocol", b"x-amzn-RequestId"}, {name for name, _ in reply.headers}
        )

    def test_errors(self) -> None:
        """An error has the full name of its shape, in the body only."""
        for code, status in (
            ("ConflictException", 400),
            ("InternalServiceException", 500),
            ("InternalFailure", 500),
            ("ServiceUnavailable", 503),
            ("RequestEntityTooLargeException", 413),
        ):
            reply = self.protocol.serializeError(FleetIQError(code, "Why."), "id-1")
            self.assertEqual(status, reply.status)
            body = {"__type": f"com.amazonaws.gamelift#{code}", "Message": "Why."}
            self.assertEqual(body, cbor2.loads(reply.body))
            names = {b"Content-Type", b"smithy-protocol", b"x-amzn-RequestId"}
            self.assertEqual(names, {name for name, _ in reply.headers})

    def test_fractionsAreTimestamps(self) -> None:
        """No output of a served operation has a float that is not a timestamp."""

        def types(shapeName: str) -> Iterator[str]:
            shape = gameLift().shapes[shapeName]
            yield shape["type"]
            for member in (*shape.get("members", {}).values(), shape.get("member")):
                if member is not None:
                    yield from types(member["shape"])

        self.assertIn("timestamp", set(types("GameServer")))
        for operation in Operations(Fleet(lambda _event: None), lambda: 0.0).names:
            if f"{operation}Output" in gameLift().shapes:
                self.assertFalse(
                    {"float", "double", "map"}.intersection(types(f"{operation}Output"))
                )
