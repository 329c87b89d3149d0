"""Pure: the tags of game server groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from echoserver.local.model.groups import Groups
from echoserver.local.model.values import FleetIQError, GameServerGroup

MAX_TAGS = 200


def tagsOf(groups: Groups, arn: str) -> Mapping[str, str]:
    """
    Return the tags of the group with this ARN.

    @raise FleetIQError: if it is not the ARN of a group.
    """
    return _byArn(groups, arn).tags


def addTags(groups: Groups, arn: str, tags: Mapping[str, str]) -> None:
    """
    Add tags to the group with this ARN. A tag replaces one with the same key.

    @raise FleetIQError: if it is not the ARN of a group, or the group would have too many tags.
    """
    group = _byArn(groups, arn)
    after = {**group.tags, **tags}
    if len(after) > MAX_TAGS:
        raise FleetIQError(
            "TaggingFailedException",
            f"Game server group {group.name} would have {len(after)} tags: it may have at most "
            f"{MAX_TAGS}.",
        )
    group.tags = after


def removeTags(groups: Groups, arn: str, keys: Iterable[str]) -> None:
    """
    Remove tags of the group with this ARN. Keys that it does not have are ignored.

    @raise FleetIQError: if it is not the ARN of a group.
    """
    group = _byArn(groups, arn)
    for key in keys:
        group.tags.pop(key, None)


def _byArn(groups: Groups, arn: str) -> GameServerGroup:
    if not (arn.startswith("arn:") and ":gameservergroup/" in arn):
        raise FleetIQError(
            "NotFoundException",
            f"{arn[:100]} is not the ARN of a game server group: only groups have tags.",
        )
    return groups.group(arn)
