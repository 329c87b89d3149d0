"""Pure: the settings for behavior of FleetIQ that AWS does not document."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields, replace
from typing import Any

from echoserver.local.model.values import quoted

MAX_NUMBER = 1_000_000


def _setting(what: str, *values: str | int) -> Any:
    """
    Define a setting.

    @param what: the behavior that it decides.
    @param values: the allowed values, the default first. A number can have any value from 1 to
        L{MAX_NUMBER}.
    """
    return field(default=values[0], metadata={"what": what, "values": values})


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The settings. C{--setting NAME=VALUE} changes one; NAME has hyphens, as in C{unknown-group}.
    """

    unknownGroup: str = _setting(
        "RegisterGameServer and ListGameServers in a group that does not exist",
        "NotFoundException",
        "InvalidRequestException",
    )
    availableAgain: str = _setting(
        "UpdateGameServer to AVAILABLE of a game server that is UTILIZED",
        "InvalidRequestException",
        "ConflictException",
    )
    excludedTarget: str = _setting(
        "ClaimGameServer by id on an instance that is DRAINING, which the filter excludes, or "
        "SPOT_TERMINATING",
        "ConflictException",
        "InvalidRequestException",
        "OutOfCapacityException",
    )
    unclaimed: str = _setting("ClaimStatus of a game server without a claim", "absent", "blank")
    availableClaimed: str = _setting(
        "the claim, after UpdateGameServer to AVAILABLE of a game server that is claimed",
        "keep",
        "end",
    )
    claimData: str = _setting(
        "the GameServerData of a claim, after the claim expires", "keep", "revert"
    )
    lateUtilized: str = _setting(
        "UpdateGameServer to UTILIZED of a game server without a claim, or with an expired claim",
        "accept",
        "refuse",
    )
    idReuse: str = _setting(
        "RegisterGameServer with an id that was registered before and is not registered now",
        "allow",
        "refuse",
    )
    strangeInstance: str = _setting(
        "RegisterGameServer on an instance that is in no group", "refuse", "add"
    )
    defaultPage: int = _setting("the size of a page of a list, if the request has no Limit", 100)
    longestPage: int = _setting("the largest size of a page, whatever Limit is", 1000)
    throttling: str = _setting(
        "a call beyond the rate of --quotas, or under a throttle fault",
        "ThrottlingException",
        "TooManyRequestsException",
        "LimitExceededException",
        "RequestLimitExceeded",
    )

    scaleMaxSize: int = _setting("MaxSize of the groups that exist at the start", 10)
    scaleTarget: int = _setting(
        "the target for PercentUtilizedGameServers of a group without an AutoScalingPolicy", 70
    )
    scaleWarmup: int = _setting(
        "seconds of warm-up of an instance, if EstimatedInstanceWarmup is not given", 60
    )
    scalePeriod: int = _setting("seconds between two measurements of the metric", 60)
    scaleOutPeriods: int = _setting("how many measurements above the target begin a scale-out", 3)
    scaleInPeriods: int = _setting("how many measurements below begin a scale-in", 15)
    scaleInBelow: int = _setting("percentage of the target below which they count", 90)
    scaleLaunch: int = _setting("seconds from a launch until the instance is ACTIVE", 5)
    scaleNotice: int = _setting(
        "seconds from the notice of a scale-in until the instance ends", 120
    )
    scaleInUtilized: str = _setting(
        "instances with CLAIMED or UTILIZED game servers, at a scale-in without game server "
        "protection",
        "keep",
        "terminate",
    )

    def pageSize(self, limit: int | None) -> int:
        """
        Return how many items a page has at most.

        @param limit: the Limit of the request; C{None} if it has none.
        """
        return min(limit or self.defaultPage, self.longestPage)


DEFAULTS = Settings()


def applySetting(settings: Settings, assignment: str) -> Settings:
    """
    Return settings with one changed.

    @param assignment: NAME=VALUE.
    @raise ValueError: with a sentence, if the name or the value does not exist.
    """
    named = {_nameOf(each): each for each in fields(Settings)}
    name, _, text = assignment.partition("=")
    if name not in named:
        raise ValueError(
            f"{quoted(assignment)}: it must be NAME=VALUE. The names are {_formatList(named)}."
        )
    setting = named[name]
    allowed: tuple[str | int, ...] = setting.metadata["values"]
    value: Any = text
    if isinstance(allowed[0], int):
        isNumber = text.isascii() and text.isdigit() and len(text) < 10
        value = int(text) if isNumber else 0
        if not 1 <= value <= MAX_NUMBER:
            raise ValueError(
                f"{quoted(assignment)}: the value must be a whole number from 1 to {MAX_NUMBER}."
            )
    elif value not in allowed:
        raise ValueError(f"{quoted(assignment)}: the value must be one of {_formatList(allowed)}.")
    return replace(settings, **{setting.name: value})


def _nameOf(setting: Field[Any]) -> str:
    return "".join(f"-{each.lower()}" if each.isupper() else each for each in setting.name)


def _formatList(names: Any) -> str:
    return ", ".join(map(str, names))
