"""
Limit and check what an endpoint replies, by hooks of boto3's client. All in threads of the pool.

botocore itself reads a reply of any length into memory. It returns a page of HTML with status 200
as a reply without members, and does not check that a string is a string.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Any

from echoserver.gamelift.errors import InvalidReply
from echoserver.printable import printable

# In bytes. A page of ListGameServers has at most 1 MB: 50 game servers with 1,024 escaped
# characters of data and 512 of ConnectionInfo.
MAX_REPLY = 2 * 1024 * 1024
_CHUNK = 65_536
_TYPES: dict[str, Any] = {
    "boolean": bool,
    "integer": int,
    "list": list,
    "long": int,
    "string": str,
    "structure": dict,
    "timestamp": (int, float, str, datetime),
}


def checkReplies(client: Any) -> None:
    """
    Have the client raise L{InvalidReply} for a reply that is longer than L{MAX_REPLY}, is not a
    JSON object, or has not the members and types of the operation.

    @param client: a boto3 client of GameLift. It sends nothing before the hooks are registered.
    """
    events = client.meta.events
    endpoint = client.meta.endpoint_url
    # The hook that replaces the sending is public; the session that it uses has no public name.
    events.register("before-send.gamelift", partial(_send, client._endpoint))
    events.register("before-parse.gamelift", partial(_checkBody, endpoint))
    events.register("after-call.gamelift", partial(_checkParsed, endpoint))


class _Body:
    """A body in memory, in place of the connection it came from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> list[bytes]:
        return [self._data]


def _send(sender: Any, request: Any, **_: object) -> Any:
    """Send the request, and read at most L{MAX_REPLY} bytes of the body."""
    from botocore.awsrequest import AWSResponse

    request.stream_output = True  # or the session reads the whole body
    response = sender.http_session.send(request)
    body = _Body(_read(response.raw, request))
    return AWSResponse(response.url, response.status_code, response.headers, body)


def _read(raw: Any, request: Any) -> bytes:
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
    from urllib3 import exceptions

    data = bytearray()
    try:
        # read() and not stream(), whose lines between chunks have no limit.
        while chunk := raw.read(_CHUNK):
            data += chunk
            if len(data) > MAX_REPLY:
                raw.close()
                raise InvalidReply(f"{request.url} sent more than {MAX_REPLY} bytes")
        if raw.length_remaining:
            raise exceptions.IncompleteRead(len(data), raw.length_remaining)
    except exceptions.ReadTimeoutError as error:
        raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
    except exceptions.HTTPError as error:
        raise ConnectionClosedError(
            error=error, request=request, endpoint_url=request.url
        ) from error
    return bytes(data)


def _checkBody(endpoint: str, operation_model: Any, response_dict: Any, **_: object) -> None:
    """Check a successful JSON reply. It may be empty if the operation has no output."""
    shape, body = operation_model.output_shape, response_dict["body"]
    if response_dict["status_code"] >= 300 or not _isJSON(operation_model):
        return
    if not body and shape is None:
        return
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        came = printable(body[:100].decode(errors="replace"), 60) or "nothing"
        raise InvalidReply(f"{endpoint} sent no JSON object, but: {came}")
    _checkMembers(endpoint, members, shape)


def _checkParsed(endpoint: str, http_response: Any, parsed: Any, model: Any, **_: object) -> None:
    """Check a successful reply in another protocol."""
    if http_response.status_code < 300 and not _isJSON(model):
        _checkMembers(endpoint, parsed, model.output_shape)


def _isJSON(operation: Any) -> bool:
    service = operation.service_model
    # Older versions of botocore know only one protocol of a service.
    return bool(getattr(service, "resolved_protocol", service.metadata["protocol"]) == "json")


def _checkMembers(endpoint: str, members: dict[str, Any], shape: Any) -> None:
    """Check a reply against the operation's output shape; None if it has none."""
    for name, member in shape.members.items() if shape else ():
        if members.get(name) is None and name != "NextToken":
            raise InvalidReply(f"{endpoint} sent no {name}")
        if members.get(name) is not None:
            _checkType(endpoint, name, members[name], member)


def _checkType(endpoint: str, path: str, value: object, shape: Any) -> None:
    expected = _TYPES.get(shape.type_name)
    if expected is not None and not isinstance(value, expected):
        raise InvalidReply(f"{endpoint} sent {printable(repr(value), 60)} as {path}")
    if isinstance(value, list):
        for each in value:
            _checkType(endpoint, path, each, shape.member)
    elif isinstance(value, dict) and shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None:
                _checkType(endpoint, f"{path}.{name}", value[name], member)
