"""The control of faults: POST and DELETE of /_local/faults, DELETE of /_local/faults/<id>."""

from twisted.logger import Logger
from twisted.web.resource import IResource

from echoserver.local.control import Act, answer, refuse
from echoserver.local.faults import Faults
from echoserver.local.site import LocalRequest
from echoserver.local.wire import readObject


class FaultsControl(Act):
    """C{POST} and C{DELETE} of C{/_local/faults}, and C{DELETE /_local/faults/<id>}."""

    _log = Logger()
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
            return refuse(request, 400, str(error))
        order = dict(self._faults.orders())[faultId]
        self._log.info(
            "{faultId} ordered: {kind} on {operation}",
            faultId=faultId,
            kind=order.kind,
            operation=order.operation,
        )
        return answer(request, 200, {"id": faultId})

    def render_DELETE(self, request: LocalRequest) -> int:
        self._faults.endAll()
        self._log.info("all faults ended")
        return answer(request, 200, {})


class FaultControl(Act):
    """C{/_local/faults/<id>}"""

    _log = Logger()
    isLeaf = True
    allowedMethods = (b"DELETE",)

    def __init__(self, faults: Faults, faultId: str) -> None:
        super().__init__()
        self._faults = faults
        self._faultId = faultId

    def render_DELETE(self, request: LocalRequest) -> int:
        if not self._faults.end(self._faultId):
            inForce = ", ".join(faultId for faultId, _ in self._faults.orders()) or "none"
            sentence = f"There is no fault {self._faultId[:100]!r}: in force are {inForce}."
            return refuse(request, 404, sentence)
        self._log.info("{faultId} ended", faultId=self._faultId)
        return answer(request, 200, {})
