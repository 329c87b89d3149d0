"""A client of the instance metadata service, version 2 (IMDSv2), on treq."""

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

from echoserver.printable import printable

if TYPE_CHECKING:
    from treq.client import HTTPClient

CONNECT_TIMEOUT = 1.0
RESPONSE_TIMEOUT = 2.0
TOKEN_TTL = 21600
# In bytes. An item has one or two lines.
MAX_RESPONSE = 65_536

# The longest value is a host name.
_VALUE = re.compile("[A-Za-z0-9.:_-]{1,255}")
_TOKEN = re.compile("[!-~]{1,1024}")
_IPV4 = "http://169.254.169.254"
_IPV6 = "http://[fd00:ec2::254]"


class NoIdentity(Exception):
    """
    The identity or the address of this instance is not known. The text is a sentence. Do not retry.
    """


class NoMetadata(NoIdentity):
    """The metadata service is disabled, does not respond, or its response is not valid."""


def serviceURL(environ: Mapping[str, str]) -> str:
    """
    Return the URL of the metadata service, without a C{/} at the end.

    The variables are those of AWS's SDKs; see
    U{https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-client.html}.

    @raise NoMetadata: if the service is disabled, or the variable is not a URL.
    """
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise NoMetadata(
            "AWS_EC2_METADATA_DISABLED is true: the instance metadata service is not used."
        )
    ipv6 = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
    url = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or (_IPV6 if ipv6 else _IPV4)
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise NoMetadata(
            f"AWS_EC2_METADATA_SERVICE_ENDPOINT is '{url}': write a URL, for example {_IPV4}."
        )
    return url.rstrip("/")


def makeHTTPClient(reactor: Any) -> HTTPClient:
    """Return an HTTP client whose connection attempts time out after L{CONNECT_TIMEOUT} seconds."""
    from echoserver.httpclient import Client

    return Client(reactor, CONNECT_TIMEOUT)


@dataclass(frozen=True, slots=True)
class Item:
    """
    The value at one path of the metadata.

    @ivar date: when the service sent it, by its own clock, in seconds since the epoch; None if the
        response has no valid C{Date}.
    """

    text: str
    date: float | None


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: str
    date: str


class _Body(Protocol):
    """
    Reads a response body. If C{whole} is cancelled or the body is longer than L{MAX_RESPONSE}, the
    connection is closed, and data that still arrives is dropped.
    """

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._close())
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        if self.whole.called:
            return
        self._data += data
        if len(self._data) > MAX_RESPONSE:
            self._data = b""
            self.whole.errback(ValueError(f"its response has more than {MAX_RESPONSE} bytes"))
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        from twisted.web.client import ResponseDone
        from twisted.web.http import PotentialDataLoss

        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(self._data)
        else:
            self.whole.errback(reason)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


class InstanceMetadata:
    """
    Reads the metadata of this instance. Use it on the reactor thread.

    A token is reused until the service rejects it with 401; then one new token is requested.

    @param url: returns the URL of the service, or raises L{NoMetadata}. It is called at each
        request, so that a disabled service is an error only if it is needed.
    """

    def __init__(self, clock: IReactorTime, http: HTTPClient, url: Callable[[], str]) -> None:
        self._clock = clock
        self._http = http
        self._url = url
        self._token: str | None = None

    async def get(self, path: str) -> str | None:
        """
        Return the text of L{item}, which must be a name, a number or an address.

        @raise NoMetadata: as L{item}, and if the text is something else, for example a page.
        """
        item = await self.item(path)
        if item is not None and not _VALUE.fullmatch(item.text):
            raise NoMetadata(
                f"The instance metadata service at {self._url()} returned an invalid value for"
                f" {path}."
            )
        return None if item is None else item.text

    async def item(self, path: str) -> Item | None:
        """
        Return one item below C{/latest/meta-data/}; None if the instance does not have it.

        @raise NoMetadata: if the service does not respond within L{RESPONSE_TIMEOUT} seconds, or if
            the status is neither 200 nor 404. A later request may succeed.
        """
        response = await self._get(path)
        if response.status == 401:
            self._token = None
            response = await self._get(path)
        if response.status == 404:
            return None
        if response.status != 200:
            raise NoMetadata(
                f"The instance metadata service at {self._url()} returned status"
                f" {response.status} for {path}."
            )
        text = response.body.strip()
        return Item(text, _parseDate(response.date)) if text else None

    async def _get(self, path: str) -> _Response:
        if self._token is None:
            ttl = {"X-aws-ec2-metadata-token-ttl-seconds": [str(TOKEN_TTL)]}
            response = await self._request("PUT", "/latest/api/token", ttl)
            if response.status != 200:
                raise NoMetadata(
                    f"The instance metadata service at {self._url()} returned no token, but status"
                    f" {response.status}."
                )
            if not _TOKEN.fullmatch(response.body):
                raise NoMetadata(
                    f"The instance metadata service at {self._url()} returned an invalid token."
                )
            self._token = response.body
        headers = {"X-aws-ec2-metadata-token": [self._token]}
        return await self._request("GET", f"/latest/meta-data/{path}", headers)

    async def _request(self, method: str, path: str, headers: dict[str, list[str]]) -> _Response:
        url = self._url()
        exchange = Deferred.fromCoroutine(self._exchange(method, url + path, headers))
        try:
            return await exchange.addTimeout(RESPONSE_TIMEOUT, self._clock, _timedOut)
        except Exception as error:
            cause = _cause(error)
            if isinstance(cause, CancelledError):
                raise cause from error
            reason = printable(cause).rstrip(".") or type(cause).__name__
            raise NoMetadata(
                f"The instance metadata service at {url} does not respond: {reason}."
            ) from error

    async def _exchange(self, method: str, url: str, headers: dict[str, list[str]]) -> _Response:
        # Twisted's cache of names compares str with bytes, which python -bb forbids: all are bytes.
        encoded: Headers = Headers(
            {name.encode(): [each.encode() for each in values] for name, values in headers.items()}
        )
        response = await self._http.request(method, url, headers=encoded, unbuffered=True)
        date = response.headers.getRawHeaders(b"Date") or [b""]
        body = _Body()
        response.deliverBody(body)
        text = (await body.whole).decode(errors="replace")
        return _Response(response.code, text, date[0].decode("latin-1"))


def _parseDate(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _timedOut(_: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"no complete response within {timeout:.0f} s")


def _cause(error: Exception) -> BaseException:
    from twisted.web.client import ResponseFailed

    if isinstance(error, ResponseFailed):
        cause: BaseException = error.reasons[0].value
        return cause
    return error
