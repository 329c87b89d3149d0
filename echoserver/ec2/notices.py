"""Pure: what the metadata and FleetIQ say of this instance's end, from their words to values."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

# What stands there: {"action": "terminate", "time": "2017-09-18T08:22:00Z"},
# {"noticeTime": "2020-11-05T08:22:00Z"}, and a word: Terminated is the notice.
PATHS = (
    "spot/instance-action",
    "events/recommendations/rebalance",
    "autoscaling/target-lifecycle-state",
)
# EC2 gives two minutes; a notice is seen some seconds later. For times that are not to be read.
UNTOLD = 110.0
_ACTIONS = ("terminate", "stop", "hibernate")


class Kind(Enum):
    """What a notice of the metadata is about."""

    SPOT = "spot"
    REBALANCE = "rebalance"
    AUTO_SCALING = "autoscaling"


@dataclass(frozen=True, slots=True)
class Notice:
    """
    A notice of the instance metadata.

    @ivar left: seconds until the instance goes; None if nobody says.
    @ivar reason: whose doing it is, in words.
    """

    kind: Kind
    left: float | None
    reason: str


class Status(Enum):
    """What FleetIQ thinks of an instance: all that AWS documents."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    SPOT_TERMINATING = "SPOT_TERMINATING"


class Unreadable(Exception):
    """Something else stands where a notice should: an error page, for instance."""


def read(path: str, text: str, date: float | None) -> Notice | None:
    """
    What stands at one of L{PATHS}: a notice, or none.

    @param date: when the metadata said so, by its own clock, in seconds since the epoch.
    @raise Unreadable: if it is something else.
    """
    match path:
        case "spot/instance-action":
            return _spot(_members(text), date)
        case "events/recommendations/rebalance":
            if "noticeTime" not in _members(text):
                raise Unreadable("no noticeTime")
            return Notice(Kind.REBALANCE, None, "EC2 sees this Spot instance at risk")
    if not re.fullmatch("[A-Za-z]{1,32}(:[A-Za-z]{1,32})?", text):
        raise Unreadable("no lifecycle state")
    if text.endswith("Terminated"):
        return Notice(Kind.AUTO_SCALING, None, "Auto Scaling is to terminate this instance")
    return None


def _spot(members: dict[str, Any], date: float | None) -> Notice:
    action, time = members.get("action"), members.get("time")
    if action not in _ACTIONS:
        raise Unreadable("no action")
    ends = _seconds(time)
    if ends is None or date is None:
        return Notice(Kind.SPOT, UNTOLD, f"EC2 is to {action} this Spot instance")
    return Notice(Kind.SPOT, ends - date, f"EC2 is to {action} this Spot instance at {time}")


def _members(text: str) -> dict[str, Any]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable("no JSON") from error
    if not isinstance(members, dict):
        raise Unreadable("no JSON object")
    return members


def _seconds(time: object) -> float | None:
    """Seconds since the epoch, of a time as EC2 writes it."""
    try:
        return datetime.strptime(str(time), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
