"""Parses calls and serializes replies in AWS JSON 1.1 and in Smithy RPC v2 CBOR."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from typing import Any, NoReturn
from typing import Protocol as TypingProtocol

from cbor2 import CBORDecodeError, CBORDecoder, CBOREncoder, dumps, undefined

from echoserver.local.model.values import FleetIQError

Headers = tuple[tuple[bytes, bytes], ...]
HeaderOf = Callable[[str], str | None]

# Only the last four segments of an RPC path count. Any prefix is allowed before them.
_RPC_PATH = re.compile(rb"/service/([^/]*)/operation/([^/]*)\Z")

# Every error of FleetIQ's model is 400 except the first. The next two are common errors of AWS that
# a fault can inject; the last is this server's own.
_STATUSES = {
    "InternalServiceException": 500,
    "InternalFailure": 500,
    "ServiceUnavailable": 503,
    "RequestEntityTooLargeException": 413,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response."""

    status: int
    headers: Headers
    body: bytes


class WireProtocol(TypingProtocol):
    """One of the protocols that SDKs use for GameLift."""

    def operationName(self) -> str:
        """
        Return the name of the operation.

        @raise FleetIQError: The request names none.
        """
        ...

    def decode(self, body: bytes) -> dict[str, Any]:
        """
        Return the input of the operation.

        @raise FleetIQError: The body cannot be parsed.
        """
        ...

    def serialize(self, output: Mapping[str, Any] | None, requestId: str) -> Reply:
        """Return the reply to a call that succeeded; C{None} if its operation has no output."""
        ...

    def serializeError(self, error: FleetIQError, requestId: str) -> Reply:
        """Return the reply to a call that failed."""
        ...


def isCall(method: bytes, path: bytes) -> bool:
    """Return whether a request is a call of the API, in either protocol."""
    return method == b"POST" and (path == b"/" or _RPC_PATH.search(path) is not None)


def protocolOf(header: HeaderOf, path: bytes = b"/") -> WireProtocol:
    """Return the protocol of a call, by its path and headers."""
    if path == b"/" and header("smithy-protocol") is None:
        return AwsJson(header("x-amz-target"), header("content-type"))
    return RpcV2Cbor(path, header)


def _requireType(wanted: str, header: str | None) -> None:
    given = (header or "").partition(";")[0].strip().lower()
    if given != wanted:
        raise FleetIQError(
            "SerializationException", f"Content-Type is {given[:60]!r}: it must be {wanted}."
        )


def _rejectConstant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _rejectDuplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has the same name twice")
    return value


