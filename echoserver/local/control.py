"""The controls, what AWS has no API for: the state, and faults to order."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from twisted.logger import Logger
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.api import FleetIQEndpoint
from echoserver.local.faults import Faults
from echoserver.local.operation import wordGameServer, wordGroup, wordInstance
from echoserver.local.site import LocalRequest, Missing
from echoserver.local.state import FleetState
from echoserver.local.wire import readObject


class StateControl(Resource):
    """C{GET /_local/state}: all there is, as the API's own replies word it."""

    isLeaf = True

    def __init__(
        self,
        state: FleetState,
        faults: Faults,
        endpoint: FleetIQEndpoint,
        seconds: Callable[[], float],
    ) -> None:
        super().__init__()
        self._state = state
        self._faults = faults
        self._endpoint = endpoint
        self._seconds = seconds

    def render_GET(self, request: LocalRequest) -> int:
        now = self._seconds()
        groups = self._state.groups(now)
        return _answer(
            request,
            200,
            {
                "now": round(now, 3),
                "timeScale": 1.0,
                "groups": [wordGroup(each) for each in groups.all()],
                "instances": [wordInstance(each) for each in groups.instances.values()],
                "gameServers": [wordGameServer(each) for each in self._state.allGameServers(now)],
                "faults": [
                    {"id": faultId, **asdict(order)} for faultId, order in self._faults.orders()
                ],
                "calls": self._endpoint.calls,
            },
        )


class _Order(Resource):
    """Has nothing to GET; for HEAD, Resource would call the missing method all the same."""

    _log = Logger()
    allowedMethods: tuple[bytes, ...] = (b"DELETE",)

    def render_HEAD(self, _request: LocalRequest) -> int:
        raise UnsupportedMethod(self.allowedMethods)


class FaultsControl(_Order):
    """C{POST} and C{DELETE} of C{/_local/faults}, and C{DELETE /_local/faults/<id>}."""

    allowedMethods = (b"POST", b"DELETE")

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def getChild(self, path: bytes, _request: LocalRequest) -> IResource:
        return FaultControl(self._faults, path.decode("latin-1"))

    def render_POST(self, request: LocalRequest) -> int:
        try:
            faultId = self._faults.add(readObject(request.content.read()))
        except ValueError as error:
            return _answer(request, 400, {"error": str(error)})
        order = dict(self._faults.orders())[faultId]
        self._log.info(
            "{faultId} ordered: {kind} on {operation}",
            faultId=faultId,
            kind=order.kind,
            operation=order.operation,
        )
        return _answer(request, 200, {"id": faultId})

    def render_DELETE(self, request: LocalRequest) -> int:
        self._faults.endAll()
        self._log.info("all faults ended")
        return _answer(request, 200, {})


class FaultControl(_Order):
    """C{/_local/faults/<id>}"""

    isLeaf = True

    def __init__(self, faults: Faults, faultId: str) -> None:
        super().__init__()
        self._faults = faults
        self._faultId = faultId

    def render_DELETE(self, request: LocalRequest) -> int:
        if not self._faults.end(self._faultId):
            inForce = ", ".join(faultId for faultId, _ in self._faults.orders()) or "none"
            sentence = f"There is no fault {self._faultId[:100]!r}: in force are {inForce}."
            return _answer(request, 404, {"error": sentence})
        self._log.info("{faultId} ended", faultId=self._faultId)
        return _answer(request, 200, {})


class Controls(Resource):
    """C{/_local}, whose children are the controls."""

    def getChild(self, _path: bytes, _request: LocalRequest) -> IResource:
        return Missing()

    def render(self, request: LocalRequest) -> int:
        return Missing().render(request)


def _answer(request: LocalRequest, status: int, body: dict[str, Any]) -> int:
    encoded = json.dumps(body).encode("ascii") + b"\n"
    request.answer(status, ((b"Content-Type", b"application/json"),), encoded)
    return NOT_DONE_YET
