"""Bytes to a call and a reply to bytes: AWS JSON 1.1 and Smithy RPC v2 CBOR."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from typing import Any, NoReturn, Protocol

from cbor2 import CBORDecodeError, CBORDecoder, CBOREncoder, dumps, undefined

from echoserver.local.model.values import FleetIQError

Headers = tuple[tuple[bytes, bytes], ...]
HeaderOf = Callable[[str], str | None]

# Only the last four segments of an RPC path count; in front of them anything may stand.
_RPC_PATH = re.compile(rb"/service/([^/]*)/operation/([^/]*)\Z")

# Every error that FleetIQ's model has is 400 but the first. AWS's common errors, which faults can
# order, have two more; the last is ours, for a body too large.
_STATUSES = {
    "InternalServiceException": 500,
    "InternalFailure": 500,
    "ServiceUnavailable": 503,
    "RequestEntityTooLargeException": 413,
}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Headers
    body: bytes


class WireProtocol(Protocol):
    """One of the protocols in which SDKs speak to GameLift."""

    def operationOf(self) -> str:
        """The operation that the request names; raises L{FleetIQError} if it names none."""
        ...

    def decode(self, body: bytes) -> dict[str, Any]:
        """The request's input; raises L{FleetIQError} if the body cannot be read."""
        ...

    def reply(self, output: Mapping[str, Any] | None, requestId: str) -> Reply:
        """The reply to a call that succeeded; C{None} is for an operation without output."""
        ...

    def refuse(self, refusal: FleetIQError, requestId: str) -> Reply: ...


def isCall(method: bytes, path: bytes) -> bool:
    """Whether a request is a call of the API, in whichever protocol."""
    return method == b"POST" and (path == b"/" or _RPC_PATH.search(path) is not None)


def protocolOf(header: HeaderOf, path: bytes = b"/") -> WireProtocol:
    """The protocol that the path and the headers of a call choose."""
    if path == b"/" and header("smithy-protocol") is None:
        return AwsJson(header("x-amz-target"), header("content-type"))
    return RpcV2Cbor(path, header)


def _requireType(wanted: str, header: str | None) -> None:
    given = (header or "").partition(";")[0].strip().lower()
    if given != wanted:
        raise FleetIQError(
            "SerializationException", f"Content-Type is {given[:60]!r}: it must be {wanted}."
        )


def _refuseConstant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuseRepeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has a name twice")
    return value


_decode = json.JSONDecoder(parse_constant=_refuseConstant, object_pairs_hook=_refuseRepeats).decode
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def readObject(body: bytes) -> dict[str, Any]:
    """
    The JSON object that a body is, whoever sent it.

    @raise ValueError: It is none; the text is a sentence.
    """
    try:
        value = _decode(body.decode("utf-8"))
        if b"\\u" in body:
            # Escapes can spell half a character, which nothing could print or send on.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("The body is nested too deeply.") from error
    except ValueError as error:
        raise ValueError(f"The body cannot be read as JSON: {str(error)[:100]}.") from error
    if not isinstance(value, dict):
        raise ValueError("The body must be a JSON object.")
    return value


class AwsJson:
    """AWS JSON 1.1, the protocol of boto3 and of the AWS CLI."""

    contentType = "application/x-amz-json-1.1"

    def __init__(self, target: str | None, contentType: str | None) -> None:
        self._target = target
        self._contentType = contentType

    def operationOf(self) -> str:
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

    def reply(self, output: Mapping[str, Any] | None, requestId: str) -> Reply:
        body = b"" if output is None else _encode(output).encode("ascii")
        return Reply(200, self._headers(requestId), body)

    def refuse(self, refusal: FleetIQError, requestId: str) -> Reply:
        body = _encode({"__type": refusal.code, "Message": refusal.message}).encode("ascii")
        # botocore reads the code from the body, other SDKs read it from the header.
        errorType = (b"x-amzn-errortype", refusal.code.encode("ascii"))
        status = _STATUSES.get(refusal.code, 400)
        return Reply(status, (*self._headers(requestId), errorType), body)

    def _headers(self, requestId: str) -> Headers:
        return (
            (b"Content-Type", self.contentType.encode("ascii")),
            (b"x-amzn-RequestId", requestId.encode("ascii")),
        )


