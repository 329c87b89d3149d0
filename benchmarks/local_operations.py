"""The time of each operation of the local FleetIQ, with 100 and with 10,000 game servers."""

from __future__ import annotations

import json
import socket
from abc import ABC, abstractmethod
from collections import defaultdict
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.figures import Goal, Result, share, spread
from benchmarks.processes import Server, call, connect, fleetiqLocal
from echoserver.local.http.operations import Operations
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.groups import ACTIVATING_SECONDS, DELETING_SECONDS, NEW_SECONDS
from echoserver.local.model.values import groupArnOf, instanceIdOf

FEW, MANY = 100, 10_000
INSTANCES = 10
PAGE = 50
CALLERS = 16
# After WAIT, a group is ACTIVE or deleted. The timeout is longer than all sessions.
WAIT = NEW_SECONDS + ACTIVATING_SECONDS + DELETING_SECONDS
HEALTH_TIMEOUT = 86_400.0

LOCAL = {"GameServerGroupName": "local"}
CREATED = {"GameServerGroupName": "created"}
ACTION = ["REPLACE_INSTANCE_TYPES"]
NEW_GROUP = {
    **CREATED,
    "RoleArn": "arn:aws:iam::000000000000:role/FleetIQ",
    "MinSize": 1,
    "MaxSize": 1,
    "LaunchTemplate": {"LaunchTemplateName": "game"},
    "InstanceDefinitions": [{"InstanceType": "c5.large"}, {"InstanceType": "c5a.large"}],
}


class Target(ABC):
    """
    A local FleetIQ, and the measured calls to it.

    @ivar times: the microseconds of each call, by operation.
    """

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self._registered = 0

    def prepare(self, gameServers: int) -> None:
        for _ in range(gameServers):
            self._register()
        self.times.clear()

    @abstractmethod
    def perform(self, operation: str, request: dict[str, Any]) -> Any:
        """Call one operation, and return its output."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Move the local clock."""

    def session(self) -> None:
        """Call all operations: those of a session, and those of a group."""
        one = self._register()
        self._time("UpdateGameServer", {**one, "HealthCheck": "HEALTHY"})
        self._time("DescribeGameServer", one)
        self._time("ListGameServers", {**LOCAL, "SortOrder": "DESCENDING", "Limit": PAGE})
        claimed = self._time("ClaimGameServer", LOCAL)["GameServer"]["GameServerId"]
        another = {**LOCAL, "GameServerId": claimed}
        self._time("UpdateGameServer", {**another, "UtilizationStatus": "UTILIZED"})
        self._time("DeregisterGameServer", another)
        self._time("DescribeGameServerInstances", {**LOCAL, "Limit": PAGE})
        self._group()

    def _register(self) -> dict[str, Any]:
        self._registered += 1
        server = {**LOCAL, "GameServerId": f"game-server-{self._registered}"}
        instance = instanceIdOf("local", self._registered % INSTANCES)
        self._time("RegisterGameServer", {**server, "InstanceId": instance})
        return server

    def _group(self) -> None:
        arn = {"ResourceARN": groupArnOf("created")}
        self._time("CreateGameServerGroup", NEW_GROUP)
        self._time("ListGameServerGroups", {})
        self._time("DescribeGameServerGroup", CREATED)
        self._time("UpdateGameServerGroup", {**CREATED, "BalancingStrategy": "SPOT_ONLY"})
        self._time("SuspendGameServerGroup", {**CREATED, "SuspendActions": ACTION})
        self._time("ResumeGameServerGroup", {**CREATED, "ResumeActions": ACTION})
        self._time("TagResource", {**arn, "Tags": [{"Key": "game", "Value": "echo"}]})
        self._time("ListTagsForResource", arn)
        self._time("UntagResource", {**arn, "TagKeys": ["game"]})
        self.advance(WAIT)
        self._time("DeleteGameServerGroup", {**CREATED, "DeleteOption": "FORCE_DELETE"})
        self.advance(WAIT)

    def _time(self, operation: str, request: dict[str, Any]) -> Any:
        began = perf_counter()
        reply = self.perform(operation, request)
        self.times[operation].append((perf_counter() - began) * 1e6)
        return reply


