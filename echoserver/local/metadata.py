"""The instance metadata service, an identity an instance: version 2 with tokens, and 1."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from hmac import compare_digest, digest
from random import Random

from twisted.web.http import RESPONSES
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.site import LocalRequest
from echoserver.local.state import FleetState
from echoserver.local.values import REGION, Instance, autoScalingGroupOf
from echoserver.local.wire import Headers

LONGEST_TTL = 21600
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"

# What stands at a path: a value, or what is below it.
Tree = Mapping[str, "str | Tree"]

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

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._key = dice.randbytes(32)

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


class InstanceMetadata(Resource):
    """
    What one instance's processes find below C{/latest}. The instance is looked for at each request,
    for instances come and go.
    """

    isLeaf = True

    def __init__(
        self,
        find: Callable[[float], Instance | None],
        tokens: Tokens,
        seconds: Callable[[], float],
    ) -> None:
        """
        @param find: the instance that is here at a time, if one is.
        """
        super().__init__()
        self._find = find
        self._tokens = tokens
        self._seconds = seconds

    def render_PUT(self, request: LocalRequest) -> int:
        now = self._seconds()
        instance = self._find(now)
        if instance is None:
            return _fail(request, 404)
        if _pathOf(request) != ["api", "token"]:
            return _fail(request, 405)
        if request.header("X-Forwarded-For") is not None:
            return _fail(request, 403)
        given = request.header(TTL_HEADER) or ""
        if not (given.isascii() and given.isdigit() and len(given) <= 5):
            return _fail(request, 400)
        ttl = int(given)
        if not 1 <= ttl <= LONGEST_TTL:
            return _fail(request, 400)
        return _answer(request, self._tokens.issue(instance.instanceId, ttl, now), ttl)

    def render_GET(self, request: LocalRequest) -> int:
        now = self._seconds()
        instance = self._find(now)
        if instance is None:
            return _fail(request, 404)
        token = request.header(TOKEN_HEADER)
        left = None
        if token is not None:
            left = self._tokens.secondsLeft(instance.instanceId, token, now)
            if left <= 0:
                return _fail(request, 401)
        path = _pathOf(request)
        if path == ["api", "token"]:
            return _fail(request, 405)
        text = _textAt(treeOf(instance), path)
        return _fail(request, 404) if text is None else _answer(request, text, left)


class MissingMetadata(Resource):
    """No metadata here, or only in its children."""

    def getChild(self, _path: bytes, _request: LocalRequest) -> IResource:
        return self

    def render(self, request: LocalRequest) -> int:
        return _fail(request, 404)


class Instances(MissingMetadata):
    """C{/instances/<InstanceId>/latest/...}: the metadata of each instance."""

    def __init__(self, state: FleetState, tokens: Tokens, seconds: Callable[[], float]) -> None:
        super().__init__()
        self._state = state
        self._tokens = tokens
        self._seconds = seconds

    def getChild(self, path: bytes, _request: LocalRequest) -> IResource:
        instanceId = path.decode("latin-1")
        here = MissingMetadata()
        here.putChild(
            b"latest",
            InstanceMetadata(
                lambda now: self._state.groups(now).instance(instanceId),
                self._tokens,
                self._seconds,
            ),
        )
        return here


def treeOf(instance: Instance) -> Tree:
    """
    The metadata of one instance. Its host names and addresses are those of this machine, so that a
    ConnectionInfo made of them connects.
    """
    return {
        "meta-data": {
            "instance-id": instance.instanceId,
            "instance-life-cycle": "spot",
            "local-hostname": "localhost",
            "local-ipv4": "127.0.0.1",
            "placement": {"availability-zone": f"{REGION}a", "region": REGION},
            "public-hostname": "localhost",
            "public-ipv4": "127.0.0.1",
            "tags": {
                "instance": {
                    "GameLift": "GameServerGroups",
                    "aws:autoscaling:groupName": autoScalingGroupOf(instance.groupName),
                }
            },
        }
    }


def _pathOf(request: LocalRequest) -> list[str]:
    return [segment.decode("latin-1") for segment in request.postpath]


def _textAt(tree: Tree, path: list[str]) -> str | None:
    """What stands at a path, a value or a listing; only a listing may be asked for with a slash."""
    node: str | Tree = tree
    for index, segment in enumerate(path):
        if isinstance(node, str):
            return None
        if segment == "" and index == len(path) - 1:
            break
        if segment not in node:
            return None
        node = node[segment]
    if isinstance(node, str):
        return node
    return "\n".join(
        name if isinstance(child, str) else f"{name}/" for name, child in sorted(node.items())
    )


def _answer(request: LocalRequest, text: str, secondsLeft: float | None) -> int:
    headers: Headers = ((b"Content-Type", b"text/plain"), (b"Server", b"EC2ws"))
    if secondsLeft is not None:
        headers += ((TTL_HEADER.encode("ascii"), b"%d" % secondsLeft),)
    request.answer(200, headers, text.encode("ascii"))
    return NOT_DONE_YET


def _fail(request: LocalRequest, status: int) -> int:
    title = f"{status} - {RESPONSES[status].decode('ascii')}"
    page = _ERROR_PAGE.format(title=title).encode("ascii")
    request.answer(status, ((b"Content-Type", b"text/html"), (b"Server", b"EC2ws")), page)
    return NOT_DONE_YET
