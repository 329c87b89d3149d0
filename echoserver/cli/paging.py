"""Lists of FleetIQ, read to their last page."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from echoserver.gamelift.service import Calls


def everyPage(
    calls: Calls, operation: str, member: str, **request: Any
) -> Deferred[list[dict[str, Any]]]:
    """
    Call a List operation to its end.

    @param member: of the reply, the one that holds the list.
    @return: fails with L{CallFailed}.
    """

    async def pages() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            reply = await calls.call(operation, NextToken=token, **request)
            found += reply.get(member) or []
            token = reply.get("NextToken")
            if not token:
                return found

    return Deferred.fromCoroutine(pages())
