"""What the controls below /_local share: their root, their base, and how they answer."""

import json
from typing import Any, Protocol

from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.site import LocalRequest, Missing


class Tell(Protocol):
    """Writes down, in the journal and in the log, what an order did to the whole."""

    def __call__(self, event: str, sentence: str, isWarning: bool = False, /) -> None: ...


class Controls(Resource):
    """C{/_local}, whose children are the controls."""

    def getChild(self, _path: bytes, _request: LocalRequest) -> IResource:
        return Missing()

    def render(self, request: LocalRequest) -> int:
        return Missing().render(request)


class Act(Resource):
    """A control without GET; for HEAD, Resource would call the missing method all the same."""

    allowedMethods: tuple[bytes, ...] = (b"POST",)

    def render_HEAD(self, _request: LocalRequest) -> int:
        raise UnsupportedMethod(self.allowedMethods)


def answer(request: LocalRequest, status: int, body: dict[str, Any]) -> int:
    encoded = json.dumps(body).encode("ascii") + b"\n"
    request.answer(status, ((b"Content-Type", b"application/json"),), encoded)
    return NOT_DONE_YET


def refuse(request: LocalRequest, status: int, sentence: str) -> int:
    """Answer that nothing was done, and why."""
    return answer(request, status, {"error": sentence})
