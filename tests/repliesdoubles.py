"""HTTP responses in memory for boto3's own client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.awsrequest import AWSResponse, HeadersDict

URL = "http://127.0.0.1:4570"
JSON = "application/x-amz-json-1.1"


class Raw:
    """A response of urllib3."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.closed = False
        self.length_remaining = 0

    def stream(self, *_: object) -> Iterator[bytes]:
        return self._chunks

    def read(self, _size: int) -> bytes:
        return next(self._chunks, b"")

    def close(self) -> None:
        self.closed = True

    def release_conn(self) -> None: ...


def httpResponse(status: int, contentType: str, chunks: Iterator[bytes]) -> AWSResponse:
    """Return a response of botocore's HTTP session."""
    # Only a reply in a format of AWS has the request id of AWS.
    headers = {"Content-Type": contentType}
    if contentType in (JSON, "application/cbor"):
        headers["x-amzn-RequestId"] = "8c6b3d0a"
    return AWSResponse(URL, status, HeadersDict(headers), Raw(chunks))


class MemorySession:
    """An HTTP session of botocore that returns a prepared response."""

    def __init__(self, response: Callable[[Any], AWSResponse]) -> None:
        self._response = response

    def send(self, request: Any) -> AWSResponse:
        return self._response(request)
