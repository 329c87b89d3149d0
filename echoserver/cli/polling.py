"""Call FleetIQ again and again, with at most one list call a second."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from echoserver.cli.target import Target
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import Calls

T = TypeVar("T")

# Seconds for each call. AWS limits the calls of an account, which its game servers need, too.
INTERVAL = 1.0


class CountedCalls:
    """
    Counts the calls of an API.

    @ivar made: how many calls were made since it was set to 0.
    """

    def __init__(self, calls: Calls) -> None:
        self.made = 0
        self._calls = calls

    def call(self, operation: str, **request: Any) -> Deferred[dict[str, Any]]:
        """Make a call."""
        self.made += 1
        return self._calls.call(operation, **request)


async def poll(
    target: Target,
    fetch: Callable[[Target], Awaitable[T]],
    show: Callable[[T], object],
    failed: Callable[[CallFailed], object] | None = None,
) -> None:
    """
    Fetch and show until C{show} or C{fetch} raises. A list of several pages takes as many calls,
    and the next one begins as many seconds later.

    @param fetch: makes its calls by the target that it is called with.
    @param failed: called with an error that a retry can fix; by default it is a message.
    """
    counted = CountedCalls(target.calls)
    polled = replace(target, calls=counted)
    while True:
        began, counted.made = target.clock.seconds(), 0
        try:
            show(await fetch(polled))
        except CallFailed as reason:
            if not reason.retry:
                raise
            if failed is None:
                target.console.writeMessage(str(reason))
            else:
                failed(reason)
        rest = began + INTERVAL * max(1, counted.made) - target.clock.seconds()
        await deferLater(target.clock, max(0.0, rest))
