"""The control that tells all there is: GET /_local/state."""

from dataclasses import asdict

from twisted.web.resource import Resource

from echoserver.local.api import FleetIQEndpoint
from echoserver.local.clock import LocalClock
from echoserver.local.control import answer
from echoserver.local.faults import Faults
from echoserver.local.operation import wordGameServer, wordGroup, wordInstance
from echoserver.local.site import LocalRequest
from echoserver.local.state import FleetState


class StateControl(Resource):
    """C{GET /_local/state}: all there is, as the API's own replies word it."""

    isLeaf = True

    def __init__(
        self,
        state: FleetState,
        faults: Faults,
        endpoint: FleetIQEndpoint,
        clock: LocalClock,
    ) -> None:
        super().__init__()
        self._state = state
        self._faults = faults
        self._endpoint = endpoint
        self._clock = clock

    def render_GET(self, request: LocalRequest) -> int:
        now = self._clock.seconds()
        groups = self._state.groups(now)
        return answer(
            request,
            200,
            {
                "now": round(now, 3),
                "timeScale": self._clock.scale,
                "groups": [wordGroup(each) for each in groups.all()],
                "instances": [wordInstance(each) for each in groups.instances.values()],
                "gameServers": [
                    wordGameServer(each, self._state.settings)
                    for each in self._state.allGameServers(now)
                ],
                "faults": [
                    {"id": faultId, **asdict(order)} for faultId, order in self._faults.orders()
                ],
                "calls": self._endpoint.calls,
            },
        )
