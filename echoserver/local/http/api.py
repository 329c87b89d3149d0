"""The API endpoint: parses a call, applies injected faults, carries it out and replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.http.imds import TOKEN_HEADER
from echoserver.local.http.operations import Operations
from echoserver.local.http.page import PageFiles
from echoserver.local.http.site import LocalRequest, Missing
from echoserver.local.http.validation import gameLift
from echoserver.local.http.wire import Reply, WireProtocol, isCall, protocolOf
from echoserver.local.model.faults import DROP, LOST_REPLY, THROTTLE, FaultOutcome, Faults
from echoserver.local.model.journal import MAX_LENGTH, Journal, formatDetail, shorten
from echoserver.local.model.values import RATE_EXCEEDED, FleetIQError


@dataclass(slots=True, eq=False)
class _Call:
    """
    A call that is being processed.

    @ivar received: when it arrived, in real time.
    @ivar subject: names the group, game server and instance, for the journal: the call's input, or
        the GameServer of its output.
    @ivar disconnected: whether the caller has closed its connection.
    """

    request: LocalRequest
    protocol: WireProtocol
    requestId: str
    body: bytes
    received: float
    operation: str = ""
    subject: Mapping[str, Any] = field(default_factory=dict)
    input: str | None = None
    output: str | None = None
    outcome: str = "OK"
    sentence: str | None = None
    disconnected: bool = False

    def fail(self, error: FleetIQError) -> Reply:
        """Record an error as the call's outcome, and return the reply."""
        self.outcome, self.sentence = error.code, error.message
        self.output = None
        return self.protocol.serializeError(error, self.requestId)


class FleetIQEndpoint(Resource):
    """
    The root of the site. It handles the calls of the API itself, whatever their path. All other
    paths are its children.

    @ivar metadataVersions: the list of versions of the first instance's metadata.
    @ivar calls: how many calls of each operation have arrived, with any outcome.
    """

    def __init__(
        self,
        clock: IReactorTime,
        operations: Operations,
        faults: Faults,
        journal: Journal,
        rng: Random,
        performed: Callable[[], None],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param clock: real time, for calls that a fault delays.
        @param rng: the random source of request ids.
        @param performed: called after each call that may have changed the state.
        @param seconds: the local clock.
        """
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._clock = clock
        self._operations = operations
        self._faults = faults
        self._journal = journal
        self._rng = rng
        self._performed = performed
        self._seconds = seconds
        self.metadataVersions: IResource = Missing()
        self._delayed: dict[IDelayedCall, _Call] = {}
        self._page = PageFiles()
        self.putChild(b"dashboard", self._page)

    def getChildWithDefault(self, path: bytes, request: LocalRequest) -> IResource:
        if isCall(request.method, request.path):
            return self
        child: IResource = super().getChildWithDefault(path, request)
        return child

    def getChild(self, path: bytes, request: LocalRequest) -> IResource:
        if path:
            return Missing()
        # A request with a token is one for the metadata, and / has its versions.
        return self if request.header(TOKEN_HEADER) is None else self.metadataVersions

    def render_GET(self, request: LocalRequest) -> int:
        return self._page.renderIndex(request)

    def render_POST(self, request: LocalRequest) -> int:
        requestId = str(UUID(int=self._rng.getrandbits(128), version=4))
        protocol = protocolOf(request.header, request.path)
        body = request.content.read()  # closed when the caller disconnects
        call = _Call(request, protocol, requestId, body, self._clock.seconds())
        try:
            call.operation = protocol.operationName()
            self._operations.check(call.operation)
        except FleetIQError as error:
            self._end(call, call.fail(error))
            return NOT_DONE_YET
        self.calls[call.operation] += 1
        outcome = self._faults.apply(call.operation)
        if outcome.seconds:
            self._processLater(call, outcome)
        else:
            self._process(call, outcome)
        return NOT_DONE_YET

    def stop(self) -> None:
        """Cancel the delayed calls: they take no effect, and their connections close."""
        delayed, self._delayed = self._delayed, {}
        for delay, call in delayed.items():
            delay.cancel()
            call.request.loseConnection()

    def _processLater(self, call: _Call, outcome: FaultOutcome) -> None:
        """Process the call after the fault's delay, even if the caller has disconnected by then."""

        def callerDisconnected(_reason: Failure) -> None:
            call.disconnected = True

        def process() -> None:
            del self._delayed[delay]
            self._process(call, outcome)

        call.request.notifyFinish().addErrback(callerDisconnected)
        delay = self._clock.callLater(outcome.seconds, process)
        self._delayed[delay] = call

    def _process(self, call: _Call, outcome: FaultOutcome) -> None:
        reply = None if outcome.kind == DROP else self._perform(call, outcome)
        if outcome.kind == DROP:
            call.outcome, call.sentence = (
                DROP,
                "A fault closed the connection before the call took effect.",
            )
        elif outcome.kind == LOST_REPLY:
            call.sentence = f"A fault lost the reply, which was {call.outcome}."
            call.outcome, reply = LOST_REPLY, None
        self._end(call, reply)

    def _perform(self, call: _Call, outcome: FaultOutcome) -> Reply:
        try:
            if outcome.code is not None:
                message = f"A fault makes this {call.operation} fail."
                raise FleetIQError(
                    outcome.code, RATE_EXCEEDED if outcome.kind == THROTTLE else message
                )
            call.subject = call.protocol.decode(call.body)
            if self._journal.keepsDetails:
                call.input = formatDetail(call.subject)
            output = self._operations.perform(call.operation, call.subject)
            ignored = gameLift().unknownMembers(call.operation, call.subject)
            if ignored:
                call.sentence = (
                    f"Ignored members that {call.operation} does not have: {', '.join(ignored)}."
                )
        except FleetIQError as error:
            return call.fail(error)
        finally:
            self._performed()
        if self._journal.keepsDetails:
            call.output = formatDetail(output)
        if output:
            call.subject = output.get("GameServer", call.subject)
        return call.protocol.serialize(output, call.requestId)

    def _end(self, call: _Call, reply: Reply | None) -> None:
        """Add the call to the journal, and send the reply; C{None} closes the connection."""
        subject = call.subject
        self._journal.addCall(
            (
                self._seconds(),
                call.operation[:MAX_LENGTH],
                (call.request.getHeader(b"user-agent") or b"")[:MAX_LENGTH],
                call.outcome,
                self._clock.seconds() - call.received,
                shorten(subject.get("GameServerGroupName") or subject.get("ResourceARN")),
                shorten(subject.get("GameServerId")),
                shorten(subject.get("InstanceId")),
                shorten(call.sentence),
            ),
            (call.input, call.output) if self._journal.keepsDetails else (),
        )
        if call.disconnected:
            return
        if reply is None:
            call.request.loseConnection()
        else:
            call.request.respond(reply.status, reply.headers, reply.body)
