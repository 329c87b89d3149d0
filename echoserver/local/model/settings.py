"""Pure: what AWS leaves undocumented of FleetIQ, as settings with defaults."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields, replace
from typing import Any

from echoserver.local.model.values import quoted

MOST = 1_000_000


def _setting(what: str, *values: str | int) -> Any:
    """The first value is the default; of numbers all others up to L{MOST} are allowed, too."""
    return field(default=values[0], metadata={"what": what, "values": values})


@dataclass(frozen=True, slots=True)
class Settings:
    """C{--setting NAME=VALUE} changes one: its name has hyphens there, as in C{unknown-group}."""

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
        "the claim, at UpdateGameServer to AVAILABLE of a game server that is claimed",
        "keep",
        "end",
    )
    claimData: str = _setting("the GameServerData of a claim, when it expires", "keep", "revert")
    lateUtilized: str = _setting(
        "UpdateGameServer to UTILIZED of a game server without a claim, or whose claim is over",
        "accept",
        "refuse",
    )
    idReuse: str = _setting(
        "RegisterGameServer with an id that was registered before, and is no longer",
        "allow",
        "refuse",
    )
    strangeInstance: str = _setting(
        "RegisterGameServer on an instance that is of no group", "refuse", "add"
    )
    defaultPage: int = _setting("how many a page of a list has if Limit is not given", 100)
    longestPage: int = _setting("how many a page has at most, whatever Limit is", 1000)
    throttling: str = _setting(
        "a call beyond the rate of --quotas, or under a throttle fault",
        "ThrottlingException",
        "TooManyRequestsException",
        "LimitExceededException",
        "RequestLimitExceeded",
    )

    def pageSize(self, limit: int | None) -> int:
        """How many entries a page has that was asked for with this Limit."""
        return min(limit or self.defaultPage, self.longestPage)


DEFAULTS = Settings()


def changed(settings: Settings, assignment: str) -> Settings:
    """
    The settings with one changed, given as NAME=VALUE.

    @raise ValueError: There is none of this name, or it has no such value; the text is a sentence.
    """
    named = {_nameOf(each): each for each in fields(Settings)}
    name, _, given = assignment.partition("=")
    if name not in named:
        raise ValueError(
            f"{quoted(assignment)}: it must be NAME=VALUE, NAME one of {_list(named)}."
        )
    setting = named[name]
    allowed: tuple[str | int, ...] = setting.metadata["values"]
    value: Any = given
    if isinstance(allowed[0], int):
        isNumber = given.isascii() and given.isdigit() and len(given) < 10
        value = int(given) if isNumber else 0
        if not 1 <= value <= MOST:
            raise ValueError(
                f"{quoted(assignment)}: the value must be a whole number from 1 to {MOST}."
            )
    elif value not in allowed:
        raise ValueError(f"{quoted(assignment)}: the value must be one of {_list(allowed)}.")
    return replace(settings, **{setting.name: value})


def _nameOf(setting: Field[Any]) -> str:
    return "".join(f"-{each.lower()}" if each.isupper() else each for each in setting.name)


def _list(names: Any) -> str:
    return ", ".join(map(str, names))
