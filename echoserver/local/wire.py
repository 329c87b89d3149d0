"""Bytes to a call and a reply to bytes: AWS JSON 1.1."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from echoserver.local.values import Refusal

Headers = tuple[tuple[bytes, bytes], ...]

# Every error that FleetIQ's model has is 400 but this one; the other is ours, for a body too large.
_STATUSES = {"InternalServiceException": 500, "RequestEntityTooLargeException": 413}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Headers
    body: bytes


class WireProtocol(Protocol):
    """One of the protocols in which SDKs speak to GameLift."""

    def operationOf(self) -> str:
        """The operation that the request names; raises L{Refusal} if it names none."""
        ...

    def decode(self, body: bytes) -> dict[str, Any]:
        """The request's input; raises L{Refusal} if the body cannot be read."""
        ...

    def reply(self, output: Mapping[str, Any] | None, requestId: str) -> Reply:
        """The reply to a call that succeeded; C{None} is for an operation without output."""
        ...

    def refuse(self, refusal: Refusal, requestId: str) -> Reply: ...


def protocolOf(header: Callable[[str], str | None]) -> WireProtocol:
    """The protocol that a request's headers choose."""
    return AwsJson(header("x-amz-target"), header("content-type"))


def _refuseConstant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuseConstant).decode
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
        given = (self._contentType or "").partition(";")[0].strip().lower()
        if given != self.contentType:
            raise Refusal(
                "SerializationException",
                f"Content-Type is {given[:60]!r}: it must be {self.contentType}.",
            )
        operation = (self._target or "").rpartition(".")[2]
        if not operation:
            raise Refusal(
                "UnknownOperationException",
                "The header X-Amz-Target is missing: it must name an operation, "
                "such as GameLift.ListGameServers.",
            )
        return operation

    def decode(self, body: bytes) -> dict[str, Any]:
        try:
            return readObject(body) if body else {}
        except ValueError as error:
            raise Refusal("SerializationException", str(error)) from error

    def reply(self, output: Mapping[str, Any] | None, requestId: str) -> Reply:
        body = b"" if output is None else _encode(output).encode("ascii")
        return Reply(200, self._headers(requestId), body)

    def refuse(self, refusal: Refusal, requestId: str) -> Reply:
        body = _encode({"__type": refusal.code, "Message": refusal.sentence}).encode("ascii")
        # botocore reads the code from the body, other SDKs read it from the header.
        errorType = (b"x-amzn-errortype", refusal.code.encode("ascii"))
        status = _STATUSES.get(refusal.code, 400)
        return Reply(status, (*self._headers(requestId), errorType), body)

    def _headers(self, requestId: str) -> Headers:
        return (
            (b"Content-Type", self.contentType.encode("ascii")),
            (b"x-amzn-RequestId", requestId.encode("ascii")),
        )
