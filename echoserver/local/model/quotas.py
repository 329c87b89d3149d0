"""
Pure: AWS's default quotas, and its rates for each operation, which refuse calls beyond them.

The figures are those of U{https://docs.aws.amazon.com/general/latest/gr/gamelift.html} and
U{https://docs.aws.amazon.com/gameliftservers/latest/developerguide/api-limits-common.html}. With
which error AWS throttles is not documented: see settings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from echoserver.local.model.groups import Groups
from echoserver.local.model.settings import DEFAULTS
from echoserver.local.model.values import RATE_EXCEEDED, FleetIQError

MOST_GROUPS = 20
MOST_GAME_SERVERS = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """How many calls of an operation an account may make at once, and a second."""

    burst: int
    perSecond: float

    def taken(self, full: float, now: float) -> float | None:
        """
        Take a token out of a bucket that is full again at C{full}; after a clock that was set back
        it is full.

        @return: when it is full again after that; C{None} if there is no token.
        """
        # What adding to the time of day rounds away must not cost a token.
        longest = self.burst / self.perSecond + 1e-4
        if not now < full <= now + longest:
            full = now
        full += 1 / self.perSecond
        return full if full <= now + longest else None


_SERVERS, _LISTS, _GROUPS, _SUSPENDS = Rate(40, 20), Rate(30, 30), Rate(20, 20), Rate(1, 0.1)
RATES: Mapping[str, Rate] = {
    "RegisterGameServer": _SERVERS,
    "UpdateGameServer": _SERVERS,
    "DeregisterGameServer": _SERVERS,
    "DescribeGameServer": _SERVERS,
    "ClaimGameServer": _SERVERS,
    "ListGameServers": _LISTS,
    "ListGameServerGroups": _LISTS,
    "DescribeGameServerGroup": _LISTS,
    "DescribeGameServerInstances": _LISTS,
    "TagResource": _LISTS,
    "UntagResource": _LISTS,
    "ListTagsForResource": _LISTS,
    "CreateGameServerGroup": _GROUPS,
    "DeleteGameServerGroup": _GROUPS,
    "UpdateGameServerGroup": _GROUPS,
    "SuspendGameServerGroup": _SUSPENDS,
    "ResumeGameServerGroup": _SUSPENDS,
}


class Quotas:
    """What one account may do."""

    def __init__(self, throttling: str = DEFAULTS.throttling) -> None:
        """
        @param throttling: the error that a call beyond the rate is answered with.
        """
        self._throttling = throttling
        # When each operation's bucket of tokens is full again.
        self._full: dict[str, float] = {}

    def checkRate(self, operation: str, now: float) -> None:
        """
        @raise FleetIQError: There were too many calls of this operation lately.
        """
        full = RATES[operation].taken(self._full.get(operation, now), now)
        if full is None:
            raise FleetIQError(self._throttling, RATE_EXCEEDED)
        self._full[operation] = full

    def checkRoom(self, operation: str, request: Mapping[str, Any], groups: Groups) -> None:
        """
        @raise FleetIQError: What this call would make is one too many.
        """
        if operation == "RegisterGameServer":
            group = groups.group(request["GameServerGroupName"])
            if len(group.serials) >= MOST_GAME_SERVERS:
                raise FleetIQError(
                    "LimitExceededException",
                    f"Game server group {group.name} has {len(group.serials)} game servers, and "
                    f"the quota is {MOST_GAME_SERVERS}.",
                )
        elif operation == "CreateGameServerGroup":
            count = sum(1 for _ in groups.all())
            if count >= MOST_GROUPS:
                raise FleetIQError(
                    "LimitExceededException",
                    f"There are {count} game server groups, and the quota is {MOST_GROUPS}.",
                )

    def reset(self) -> None:
        """Full buckets, as at the start."""
        self._full.clear()
