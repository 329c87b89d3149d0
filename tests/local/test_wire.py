"""AWS JSON 1.1, byte by byte."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.values import Refusal
from echoserver.local.wire import AwsJson, protocolOf, readObject

JSON = "application/x-amz-json-1.1"


class AwsJsonTests(SynchronousTestCase):
    """Requests in, replies out."""

    def setUp(self) -> None:
        self.protocol = AwsJson("GameLift.ListGameServers", JSON)

    def refused(self, target: str | None, contentType: str | None) -> Refusal:
        protocol = AwsJson(target, contentType)
        refusal: Refusal = self.assertRaises(Refusal, protocol.operationOf)
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
            refusal = self.assertRaises(Refusal, self.protocol.decode, body)
            self.assertEqual("SerializationException", refusal.code)
            self.assertLess(len(refusal.sentence), 200)

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
            reply = self.protocol.refuse(Refusal(code, "Why."), "id-1")
            self.assertEqual(status, reply.status)
            self.assertEqual({"__type": code, "Message": "Why."}, json.loads(reply.body))
            headers = dict(reply.headers)
            self.assertEqual(code.encode(), headers[b"x-amzn-errortype"])
            self.assertNotIn(b"x-amzn-query-error", headers)
