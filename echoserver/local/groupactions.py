"""FleetIQ's operations on game server groups and their tags: one class each, by its name."""

from collections.abc import Iterable

from echoserver.local.operation import (
    Operation,
    Output,
    Request,
    readAfter,
    wordGroup,
    wordPage,
)
from echoserver.local.values import GroupSettings, InstanceDefinition, Refusal


class CreateGameServerGroup(Operation):
    """
    The launch template, the Auto Scaling policy, the subnets and MaxSize are checked, and have no
    effect here: there is no Auto Scaling.
    """

    def invoke(self, request: Request) -> Output:
        _checkSizes(request["MinSize"], request["MaxSize"])
        _checkLaunchTemplate(request["LaunchTemplate"])
        group = self.groups.create(
            request["GameServerGroupName"],
            GroupSettings(
                request["RoleArn"],
                _definitionsOf(request["InstanceDefinitions"]),
                request.get("BalancingStrategy") or "SPOT_PREFERRED",
                request.get("GameServerProtectionPolicy") or "NO_PROTECTION",
            ),
            request["MinSize"],
            _tagsOf(request.get("Tags") or ()),
            self.now,
        )
        return {"GameServerGroup": wordGroup(group)}


class UpdateGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        definitions = request.get("InstanceDefinitions")
        group = self.groups.update(
            request["GameServerGroupName"],
            request.get("RoleArn"),
            None if definitions is None else _definitionsOf(definitions),
            request.get("BalancingStrategy"),
            request.get("GameServerProtectionPolicy"),
            self.now,
        )
        return {"GameServerGroup": wordGroup(group)}


class DeleteGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        option = request.get("DeleteOption") or "SAFE_DELETE"
        group = self.groups.delete(request["GameServerGroupName"], option, self.now)
        return {"GameServerGroup": wordGroup(group)}


class SuspendGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.suspend(
            request["GameServerGroupName"], request["SuspendActions"], self.now
        )
        return {"GameServerGroup": wordGroup(group)}


class ResumeGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.resume(
            request["GameServerGroupName"], request["ResumeActions"], self.now
        )
        return {"GameServerGroup": wordGroup(group)}


class DescribeGameServerGroup(Operation):
    def invoke(self, request: Request) -> Output:
        return {"GameServerGroup": wordGroup(self.groups.group(request["GameServerGroupName"]))}


class ListGameServerGroups(Operation):
    def invoke(self, request: Request) -> Output:
        groups, more = self.groups.page(readAfter(request, "groups", str), self.pageSize(request))
        words = map(wordGroup, groups)
        return wordPage("GameServerGroups", words, "groups", groups[-1].name if more else None)


class TagResource(Operation):
    def invoke(self, request: Request) -> Output:
        self.groups.tag(request["ResourceARN"], _tagsOf(request["Tags"]))
        return {}


class UntagResource(Operation):
    def invoke(self, request: Request) -> Output:
        self.groups.untag(request["ResourceARN"], request["TagKeys"])
        return {}


class ListTagsForResource(Operation):
    def invoke(self, request: Request) -> Output:
        tags = self.groups.tags(request["ResourceARN"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _checkSizes(minSize: int, maxSize: int) -> None:
    if minSize > maxSize:
        raise Refusal(
            "InvalidRequestException",
            f"MinSize is {minSize} and MaxSize {maxSize}: MinSize must not be greater.",
        )


def _checkLaunchTemplate(template: Request) -> None:
    names = ("LaunchTemplateId", "LaunchTemplateName")
    given = [name for name in names if template.get(name) is not None]
    if len(given) != 1:
        raise Refusal(
            "InvalidRequestException",
            f"LaunchTemplate has {' and '.join(given) or 'no name'}: it must have either "
            f"{' or '.join(names)}.",
        )


def _definitionsOf(words: Iterable[Request]) -> tuple[InstanceDefinition, ...]:
    definitions = tuple(
        InstanceDefinition(each["InstanceType"], each.get("WeightedCapacity")) for each in words
    )
    types = {each.instanceType for each in definitions}
    if len(types) < 2:
        raise Refusal(
            "InvalidRequestException",
            f"InstanceDefinitions has {' and '.join(types)} alone: it must have at least two "
            "different instance types.",
        )
    return definitions


def _tagsOf(words: Iterable[Request]) -> dict[str, str]:
    """Of tags with the same key the last one counts: AWS does not say."""
    return {each["Key"]: each["Value"] for each in words}
