"""AWS JSON 1.1, byte by byte.
Smithy RPC v2 CBOR, byte by byte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.operations import Actions
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
    """Requests in, replies out."""

    def setUp(self) -> None:
        self.protocol = AwsJson("GameLift.ListGameServers", JSON)

    def refused(self, target: str | None, contentType: str | None) -> FleetIQError:
        protocol = AwsJson(target, contentType)
        refusal: FleetIQError = self.assertRaises(FleetIQError, protocol.operationOf)
        return refusal

    def test_operation(self) -> None:
        """The operation is what follows the last dot of the target; a charset does not matter."""
        self.assertEqual("ListGameServers", self.protocol.operationOf())
        protocol = AwsJson("com.amazonaws.GameLift.Claim", f"{JSON.upper()}; charset=utf-8")
        self.assertEqual("Claim", protocol.operationOf())

    def test_headersChoose(self) -> None:
        """The protocol reads the headers it needs from the request."""
        headers = {"x-amz-target": "GameLift.Claim", "content-type": JSON}
        self.assertEqual("Claim", protocolOf(headers.get).operationOf())

    def test_noOperation(self) -> None:
        """Without a target, or with an empty one, no operation is known."""
        for target in (None, "", "GameLift."):
            self.assertEqual("UnknownOperationException", self.refused(target, JSON).code)

    def test_wrongContentType(self) -> None:
        """What a browser's form can send is not AWS JSON."""
        for contentType in (None, "text/plain", "application/json", "application/cbor"):
            refusal = self.refused("GameLift.Claim", contentType)
            self.assertEqual("SerializationException", refusal.code)

    def test_noBody(self) -> None:
        """No body is an empty input."""
        self.assertEqual({}, self.protocol.decode(b""))

    def test_hostileBodies(self) -> None:
        """What is not a JSON object in UTF-8 is refused, however it is wrong."""
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
            refusal = self.assertRaises(FleetIQError, self.protocol.decode, body)
            self.assertEqual("SerializationException", refusal.code)
            self.assertLess(len(refusal.message), 200)

    @settings(deadline=None)
    @given(st.binary(max_size=60))
    def test_anyBody(self, body: bytes) -> None:
        """Any bytes are an object or a sentence."""
        try:
            self.assertIsInstance(readObject(body), dict)
        except ValueError as error:
            self.assertTrue(str(error).startswith("The body"))

    def test_wholeEscapes(self) -> None:
        """A character beyond the BMP may be escaped in two halves."""
        self.assertEqual({"a": "\U0001f600"}, readObject(b'{"a": "\\ud83d\\ude00"}'))

    def test_reply(self) -> None:
        """A reply has its content type and a request id; timestamps are numbers."""
        reply = self.protocol.reply({"Time": 1.25, "Text": "é"}, "id-1")
        self.assertEqual(200, reply.status)
        self.assertEqual(b'{"Time":1.25,"Text":"\\u00e9"}', reply.body)
        self.assertEqual(
            {b"Content-Type": JSON.encode(), b"x-amzn-RequestId": b"id-1"}, dict(reply.headers)
        )

    def test_noOutput(self) -> None:
        """An operation without output has an empty body."""
        self.assertEqual(b"", self.protocol.reply(None, "id-1").body)

    def test_errors(self) -> None:
        """An error names its code in body and header, and has the status AWS gives it."""
        for code, status in (
            ("ConflictException", 400),
            ("NotFoundException", 400),
            ("ThrottlingException", 400),
            ("InternalServiceException", 500),
            ("InternalFailure", 500),
            ("ServiceUnavailable", 503),
        ):
            reply = self.protocol.refuse(FleetIQError(code, "Why."), "id-1")
            self.assertEqual(status, reply.status)
            self.assertEqual({"__type": code, "Message": "Why."}, json.loads(reply.body))
            headers = dict(reply.headers)
            self.assertEqual(code.encode(), headers[b"x-amzn-errortype"])
            self.assertNotIn(b"x-amzn-query-error", headers)


