"""The instance metadata service, an identity an instance: version 2 with tokens, and 1."""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.web.http import RESPONSES, datetimeToString
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.metadatatree import textAt, treeOf
from echoserver.local.site import LATEST, METADATA_DATES, LocalRequest
from echoserver.local.state import FleetState
from echoserver.local.tokens import Tokens
from echoserver.local.values import Instance
from echoserver.local.wire import Headers

VERSIONS = ("v1", "v2", "both")
LONGEST_TTL = 21600
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"

_ERROR_PAGE = """<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
 </head>
 <body>
  <h1>{title}</h1>
 </body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Access:
    """
    How the metadata of all instances is asked for.

    @ivar versions: one of L{VERSIONS}: "v1" knows no tokens, "v2" needs them, and "both" takes
        requests with and without.
    """

    tokens: Tokens
    seconds: Callable[[], float]
    versions: str = "both"

    def __post_init__(self) -> None:
        if self.versions not in VERSIONS:
            raise ValueError(f"imds is {self.versions!r}: it must be {', '.join(VERSIONS)}.")


class InstanceMetadata(Resource):
    """
    What one instance's processes find below C{/latest}, or below one of the dates. The instance is
    looked for at each request, for instances come and go.
    """

    isLeaf = True

    def __init__(self, find: Callable[[float], Instance | None], access: Access, date: str) -> None:
        """
        @param find: the instance that is here at a time, if one is.
        @param date: one of L{METADATA_DATES<echoserver.local.site.METADATA_DATES>}.
        """
        super().__init__()
        self._find = find
        self._access = access
        self._date = date

    def render_PUT(self, request: LocalRequest) -> int:
        now = self._access.seconds()
        instance = self._find(now)
        isToken = _pathOf(request) == ["api", "token"]
        if instance is None or (isToken and self._access.versions == "v1"):
            return _fail(request, 404)
        if not isToken:
            return _fail(request, 405)
        if self._date != LATEST or request.header("X-Forwarded-For") is not None:
            return _fail(request, 403)
        given = request.header(TTL_HEADER) or ""
        if not (given.isascii() and given.isdigit() and len(given) <= 5):
            return _fail(request, 400)
        ttl = int(given)
        if not 1 <= ttl <= LONGEST_TTL:
            return _fail(request, 400)
        token = self._access.tokens.issue(instance.instanceId, ttl, now)
        return _answer(request, token, ttl, now)

    def render_GET(self, request: LocalRequest) -> int:
        now = self._access.seconds()
        instance = self._find(now)
        if instance is None:
            return _fail(request, 404)
        left = self._secondsLeft(request, instance, now)
        if left is not None and left <= 0:
            return _fail(request, 401)
        path = _pathOf(request)
        if path == ["api", "token"]:
            return _fail(request, 405)
        text = textAt(treeOf(instance, now), path)
        if text is None:
            return _fail(request, 404)
        return _answer(request, text, left, instance.changeTime)

    def _secondsLeft(self, request: LocalRequest, instance: Instance, now: float) -> float | None:
        """How long the request's token still works; C{None} if it needs none."""
        token = request.header(TOKEN_HEADER)
        if self._access.versions == "v1" or (token is None and self._access.versions == "both"):
            return None
        return self._access.tokens.secondsLeft(instance.instanceId, token or "", now)


class MissingMetadata(Resource):
    """No metadata here, or only in its children."""

    def getChild(self, _path: bytes, _request: LocalRequest) -> IResource:
        return self

    def render(self, request: LocalRequest) -> int:
        return _fail(request, 404)


class Instances(MissingMetadata):
    """C{/instances/<InstanceId>/latest/...}: the metadata of each instance."""

    def __init__(self, state: FleetState, access: Access) -> None:
        super().__init__()
        self._state = state
        self._access = access

    def getChild(self, path: bytes, _request: LocalRequest) -> IResource:
        instanceId = path.decode("latin-1")
        here = MissingMetadata()
        addMetadata(here, lambda now: self._state.groups(now).instance(instanceId), self._access)
        return here


def addMetadata(parent: Resource, find: Callable[[float], Instance | None], access: Access) -> None:
    """Put an instance's metadata, of each date, below a resource."""
    for date in METADATA_DATES:
        parent.putChild(date.encode("ascii"), InstanceMetadata(find, access, date))


def _pathOf(request: LocalRequest) -> list[str]:
    return [segment.decode("latin-1") for segment in request.postpath]


def _answer(request: LocalRequest, text: str, left: float | None, changeTime: float) -> int:
    """
    @param left: how many seconds the token still works, if there is one.
    """
    headers: Headers = ((b"Last-Modified", datetimeToString(int(changeTime))),)
    if left is not None:
        headers += ((TTL_HEADER.encode("ascii"), b"%d" % left),)
    return _reply(request, 200, b"text/plain", headers, text)


def _fail(request: LocalRequest, status: int) -> int:
    title = f"{status} - {RESPONSES[status].decode('ascii')}"
    return _reply(request, status, b"text/html", (), _ERROR_PAGE.format(title=title))


def _reply(
    request: LocalRequest, status: int, contentType: bytes, headers: Headers, text: str
) -> int:
    # As the real service does, which keeps no connection.
    request.channel.persistent = False
    request.answer(
        status,
        (
            (b"Content-Type", contentType),
            (b"Accept-Ranges", b"none"),
            (b"Connection", b"close"),
            (b"Server", b"EC2ws"),
            *headers,
        ),
        text.encode("ascii"),
    )
    return NOT_DONE_YET
