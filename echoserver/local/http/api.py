"""The FleetIQ endpoint over twisted.web: reads a call, lets faults strike it, answers."""

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

from echoserver.local.http.operations import Actions
from echoserver.local.http.site import LocalRequest, Missing
from echoserver.local.http.validation import gameLift
from echoserver.local.http.wire import Reply, WireProtocol, isCall, protocolOf
from echoserver.local.model.faults import DROP, LOST_REPLY, THROTTLE, Fate, Faults
from echoserver.local.model.journal import LONGEST, Journal, short
from echoserver.local.model.values import RATE_EXCEEDED, FleetIQError
from echoserver.webaccess import PLAIN_TEXT


@dataclass(slots=True, eq=False)
class _Call:
    """
    A call on its way through here, and what is known of it so far.

    @ivar began: when it came, in real time.
    @ivar about: what it is about, in the API's words: its input, or the GameServer of its output.
    @ivar callerLeft: whether nobody is there to answer.
    """

    request: LocalRequest
    protocol: WireProtocol
    requestId: str
    body: bytes
    began: float
    operation: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = "OK"
    sentence: str | None = None
    callerLeft: bool = False

    def refuse(self, refusal: FleetIQError) -> Reply:
        self.outcome, self.sentence = refusal.code, refusal.message
        return self.protocol.refuse(refusal, self.requestId)


class FleetIQEndpoint(Resource):
    """
    The root of the site: calls are its own, at whatever path; GET says what this is, and its
    children are all the rest.

    @ivar calls: how many calls came in for each operation, whatever became of them.
    """

    def __init__(
        self,
        clock: IReactorTime,
        actions: Actions,
        faults: Faults,
        journal: Journal,
        rng: Random,
        performed: Callable[[], None],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param clock: real time, for the calls that an ordered fault makes wait.
        @param rng: where request ids come from.
        @param performed: told after each call that may have changed the state.
        @param seconds: the local clock.
        """
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._clock = clock
        self._actions = actions
        self._faults = faults
        self._journal = journal
        self._dice = rng
        self._performed = performed
        self._seconds = seconds
        self._waiting: dict[IDelayedCall, _Call] = {}

    def getChildWithDefault(self, path: bytes, request: LocalRequest) -> IResource:
        if isCall(request.method, request.path):
            return self
        child: IResource = super().getChildWithDefault(path, request)
        return child

    def getChild(self, path: bytes, _request: LocalRequest) -> IResource:
        return Missing() if path else self

    def render_GET(self, request: LocalRequest) -> int:
        request.respond(
            200,
            PLAIN_TEXT,
            b"A FleetIQ for this machine: the GameLift API is POST /, the instance metadata "
            b"/latest/meta-data/, the state /_local/state.\n",
        )
        return NOT_DONE_YET

    def render_POST(self, request: LocalRequest) -> int:
        requestId = str(UUID(int=self._dice.getrandbits(128), version=4))
        protocol = protocolOf(request.header, request.path)
        body = request.content.read()  # which is closed if the caller leaves
        call = _Call(request, protocol, requestId, body, self._clock.seconds())
        try:
            call.operation = protocol.operationOf()
            self._actions.check(call.operation)
        except FleetIQError as refusal:
            self._end(call, call.refuse(refusal))
            return NOT_DONE_YET
        self.calls[call.operation] += 1
        fate = self._faults.fateOf(call.operation)
        if fate.seconds:
            self._meetLater(call, fate)
        else:
            self._meet(call, fate)
        return NOT_DONE_YET

    def stop(self) -> None:
        """Forget the calls that still wait: they never take effect, and their connections close."""
        waiting, self._waiting = self._waiting, {}
        for wait, call in waiting.items():
            wait.cancel()
            call.request.loseConnection()

    def _meetLater(self, call: _Call, fate: Fate) -> None:
        """The call takes effect after the wait, even if its caller has gone by then."""

        def callerLeft(_reason: Failure) -> None:
            call.callerLeft = True

        def meet() -> None:
            del self._waiting[wait]
            self._meet(call, fate)

        call.request.notifyFinish().addErrback(callerLeft)
        wait = self._clock.callLater(fate.seconds, meet)
        self._waiting[wait] = call

    def _meet(self, call: _Call, fate: Fate) -> None:
        reply = None if fate.kind == DROP else self._perform(call, fate)
        if fate.kind == DROP:
            call.outcome, call.sentence = (
                DROP,
                "An ordered fault closed the connection before it took effect.",
            )
        elif fate.kind == LOST_REPLY:
            call.sentence = f"An ordered fault lost the reply, which was {call.outcome}."
            call.outcome, reply = LOST_REPLY, None
        self._end(call, reply)

    def _perform(self, call: _Call, fate: Fate) -> Reply:
        try:
            if fate.code is not None:
                ordered = f"An ordered fault strikes this {call.operation}."
                raise FleetIQError(fate.code, RATE_EXCEEDED if fate.kind == THROTTLE else ordered)
            call.about = call.protocol.decode(call.body)
            output = self._actions.perform(call.operation, call.about)
            ignored = gameLift().unknownMembers(call.operation, call.about)
            if ignored:
                call.sentence = (
                    f"Ignored members that {call.operation} does not have: {', '.join(ignored)}."
                )
        except FleetIQError as refusal:
            return call.refuse(refusal)
        finally:
            self._performed()
        if output:
            call.about = output.get("GameServer", call.about)
        return call.protocol.reply(output, call.requestId)

    def _end(self, call: _Call, reply: Reply | None) -> None:
        """Write it down, and answer; with C{None}, close the connection instead."""
        about = call.about
        self._journal.called(
            (
                self._seconds(),
                call.operation[:LONGEST],
                (call.request.getHeader(b"user-agent") or b"")[:LONGEST],
                call.outcome,
                self._clock.seconds() - call.began,
                short(about.get("GameServerGroupName") or about.get("ResourceARN")),
                short(about.get("GameServerId")),
                short(about.get("InstanceId")),
                short(call.sentence),
            )
        )
        if call.callerLeft:
            return
        if reply is None:
            call.request.loseConnection()
        else:
            call.request.respond(reply.status, reply.headers, reply.body)