class _NoTags(dict[int, Callable[..., NoReturn]]):
    """No tag has a place in an input; cbor2 would build dates, patterns and cycles of some."""

    def __missing__(self, tag: int) -> Callable[..., NoReturn]:
        return self._refuse

    def _refuse(self, *_value: object) -> NoReturn:
        raise ValueError("an input has no tags")


_NO_TAGS = _NoTags()
_DEEPEST = 32


def readStructure(body: bytes) -> dict[str, Any]:
    """
    The CBOR map that a body is, of nothing but what JSON has, too.

    @raise ValueError: It is none; the text is a sentence.
    """
    stream = BytesIO(body)
    try:
        value = CBORDecoder(
            stream,
            semantic_decoders=_NO_TAGS,
            max_depth=_DEEPEST,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        ).decode()
        value = _plain(value)
        rest = len(body) - stream.tell()
        if rest:
            raise ValueError(f"{rest} bytes follow its end")
    except (CBORDecodeError, ValueError) as error:
        raise ValueError(f"The body cannot be read as CBOR: {str(error)[:100]}.") from error
    if not isinstance(value, dict):
        raise ValueError("The body must be a CBOR map.")
    return value


def _plain(item: Any) -> Any:
    """An item, changed in place: a body of a mebibyte may hold a million of them."""
    if isinstance(item, dict):
        for name, value in item.items():
            if not isinstance(name, str):
                raise ValueError("a name in a map is not a text string")
            item[name] = _plain(value)
    elif isinstance(item, list):
        for index, value in enumerate(item):
            item[index] = _plain(value)
    elif item is undefined:
        return None  # so wants the specification
    elif not isinstance(item, str | int | float | None):
        raise ValueError(f"an input has no {type(item).__name__}")
    elif isinstance(item, float) and not isfinite(item):
        raise ValueError(f"{item} is not a number")
    return item


def _encodeTime(encoder: CBOREncoder, seconds: float) -> None:
    encoder.write(b"\xc1")
    encoder.encode_float(seconds)


def _encodeStructure(value: Mapping[str, Any]) -> bytes:
    # The fractions in FleetIQ's replies are timestamps, all of them: a test asks the model.
    return dumps(value, encoders={float: _encodeTime})


class RpcV2Cbor:
    """
    Smithy RPC v2 CBOR, the protocol of AWS's SDKs for C++, Go, Java and .NET.

    See U{https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html}.
    """

    name = "rpc-v2-cbor"
    contentType = "application/cbor"

    def __init__(self, path: bytes, header: HeaderOf) -> None:
        self._path = path
        self._header = header

    def operationOf(self) -> str:
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
                    f"The header {name} is not of {self.name}, where the path names the operation.",
                )
        called = _RPC_PATH.search(self._path)
        service = b"" if called is None else called[1].rpartition(b".")[2]
        if called is None or service != b"GameLift" or not called[2]:
            raise FleetIQError(
                "UnknownOperationException",
                f"The path is {self._path.decode('latin-1')[:60]!r}: it must end as in "
                "/service/GameLift/operation/ListGameServers.",
            )
        return called[2].decode("latin-1")

    def decode(self, body: bytes) -> dict[str, Any]:
        if not body:
            return {}
        _requireType(self.contentType, self._header("content-type"))
        try:
            return readStructure(body)
        except ValueError as error:
            raise FleetIQError("SerializationException", str(error)) from error

    def reply(self, output: Mapping[str, Any] | None, requestId: str) -> Reply:
        if output is None:
            return Reply(200, self._headers(requestId), b"")
        return self._full(200, output, requestId)

    def refuse(self, refusal: FleetIQError, requestId: str) -> Reply:
        shape = f"com.amazonaws.gamelift#{refusal.code}"
        error = {"__type": shape, "Message": refusal.message}
        return self._full(_STATUSES.get(refusal.code, 400), error, requestId)

    def _full(self, status: int, value: Mapping[str, Any], requestId: str) -> Reply:
        contentType = (b"Content-Type", self.contentType.encode("ascii"))
        return Reply(status, (*self._headers(requestId), contentType), _encodeStructure(value))

    def _headers(self, requestId: str) -> Headers:
        return (
            (b"smithy-protocol", self.name.encode("ascii")),
            (b"x-amzn-RequestId", requestId.encode("ascii")),
        )
