"""The controls below /_local: clock, faults, interruptions, reset, state."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.clock import HIGHEST_SCALE, LocalClock
from echoserver.local.http.api import FleetIQEndpoint
from echoserver.local.http.operations import wordGameServer, wordGroup, wordInstance
from echoserver.local.http.site import LocalRequest, Missing
from echoserver.local.http.wire import readObject
from echoserver.local.model.faults import Faults
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import FleetIQError, checkNames, numberOf, textOf


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
    request.respond(status, ((b"Content-Type", b"application/json"),), encoded)
    return NOT_DONE_YET


def refuse(request: LocalRequest, status: int, sentence: str) -> int:
    """Answer that nothing was done, and why."""
    return answer(request, status, {"error": sentence})


LONGEST_ADVANCE = 366 * 86400.0
# The year 9000, roughly: dates end soon after.
LATEST = 9000 * 365.2425 * 86400.0 - 62135596800.0


class ClockControl(Act):
    """Moves the clock ahead, or gives it another scale."""

    isLeaf = True

    def __init__(
        self,
        clock: LocalClock,
        state: Fleet,
        moved: Callable[[], None],
        tell: Tell,
    ) -> None:
        """
        @param moved: told after each change of the clock.
        """
        super().__init__()
        self._clock = clock
        self._state = state
        self._moved = moved
        self._tell = tell
        self.forget()

    def forget(self) -> None:
        """No heartbeats were seen."""
        # In real seconds, and measured between the clock's moves: they are no server's silence.
        self._longestSilence = 0.0

    def render_POST(self, request: LocalRequest) -> int:
        try:
            body = readObject(request.content.read())
            checkNames(body, "a move of the clock", ("advance", "scale"))
            advance = numberOf(body, "advance", LONGEST_ADVANCE)
            scale = numberOf(body, "scale", HIGHEST_SCALE)
            if advance is None and scale is None:
                raise ValueError(
                    "A move of the clock needs advance, the seconds that pass at once, or scale, "
                    "the seconds that pass in a real one."
                )
            if self._clock.seconds() + (advance or 0) > LATEST:
                raise ValueError(
                    "The local clock goes no further than the year 9000: POST /_local/reset."
                )
        except ValueError as error:
            return refuse(request, 400, str(error))
        silence = self._state.measureSilence(self._clock.seconds()) / self._clock.scale
        self._longestSilence = max(self._longestSilence, silence)
        if scale is not None:
            self._clock.setScale(scale)
            self._tellScale()
        if advance is not None:
            self._clock.advance(advance)
            self._state.measureSilence(self._clock.seconds())
            self._tell("clock", f"the local clock is moved {advance:g} s ahead")
        self._moved()
        now = round(self._clock.seconds(), 3)
        return answer(request, 200, {"now": now, "timeScale": self._clock.scale})

    def _tellScale(self) -> None:
        """A scale that is faster than the heartbeats seen is a warning."""
        lapse = self._state.healthTimeout / self._clock.scale
        seen = f"; up to {self._longestSilence:.3g} s were seen between two"
        isOutrun = self._longestSilence > lapse
        self._tell(
            "clock",
            f"the local clock now runs {self._clock.scale:g} s in a second: {lapse:.3g} s without "
            f"a health report, and a game server is dropped{seen if isOutrun else ''}",
            isOutrun,
        )


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


LONGEST_WAIT = 86400.0
_STATUSES = {"NotFoundException": 404, "ConflictException": 409}


class InterruptControl(Act):
    """Moves the notice in the metadata, the status in FleetIQ and the claims in one act."""

    isLeaf = True

    def __init__(
        self, state: Fleet, seconds: Callable[[], float], changed: Callable[[], None]
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
        except FleetIQError as refusal:
            return refuse(request, _STATUSES.get(refusal.code, 400), refusal.message)
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


class ResetControl(Act):
    """Brings all back to the state at start; what the body says does not matter."""

    isLeaf = True

    def __init__(self, reset: Callable[[], None]) -> None:
        super().__init__()
        self._reset = reset

    def render_POST(self, request: LocalRequest) -> int:
        self._reset()
        return answer(request, 200, {})


class StateControl(Resource):
    """C{GET /_local/state}: all there is, as the API's own replies word it."""

    isLeaf = True

    def __init__(
        self,
        state: Fleet,
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
