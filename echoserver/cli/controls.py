"""The controls of a local FleetIQ, through treq, for the commands below C{fleetiq local}."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.usage import UsageError

from echoserver.cli.console import Refused, Reply
from echoserver.cli.where import chooseWhere

if TYPE_CHECKING:
    from treq.client import HTTPClient

CONNECT_TIMEOUT = 3.0
ANSWER_TIMEOUT = 10.0
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


def controlsURL(
    group: str | None, region: str | None, endpoint: str | None, environ: Mapping[str, str]
) -> str:
    """
    The local FleetIQ whose controls are meant, without a final /.

    @raise UsageError: AWS is meant, or one group of a FleetIQ.
    """
    for name, value in (("--group", group), ("--region", region)):
        if value is not None:
            raise UsageError(
                f"{name} has no meaning here: the controls are those of a whole local FleetIQ. "
                "Leave it out; --endpoint-url names another one than the usual."
            )
    url = chooseWhere(None, None, endpoint, environ).endpoint or ""
    host = urlsplit(url).hostname or ""
    if host.endswith(_AMAZON):
        raise UsageError(
            f"The endpoint {url} is AWS, which has no such controls: a local FleetIQ alone has "
            "them. Leave --endpoint-url and AWS_ENDPOINT_URL_GAMELIFT out, or name that one."
        )
    return url.rstrip("/")


def newClient(reactor: Any) -> HTTPClient:
    """An HTTP client that gives up connecting after 3 s."""
    from echoserver.httpclient import Client

    return Client(reactor, CONNECT_TIMEOUT)


class Controls:
    """
    What a local FleetIQ has below C{/_local}.

    Its methods raise L{Refused}: it refuses, with its own sentence, or is not there.

    @ivar url: where it is.
    """

    def __init__(self, clock: IReactorTime, http: HTTPClient, url: str) -> None:
        self.url = url
        self._clock = clock
        self._http = http

    async def get(self, control: str) -> Reply:
        return await self._ask("GET", control)

    async def post(self, control: str, body: Mapping[str, Any]) -> Reply:
        return await self._ask("POST", control, json.dumps(body).encode())

    async def delete(self, control: str) -> Reply:
        return await self._ask("DELETE", control)

    async def follow(self, control: str, told: Callable[[Reply], None]) -> None:
        """Tell each message of a stream, until it ends or C{told} raises."""
        response = await self._begin("GET", control, None)
        if response.code != 200:
            self._refuse(control, response.code, await response.content())
        unread = bytearray()

        def read(data: bytes) -> None:
            unread.extend(data)
            *lines, rest = bytes(unread).split(b"\n")
            unread[:] = rest
            for line in lines:
                if line.startswith(b"data: "):
                    told(json.loads(line[6:]))

        try:
            await response.collect(read)
        except Refused:
            raise
        except Exception as error:
            raise Refused(f"The events of the local FleetIQ on {self.url} broke off.") from error

    async def _ask(self, method: str, control: str, body: bytes | None = None) -> Reply:
        response = await self._begin(method, control, body)
        answer = await self._inTime(response.content())
        if response.code != 200:
            self._refuse(control, response.code, answer)
        try:
            reply: Reply = json.loads(answer)
        except ValueError:
            self._refuse(control, response.code, answer)
        return reply

    async def _begin(self, method: str, control: str, body: bytes | None) -> Any:
        url = f"{self.url}/_local/{control}"
        return await self._inTime(self._http.request(method, url, data=body, unbuffered=True))

    async def _inTime(self, pending: Deferred[Any]) -> Any:
        try:
            return await pending.addTimeout(ANSWER_TIMEOUT, self._clock)
        except Exception as error:
            raise Refused(
                f"No local FleetIQ answers on {self.url}: start one with 'make run' or "
                "'twistd -n fleetiq-local', or name another with --endpoint-url."
            ) from error

    def _refuse(self, control: str, status: int, answer: bytes) -> NoReturn:
        try:
            sentence = json.loads(answer)["error"]
        except (ValueError, TypeError, KeyError):
            sentence = (
                f"What listens on {self.url} is no local FleetIQ that has this control: it "
                f"answers /_local/{control} with {status}."
            )
        raise Refused(str(sentence))