def head(majorType: int, value: int) -> bytes:
    """The first nine bytes of an item: its type, and in the longest form its value or length."""
    return bytes([majorType << 5 | 27]) + value.to_bytes(8, "big")


BYTES, TEXT, ARRAY, MAP, TAG = range(2, 7)
HUGE = (2**31, 2**32, 2**62, 2**63, 2**64 - 1)
HOSTILE = (
    b"garbage",
    b"{}",
    b"\x80",  # a list
    b"\xf6",  # null
    b"\xa1\x61a",  # a name without its value
    b"\xa1\x61a\x65four",  # cut off
    b"\xbf\x61a\x01",  # without its end
    b"\xbf\x61a\xff",
    b"\xff",
    b"\x1c",
    b"\xa0\x00",  # something after its end
    b"\xa0\xa0",
    b"\xa2\x61a\x01\x61a\x02",  # a name twice
    b"\xbf\x61a\x01\x61a\x02\xff",
    b"\xa1\x01\x02",  # names that are no text: 1, bytes, null, nan, a list, a map
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
    b"\xa1\x61a\x61\xff",  # no UTF-8; half a character
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
# Dates, big numbers, shared and repeated values, patterns, mail, sets, and tags nobody has defined.
TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 1004, 43000, 55799, 2**63)
TAGGED = (b"\xa0", b"\x00", b"\x60", b"\x41a", b"\x82\x01\x02", b"\xfb\x41\xd9" + bytes(6))


