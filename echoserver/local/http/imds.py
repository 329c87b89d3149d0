"""The instance metadata service, IMDSv1 and IMDSv2, of each local instance."""

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

from echoserver.local.http.site import LocalRequest
from echoserver.local.http.wire import Headers
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.metadatatree import LATEST, METADATA_VERSIONS, valueAt
from echoserver.local.model.metadatavalues import MetadataValues
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
    Which requests for metadata are accepted, for all instances.

    @ivar values: what the metadata has.
    @ivar seconds: the local clock.
    @ivar versions: one of L{VERSIONS}: "v1" has no tokens, "v2" requires them, and "both" accepts
        requests with and without one.
    """

    tokens: Tokens
    values: MetadataValues
    seconds: Callable[[], float]
    versions: str = "both"

    def __post_init__(self) -> None:
        if self.versions not in VERSIONS:
            raise ValueError(f"imds is {self.versions!r}: it must be {', '.join(VERSIONS)}.")


class InstanceMetadata(Resource):
    """
    The metadata of one instance in one version, or the list of versions. The instance is looked up
    for each request, because instances come and go.
    """

    isLeaf = True

    def __init__(
        self, find: Callable[[float], Instance | None], access: Access, version: str | None
    ) -> None:
        """
        @param find: returns the instance at a time, if it runs then.
        @param version: one of
            L{METADATA_VERSIONS<echoserver.local.model.metadatatree.METADATA_VERSIONS>}; C{None} for
            the list of them.
        """
        super().__init__()
        self._find = find
        self._access = access
        self._version = version

    def render_PUT(self, request: LocalRequest) -> int:
        now = self._access.seconds()
        instance = self._find(now)
        isToken = _pathOf(request) == ["api", "token"]
        if instance is None or (isToken and self._access.versions == "v1"):
            return _fail(request, 404)
        if not isToken:
            return _fail(request, 405)
        if self._version != LATEST or request.header("X-Forwarded-For") is not None:
            return _fail(request, 403)
        value = request.header(TTL_HEADER) or ""
        if not (value.isascii() and value.isdigit() and len(value) <= 5):
            return _fail(request, 400)
        ttl = int(value)
        if not 1 <= ttl <= LONGEST_TTL:
            return _fail(request, 400)
        token = self._access.tokens.issue(instance.instanceId, ttl, now)
        return _respond(request, token, ttl, now)

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
        value = self._valueAt(path, instance, now)
        if value is None:
            return _fail(request, 404)
        contentType = b"application/octet-stream" if path[0:1] == ["user-data"] else b"text/plain"
        return _respond(request, value, left, instance.changeTime, contentType)

    def _valueAt(self, path: list[str], instance: Instance, now: float) -> str | bytes | None:
        if self._version is None:
            return "\n".join(METADATA_VERSIONS)
        return valueAt(self._access.values.treeOf(instance, now), path)

    def _secondsLeft(self, request: LocalRequest, instance: Instance, now: float) -> float | None:
        """Return how long the request's token is valid, in seconds; C{None} if it needs none."""
        token = request.header(TOKEN_HEADER)
        if self._access.versions == "v1" or (token is None and self._access.versions == "both"):
            return None
        return self._access.tokens.secondsLeft(instance.instanceId, token or "", now)


class MissingMetadata(Resource):
    """A path without metadata; it may have children."""

    def getChild(self, _path: bytes, _request: LocalRequest) -> IResource:
        return self

    def render(self, request: LocalRequest) -> int:
        return _fail(request, 404)


class Instances(MissingMetadata):
    """C{/instances/<instance id>/<version>/...}: the metadata of each instance."""

    def __init__(self, state: Fleet, access: Access) -> None:
        super().__init__()
        self._state = state
        self._access = access

    def getChild(self, path: bytes, _request: LocalRequest) -> IResource:
        instanceId = path.decode("latin-1")

        def find(now: float) -> Instance | None:
            return self._state.groups(now).instance(instanceId)

        resource = _Versions()
        resource.putChild(b"", InstanceMetadata(find, self._access, None))
        addMetadata(resource, find, self._access)
        return resource


class _Versions(MissingMetadata):
    """The versions of one instance's metadata. What is below another one is missing."""

    def getChild(self, _path: bytes, _request: LocalRequest) -> IResource:
        return MissingMetadata()


def addMetadata(parent: Resource, find: Callable[[float], Instance | None], access: Access) -> None:
    """Add an instance's metadata, in each version, to a resource."""
    for version in METADATA_VERSIONS:
        parent.putChild(version.encode("ascii"), InstanceMetadata(find, access, version))


def _pathOf(request: LocalRequest) -> list[str]:
    return [segment.decode("utf-8", "replace") for segment in request.postpath]


def _respond(
    request: LocalRequest,
    value: str | bytes,
    left: float | None,
    changeTime: float,
    contentType: bytes = b"text/plain",
) -> int:
    """
    @param left: how many seconds the request's token is valid, if it has one.
    """
    headers: Headers = ((b"Last-Modified", datetimeToString(int(changeTime))),)
    if left is not None:
        headers += ((TTL_HEADER.encode("ascii"), b"%d" % left),)
    return _write(request, 200, contentType, headers, value)


def _fail(request: LocalRequest, status: int) -> int:
    title = f"{status} - {RESPONSES[status].decode('ascii')}"
    return _write(request, status, b"text/html", (), _ERROR_PAGE.format(title=title))


def _write(
    request: LocalRequest, status: int, contentType: bytes, headers: Headers, value: str | bytes
) -> int:
    # As the service on EC2 does.
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
        value.encode() if isinstance(value, str) else value,
    )
    return NOT_DONE_YET


class Tokens:
    """
    Issues and checks tokens, each valid for one instance. A token contains its end and a signature,
    so none is stored: clients may request any number of them.
    """

    # The prefix makes tokens look like those of EC2. 40 bytes are 56 characters.
    _BODY = struct.Struct(">3sd5s")
    _PREFIX = b"\x01\x00\x04"
    _SIGNATURE_BYTES = 24
    _CHARACTERS = 56

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.endAll()

    def endAll(self) -> None:
        """Make all tokens invalid that were issued so far."""
        self._key = self._rng.randbytes(32)

    def issue(self, instanceId: str, ttl: int, now: float) -> str:
        """Return a token that is valid for C{ttl} seconds."""
        body = self._BODY.pack(self._PREFIX, now + ttl, self._rng.randbytes(5))
        return self._signed(instanceId, body)

    def secondsLeft(self, instanceId: str, token: str, now: float) -> float:
        """Return how many seconds a token is valid for this instance; 0 or less if it is not."""
        if len(token) != self._CHARACTERS:
            return 0.0
        try:
            body = urlsafe_b64decode(token.encode("ascii"))[: self._BODY.size]
        except ValueError:
            return 0.0
        # Compared as text, because different base64 texts can have the same bytes.
        if not compare_digest(token, self._signed(instanceId, body)):
            return 0.0
        end: float = self._BODY.unpack(body)[1]
        return end - now

    def _signed(self, instanceId: str, body: bytes) -> str:
        signature = digest(self._key, instanceId.encode("ascii") + body, "sha256")
        return urlsafe_b64encode(body + signature[: self._SIGNATURE_BYTES]).decode("ascii")
