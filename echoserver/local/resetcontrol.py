"""The control that begins anew: POST /_local/reset."""

from collections.abc import Callable

from echoserver.local.control import Act, answer
from echoserver.local.site import LocalRequest


class ResetControl(Act):
    """Brings all back to the state at start; what the body says does not matter."""

    isLeaf = True

    def __init__(self, reset: Callable[[], None]) -> None:
        super().__init__()
        self._reset = reset

    def render_POST(self, request: LocalRequest) -> int:
        self._reset()
        return answer(request, 200, {})