_decode = json.JSONDecoder(
    parse_constant=_rejectConstant, object_pairs_hook=_rejectDuplicates
).decode
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def readObject(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object that a body contains.

    @raise ValueError: It is none. The message is a sentence for the caller.
    """
    try:
        value = _decode(body.decode("utf-8"))
        if b"\\u" in body:
            # An escaped lone surrogate cannot be encoded: it would fail later, in a reply or a log.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("The body is nested too deeply.") from error
    except ValueError as error:
        raise ValueError(f"The body cannot be read as JSON: {str(error)[:100]}.") from error
    if not isinstance(value, dict):
        raise ValueError("The body must be a JSON object.")
    return value


class AwsJson:
    """AWS JSON 1.1, the protocol that boto3 and the AWS CLI use."""

    contentType = "application/x-amz-json-1.1"

    def __init__(self, target: str | None, contentType: str | None) -> None:
        self._target = target
        self._contentType = contentType

    def operationName(self) -> str:
        _requireType(self.contentType, self._contentType)
        operation = (self._target or "").rpartition(".")[2]
        if not operation:
            raise FleetIQError(
                "UnknownOperationException",
                "The header X-Amz-Target is missing: it must name an operation, "
                "such as GameLift.ListGameServers.",
            )
        return operation

    def decode(self, body: bytes) -> dict[str, Any]:
        try:
            return readObject(body) if body else {}
        except ValueError as error:
            raise FleetIQError("SerializationException", str(error)) from error

    def serialize(self, output: Mapping[str, Any] | None, requestId: str) -> Reply:
        body = b"" if output is None else _encode(output).encode("ascii")
        return Reply(200, self._headers(requestId), body)

    def serializeError(self, error: FleetIQError, requestId: str) -> Reply:
        body = _encode({"__type": error.code, "Message": error.message}).encode("ascii")
        # botocore reads the code from the body, other SDKs from the header.
        errorType = (b"x-amzn-errortype", error.code.encode("ascii"))
        status = _STATUSES.get(error.code, 400)
        return Reply(status, (*self._headers(requestId), errorType), body)

    def _headers(self, requestId: str) -> Headers:
        return (
            (b"Content-Type", self.contentType.encode("ascii")),
            (b"x-amzn-RequestId", requestId.encode("ascii")),
        )


class _NoTags(dict[int, Callable[..., NoReturn]]):
    """
    Rejects every tag: no input of FleetIQ has one. cbor2 would create dates, patterns and reference
    cycles for some.
    """

    def __missing__(self, tag: int) -> Callable[..., NoReturn]:
        return self._reject

    def _reject(self, *_value: object) -> NoReturn:
        raise ValueError("tags are not allowed in an input")


_NO_TAGS = _NoTags()
_MAX_DEPTH = 32


def readStructure(body: bytes) -> dict[str, Any]:
    """
    Parse a body that must be a CBOR map, with only the types that JSON has, too.

    @raise ValueError: It is none. The message is a sentence for the caller.
    """
    stream = BytesIO(body)
    try:
        value = CBORDecoder(
            stream,
            semantic_decoders=_NO_TAGS,
            max_depth=_MAX_DEPTH,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        ).decode()
        value = _normalize(value)
        rest = len(body) - stream.tell()
        if rest:
            raise ValueError(f"{rest} bytes follow its end")
    except (CBORDecodeError, ValueError) as error:
        raise ValueError(f"The body cannot be read as CBOR: {str(error)[:100]}.") from error
    if not isinstance(value, dict):
        raise ValueError("The body must be a CBOR map.")
    return value


def _normalize(item: Any) -> Any:
    """Check an item and return it. It is changed in place: a body may have a million items."""
    if isinstance(item, dict):
        for name, value in item.items():
            if not isinstance(name, str):
                raise ValueError("a key of a map is not a text string")
            item[name] = _normalize(value)
    elif isinstance(item, list):
        for index, value in enumerate(item):
            item[index] = _normalize(value)
    elif item is undefined:
        return None  # as the specification requires
    elif not isinstance(item, str | int | float | None):
        raise ValueError(f"the type {type(item).__name__} is not allowed in an input")
    elif isinstance(item, float) and not isfinite(item):
        raise ValueError(f"{item} is not a number")
    return item


def _encodeTime(encoder: CBOREncoder, seconds: float) -> None:
    encoder.write(b"\xc1")
    encoder.encode_float(seconds)


def _encodeStructure(value: Mapping[str, Any]) -> bytes:
    # All floats in FleetIQ's replies are timestamps: a test checks that against the model.
    return dumps(value, encoders={float: _encodeTime})


class RpcV2Cbor:
    """
    Smithy RPC v2 CBOR, the protocol that AWS's SDKs for C++, Go, Java and .NET use.

    See U{https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html}.
    """

    name = "rpc-v2-cbor"
    contentType = "application/cbor"

    def __init__(self, path: bytes, header: HeaderOf) -> None:
        self._path = path
        self._header = header

    def operationName(self) -> str:
        protocol = self._header("smithy-protocol") or ""
        if protocol != self.name:
            raise FleetIQError(
                "SerializationException",
                f"The header smithy-protocol is {protocol[:60]!r}: it must be {self.name}.",
            )
        for name in ("x-amz-target", "x-amzn-target"):
            if self._header(name) is not None:
                raise FleetIQError(
                    "SerializationException",
                    f"The header {name} is not allowed in {self.name}: the path has the operation.",
                )
        match = _RPC_PATH.search(self._path)
        service = b"" if match is None else match[1].rpartition(b".")[2]
        if match is None or service != b"GameLift" or not match[2]:
            raise FleetIQError(
                "UnknownOperationException",
                f"The path is {self._path.decode('latin-1')[:60]!r}: it must end as in "
                "/service/GameLift/operation/ListGameServers.",
            )
        return match[2].decode("latin-1")

    def decode(self, body: bytes) -> dict[str, Any]:
        if not body:
            return {}
        _requireType(self.contentType, self._header("content-type"))
        try:
            return readStructure(body)
        except ValueError as error:
            raise FleetIQError("SerializationException", str(error)) from error

    def serialize(self, output: Mapping[str, Any] | None, requestId: str) -> Reply:
        if output is None:
            return Reply(200, self._headers(requestId), b"")
        return self._replyWithBody(200, output, requestId)

    def serializeError(self, error: FleetIQError, requestId: str) -> Reply:
        shape = f"com.amazonaws.gamelift#{error.code}"
        body = {"__type": shape, "Message": error.message}
        return self._replyWithBody(_STATUSES.get(error.code, 400), body, requestId)

    def _replyWithBody(self, status: int, value: Mapping[str, Any], requestId: str) -> Reply:
        contentType = (b"Content-Type", self.contentType.encode("ascii"))
        return Reply(status, (*self._headers(requestId), contentType), _encodeStructure(value))

    def _headers(self, requestId: str) -> Headers:
        return (
            (b"smithy-protocol", self.name.encode("ascii")),
            (b"x-amzn-RequestId", requestId.encode("ascii")),
        )
