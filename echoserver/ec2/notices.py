"""
Pure: parse the notices of the instance metadata, and name the instance states of FleetIQ.

Formats: U{https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html},
U{https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html},
U{https://docs.aws.amazon.com/autoscaling/ec2/userguide/retrieving-target-lifecycle-state-through-imds.html}
and U{https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_scheduled_events.html}.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from echoserver.printable import printable

# Their values: {"action": "terminate", "time": "2017-09-18T08:22:00Z"};
# {"noticeTime": "2020-11-05T08:22:00Z"}; a lifecycle state, of which Terminated is a notice; and
# [{"Code": "instance-stop", "NotBefore": "21 Jan 2019 09:00:43 GMT", "State": "active", ...}].
MAINTENANCE_PATH = "events/maintenance/scheduled"
PATHS = (
    "spot/instance-action",
    "events/recommendations/rebalance",
    "autoscaling/target-lifecycle-state",
    MAINTENANCE_PATH,
)
# Seconds assumed if the time cannot be parsed: EC2's 120, less the polling delay.
DEFAULT_NOTICE_SECONDS = 110.0
_ACTIONS = ("terminate", "stop", "hibernate")
# Each ends the programs of the instance.
_MAINTENANCE = {
    "instance-stop": "stop this instance",
    "instance-retirement": "retire this instance",
    "instance-reboot": "reboot this instance",
    "system-reboot": "reboot the host of this instance",
}
_ENDED_STATES = ("completed", "canceled")
_MAINTENANCE_TIME = re.compile(r"[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")


class NoticeKind(Enum):
    """The source of a notice."""

    SPOT = "spot"
    REBALANCE = "rebalance"
    AUTO_SCALING = "autoscaling"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class Notice:
    """
    A notice of the instance metadata.

    @ivar secondsLeft: seconds until the instance ends; None if the notice has no time.
    @ivar reason: the event and its cause, as a clause for the log.
    @ivar key: equal for the same notice in a later response.
    @ivar endsInstance: False if the programs of the instance keep running.
    """

    kind: NoticeKind
    secondsLeft: float | None
    reason: str
    key: str = ""
    endsInstance: bool = True


class InstanceStatus(Enum):
    """The status of an instance in FleetIQ: all values that AWS documents."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    SPOT_TERMINATING = "SPOT_TERMINATING"


class InvalidNotice(Exception):
    """The text at a path is not in the documented format, for example an error page."""


def parseNotices(path: str, text: str, date: float | None) -> list[Notice]:
    """
    Return the notices in the text at one of L{PATHS}.

    @param date: when the metadata service sent it, by its own clock, in seconds since the epoch.
    @raise InvalidNotice: if the text is not in the documented format.
    """
    if path == MAINTENANCE_PATH:
        return _parseMaintenance(text, date)
    match path:
        case "spot/instance-action":
            return [_parseSpotNotice(_parseObject(text), text, date)]
        case "events/recommendations/rebalance":
            if "noticeTime" not in _parseObject(text):
                raise InvalidNotice("no noticeTime")
            reason = "EC2 recommends to replace this Spot instance"
            return [Notice(NoticeKind.REBALANCE, None, reason, text)]
    if not re.fullmatch("[A-Za-z]{1,32}(:[A-Za-z]{1,32})?", text):
        raise InvalidNotice("no lifecycle state")
    if text.endswith("Terminated"):
        reason = "Auto Scaling will terminate this instance"
        return [Notice(NoticeKind.AUTO_SCALING, None, reason, text)]
    return []


def _parseSpotNotice(members: dict[str, Any], text: str, date: float | None) -> Notice:
    action, time = members.get("action"), members.get("time")
    if action not in _ACTIONS:
        raise InvalidNotice("no action")
    end = _parseTime(time)
    if end is None or date is None:
        reason = f"EC2 will {action} this Spot instance"
        return Notice(NoticeKind.SPOT, DEFAULT_NOTICE_SECONDS, reason, text)
    reason = f"EC2 will {action} this Spot instance at {time}"
    return Notice(NoticeKind.SPOT, end - date, reason, text)


def _parseMaintenance(text: str, date: float | None) -> list[Notice]:
    events = _parseJSON(text)
    if not isinstance(events, list) or not all(isinstance(each, dict) for each in events):
        raise InvalidNotice("no JSON list of events")
    return [_parseEvent(each, date) for each in events if each.get("State") not in _ENDED_STATES]


def _parseEvent(event: dict[str, Any], date: float | None) -> Notice:
    """
    Parse a scheduled event. EC2 does not document that maintenance of the network or power of the
    host (C{system-maintenance}) ends the programs of the instance.
    """
    code, time = event.get("Code"), event.get("NotBefore")
    if not isinstance(code, str):
        raise InvalidNotice("no Code")
    if not isinstance(time, str) or not _MAINTENANCE_TIME.fullmatch(time):
        raise InvalidNotice("no NotBefore")
    try:
        start = parsedate_to_datetime(time).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidNotice("no NotBefore") from error
    if date is None:
        raise InvalidNotice("the response has no Date")
    action = _MAINTENANCE.get(code)
    reason = (
        f"EC2 has scheduled {printable(code, 40)} for this instance at {time}"
        if action is None
        else f"EC2 will {action} at {time} ({code})"
    )
    key = repr((event.get("EventId"), code, time))
    return Notice(NoticeKind.MAINTENANCE, start - date, reason, key, action is not None)


def _parseObject(text: str) -> dict[str, Any]:
    members = _parseJSON(text)
    if not isinstance(members, dict):
        raise InvalidNotice("no JSON object")
    return members


def _parseJSON(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidNotice("no JSON") from error


def _parseTime(time: object) -> float | None:
    """Return seconds since the epoch, or None if the time is not in EC2's format."""
    try:
        return datetime.strptime(str(time), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
