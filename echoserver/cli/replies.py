"""
Check what an endpoint responds to the command, before the command believes it.

botocore accepts any body with status 200: of HTML and of an empty body it makes a reply without
members, and it neither checks the types of members nor limits the length of a body. All functions
here run in the threads of boto3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from threading import local
from typing import Any

from echoserver.gamelift.client import Client, EndpointConfig, Session, openClient

Reply = dict[str, Any]

# The longest page of FleetIQ: 100 game servers with 1,024 characters of GameServerData each.
MAX_BODY = 4 * 1024 * 1024
_PREVIEW = 40
_CHUNK = 65536

# The service model has no required members of output. Without these, a reply says nothing.
_REQUIRED = {
    "ClaimGameServerOutput": ("GameServer",),
    "DescribeGameServerOutput": ("GameServer",),
    "ListGameServerGroupsOutput": ("GameServerGroups",),
    "ListGameServersOutput": ("GameServers",),
    "RegisterGameServerOutput": ("GameServer",),
    "UpdateGameServerOutput": ("GameServer",),
    "GameServer": ("GameServerId", "InstanceId", "UtilizationStatus"),
    "GameServerGroup": ("GameServerGroupName",),
}
_TYPES: dict[str, type] = {
    "blob": bytes,
    "boolean": bool,
    "double": float,
    "float": float,
    "integer": int,
    "list": list,
    "long": int,
    "map": dict,
    "string": str,
    "structure": dict,
    "timestamp": datetime,
}


class WrongReply(Exception):
    """A reply that cannot be FleetIQ's. The message names the endpoint and what it sent."""

    # echoserver.gamelift.errors quotes the repr of an exception that it does not know.
    __repr__ = Exception.__str__


def openCheckedClient(session: Session, config: EndpointConfig, region: str | None) -> Client:
    """Return a boto3 client whose replies are checked and of limited length."""
    client: Any = openClient(session, config, region)
    return checkClient(client)


def checkClient(client: Any) -> Client:
    """Limit and check the replies of a boto3 client."""
    # botocore has no public place where a body can be limited before it is read.
    endpoint = client._endpoint
    bounded = _BoundedSession(endpoint.http_session)
    endpoint.http_session = bounded
    return _CheckedClient(client, bounded)


class _CheckedClient:
    """A boto3 client that raises L{WrongReply} for a reply that does not fit its operation."""

    def __init__(self, client: Any, http: _BoundedSession) -> None:
        self._client = client
        self._http = http

    def __getattr__(self, name: str) -> Callable[..., Reply]:
        method: Callable[..., Reply] = getattr(self._client, name)
        meta = self._client.meta
        model = meta.service_model.operation_model(meta.method_to_api_mapping[name])

        def call(**members: Any) -> Reply:
            self._http.received = ""
            try:
                reply = method(**members)
            except Exception as error:
                # With an attribute response it is FleetIQ's refusal; else botocore cannot parse.
                if isinstance(error, WrongReply) or hasattr(error, "response"):
                    raise
                if self._http.received:
                    raise WrongReply(f"{self._http.received}: not FleetIQ's format") from error
                raise
            if problem := self._problem(model.output_shape, reply, members):
                raise WrongReply(f"{self._http.received}: {problem}")
            return reply

        return call

    def _problem(self, shape: Any, reply: Reply, members: Reply) -> str | None:
        if not self._http.isObject:
            return "not FleetIQ's format"
        if shape is None:
            # FleetIQ's reply has no members then, as that of any web server can.
            return None if self._http.hasRequestId else "without a request id"
        # botocore makes an empty list of an object, so what came is checked, too.
        raw = json.loads(self._http.content) if self._http.content else reply
        problem = wrongMember(shape, raw, "") or wrongMember(shape, reply, "") or None
        asked, sent = members.get("GameServerId"), reply.get("GameServer", {})
        if problem is None and asked is not None and sent.get("GameServerId") != asked:
            problem = f"it is about game server {sent.get('GameServerId')!a}, not {asked!a}"
        return problem


def wrongMember(shape: Any, value: Any, path: str) -> str:
    """
    Return what is wrong with a value, or an empty text.

    @param shape: the shape of botocore's service model.
    @param value: as botocore parsed it, or as it is in the JSON. Null is the same as missing.
    @param path: where the value is, for the text.
    """
    if not _hasType(shape.type_name, value):
        return f"{path or 'it'} is {_kind(value)}, not {_article(shape.type_name)}"
    prefix = f"{path}." if path else ""
    if shape.type_name == "structure":
        for name in _REQUIRED.get(shape.name, ()):
            if value.get(name) in (None, ""):
                return f"{prefix}{name} is missing"
        problems = (
            wrongMember(member, value[name], prefix + name)
            for name, member in shape.members.items()
            if value.get(name) is not None
        )
    elif shape.type_name == "list":
        problems = (wrongMember(shape.member, item, f"{path}[{i}]") for i, item in enumerate(value))
    else:
        return ""
    return next(filter(None, problems), "")


def _hasType(typeName: str, value: Any) -> bool:
    if isinstance(value, bool) and typeName != "boolean":
        return False
    # As JSON, a date is a number or a text; botocore makes a date of it, or fails.
    if not isinstance(value, _TYPES[typeName]):
        return typeName == "timestamp" and isinstance(value, int | float | str)
    if isinstance(value, datetime):
        try:
            value.astimezone(UTC)
            value.timestamp()
        except (OverflowError, ValueError):
            return False
    return True


def _kind(value: Any) -> str:
    return "a wrong date" if isinstance(value, datetime) else _article(type(value).__name__)


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


class _Body:
    """The body of a response, as botocore reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> list[bytes]:
        return [self._content]


class _BoundedSession(local):
    """
    An HTTP session of botocore that reads at most L{MAX_BODY} bytes of a body.

    @ivar received: what the last request of this thread received, for messages; empty if nothing.
    @ivar content: its body, if that is JSON.
    @ivar hasRequestId: whether it had the request id of AWS.
    @ivar isObject: whether it had the status 200 and an empty body, or an object in the format of
        the protocol.
    """

    received = ""
    content = b""
    isObject = True
    hasRequestId = False

    def __init__(self, session: Any) -> None:
        self._session = session

    def send(self, request: Any) -> Any:
        """Send a request, and return the response with its whole body."""
        url = str(request.url).partition("/service/")[0].rstrip("/")
        request.stream_output = True  # else the session itself reads the whole body
        response = self._session.send(request)
        content = bytearray()
        for chunk in response.raw.stream(_CHUNK):
            content += chunk
            if len(content) > MAX_BODY:
                response.raw.close()
                raise WrongReply(f"{url} responded with more than {MAX_BODY:,d} bytes")
        response.raw.release_conn()
        response.raw = _Body(bytes(content))
        self._describe(url, response, bytes(content))
        return response

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _describe(self, url: str, response: Any, content: bytes) -> None:
        isCBOR = "cbor" in str(response.headers.get("Content-Type", "")).lower()
        # CBOR's major type 5 is a map.
        isMap = content[:1] and content[0] >> 5 == 5 if isCBOR else content.lstrip()[:1] == b"{"
        self.isObject = response.status_code == 200 and (not content or bool(isMap))
        self.hasRequestId = bool(response.headers.get("x-amzn-RequestId"))
        self.content = b"" if isCBOR else content
        body = "an empty body"
        if content:
            more = "..." if len(content) > _PREVIEW else ""
            body = f"{len(content):,d} bytes, {ascii(content[:_PREVIEW])[1:]}{more}"
        self.received = f"{url} responded with status {response.status_code} and {body}"
