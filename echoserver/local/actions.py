"""FleetIQ's operations by name: a dispatch table, which is txAWS's server registry."""

from collections.abc import Callable, Collection
from types import ModuleType

from txaws.server.exception import APIError
from txaws.server.registry import Registry

from echoserver.local import groupactions, serveractions
from echoserver.local.operation import Operation, Output, Request
from echoserver.local.quotas import Quotas
from echoserver.local.state import FleetState
from echoserver.local.validation import gameLift
from echoserver.local.values import Refusal

# What they would answer it for is the group; the model has no such error of theirs.
_NOT_FOUND_UNDOCUMENTED = ("RegisterGameServer", "ListGameServers")


class Actions:
    """
    The operations that are served, on one state and one clock.

    @ivar operations: their names.
    """

    def __init__(
        self, state: FleetState, seconds: Callable[[], float], quotas: Quotas | None = None
    ) -> None:
        """
        @param quotas: C{None} lets any number of calls make any number of things.
        """
        self._state = state
        self._seconds = seconds
        self._quotas = quotas
        self._registry = Registry()
        for operation in (*operationsOf(groupactions), *operationsOf(serveractions)):
            self._registry.add(operation, operation.__name__)
        self.operations: Collection[str] = frozenset(self._registry.get_actions())

    def check(self, operation: str) -> None:
        """
        @raise Refusal: This operation is not served.
        """
        try:
            self._registry.check(operation)
        except APIError as error:
            whose = (
                "is an operation of GameLift, but not one of FleetIQ's"
                if operation in gameLift().operations
                else "is not an operation of GameLift"
            )
            raise Refusal(
                "UnknownOperationException",
                f"{operation[:100]} {whose}. Served are {', '.join(sorted(self.operations))}.",
            ) from error

    def perform(self, operation: str, request: Request) -> Output | None:
        """
        Carry out a served operation; C{None} is the result of one that has no output.

        @raise Refusal: FleetIQ refuses it, and nothing has changed.
        """
        try:
            return self._perform(operation, request)
        except Refusal as refusal:
            if refusal.code == "NotFoundException" and operation in _NOT_FOUND_UNDOCUMENTED:
                code = self._state.settings.unknownGroup
                raise Refusal(code, refusal.sentence) from refusal
            raise

    def _perform(self, operation: str, request: Request) -> Output | None:
        now = self._seconds()
        if self._quotas is not None:
            self._quotas.checkRate(operation, now)
        problem = gameLift().problem(operation, request)
        if problem is not None:
            raise Refusal("InvalidRequestException", problem)
        if self._quotas is not None:
            self._quotas.checkRoom(operation, request, self._state.groups(now))
        action: Operation = self._registry.get(operation)(self._state, now)
        return action.invoke(request)


def operationsOf(room: ModuleType) -> list[type[Operation]]:
    """The operations of a room, without C{Registry.scan}, whose venusian takes 17 ms to start."""
    classes = [found for found in vars(room).values() if isinstance(found, type)]
    return [each for each in classes if issubclass(each, Operation) and each is not Operation]
