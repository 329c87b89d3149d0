"""The instance metadata service, version 2, through treq."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

if TYPE_CHECKING:
    from treq.client import HTTPClient

CONNECT_TIMEOUT = 1.0
ANSWER_TIMEOUT = 2.0
TOKEN_TTL = 21600
# An item has a line or two.
LONGEST_REPLY = 65_536

_A_NAME = re.compile("[A-Za-z0-9.:_-]+")
_IPV4 = "http://169.254.169.254"
_IPV6 = "http://[fd00:ec2::254]"


class NoIdentity(Exception):
    """What is to be registered cannot be said of this instance. A sentence; do not retry."""


class NoMetadata(NoIdentity):
    """The metadata service is switched off, does not answer, or answers as none does."""


def serviceURL(environ: Mapping[str, str]) -> str:
    """
    Where the metadata service is, by the variables that AWS's own tools honour; without a final /.

    @raise NoMetadata: if it is switched off, or its variable is no URL.
    """
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise NoMetadata("AWS_EC2_METADATA_DISABLED is true: the instance metadata is not asked.")
    ipv6 = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
    url = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or (_IPV6 if ipv6 else _IPV4)
    try:
        parts = urlsplit(url)
        isURL = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        isURL = False
    if not isURL:
        raise NoMetadata(
            f"AWS_EC2_METADATA_SERVICE_ENDPOINT is '{url}': write a URL, for instance {_IPV4}."
        )
    return url.rstrip("/")


def makeHTTPClient(reactor: Any) -> HTTPClient:
    """An HTTP client that gives up connecting after a second."""
    from echoserver.httpclient import Client

    return Client(reactor, CONNECT_TIMEOUT)


@dataclass(frozen=True, slots=True)
class Item:
    """
    What the metadata has at a path.

    @ivar date: when it said so, by its own clock, in seconds since the epoch; None if it did not.
    """

    text: str
    date: float | None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: str
    date: str


class _Body(Protocol):
    """Reads a reply to its end. One that is not waited for, or is too long, is not read on."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._close())
        self._read = b""

    def dataReceived(self, data: bytes) -> None:
        self._read += data
        if len(self._read) > LONGEST_REPLY:
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        from twisted.web.client import ResponseDone
        from twisted.web.http import PotentialDataLoss

        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(self._read)
        else:
            self.whole.errback(reason)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


class InstanceMetadata:
    """
    The metadata service. One token serves until it is refused, then one more.

    @param url: names where it is, once something is asked.
    """

    def __init__(self, clock: IReactorTime, http: HTTPClient, url: Callable[[], str]) -> None:
        self._clock = clock
        self._http = http
        self._url = url
        self._token: str | None = None

    async def get(self, path: str) -> str | None:
        """The text of L{item}, which has to be a name, a number or an address; fails as it does."""
        item = await self.item(path)
        if item is not None and not _A_NAME.fullmatch(item.text):
            raise NoMetadata(
                f"The instance metadata at {self._url()} answers {path} with what cannot be one."
            )
        return None if item is None else item.text

    async def item(self, path: str) -> Item | None:
        """
        One item below C{/latest/meta-data/}; None if the instance does not have it.

        @raise NoMetadata: if the service is silent, or answers neither 200 nor 404.
        """
        answer = await self._ask(path)
        if answer.status == 401:
            self._token = None
            answer = await self._ask(path)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise NoMetadata(
                f"The instance metadata at {self._url()} answers {path} with {answer.status}."
            )
        text = answer.body.strip()
        return Item(text, _seconds(answer.date)) if text else None

    async def _ask(self, path: str) -> _Answer:
        if self._token is None:
            ttl = {"X-aws-ec2-metadata-token-ttl-seconds": [str(TOKEN_TTL)]}
            answer = await self._request("PUT", "/latest/api/token", ttl)
            if answer.status != 200:
                raise NoMetadata(
                    f"The instance metadata at {self._url()} gives no token, but {answer.status}."
                )
            self._token = answer.body
        headers = {"X-aws-ec2-metadata-token": [self._token]}
        return await self._request("GET", f"/latest/meta-data/{path}", headers)

    async def _request(self, method: str, path: str, headers: dict[str, list[str]]) -> _Answer:
        url = self._url()
        exchange = Deferred.fromCoroutine(self._exchange(method, url + path, headers))
        try:
            return await exchange.addTimeout(ANSWER_TIMEOUT, self._clock, _tooLate)
        except Exception as error:
            why = _cause(error)
            if isinstance(why, CancelledError):
                raise why from error
            reason = str(why).rstrip(".") or type(why).__name__
            raise NoMetadata(
                f"The instance metadata at {url} does not answer: {reason}."
            ) from error

    async def _exchange(self, method: str, url: str, headers: dict[str, list[str]]) -> _Answer:
        response = await self._http.request(method, url, headers=Headers(headers), unbuffered=True)
        date = response.headers.getRawHeaders("Date") or [""]
        body = _Body()
        response.deliverBody(body)
        text = (await body.whole).decode(errors="replace")
        return _Answer(response.code, text, date[0])


def _seconds(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _tooLate(_: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"nothing whole within {timeout:.0f} s")


def _cause(error: Exception) -> BaseException:
    from twisted.web.client import ResponseFailed

    if isinstance(error, ResponseFailed):
        cause: BaseException = error.reasons[0].value
        return cause
    return error
