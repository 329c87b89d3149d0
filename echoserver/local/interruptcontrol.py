"""The control that tells an instance to go: POST /_local/interrupt."""

from collections.abc import Callable

from echoserver.local.control import Act, answer, refuse
from echoserver.local.fields import checkNames, numberOf, textOf
from echoserver.local.site import LocalRequest
from echoserver.local.state import FleetState
from echoserver.local.values import Refusal
from echoserver.local.wire import readObject

LONGEST_WAIT = 86400.0
_STATUSES = {"NotFoundException": 404, "ConflictException": 409}


class InterruptControl(Act):
    """Moves the notice in the metadata, the status in FleetIQ and the claims in one act."""

    isLeaf = True

    def __init__(
        self, state: FleetState, seconds: Callable[[], float], changed: Callable[[], None]
    ) -> None:
        """
        @param changed: told after each change of the state.
        """
        super().__init__()
        self._state = state
        self._seconds = seconds
        self._changed = changed

    def render_POST(self, request: LocalRequest) -> int:
        try:
            body = readObject(request.content.read())
            checkNames(body, "an interruption", ("InstanceId", "kind", "seconds"))
            instanceId, kind = textOf(body, "InstanceId"), textOf(body, "kind") or "spot"
            seconds = numberOf(body, "seconds", LONGEST_WAIT)
        except ValueError as error:
            return refuse(request, 400, str(error))
        now = self._seconds()
        try:
            instance = self._state.interrupt(instanceId or "", kind, seconds, now)
        except Refusal as refusal:
            return refuse(request, _STATUSES.get(refusal.code, 400), refusal.sentence)
        finally:
            self._changed()
        end = None if instance.end is None else round(instance.end, 3)
        return answer(
            request,
            200,
            {
                "InstanceId": instance.instanceId,
                "InstanceStatus": instance.status,
                "kind": kind,
                "end": end,
            },
        )