class RpcV2CborTests(SynchronousTestCase):
    """Requests in, replies out."""

    def setUp(self) -> None:
        self.protocol = self.protocolWith({})

    def protocolWith(self, headers: Mapping[str, str]) -> RpcV2Cbor:
        given = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor", **headers}
        return RpcV2Cbor(b"/service/GameLift/operation/ListGameServers", given.get)

    def assertRefused(self, body: bytes) -> None:
        refusal = self.assertRaises(FleetIQError, self.protocol.decode, body)
        self.assertEqual("SerializationException", refusal.code)
        self.assertLess(len(refusal.message), 200)

    def test_requestsChoose(self) -> None:
        """Path or header make it CBOR; nothing but POST is a call."""
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
        """The bytes that botocore sent, when it was made to speak CBOR."""
        body = bytes.fromhex(
            "a37347616d6553657276657247726f75704e616d656b4d794c69766547726f7570"
            "69536f72744f7264657269415343454e44494e47654c696d69740a"
        )
        self.assertEqual(
            {"GameServerGroupName": "MyLiveGroup", "SortOrder": "ASCENDING", "Limit": 10},
            self.protocol.decode(body),
        )

    def test_noInput(self) -> None:
        """No body, and then no content type, is an empty input, as an empty map is."""
        self.assertEqual({}, self.protocolWith({"content-type": ""}).decode(b""))
        self.assertEqual({}, self.protocol.decode(b"\xa0"))
        self.assertEqual({}, self.protocol.decode(b"\xbf\xff"))

    def test_contentType(self) -> None:
        """A body must say that it is CBOR."""
        for contentType in ("", "application/json", "application/cborx", "text/plain"):
            protocol = self.protocolWith({"content-type": contentType})
            refusal = self.assertRaises(FleetIQError, protocol.decode, b"\xa0")
            self.assertEqual("SerializationException", refusal.code)
        for contentType in ("Application/CBOR", "application/cbor; charset=binary"):
            self.assertEqual({}, self.protocolWith({"content-type": contentType}).decode(b"\xa0"))

    def test_indefiniteLengths(self) -> None:
        """Items may come without a length, in pieces."""
        body = b"\xbf\x7f\x61a\x61b\xff\x9f\x01\x7f\x62xy\x61z\xff\xff\xff"
        self.assertEqual({"ab": [1, "xyz"]}, self.protocol.decode(body))

    def test_undefinedIsNull(self) -> None:
        """The specification has servers read undefined as null."""
        self.assertEqual({"a": None, "b": [None]}, readStructure(b"\xa2\x61a\xf7\x61b\x81\xf7"))

    def test_numbers(self) -> None:
        """Numbers may have any size that holds them."""
        body = b"\xa4\x61a\x1b" + bytes(7) + b"\x05\x61b\x20\x61c\xf9\x3e\x00\x61d\xf5"
        self.assertEqual({"a": 5, "b": -1, "c": 1.5, "d": True}, self.protocol.decode(body))

    def test_hostileBodies(self) -> None:
        """What is not a map, whole, plain and of sane depth, is refused, however it is wrong."""
        for body in HOSTILE:
            self.assertRefused(body)

    def test_depth(self) -> None:
        """32 levels are read, as no input has, and not one more."""
        self.assertEqual(["a"], list(self.protocol.decode(b"\xa1\x61a" + b"\x81" * 31 + b"\x00")))
        self.assertRefused(b"\xa1\x61a" + b"\x81" * 32 + b"\x00")

    def test_numbersAsNames(self) -> None:
        """Reading ends at the first name that is no text: numbers can be made to collide."""
        refusal = self.assertRaises(FleetIQError, self.protocol.decode, b"\xa2\x01\x02\xff")
        self.assertIn("map key must be a text string", refusal.message)

    def test_tags(self) -> None:
        """No tag is taken, on a map, a value or a name, whatever it would mean elsewhere."""
        for tag in TAGS:
            for value in TAGGED:
                for before in (b"", b"\xa1\x61a", b"\xa1\x61a\x81", b"\xa1"):
                    self.assertRefused(before + head(TAG, tag) + value + b"\x00")

    @settings(deadline=None)
    @given(st.binary(max_size=60))
    def test_anyBody(self, body: bytes) -> None:
        """Any bytes are a map or a sentence."""
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
        """What an SDK encodes is read as it was meant."""
        self.assertEqual(value, readStructure(cbor2.dumps(value)))

    def test_reply(self) -> None:
        """A timestamp is tag 1 and a double, even on a whole second."""
        reply = self.protocol.reply({"Time": 1.0, "Text": "é", "List": [{}]}, "id-1")
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
        """An operation without output has neither body nor content type."""
        reply = self.protocol.reply(None, "id-1")
        self.assertEqual((200, b""), (reply.status, reply.body))
        self.assertEqual(
            {b"smithy-protocol", b"x-amzn-RequestId"}, {name for name, _ in reply.headers}
        )

    def test_errors(self) -> None:
        """An error names its shape in full, in the body alone."""
        for code, status in (
            ("ConflictException", 400),
            ("InternalServiceException", 500),
            ("InternalFailure", 500),
            ("ServiceUnavailable", 503),
            ("RequestEntityTooLargeException", 413),
        ):
            reply = self.protocol.refuse(FleetIQError(code, "Why."), "id-1")
            self.assertEqual(status, reply.status)
            body = {"__type": f"com.amazonaws.gamelift#{code}", "Message": "Why."}
            self.assertEqual(body, cbor2.loads(reply.body))
            names = {b"Content-Type", b"smithy-protocol", b"x-amzn-RequestId"}
            self.assertEqual(names, {name for name, _ in reply.headers})

    def test_fractionsAreTimestamps(self) -> None:
        """In no served operation's output the model has a fraction that is no timestamp."""

        def types(shapeName: str) -> Iterator[str]:
            shape = gameLift().shapes[shapeName]
            yield shape["type"]
            for member in (*shape.get("members", {}).values(), shape.get("member")):
                if member is not None:
                    yield from types(member["shape"])

        self.assertIn("timestamp", set(types("GameServer")))
        for operation in Actions(Fleet(lambda _event: None), lambda: 0.0).operations:
            if f"{operation}Output" in gameLift().shapes:
                self.assertFalse(
                    {"float", "double", "map"}.intersection(types(f"{operation}Output"))
                )
