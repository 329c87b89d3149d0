"""
Pure: parse the notices of the instance metadata, and name the instance states of FleetIQ.

Formats: U{https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html},
U{https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html} and
U{https://docs.aws.amazon.com/autoscaling/ec2/userguide/retrieving-target-lifecycle-state-through-imds.html}.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

# Their values: {"action": "terminate", "time": "2017-09-18T08:22:00Z"},
# {"noticeTime": "2020-11-05T08:22:00Z"}, and a lifecycle state, of which Terminated is a notice.
PATHS = (
    "spot/instance-action",
    "events/recommendations/rebalance",
    "autoscaling/target-lifecycle-state",
)
# Seconds assumed if the time cannot be parsed: EC2's 120, less the polling delay.
DEFAULT_NOTICE_SECONDS = 110.0
_ACTIONS = ("terminate", "stop", "hibernate")


class NoticeKind(Enum):
    """The source of a notice."""

    SPOT = "spot"
    REBALANCE = "rebalance"
    AUTO_SCALING = "autoscaling"


@dataclass(frozen=True, slots=True)
class Notice:
    """
    A notice of the instance metadata.

    @ivar secondsLeft: seconds until the instance ends; None if the notice has no time.
    @ivar reason: what happens and who causes it, as a clause for the log.
    """

    kind: NoticeKind
    secondsLeft: float | None
    reason: str


class InstanceStatus(Enum):
    """The status of an instance in FleetIQ: all values that AWS documents."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    SPOT_TERMINATING = "SPOT_TERMINATING"


class InvalidNotice(Exception):
    """The text at a path is not in the documented format, for example an error page."""


def parseNotice(path: str, text: str, date: float | None) -> Notice | None:
    """
    Return the notice in the text at one of L{PATHS}, or None if there is none.

    @param date: when the metadata service sent it, by its own clock, in seconds since the epoch.
    @raise InvalidNotice: if the text is not in the documented format.
    """
    match path:
        case "spot/instance-action":
            return _parseSpotNotice(_parseObject(text), date)
        case "events/recommendations/rebalance":
            if "noticeTime" not in _parseObject(text):
                raise InvalidNotice("no noticeTime")
            reason = "EC2 recommends to replace this Spot instance"
            return Notice(NoticeKind.REBALANCE, None, reason)
    if not re.fullmatch("[A-Za-z]{1,32}(:[A-Za-z]{1,32})?", text):
        raise InvalidNotice("no lifecycle state")
    if text.endswith("Terminated"):
        reason = "Auto Scaling will terminate this instance"
        return Notice(NoticeKind.AUTO_SCALING, None, reason)
    return None


def _parseSpotNotice(members: dict[str, Any], date: float | None) -> Notice:
    action, time = members.get("action"), members.get("time")
    if action not in _ACTIONS:
        raise InvalidNotice("no action")
    end = _parseTime(time)
    if end is None or date is None:
        reason = f"EC2 will {action} this Spot instance"
        return Notice(NoticeKind.SPOT, DEFAULT_NOTICE_SECONDS, reason)
    reason = f"EC2 will {action} this Spot instance at {time}"
    return Notice(NoticeKind.SPOT, end - date, reason)


def _parseObject(text: str) -> dict[str, Any]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidNotice("no JSON") from error
    if not isinstance(members, dict):
        raise InvalidNotice("no JSON object")
    return members


def _parseTime(time: object) -> float | None:
    """Return seconds since the epoch, or None if the time is not in EC2's format."""
    try:
        return datetime.strptime(str(time), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
