"""The control of faults: POST and DELETE of /_local/faults, DELETE of /_local/faults/<id>."""

from twisted.web.resource import IResource

from echoserver.local.control import Act, Tell, answer, refuse
from echoserver.local.faults import Faults
from echoserver.local.site import LocalRequest
from echoserver.local.wire import readObject


class FaultsControl(Act):
    """C{POST} and C{DELETE} of C{/_local/faults}, and C{DELETE /_local/faults/<id>}."""

    allowedMethods = (b"POST", b"DELETE")

    def __init__(self, faults: Faults, tell: Tell) -> None:
        super().__init__()
        self._faults = faults
        self._tell = tell

    def getChild(self, path: bytes, _request: LocalRequest) -> IResource:
        return FaultControl(self._faults, self._tell, path.decode("latin-1"))

    def render_POST(self, request: LocalRequest) -> int:
        try:
            faultId = self._faults.add(readObject(request.content.read()))
        except ValueError as error:
            return refuse(request, 400, str(error))
        order = dict(self._faults.orders())[faultId]
        self._tell("fault", f"{faultId} ordered: {order.kind} on {order.operation}")
        return answer(request, 200, {"id": faultId})

    def render_DELETE(self, request: LocalRequest) -> int:
        self._faults.endAll()
        self._tell("fault", "all faults ended")
        return answer(request, 200, {})


class FaultControl(Act):
    """C{/_local/faults/<id>}"""

    isLeaf = True
    allowedMethods = (b"DELETE",)

    def __init__(self, faults: Faults, tell: Tell, faultId: str) -> None:
        super().__init__()
        self._faults = faults
        self._tell = tell
        self._faultId = faultId

    def render_DELETE(self, request: LocalRequest) -> int:
        if not self._faults.end(self._faultId):
            inForce = ", ".join(faultId for faultId, _ in self._faults.orders()) or "none"
            sentence = f"There is no fault {self._faultId[:100]!r}: in force are {inForce}."
            return refuse(request, 404, sentence)
        self._tell("fault", f"{self._faultId} ended")
        return answer(request, 200, {})
