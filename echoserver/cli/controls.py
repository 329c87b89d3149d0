"""A client of the controls of a local FleetIQ, for the subcommands of C{fleetiq local}."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from click import UsageError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from echoserver.cli.endpoint import notRunning, resolveEndpoint
from echoserver.cli.output import CommandFailed, Reply
from echoserver.cli.shapes import SHAPES, wrongPart

if TYPE_CHECKING:
    from treq.client import HTTPClient

CONNECT_TIMEOUT = 3.0
RESPONSE_TIMEOUT = 10.0
# A state with 10,000 game servers has 5 MB.
MAX_BODY = 16 * 1024 * 1024
MAX_EVENT = 1024 * 1024
_LONGEST_MESSAGE = 1000
_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


def controlsURL(
    group: str | None, region: str | None, endpoint: str | None, environ: Mapping[str, str]
) -> str:
    """
    Return the URL of the local FleetIQ, without a final slash.

    @raise UsageError: if the options select AWS, or one group.
    """
    for name, value in (("--group", group), ("--region", region)):
        if value is not None:
            raise UsageError(
                f"{name} has no effect here: the controls apply to a whole local FleetIQ. Leave it "
                "out. To select another local FleetIQ, use --endpoint-url."
            )
    url = resolveEndpoint(None, None, endpoint, environ).endpoint or ""
    host = urlsplit(url).hostname or ""
    if host.endswith(_AWS_DOMAINS):
        raise UsageError(
            f"The endpoint {url} is AWS, which has no controls. Only a local FleetIQ has them. "
            "Leave out --endpoint-url and AWS_ENDPOINT_URL_GAMELIFT, or set them to a local one."
        )
    return url.rstrip("/")


def newClient(reactor: Any) -> HTTPClient:
    """Return an HTTP client with a connect timeout of 3 s."""
    from echoserver.httpclient import Client

    return Client(reactor, CONNECT_TIMEOUT)


class NoResponse(CommandFailed):
    """No server listens at the endpoint, or it does not respond in time."""


class WrongControl(CommandFailed):
    """The server at the endpoint is not a local FleetIQ that has this control."""


class Controls:
    """
    The controls of a local FleetIQ: the paths below C{/_local}.

    All methods raise L{CommandFailed} if the local FleetIQ rejects the request, with its message,
    or if it cannot be reached, and C{UsageError} if it rejects a value.

    @ivar url: the URL of the local FleetIQ.
    """

    def __init__(self, clock: IReactorTime, http: HTTPClient, url: str) -> None:
        self.url = url
        self._clock = clock
        self._http = http

    async def get(self, control: str) -> Reply:
        """Return the state of a control."""
        return await self._call("GET", control)

    async def post(self, control: str, body: Mapping[str, Any]) -> Reply:
        """Change the state of a control, and return its reply."""
        return await self._call("POST", control, json.dumps(body).encode())

    async def delete(self, control: str) -> Reply:
        """Delete what a control has created, and return its reply."""
        return await self._call("DELETE", control)

    async def follow(self, control: str, onMessage: Callable[[Reply], None]) -> None:
        """Call C{onMessage} for each server-sent event, until the stream ends or it raises."""
        response = await self._request("GET", control, None)
        if response.code != 200:
            self._fail(control, response.code, await self._content(control, response))
        buffer = bytearray()

        def read(data: bytes) -> None:
            buffer.extend(data)
            *lines, rest = bytes(buffer).split(b"\n")
            buffer[:] = rest
            if len(buffer) > MAX_EVENT:
                raise self._wrong(control, f"an event of more than {MAX_EVENT:,d} bytes")
            for line in lines:
                if line.startswith(b"data: "):
                    onMessage(self._parse(control, line[6:]))

        try:
            await response.collect(read)
        except CommandFailed:
            raise
        except Exception as error:
            raise CommandFailed(
                f"The event stream of the local FleetIQ on {self.url} was interrupted."
            ) from error

    async def _call(self, method: str, control: str, body: bytes | None = None) -> Reply:
        response = await self._request(method, control, body)
        content = await self._content(control, response)
        if response.code != 200:
            self._fail(control, response.code, content)
        return self._parse(control, content)

    async def _content(self, control: str, response: Any) -> bytes:
        from echoserver.httpclient import BodyTooLong, boundedContent

        try:
            content: bytes = await self._inTime(boundedContent(response, MAX_BODY))
        except BodyTooLong as error:
            raise self._wrong(control, str(error)) from error
        return content

    def _parse(self, control: str, content: bytes) -> Reply:
        try:
            reply = json.loads(content)
            problem = wrongPart(reply, SHAPES[control.partition("/")[0]])
        except (ValueError, RecursionError):
            problem = "no JSON"
        if problem:
            sent = f"{len(content):,d} bytes, {ascii(content[:40])[1:]}"
            raise self._wrong(control, f"status 200. It sent {sent}: {problem}")
        checked: Reply = reply
        return checked

    def _wrong(self, control: str, what: str) -> WrongControl:
        return WrongControl(
            f"The server on {self.url} is not a local FleetIQ with this control: it responds to "
            f"/_local/{control} with {what}."
        )

    async def _request(self, method: str, control: str, body: bytes | None) -> Any:
        url = f"{self.url}/_local/{control}"
        return await self._inTime(self._http.request(method, url, data=body, unbuffered=True))

    async def _inTime(self, pending: Deferred[Any]) -> Any:
        from echoserver.httpclient import BodyTooLong

        try:
            return await pending.addTimeout(RESPONSE_TIMEOUT, self._clock)
        except BodyTooLong:
            raise
        except Exception as error:
            raise NoResponse(notRunning(self.url)) from error

    def _fail(self, control: str, status: int, content: bytes) -> NoReturn:
        try:
            message = json.loads(content)["error"]
        except (ValueError, TypeError, KeyError, RecursionError):
            message = None
        if not isinstance(message, str):
            raise self._wrong(control, f"status {status}")
        message = message[:_LONGEST_MESSAGE]
        # 400 is for a wrong value; 404 and 409 are for what does not exist or exists already.
        raise UsageError(message) if status == 400 else CommandFailed(message)