class InProcess(Target):
    """Call the operations in this process, without HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1.7e9
        state = Fleet(lambda _: None, HEALTH_TIMEOUT)
        state.addGroup("local", INSTANCES, self._now)
        self._operations = Operations(state, lambda: self._now)

    def perform(self, operation: str, request: dict[str, Any]) -> Any:
        return self._operations.perform(operation, request)

    def advance(self, seconds: float) -> None:
        self._now += seconds


class OverHttp(Target):
    """Call a process with AWS JSON over one connection."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._url = server.url
        self._caller = connect(portOf(server))

    def perform(self, operation: str, request: dict[str, Any]) -> Any:
        self._caller.sendall(formatRequest(operation, request))
        return read(self._caller)

    def advance(self, seconds: float) -> None:
        call(f"{self._url}/_local/clock", {"advance": seconds})


def measure(full: bool) -> Result:
    """Measure both sizes in alternating sessions."""
    sessions = 3_000 if full else 500
    within = _measured(InProcess(), InProcess(), sessions)
    with _server() as few, _server() as many:
        beyond = _measured(OverHttp(few), OverHttp(many), sessions)
    rates = [_updateRate(20_000 if full else 5_000) for _ in range(5)]
    rows = []
    for operation in sorted(beyond[0]):
        row = [operation]
        for target in (beyond, within):
            small, large = (median(each[operation]) for each in target)
            row += [f"{small:,.1f}", f"{large:,.1f}", f"{large / small:.2f}"]
        rows.append(row)
    return Result(
        title=f"The local FleetIQ with {FEW:,} and with {MANY:,} game servers",
        method=(
            f"Median microseconds of an operation, {sessions:,} alternating sessions; {INSTANCES} "
            f"instances, pages of {PAGE}. Then UpdateGameServer with a health report from "
            f"{CALLERS} connections, requests for each second of CPU time: "
            f"{spread(rates, '{:,.0f}')}."
        ),
        columns=("", *_columns("HTTP"), *_columns("in process")),
        rows=rows,
        data={
            "http": [_summary(target) for target in beyond],
            "inProcess": [_summary(target) for target in within],
            "updatesPerSecond": rates,
        },
        goals=[
            Goal("the largest ratio over HTTP", _worst(beyond), 1.3, most=True),
            Goal("the largest ratio in process", _worst(within), 1.3, most=True),
            Goal("UpdateGameServer a second on one core", median(rates), 3_000, 1_500),
        ],
    )


Times = dict[str, list[float]]


def _columns(transport: str) -> tuple[str, str, str]:
    return (f"{transport}: {FEW:,}", f"{MANY:,}", "ratio")


def _measured(few: Target, many: Target, sessions: int) -> tuple[Times, Times]:
    few.prepare(FEW)
    many.prepare(MANY)
    for _ in range(sessions):
        few.session()
        many.session()
    return few.times, many.times


def _summary(times: Times) -> dict[str, dict[str, float]]:
    return {
        operation: {"p50": median(each), "p99": share(each, 0.99), "count": len(each)}
        for operation, each in times.items()
    }


def _worst(times: tuple[Times, Times]) -> float:
    few, many = times
    return max(median(many[operation]) / median(few[operation]) for operation in few)


def _updateRate(requests: int) -> float:
    """Return the UpdateGameServer requests for each second of CPU time."""
    with _server() as server:
        target = OverHttp(server)
        target.prepare(FEW)
        callers = [connect(portOf(server)) for _ in range(CALLERS)]
        update = {**LOCAL, "GameServerId": "game-server-1", "HealthCheck": "HEALTHY"}
        request = formatRequest("UpdateGameServer", update)
        began = server.cpuSeconds()
        for _ in range(requests // CALLERS):
            for caller in callers:
                caller.sendall(request)
            for caller in callers:
                read(caller)
        took = server.cpuSeconds() - began
        for caller in callers:
            caller.close()
    return requests / took


def _server() -> Server:
    return fleetiqLocal(f"--instances={INSTANCES}", f"--health-timeout={HEALTH_TIMEOUT:.0f}")


def portOf(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def formatRequest(operation: str, request: dict[str, Any]) -> bytes:
    body = json.dumps(request).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: GameLift.{operation}\r\n"
        f"Content-Type: application/x-amz-json-1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def read(caller: socket.socket) -> Any:
    """Read a response, and check that its status is 200."""
    data = caller.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), data
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += caller.recv(65536)
    return json.loads(body) if body else None
