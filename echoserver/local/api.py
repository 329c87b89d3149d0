"""The FleetIQ endpoint over twisted.web: reads a call, lets faults strike it, answers."""

from collections import Counter
from collections.abc import Callable
from random import Random
from uuid import UUID

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.actions import Actions
from echoserver.local.faults import DROP, LOST_REPLY, THROTTLE, UNHARMED, Fate, Faults
from echoserver.local.site import PLAIN_TEXT, LocalRequest, Missing
from echoserver.local.values import Refusal
from echoserver.local.wire import Reply, WireProtocol, isCall, protocolOf


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
        dice: Random,
        performed: Callable[[], None],
    ) -> None:
        """
        @param clock: real time, for the calls that an ordered fault makes wait.
        @param dice: where request ids come from.
        @param performed: told after each call that may have changed the state.
        """
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._clock = clock
        self._actions = actions
        self._faults = faults
        self._dice = dice
        self._performed = performed
        self._waiting: set[IDelayedCall] = set()

    def getChildWithDefault(self, path: bytes, request: LocalRequest) -> IResource:
        if isCall(request.method, request.path):
            return self
        child: IResource = super().getChildWithDefault(path, request)
        return child

    def getChild(self, path: bytes, _request: LocalRequest) -> IResource:
        return Missing() if path else self

    def render_GET(self, request: LocalRequest) -> int:
        request.answer(
            200,
            PLAIN_TEXT,
            b"A FleetIQ for this machine: the GameLift API is POST /, the instance metadata "
            b"/latest/meta-data/, the state /_local/state.\n",
        )
        return NOT_DONE_YET

    def render_POST(self, request: LocalRequest) -> int:
        requestId = str(UUID(int=self._dice.getrandbits(128), version=4))
        protocol = protocolOf(request.header, request.path)
        try:
            operation = protocol.operationOf()
            self._actions.check(operation)
        except Refusal as refusal:
            _send(request, protocol.refuse(refusal, requestId))
            return NOT_DONE_YET
        self.calls[operation] += 1
        fate = self._faults.fateOf(operation)
        body = request.content.read()
        if fate is UNHARMED:
            _send(request, self._perform(protocol, operation, body, fate, requestId))
            return NOT_DONE_YET
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def meet() -> None:
            if fate.kind != DROP:
                reply = self._perform(protocol, operation, body, fate, requestId)
            if gone:
                return
            if fate.kind in (DROP, LOST_REPLY):
                request.loseConnection()
            else:
                _send(request, reply)

        self._after(fate.seconds, meet)
        return NOT_DONE_YET

    def stop(self) -> None:
        """Forget the calls that still wait; they never take effect."""
        for call in self._waiting:
            call.cancel()
        self._waiting.clear()

    def _perform(
        self, protocol: WireProtocol, operation: str, body: bytes, fate: Fate, requestId: str
    ) -> Reply:
        try:
            if fate.code is not None:
                ordered = f"An ordered fault strikes this {operation}."
                raise Refusal(fate.code, "Rate exceeded" if fate.kind == THROTTLE else ordered)
            output = self._actions.perform(operation, protocol.decode(body))
        except Refusal as refusal:
            return protocol.refuse(refusal, requestId)
        finally:
            self._performed()
        return protocol.reply(output, requestId)

    def _after(self, seconds: float, meet: Callable[[], None]) -> None:
        """A call meets its fate after C{seconds}, even if its caller has gone by then."""
        if not seconds:
            meet()
            return

        def now() -> None:
            self._waiting.discard(call)
            meet()

        call = self._clock.callLater(seconds, now)
        self._waiting.add(call)


def _send(request: LocalRequest, reply: Reply) -> None:
    request.answer(reply.status, reply.headers, reply.body)
