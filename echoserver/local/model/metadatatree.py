"""Pure: the metadata of one instance, as a tree of paths and values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from echoserver.local.model.values import REGION, Instance, autoScalingGroupOf

# A child is a value, or the tree below its name.
Tree = Mapping[str, "str | Tree"]

ROLE = "fleetiq-local"
CREDENTIAL_SECONDS = 21600.0


def treeOf(instance: Instance, now: float) -> Tree:
    """
    Return the metadata of an instance at this time, with the notices that it has received.

    The host names and addresses are those of this machine, so that clients can connect to a
    ConnectionInfo that contains them. The local FleetIQ accepts any credentials.
    """
    kinds = {each.kind: each for each in instance.interruptions}
    events: dict[str, Tree] = {"maintenance": {"history": "[]", "scheduled": "[]"}}
    tree: dict[str, str | Tree] = {
        "autoscaling": {
            "target-lifecycle-state": "Terminated" if "autoscaling" in kinds else "InService"
        },
        "events": events,
        "iam": {"security-credentials": {ROLE: _credentials(now)}},
        "instance-id": instance.instanceId,
        "instance-life-cycle": "spot",
        "local-hostname": "localhost",
        "local-ipv4": "127.0.0.1",
        "placement": {
            "availability-zone": f"{REGION}a",
            "availability-zone-id": "use1-az1",
            "region": REGION,
        },
        "public-hostname": "localhost",
        "public-ipv4": "127.0.0.1",
        "tags": {
            "instance": {
                "GameLift": "GameServerGroups",
                "aws:autoscaling:groupName": autoScalingGroupOf(instance.groupName),
            }
        },
    }
    if "rebalance" in kinds:
        notice = json.dumps({"noticeTime": _formatTime(kinds["rebalance"].noticeTime)})
        events["recommendations"] = {"rebalance": notice}
    if "spot" in kinds and instance.end is not None:
        end = _formatTime(instance.end)
        tree["spot"] = {
            "instance-action": json.dumps({"action": "terminate", "time": end}),
            "termination-time": end,
        }
    return {"meta-data": tree}


def textAt(tree: Tree, path: list[str]) -> str | None:
    """
    Return the value or the listing at a path; C{None} if the path does not exist. As on EC2, a
    trailing slash has no effect.

    @param path: its segments.
    """
    node: str | Tree = tree
    for index, segment in enumerate(path):
        if segment == "" and index == len(path) - 1:
            break
        if isinstance(node, str) or segment not in node:
            return None
        node = node[segment]
    if isinstance(node, str):
        return node
    return "\n".join(
        name if isinstance(child, str) else f"{name}/" for name, child in sorted(node.items())
    )


def _credentials(now: float) -> str:
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": _formatTime(now),
            "Type": "AWS-HMAC",
            "AccessKeyId": "local",
            "SecretAccessKey": "local",
            "Token": "local",
            "Expiration": _formatTime(now + CREDENTIAL_SECONDS),
        },
        indent=2,
    )


def _formatTime(seconds: float) -> str:
    """Format a time to the second, as AWS does."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
