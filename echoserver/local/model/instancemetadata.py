"""Pure: the metadata of one instance, by the categories of EC2's documentation."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from struct import pack
from typing import Any

from echoserver.local.model.interruptions import KINDS
from echoserver.local.model.metadatatree import Tree, setValues
from echoserver.local.model.values import (
    ACCOUNT,
    REGION,
    Instance,
    Interruption,
    autoScalingGroupOf,
)

ROLE = "fleetiq-local"
KEY_NAME = "fleetiq-local"
CREDENTIAL_SECONDS = 21600.0
# A role of the instance itself, which EC2's own agents use.
_IDENTITY_ROLE = "ec2-instance"


def treeOf(
    instance: Instance,
    now: float,
    values: Mapping[str, str | None] | None = None,
    userData: bytes | None = None,
) -> Tree:
    """
    Return all metadata of an instance below a version. Its host names and addresses are those of
    this machine, so that a ConnectionInfo made of them connects.

    @param values: replace values of C{meta-data}, by path; C{None} removes one.
    @param userData: C{None} if the instance has none.
    """
    metaData = setValues(_metaData(instance, now), values or {})
    tree: dict[str, str | bytes | Tree] = {
        "dynamic": {
            "fws": {"instance-monitoring": "disabled"},
            "instance-identity": _identity(instance, metaData),
        },
        "meta-data": metaData,
    }
    if userData is not None:
        tree["user-data"] = userData
    return tree


def _metaData(instance: Instance, now: float) -> Tree:
    isTerminating = any(each.kind == "autoscaling" for each in instance.interruptions)
    mac = _macOf(instance)
    tree: dict[str, Any] = {
        "ami-id": _idOf("ami", instance.groupName),
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "autoscaling": {"target-lifecycle-state": "Terminated" if isTerminating else "InService"},
        "block-device-mapping": {"ami": "/dev/xvda", "root": "/dev/xvda"},
        "events": _events(instance, now),
        "hibernation": {"configured": "false"},
        "hostname": "localhost",
        "iam": {
            "info": _json(
                Code="Success",
                LastUpdated=timeText(now),
                InstanceProfileArn=f"arn:aws:iam::{ACCOUNT}:instance-profile/{ROLE}",
                InstanceProfileId="AIPA" + _hash(ROLE)[:17].upper(),
            ),
            "security-credentials": {ROLE: _credentials(now)},
        },
        "identity-credentials": {
            "ec2": {
                "info": _json(Code="Success", LastUpdated=timeText(now), AccountId=ACCOUNT),
                "security-credentials": {_IDENTITY_ROLE: _credentials(now)},
            }
        },
        "instance-action": "none",
        "instance-id": instance.instanceId,
        "instance-life-cycle": instance.lifeCycle,
        "instance-type": instance.instanceType,
        "local-hostname": "localhost",
        "local-ipv4": "127.0.0.1",
        "mac": mac,
        "metrics": {"vhostmd": '<?xml version="1.0" encoding="UTF-8"?>'},
        "network": {"interfaces": {"macs": {mac: _interface(instance, mac)}}},
        "placement": {
            "availability-zone": f"{REGION}a",
            "availability-zone-id": "use1-az1",
            "region": REGION,
        },
        "profile": "default-hvm",
        "public-hostname": "localhost",
        "public-ipv4": "127.0.0.1",
        "public-keys": {f"0={KEY_NAME}": {"openssh-key": _publicKey()}},
        "reservation-id": _idOf("r", instance.instanceId),
        "security-groups": "default",
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "system": "nitro",
        "tags": {
            "instance": {
                "GameLift": "GameServerGroups",
                "aws:autoscaling:groupName": autoScalingGroupOf(instance.groupName),
            }
        },
    }
    if instance.end is not None and instance.interruptions[-1].kind == "spot":
        end = timeText(instance.end)
        tree["spot"] = {
            "instance-action": json.dumps({"action": "terminate", "time": end}),
            "termination-time": end,
        }
    return tree


def _interface(instance: Instance, mac: str) -> Tree:
    """Return the one network interface. Without IPv6, EC2 has none of its paths."""
    return {
        "device-number": "0",
        "interface-id": _idOf("eni", instance.instanceId),
        "ipv4-associations": {"127.0.0.1": "127.0.0.1"},
        "local-hostname": "localhost",
        "local-ipv4s": "127.0.0.1",
        "mac": mac,
        "network-card": "0",
        "network-card-index": "0",
        "owner-id": ACCOUNT,
        "public-hostname": "localhost",
        "public-ipv4s": "127.0.0.1",
        "security-group-ids": _idOf("sg", ACCOUNT),
        "security-groups": "default",
        "subnet-id": _idOf("subnet", ACCOUNT),
        "subnet-ipv4-cidr-block": "127.0.0.0/24",
        "vpc-id": _idOf("vpc", ACCOUNT),
        "vpc-ipv4-cidr-block": "127.0.0.0/16",
        "vpc-ipv4-cidr-blocks": "127.0.0.0/16",
    }


def _events(instance: Instance, now: float) -> Tree:
    scheduled: list[dict[str, str]] = []
    history: list[dict[str, str]] = []
    for each in instance.interruptions:
        if KINDS[each.kind].maintenance is not None:
            isOver = each.notAfter is not None and each.notAfter <= now
            (history if isOver else scheduled).append(_maintenance(instance, each, isOver))
    events: dict[str, Tree] = {
        "maintenance": {"history": _jsonList(history), "scheduled": _jsonList(scheduled)}
    }
    for each in instance.interruptions:
        if each.kind == "rebalance":
            notice = json.dumps({"noticeTime": timeText(each.noticeTime)})
            events["recommendations"] = {"rebalance": notice}
    return events


def _maintenance(instance: Instance, each: Interruption, isOver: bool) -> dict[str, str]:
    event = {
        "NotBefore": _maintenanceTime(each.notBefore),
        "Code": each.kind,
        "Description": f"{'[Completed] ' if isOver else ''}{KINDS[each.kind].maintenance}",
        "EventId": _idOf("instance-event", f"{instance.instanceId}/{each.kind}"),
    }
    if each.notAfter is not None:
        event["NotAfter"] = _maintenanceTime(each.notAfter)
    return {**event, "State": "completed" if isOver else "active"}


def _identity(instance: Instance, metaData: Tree) -> Tree:
    """Return the identity document, of the values in the metadata, and its signatures."""
    placement = metaData.get("placement")
    zones: Mapping[str, Any] = placement if isinstance(placement, Mapping) else {}
    document = _json(
        accountId=ACCOUNT,
        architecture="x86_64",
        availabilityZone=zones.get("availability-zone"),
        billingProducts=None,
        devpayProductCodes=None,
        marketplaceProductCodes=None,
        imageId=metaData.get("ami-id"),
        instanceId=metaData.get("instance-id"),
        instanceType=metaData.get("instance-type"),
        kernelId=None,
        pendingTime=timeText(instance.launchTime),
        privateIp=metaData.get("local-ipv4"),
        ramdiskId=None,
        region=zones.get("region"),
        version="2017-09-30",
    )
    # Of the form and length of EC2's. No certificate of AWS verifies them.
    return {
        "document": document,
        "pkcs7": _signature("pkcs7", document, 900),
        "rsa2048": _signature("rsa2048", document, 1200),
        "signature": _signature("signature", document, 128),
    }


def _signature(kind: str, document: str, size: int) -> str:
    seed = sha256(f"{kind} {document}".encode()).digest()
    text = b64encode((seed * (size // len(seed) + 1))[:size]).decode("ascii")
    return "\n".join(text[start : start + 76] for start in range(0, len(text), 76))


def _credentials(now: float) -> str:
    return _json(
        Code="Success",
        LastUpdated=timeText(now),
        Type="AWS-HMAC",
        AccessKeyId="local",
        SecretAccessKey="local",
        Token="local",
        Expiration=timeText(now + CREDENTIAL_SECONDS),
    )


def _publicKey() -> str:
    """Return a key of the form that OpenSSH parses. It has no private key."""
    kind, point = b"ssh-ed25519", sha256(KEY_NAME.encode()).digest()
    blob = b"".join(pack(">I", len(part)) + part for part in (kind, point))
    return f"ssh-ed25519 {b64encode(blob).decode('ascii')} {KEY_NAME}"


def _json(**members: Any) -> str:
    return json.dumps(members, indent=2, separators=(",", " : "))


def _jsonList(events: list[dict[str, str]]) -> str:
    return json.dumps(events, indent=2, separators=(",", " : "))


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _idOf(prefix: str, text: str) -> str:
    return f"{prefix}-{_hash(f'{prefix}/{text}')[:17]}"


def _macOf(instance: Instance) -> str:
    digits = _hash(f"mac/{instance.instanceId}")
    # The first byte marks an address that no manufacturer has assigned.
    return ":".join(["02", *(digits[index : index + 2] for index in range(0, 10, 2))])


def timeText(seconds: float) -> str:
    """Return a time to the second, as AWS writes it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _maintenanceTime(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%d %b %Y %H:%M:%S GMT")
