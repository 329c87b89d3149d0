"""Random and mutated requests in both protocols. The same seed makes the same requests."""

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import cbor2

from echoserver.local.model.values import groupArnOf, instanceIdOf
from tests.local.inmemory import CBOR_HEADERS, Headers, callHeaders, rpcPath

ONE = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
GROUP = {"GameServerGroupName": "local"}
MADE = {"GameServerGroupName": "made"}
TAGGED = {"ResourceARN": groupArnOf("local")}
VALID: Mapping[str, dict[str, Any]] = {
    "RegisterGameServer": {
        **ONE,
        "InstanceId": instanceIdOf("local", 0),
        "ConnectionInfo": "localhost:5000",
        "GameServerData": '{"map": "한국"}',
    },
    "UpdateGameServer": {**ONE, "UtilizationStatus": "UTILIZED", "HealthCheck": "HEALTHY"},
    "DeregisterGameServer": ONE,
    "DescribeGameServer": ONE,
    "ListGameServers": {**GROUP, "SortOrder": "ASCENDING", "Limit": 10, "NextToken": "none"},
    "ClaimGameServer": {**GROUP, "FilterOption": {"InstanceStatuses": ["ACTIVE", "DRAINING"]}},
    "DescribeGameServerInstances": {**GROUP, "InstanceIds": [instanceIdOf("local", 1)]},
    "DescribeGameServerGroup": GROUP,
    "ListGameServerGroups": {"Limit": 1},
    "CreateGameServerGroup": {
        **MADE,
        "RoleArn": "arn:aws:iam::000000000000:role/game",
        "MinSize": 1,
        "MaxSize": 1,
        "LaunchTemplate": {"LaunchTemplateName": "game"},
        "InstanceDefinitions": [{"InstanceType": "c5.large"}, {"InstanceType": "c5a.large"}],
    },
    "UpdateGameServerGroup": {**MADE, "BalancingStrategy": "SPOT_ONLY"},
    "DeleteGameServerGroup": {**MADE, "DeleteOption": "FORCE_DELETE"},
    "SuspendGameServerGroup": {**MADE, "SuspendActions": ["REPLACE_INSTANCE_TYPES"]},
    "ResumeGameServerGroup": {**MADE, "ResumeActions": ["REPLACE_INSTANCE_TYPES"]},
    "TagResource": {**TAGGED, "Tags": [{"Key": "map", "Value": "한국"}]},
    "UntagResource": {**TAGGED, "TagKeys": ["map"]},
    "ListTagsForResource": TAGGED,
    "CreateFleet": {"Name": "a fleet of managed GameLift"},
}
# Beginnings of items and tokens whose lengths and ends are then missing or wrong.
FRAGMENTS = (
    *(
        bytes([first])
        for first in b"\x1b\x3b\x5b\x5f\x7b\x7f\x9b\x9f\xbb\xbf\xc1\xc2\xd8\xf7\xfb\xff"
    ),
    *(bytes([first]) + b"\x40" + bytes(7) for first in b"\x5b\x7b\x9b\xbb\xdb"),
    *(b'"', b"\\u", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"1e999", b"NaN", b"null"),
)
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**63, -(2**63), 1.5, 1e300, "", " ", "\n", "\x00", "é" * 1025),
    *("srv-1\n", "x" * 5000, "UTILIZED", [], {}, [[]], [None], {"": {}}, ["ACTIVE"] * 100),
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request; C{inCbor} is whether its response must be in CBOR."""

    path: str
    headers: Headers
    body: bytes
    inCbor: bool


def drawCall(rng: Random) -> Call:
    operation = rng.choice(list(VALID))
    request = dict(VALID[operation])
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        request[rng.choice((*request, "Tags"))] = rng.choice(ODD)
    if rng.random() < 0.03:
        operation = _text(rng, string.ascii_letters + string.digits + "._%#'")
    inCbor = rng.random() < 0.5
    encode: Callable[[object], bytes] = _cbor(rng) if inCbor else _json
    body = _drawBody(rng, encode(request))
    path, headers = (rpcPath(operation), CBOR_HEADERS) if inCbor else ("/", callHeaders(operation))
    if inCbor and rng.random() < 0.1:
        path = f"/{_text(rng, string.ascii_letters + '/.%')}{path}"
    if rng.random() < 0.1:
        name = rng.choice(("Content-Type", "X-Amz-Target", "smithy-protocol", "X-Other"))
        headers = {**headers, name: _text(rng, string.printable[:94] + "ÿ")}
    if rng.random() < 0.03:
        headers = dict(list(headers.items())[1:])
    return Call(path, headers, body, path != "/" or "smithy-protocol" in headers)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _cbor(rng: Random) -> Callable[[object], bytes]:
    indefinite = rng.random() < 0.3
    return lambda value: cbor2.dumps(value, indefinite_containers=indefinite)


def _drawBody(rng: Random, valid: bytes) -> bytes:
    kind = rng.random()
    if kind < 0.4:
        return valid
    if kind < 0.45:
        return rng.randbytes(rng.randrange(200))
    if kind < 0.47:
        return rng.choice((b"[", b'{"a":', b"\x81", b"\xa1\x61a", b"\xc6", b"\xbf\x61a")) * 10_000
    body = bytearray(valid)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(body) + 1)
        to = at + rng.randrange(9)
        match rng.randrange(5):
            case 0:
                body[at:to] = b""
            case 1:
                body[at : at + 1] = rng.randbytes(1)
            case 2:
                body[at:at] = rng.choice(FRAGMENTS)
            case 3:
                body[at:at] = body[at:to] * rng.randrange(20)
            case _:
                del body[at + 1 :]
    return bytes(body)


def _text(rng: Random, characters: str) -> str:
    return "".join(rng.choices(characters, k=rng.randrange(1, 30)))
