"""The instance metadata service, IMDSv2 and v1, for each local instance."""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest, digest
from random import Random

from twisted.web.http import RESPONSES, datetimeToString
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.http.site import LATEST, METADATA_DATES, LocalRequest
from echoserver.local.http.wire import Headers
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.metadatatree import textAt, treeOf
from echoserver.local.model.values import Instance

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
        @param date: one of L{METADATA_DATES<echoserver.local.http.site.METADATA_DATES>}.
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

    def __init__(self, state: Fleet, access: Access) -> None:
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
    request.respond(
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


class Tokens:
    """
    Issues and checks tokens, each good at one instance. A token carries its own end and is signed,
    so that none need be kept: as with the real service, one may ask for any number of them.
    """

    # The first bytes make tokens begin as real ones do; 40 bytes are 56 characters.
    _BODY = struct.Struct(">3sd5s")
    _PREFIX = b"\x01\x00\x04"
    _SIGNATURE_BYTES = 24
    _CHARACTERS = 56

    def __init__(self, rng: Random) -> None:
        self._dice = rng
        self.endAll()

    def endAll(self) -> None:
        """No token that was issued so far works any longer."""
        self._key = self._dice.randbytes(32)

    def issue(self, instanceId: str, ttl: int, now: float) -> str:
        """A token that works for C{ttl} seconds."""
        body = self._BODY.pack(self._PREFIX, now + ttl, self._dice.randbytes(5))
        return self._signed(instanceId, body)

    def secondsLeft(self, instanceId: str, token: str, now: float) -> float:
        """How long this instance's token still works: 0 or less if it does not, or never did."""
        if len(token) != self._CHARACTERS:
            return 0.0
        try:
            body = urlsafe_b64decode(token.encode("ascii"))[: self._BODY.size]
        except ValueError:
            return 0.0
        # As text, for base64 has more than one for the same bytes.
        if not compare_digest(token, self._signed(instanceId, body)):
            return 0.0
        end: float = self._BODY.unpack(body)[1]
        return end - now

    def _signed(self, instanceId: str, body: bytes) -> str:
        signature = digest(self._key, instanceId.encode("ascii") + body, "sha256")
        return urlsafe_b64encode(body + signature[: self._SIGNATURE_BYTES]).decode("ascii")
