"""
Pure: AWS's default quotas, and the rate limit of each operation.

Sources: U{https://docs.aws.amazon.com/general/latest/gr/gamelift.html} and
U{https://docs.aws.amazon.com/gameliftservers/latest/developerguide/api-limits-common.html}. AWS
does not document the error for a call beyond the rate: see C{throttling} in settings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from echoserver.local.model.groups import Groups
from echoserver.local.model.settings import DEFAULTS
from echoserver.local.model.values import RATE_EXCEEDED, FleetIQError

MAX_GROUPS = 20
MAX_GAME_SERVERS = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """
    The rate limit of one operation, as a token bucket.

    @ivar burst: how many calls an account can make at once.
    @ivar perSecond: how many calls it can make per second after that.
    """

    burst: int
    perSecond: float

    def takeToken(self, full: float, now: float) -> float | None:
        """
        Take a token from a bucket. If the clock was set back, the bucket is full.

        @param full: when the bucket is full again, in epoch seconds.
        @return: the new C{full}; C{None} if the bucket is empty.
        """
        # Sums with epoch seconds are rounded. The rounding must not cost a token.
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
    """The quotas and rate limits of one account."""

    def __init__(self, throttling: str = DEFAULTS.throttling) -> None:
        """
        @param throttling: the error of a call beyond the rate.
        """
        self._throttling = throttling
        # When the bucket of each operation is full again.
        self._full: dict[str, float] = {}

    def checkRate(self, operation: str, now: float) -> None:
        """
        Count a call.

        @raise FleetIQError: if the call is beyond the rate of its operation.
        """
        full = RATES[operation].takeToken(self._full.get(operation, now), now)
        if full is None:
            raise FleetIQError(self._throttling, RATE_EXCEEDED)
        self._full[operation] = full

    def checkQuota(self, operation: str, request: Mapping[str, Any], groups: Groups) -> None:
        """
        Check that a call does not create more than the quotas allow.

        @raise FleetIQError: if it would create more.
        """
        if operation == "RegisterGameServer":
            group = groups.group(request["GameServerGroupName"])
            if len(group.serials) >= MAX_GAME_SERVERS:
                raise FleetIQError(
                    "LimitExceededException",
                    f"Game server group {group.name} has {len(group.serials)} game servers, and "
                    f"the quota is {MAX_GAME_SERVERS}.",
                )
        elif operation == "CreateGameServerGroup":
            count = sum(1 for _ in groups.all())
            if count >= MAX_GROUPS:
                raise FleetIQError(
                    "LimitExceededException",
                    f"There are {count} game server groups, and the quota is {MAX_GROUPS}.",
                )

    def reset(self) -> None:
        """Fill all buckets."""
        self._full.clear()
