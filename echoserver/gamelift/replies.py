"""
Limit and check what an endpoint replies, by hooks of boto3's client. All in threads of the pool.

botocore itself reads a reply of any length into memory. It returns a page of HTML with status 200
as a reply without members, and does not check that a string is a string. The server's client and
that of the command use the same hooks.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

from echoserver.gamelift.errors import InvalidReply
from echoserver.printable import printable

# In bytes. A page of ListGameServers has at most 1 MB: 50 game servers with 1,024 escaped
# characters of data and 512 of ConnectionInfo.
MAX_REPLY = 2 * 1024 * 1024
_CHUNK = 65_536
_PREVIEW = 40
_REQUEST_ID = "x-amzn-RequestId"
_ID = "fleetiq_game_server_id"
# The service model requires no members of a reply. Without these, a reply is useless.
_REQUIRED = {
    "ClaimGameServerOutput": ("GameServer",),
    "DescribeGameServerGroupOutput": ("GameServerGroup",),
    "DescribeGameServerInstancesOutput": ("GameServerInstances",),
    "DescribeGameServerOutput": ("GameServer",),
    "ListGameServerGroupsOutput": ("GameServerGroups",),
    "ListGameServersOutput": ("GameServers",),
    "RegisterGameServerOutput": ("GameServer",),
    "UpdateGameServerOutput": ("GameServer",),
    "GameServer": ("GameServerId", "InstanceId", "UtilizationStatus"),
    "GameServerGroup": ("GameServerGroupName",),
    "GameServerInstance": ("InstanceId", "InstanceStatus"),
}
_TYPES: dict[str, Any] = {
    "blob": bytes,
    "boolean": bool,
    "double": (float, int),
    "float": (float, int),
    "integer": int,
    "list": list,
    "long": int,
    "map": dict,
    "string": str,
    "structure": dict,
    "timestamp": (int, float, str, datetime),
}


def checkReplies(client: Any) -> None:
    """
    Have the client raise L{InvalidReply} for a reply that is longer than L{MAX_REPLY}, has not the
    format of the protocol, has not the members and types of the operation, or is about another
    game server than the request.

    @param client: a boto3 client of GameLift. It sends nothing before the hooks are registered.
    """
    events = client.meta.events
    endpoint = client.meta.endpoint_url
    events.register("before-parameter-build.gamelift", _keepId)
    # The hook that replaces the sending is public; the session that it uses has no public name.
    events.register("before-send.gamelift", partial(_send, client._endpoint, endpoint))
    events.register("before-parse.gamelift", partial(_checkBody, endpoint))
    events.register("after-call.gamelift", partial(_checkParsed, endpoint))


def _keepId(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    """Keep the id in the request for the check of the reply."""
    context[_ID] = params.get("GameServerId")


class _Body:
    """A body in memory, in place of the connection it came from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> list[bytes]:
        return [self._data]


def _send(sender: Any, endpoint: str, request: Any, **_: object) -> Any:
    """Send the request, and read at most L{MAX_REPLY} bytes of the body."""
    from botocore.awsrequest import AWSResponse

    request.stream_output = True  # or the session reads the whole body
    response = sender.http_session.send(request)
    body = _Body(_read(response.raw, endpoint, request))
    return AWSResponse(response.url, response.status_code, response.headers, body)


def _read(raw: Any, endpoint: str, request: Any) -> bytes:
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
    from urllib3 import exceptions

    data = bytearray()
    try:
        # read() and not stream(), whose lines between chunks have no limit.
        while chunk := raw.read(_CHUNK):
            data += chunk
            if len(data) > MAX_REPLY:
                raw.close()
                raise InvalidReply(f"{endpoint} responded with more than {MAX_REPLY:,d} bytes")
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
    """Check the body of a successful reply. It may be empty if the operation has no output."""
    shape, body = operation_model.output_shape, response_dict["body"]
    status = response_dict["status_code"]
    if status >= 300:
        return
    problem = ""
    members: Any = {}
    if body and _isJSON(operation_model):
        try:
            members = json.loads(body)
        except (ValueError, RecursionError):
            members = None
    elif body:
        # In CBOR, major type 5 is a map. botocore parses it.
        members = {} if body[0] >> 5 == 5 else None
    if status != 200 or not isinstance(members, dict) or not (body or shape is None):
        problem = "not FleetIQ's format"
    elif shape is None:
        # Any web server can send a reply without members.
        problem = "" if response_dict["headers"].get(_REQUEST_ID) else "without a request id"
    elif _isJSON(operation_model):
        problem = _wrongMember(shape, members, "")
    if problem:
        _refuse(endpoint, status, body, problem)


def _checkParsed(
    endpoint: str,
    http_response: Any,
    parsed: dict[str, Any],
    model: Any,
    context: dict[str, Any],
    **_: object,
) -> None:
    """Check the members of another protocol than JSON, and the id of the game server."""
    if http_response.status_code >= 300 or model.output_shape is None:
        return
    problem = "" if _isJSON(model) else _wrongMember(model.output_shape, parsed, "")
    asked, server = context.get(_ID), parsed.get("GameServer")
    if not problem and asked is not None and server and server["GameServerId"] != asked:
        sent = printable(server["GameServerId"], 60)
        problem = f"it is about game server {sent!r}, not {asked!r}"
    if problem:
        _refuse(endpoint, http_response.status_code, http_response.content, problem)


def _isJSON(operation: Any) -> bool:
    service = operation.service_model
    # Older versions of botocore know only one protocol of a service.
    return bool(getattr(service, "resolved_protocol", service.metadata["protocol"]) == "json")


def _refuse(endpoint: str, status: int, body: bytes, problem: str) -> None:
    """@raise InvalidReply: with what the endpoint sent."""
    came = "an empty body"
    if body:
        more = "..." if len(body) > _PREVIEW else ""
        came = f"{len(body):,d} bytes, {ascii(body[:_PREVIEW])[1:]}{more}"
    raise InvalidReply(f"{endpoint} responded with status {status} and {came}: {problem}")


def _wrongMember(shape: Any, value: Any, path: str) -> str:
    """
    Return what is wrong with a value, or an empty text.

    @param shape: the shape of botocore's service model.
    @param value: as it is in the JSON, or as botocore parsed it. Null is the same as missing.
    @param path: where the value is, for the text.
    """
    kind = shape.type_name
    if not _hasType(kind, value):
        return f"{path or 'it'} is {_article(type(value).__name__)}, not {_article(kind)}"
    if kind == "timestamp":
        return "" if _isDate(value) else f"{path} is {printable(repr(value), 60)}, not a date"
    if kind == "list":
        problems = (
            _wrongMember(shape.member, item, f"{path}[{i}]") for i, item in enumerate(value)
        )
    elif kind == "structure":
        prefix = f"{path}." if path else ""
        for name in _REQUIRED.get(shape.name, ()):
            if value.get(name) in (None, ""):
                return f"{prefix}{name} is missing"
        problems = (
            _wrongMember(member, value[name], prefix + name)
            for name, member in shape.members.items()
            if value.get(name) is not None
        )
    else:
        return ""
    return next(filter(None, problems), "")


def _hasType(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _isDate(value: Any) -> bool:
    """Return whether botocore can make a date of a value, and the date has a time in UTC."""
    from botocore.utils import parse_timestamp

    try:
        date = value if isinstance(value, datetime) else parse_timestamp(value)
        date.astimezone(UTC).timestamp()
    except (ArithmeticError, OSError, RuntimeError, TypeError, ValueError):
        return False
    return True


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
