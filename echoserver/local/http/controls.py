"""The controls at /_local: clock, faults, interrupt, reset and state."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.clock import MAX_SCALE, LocalClock
from echoserver.local.http.api import FleetIQEndpoint
from echoserver.local.http.responses import (
    serializeGameServer,
    serializeGroup,
    serializeInstance,
)
from echoserver.local.http.site import LocalRequest, Missing
from echoserver.local.http.wire import readObject
from echoserver.local.model.faults import Faults
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import FleetIQError, Instance, checkNames, numberOf, textOf


class Report(TypingProtocol):
    """Adds an event of the whole local FleetIQ to the journal and the log."""

    def __call__(self, event: str, sentence: str, isWarning: bool = False, /) -> None: ...


class Controls(Resource):
    """C{/_local}: its children are the controls."""

    def getChild(self, _path: bytes, _request: LocalRequest) -> IResource:
        return Missing()

    def render(self, request: LocalRequest) -> int:
        return Missing().render(request)


class PostResource(Resource):
    """
    A control without GET. It rejects HEAD itself: C{Resource} would call the missing method.
    """

    allowedMethods: tuple[bytes, ...] = (b"POST",)

    def render_HEAD(self, _request: LocalRequest) -> int:
        raise UnsupportedMethod(self.allowedMethods)


def respondJSON(request: LocalRequest, status: int, body: dict[str, Any]) -> int:
    """Write a response in JSON. Return what a C{render} method must return."""
    encoded = json.dumps(body).encode("ascii") + b"\n"
    request.respond(status, ((b"Content-Type", b"application/json"),), encoded)
    return NOT_DONE_YET


def respondError(request: LocalRequest, status: int, sentence: str) -> int:
    """Write the response to a request that had no effect."""
    return respondJSON(request, status, {"error": sentence})


LONGEST_ADVANCE = 366 * 86400.0
# About the year 9000. Python's dates end with the year 9999.
LATEST = 9000 * 365.2425 * 86400.0 - 62135596800.0


class ClockControl(PostResource):
    """C{POST /_local/clock}: advances the local clock, or changes its scale."""

    isLeaf = True

    def __init__(
        self,
        clock: LocalClock,
        state: Fleet,
        moved: Callable[[], None],
        report: Report,
    ) -> None:
        """
        @param moved: called after each change of the clock.
        """
        super().__init__()
        self._clock = clock
        self._state = state
        self._moved = moved
        self._report = report
        self.forget()

    def forget(self) -> None:
        """Forget the heartbeats seen so far."""
        # Real seconds between two heartbeats. Advances of the clock are not counted.
        self._longestSilence = 0.0

    def render_POST(self, request: LocalRequest) -> int:
        try:
            body = readObject(request.content.read())
            checkNames(body, "a move of the clock", ("advance", "scale"))
            advance = numberOf(body, "advance", LONGEST_ADVANCE)
            scale = numberOf(body, "scale", MAX_SCALE)
            if advance is None and scale is None:
                raise ValueError(
                    "A move of the clock needs advance, the seconds that pass at once, or scale, "
                    "its seconds per real second."
                )
            if self._clock.seconds() + (advance or 0) > LATEST:
                raise ValueError("The local clock cannot pass the year 9000: POST /_local/reset.")
        except ValueError as error:
            return respondError(request, 400, str(error))
        silence = self._state.measureSilence(self._clock.seconds()) / self._clock.scale
        self._longestSilence = max(self._longestSilence, silence)
        if scale is not None:
            self._clock.setScale(scale)
            self._reportScale()
        if advance is not None:
            self._clock.advance(advance)
            self._state.measureSilence(self._clock.seconds())
            self._report("clock", f"the local clock is moved {advance:g} s ahead")
        self._moved()
        now = round(self._clock.seconds(), 3)
        return respondJSON(request, 200, {"now": now, "timeScale": self._clock.scale})

    def _reportScale(self) -> None:
        """Report the scale, as a warning if the heartbeats seen are too slow for it."""
        timeout = self._state.healthTimeout / self._clock.scale
        seen = f"; up to {self._longestSilence:.3g} s were seen between two"
        isTooFast = self._longestSilence > timeout
        self._report(
            "clock",
            f"the local clock now runs {self._clock.scale:g} s in a second: "
            f"{timeout:.3g} s without a health report, and a game server is dropped"
            + (seen if isTooFast else ""),
            isTooFast,
        )


class FaultsControl(PostResource):
    """C{/_local/faults}: POST adds a fault, DELETE ends all. Its children are the faults."""

    allowedMethods = (b"POST", b"DELETE")

    def __init__(self, faults: Faults, report: Report) -> None:
        super().__init__()
        self._faults = faults
        self._report = report

    def getChild(self, path: bytes, _request: LocalRequest) -> IResource:
        return FaultControl(self._faults, self._report, path.decode("latin-1"))

    def render_POST(self, request: LocalRequest) -> int:
        try:
            faultId = self._faults.add(readObject(request.content.read()))
        except ValueError as error:
            return respondError(request, 400, str(error))
        fault = dict(self._faults.active())[faultId]
        self._report("fault", f"{faultId} ordered: {fault.kind} on {fault.operation}")
        return respondJSON(request, 200, {"id": faultId})

    def render_DELETE(self, request: LocalRequest) -> int:
        self._faults.endAll()
        self._report("fault", "all faults ended")
        return respondJSON(request, 200, {})


class FaultControl(PostResource):
    """C{DELETE /_local/faults/<id>}: ends one fault."""

    isLeaf = True
    allowedMethods = (b"DELETE",)

    def __init__(self, faults: Faults, report: Report, faultId: str) -> None:
        super().__init__()
        self._faults = faults
        self._report = report
        self._faultId = faultId

    def render_DELETE(self, request: LocalRequest) -> int:
        if not self._faults.end(self._faultId):
            inForce = ", ".join(faultId for faultId, _ in self._faults.active()) or "none"
            sentence = f"There is no fault {self._faultId[:100]!r}: in force are {inForce}."
            return respondError(request, 404, sentence)
        self._report("fault", f"{self._faultId} ended")
        return respondJSON(request, 200, {})


LONGEST_NOTICE = 86400.0
_STATUSES = {"NotFoundException": 404, "ConflictException": 409}


class InterruptControl(PostResource):
    """
    C{POST /_local/interrupt}: interrupts an instance. The notice in its metadata, its status in
    FleetIQ and the claims change together.
    """

    isLeaf = True

    def __init__(
        self,
        state: Fleet,
        seconds: Callable[[], float],
        changed: Callable[[], None],
        interruptedBySpot: Callable[[Instance, float], None],
    ) -> None:
        """
        @param changed: called after each change of the state.
        @param interruptedBySpot: called with an instance that has received a Spot notice, and now.
        """
        super().__init__()
        self._state = state
        self._seconds = seconds
        self._changed = changed
        self._interruptedBySpot = interruptedBySpot

    def render_POST(self, request: LocalRequest) -> int:
        try:
            body = readObject(request.content.read())
            checkNames(body, "an interruption", ("InstanceId", "kind", "seconds"))
            instanceId, kind = textOf(body, "InstanceId"), textOf(body, "kind") or "spot"
            seconds = numberOf(body, "seconds", LONGEST_NOTICE)
        except ValueError as error:
            return respondError(request, 400, str(error))
        now = self._seconds()
        try:
            instance = self._state.interrupt(instanceId or "", kind, seconds, now)
        except FleetIQError as error:
            return respondError(request, _STATUSES.get(error.code, 400), error.message)
        finally:
            self._changed()
        if kind == "spot":
            self._interruptedBySpot(instance, now)
        end = None if instance.end is None else round(instance.end, 3)
        return respondJSON(
            request,
            200,
            {
                "InstanceId": instance.instanceId,
                "InstanceStatus": instance.status,
                "kind": kind,
                "end": end,
            },
        )


class ResetControl(PostResource):
    """C{POST /_local/reset}: restores the state at the start. The body is ignored."""

    isLeaf = True

    def __init__(self, reset: Callable[[], None]) -> None:
        super().__init__()
        self._reset = reset

    def render_POST(self, request: LocalRequest) -> int:
        self._reset()
        return respondJSON(request, 200, {})


class StateControl(Resource):
    """C{GET /_local/state}: everything that exists, serialized as in the API's replies."""

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
        return respondJSON(
            request,
            200,
            {
                "now": round(now, 3),
                "timeScale": self._clock.scale,
                "groups": [serializeGroup(each) for each in groups.all()],
                "instances": [serializeInstance(each) for each in groups.instances.values()],
                "gameServers": [
                    serializeGameServer(each, self._state.settings)
                    for each in self._state.allGameServers(now)
                ],
                "faults": [
                    {"id": faultId, **asdict(fault)} for faultId, fault in self._faults.active()
                ],
                "calls": self._endpoint.calls,
            },
        )
