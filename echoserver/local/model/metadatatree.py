"""Pure: what the metadata of one instance says, path by path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from echoserver.local.model.values import REGION, Instance, autoScalingGroupOf

# What stands at a path: a value, or what is below it.
Tree = Mapping[str, "str | Tree"]

ROLE = "fleetiq-local"
CREDENTIAL_SECONDS = 21600.0


def treeOf(instance: Instance, now: float) -> Tree:
    """
    Its host names and addresses are those of this machine, so that a ConnectionInfo made of them
    connects; its credentials are as good as any here. A notice is there once it was given.
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
        notice = json.dumps({"noticeTime": _timeText(kinds["rebalance"].noticeTime)})
        events["recommendations"] = {"rebalance": notice}
    if "spot" in kinds and instance.end is not None:
        end = _timeText(instance.end)
        tree["spot"] = {
            "instance-action": json.dumps({"action": "terminate", "time": end}),
            "termination-time": end,
        }
    return {"meta-data": tree}


def textAt(tree: Tree, path: list[str]) -> str | None:
    """Return the value or the listing at a path; as on EC2, a trailing slash changes neither."""
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
            "LastUpdated": _timeText(now),
            "Type": "AWS-HMAC",
            "AccessKeyId": "local",
            "SecretAccessKey": "local",
            "Token": "local",
            "Expiration": _timeText(now + CREDENTIAL_SECONDS),
        },
        indent=2,
    )


def _timeText(seconds: float) -> str:
    """To the second, as AWS writes it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
