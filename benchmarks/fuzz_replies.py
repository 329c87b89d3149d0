"""
Send 100,000 replies to the command and to the server's client, and check how both end.

Most replies are mutated from those of a local FleetIQ, with changed bytes, members, statuses and
types. They reach the command and C{echoserver.gamelift} through boto3, in one process and without
sockets. Checks that nothing raises, that no reply is believed that an independent check rejects,
and that the memory stays flat:
C{.venv/bin/python -m benchmarks.fuzz_replies [REPLIES [SEED]]}.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from io import StringIO
from random import Random
from time import perf_counter
from typing import Any

from botocore.awsrequest import AWSResponse
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from benchmarks.fuzz_local import memoryOf
from echoserver.cli.controls import Controls
from echoserver.cli.main import parseCommandLine
from echoserver.cli.output import Console
from echoserver.cli.run import execute
from echoserver.cli.target import Connection, Target
from echoserver.gamelift.client import EndpointConfig, GameLift, openCheckedClient, openSession
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import FleetIQ
from echoserver.local.model.values import instanceIdOf
from tests.clidoubles import Endpoint, Response
from tests.local.inmemory import MemoryFleetIQ
from tests.repliesdoubles import JSON, URL, MemorySession, httpResponse

REPLIES = 100_000
LARGEST_GROWTH_MIB = 8.0
CHANGED = 0.8
INSTANCE = instanceIdOf("local", 0)
ONE = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
COMMANDS = (
    "list",
    "--json list",
    "list --sort health",
    "instances",
    "groups",
    "claim",
    "claim srv-1",
    "describe srv-1",
    f"register srv-1 --instance {INSTANCE} --connection localhost:5000",
    "update srv-1 --healthy",
    "deregister srv-1",
    "deregister srv-1 --yes",
    f"deregister --instance {INSTANCE} --yes",
    "play --send hello",
    "play --server srv-1 --send hello",
    "local state",
    "local journal",
    "local clock --advance 1",
    f"local interrupt {INSTANCE}",
    "local fault --kind drop",
    "local fault --end fault-1",
    "local reset --yes",
)
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 7000, 2**64, 1e300, "", " ", [], {}, [None], [[]], {"a": 1}),
    *("\n", "a\nb  AVAILABLE", "\x1b[2J", "\u202egpj", "\x9b", "\ud800", "\0", "한" * 300),
    *("x" * 100_000, "127.0.0.1:99999", "localhost:5000\n", "2026-01-01", "NaN", "gs-2"),
)
PAGES = (b"", b"null", b"[]", b"{}", b'"x"', b"0", b"<html>Welcome</html>", b"[" * 50_000, b"\xa0")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    contentType: str
    body: bytes


def realReplies() -> dict[str, Reply]:
    """Return the replies of a local FleetIQ, by the operation or the method and control."""
    fleetIQ = MemoryFleetIQ()
    replies: dict[str, Reply] = {}

    def call(operation: str, **members: Any) -> None:
        response = fleetIQ.call(operation, **members)
        replies[operation] = Reply(response.status, JSON, response.body)

    def control(method: str, name: str, body: Any = None) -> None:
        data = json.dumps(body or {}).encode()
        response = fleetIQ.request(method, f"/_local/{name}", {}, data)
        replies[f"{method} {name.partition('/')[0]}"] = Reply(
            response.status, "application/json", response.body
        )

    register = {"InstanceId": INSTANCE, "ConnectionInfo": "localhost:5000", "GameServerData": "한"}
    call("RegisterGameServer", **ONE, **register)
    call("RegisterGameServer", **{**ONE, "GameServerId": "srv-2"}, InstanceId=INSTANCE)
    call("RegisterGameServer", **ONE | {"GameServerId": "srv-3"}, **register)
    call("DeregisterGameServer", **ONE | {"GameServerId": "srv-3"})
    call("ClaimGameServer", **ONE)
    call("DescribeGameServer", **ONE)
    call("UpdateGameServer", **ONE, HealthCheck="HEALTHY")
    call("ListGameServers", GameServerGroupName="local")
    call("ListGameServerGroups")
    call("DescribeGameServerInstances", GameServerGroupName="local")
    replies["RegisterGameServer"] = replies["DescribeGameServer"]
    control("POST", "faults", {"operation": "*", "kind": "drop"})
    control("GET", "state")
    control("GET", "journal")
    control("DELETE", "faults/fault-1")
    control("POST", "clock", {"advance": 1})
    control("POST", "interrupt", {"InstanceId": INSTANCE})
    control("POST", "reset")
    wrong = {name: reply for name, reply in replies.items() if reply.status != 200}
    assert not wrong, wrong
    return replies


def mutate(rng: Random, reply: Reply) -> Reply:
    """Return a reply that differs from a real one."""
    choice = rng.random()
    if choice < 0.1:
        return replace(reply, body=rng.choice(PAGES), contentType=rng.choice((JSON, "text/html")))
    if choice < 0.2:
        return replace(reply, status=rng.choice((200, 201, 204, 301, 400, 403, 404, 500, 503)))
    if choice < 0.4:
        return replace(reply, body=mutateBytes(rng, reply.body))
    try:
        value = json.loads(reply.body)
    except ValueError:
        return replace(reply, body=mutateBytes(rng, reply.body))
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        value = mutateValue(rng, value)
    if choice > 0.999:
        value = {"GameServers": "x" * 5_000_000}
    return replace(reply, body=json.dumps(value).encode())


def mutateBytes(rng: Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.randrange(1, 6)):
        where = rng.randrange(len(changed) + 1)
        match rng.randrange(3):
            case 0:
                changed[where:] = b""
            case 1:
                changed[where:where] = rng.randbytes(rng.randrange(1, 4))
            case _:
                changed[where : where + 1] = rng.randbytes(1)
    return bytes(changed)


def mutateValue(rng: Random, value: Any) -> Any:
    """Return a JSON value with one part replaced, removed, repeated or added."""
    odd = deepcopy(rng.choice(ODD))
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return odd
    if isinstance(value, list):
        position = rng.randrange(len(value))
        if rng.random() < 0.3:
            return value + [deepcopy(value[position])] * rng.randrange(1, 3)
        value[position] = mutateValue(rng, value[position])
        return value
    name = rng.choice(list(value))
    match rng.randrange(5):
        case 0:
            del value[name]
        case 1:
            value[rng.choice(("NextToken", "GameServer", "Unknown", "error", "__type"))] = odd
        case _:
            value[name] = mutateValue(rng, value[name])
    return value


def isPlausible(name: str, reply: Reply) -> bool:
    """
    Return whether a reply can be believed: status 200, and what the operation must say.

    This is written without the code under test, and is less strict.
    """
    if reply.status != 200:
        return False
    if name == "DeregisterGameServer" and not reply.body:
        return reply.contentType == JSON
    try:
        value = json.loads(reply.body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    if name in ("ListGameServers", "ListGameServerGroups"):
        key = "GameServers" if name == "ListGameServers" else "GameServerGroups"
        identifier = "GameServerId" if name == "ListGameServers" else "GameServerGroupName"
        items = value.get(key)
        return isinstance(items, list) and all(
            isinstance(item, dict) and hasText(item, identifier) for item in items
        )
    if name in ("ClaimGameServer", "DescribeGameServer", "RegisterGameServer", "UpdateGameServer"):
        server = value.get("GameServer")
        if not isinstance(server, dict):
            return False
        texts = (server.get(each) for each in ("ConnectionInfo", "GameServerId", "InstanceId"))
        isComplete = hasText(server, "GameServerId") and hasText(server, "UtilizationStatus")
        return isComplete and all(text is None or isinstance(text, str) for text in texts)
    if name == "DescribeGameServerInstances":
        return isinstance(value.get("GameServerInstances"), list)
    return True


def hasText(value: dict[str, Any], name: str) -> bool:
    return isinstance(value.get(name), str) and value[name] != ""


class Replies:
    """
    Sends replies, and remembers what it sent in the current run.

    @ivar sent: how many replies have been sent.
    @ivar implausible: the names of the replies of this run that cannot be believed.
    """

    def __init__(self, rng: Random) -> None:
        self.sent = 0
        self.implausible: list[str] = []
        self._rng = rng
        self._real = realReplies()

    def _next(self, name: str) -> Reply:
        self.sent += 1
        reply = self._real[name]
        if self._rng.random() < CHANGED:
            reply = mutate(self._rng, reply)
        if not isPlausible(name, reply):
            self.implausible.append(name)
        return reply

    def toBoto(self, request: Any) -> AWSResponse:
        """Send the reply to a call of boto3."""
        target = request.headers["X-Amz-Target"]
        name = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        reply = self._next(name)
        chunks: Iterator[bytes] = iter([reply.body])
        return httpResponse(reply.status, reply.contentType, chunks)

    def request(
        self, method: str, url: str, *, data: bytes | None, unbuffered: bool
    ) -> Deferred[Response]:
        """Send the reply to a request of the controls, as treq does."""
        reply = self._next(f"{method} {url.partition('/_local/')[2].partition('/')[0]}")
        return succeed(Response(reply.status, reply.body))


class Fuzz:
    """Runs commands and calls of the server, and counts how they end."""

    def __init__(self, rng: Random) -> None:
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.replies = Replies(rng)
        self._rng = rng
        self._config = EndpointConfig(endpoint=URL, local=True)
        self._session = openSession(self._config)
        client: Any = openCheckedClient(self._session, self._config, "us-east-1")
        client._endpoint.http_session = MemorySession(self.replies.toBoto)
        inThread: Any = maybeDeferred
        self._gameLift = GameLift(
            Clock(),
            inThread,
            self._config,
            session=lambda _: self._session,
            client=lambda *_: client,
        )
        resultOf(self._gameLift.region())
        resultOf(self._gameLift.open("us-east-1"))

    def runCommand(self) -> None:
        """Run a command, and check its exit status and its output."""
        words = self._rng.choice(COMMANDS)
        stdout, stderr = StringIO(), StringIO()
        console = Console(stdout, stderr)
        options = parseCommandLine([word.encode() for word in words.split()], console)
        assert not isinstance(options, int), stderr.getvalue()
        clock = Clock()

        def newTarget(connection: Connection, config: EndpointConfig, group: str) -> Target:
            endpoints = lambda _address: Endpoint()  # noqa: E731 (a double)
            return Target(connection, config, group, clock, console, endpoints, print)

        def newControls(url: str) -> Controls:
            http: Any = self.replies
            return Controls(clock, http, url)

        gameLift = self._gameLift
        running = Deferred.fromCoroutine(
            execute(options, {}, lambda _: gameLift, newTarget, newControls, console)
        )
        status = resultOf(running)
        output, errors = stdout.getvalue(), stderr.getvalue()
        self.ends[f"{words.split()[0]}: {status}"] += 1
        if status not in (0, 1, 2) or "bug" in errors or "Traceback" in errors:
            self.wrong.append(f"{words}: {status} {errors[-300:]}")
        # A group is also found without the state: another emulator has no controls.
        implausible = [
            name
            for name in self.replies.implausible
            if words.startswith("local") or name != "GET state"
        ]
        if status == 0 and implausible:
            self.wrong.append(f"{words}: believed {implausible}: {output[:300]}")
        if any(ord(char) < 32 and char not in "\n\t" for char in output + errors):
            self.wrong.append(f"{words}: control characters in {output + errors!r:.300}")

    def callAsServer(self) -> None:
        """Make a call as a game server does, and check the result."""
        fleet = FleetIQ(self._gameLift, "local")
        calls: tuple[Callable[[], Deferred[Any]], ...] = (
            lambda: fleet.register("srv-1", INSTANCE, "localhost:5000"),
            lambda: fleet.utilize("srv-1"),
            lambda: fleet.heartbeat("srv-1"),
            lambda: fleet.describe("srv-1"),
            fleet.claim,
            lambda: fleet.deregister("srv-1"),
            lambda: fleet.instanceStatus(INSTANCE),
        )
        result = resultOf(self._rng.choice(calls)())
        if isinstance(result, Failure):
            self.ends[f"server: {'failed' if result.check(CallFailed) else 'raised'}"] += 1
            if not result.check(CallFailed):
                self.wrong.append(f"server: raised {result.value!r:.300}")
        else:
            self.ends["server: ok"] += 1
            if self.replies.implausible:
                self.ends["server: believed"] += 1
                self.wrong.append(f"server: believed {self.replies.implausible}: {result!r:.300}")


def resultOf(pending: Deferred[Any]) -> Any:
    """Return the result or the Failure of a Deferred that has fired."""
    results: list[Any] = []
    pending.addBoth(results.append)
    assert results, "the call has not ended"
    return results[0]


def main() -> int:
    """Run. Return 1 if something was wrong, or if the memory grew."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else REPLIES
    # The log of 100,000 calls is not the subject.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    fuzz = Fuzz(Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1))
    began, warm = perf_counter(), 0.0
    while fuzz.replies.sent < count:
        if not warm and fuzz.replies.sent >= count // 4:
            warm = memoryOf(os.getpid())
        fuzz.replies.implausible.clear()
        if fuzz.replies.sent % 4:
            fuzz.runCommand()
        else:
            fuzz.callAsServer()
    grown = memoryOf(os.getpid()) - warm
    for end, number in sorted(fuzz.ends.items()):
        sys.stdout.write(f"{number:7,d} {end}\n")
    for line in fuzz.wrong[:20]:
        sys.stdout.write(f"wrong: {line!a}\n")
    sys.stdout.write(
        f"{fuzz.replies.sent:7,d} replies in {perf_counter() - began:.0f} s; {len(fuzz.wrong):,d} "
        f"wrong; memory grew by {grown:.1f} MiB after the first quarter "
        f"(goal: under {LARGEST_GROWTH_MIB:.0f})\n"
    )
    return int(bool(fuzz.wrong) or grown >= LARGEST_GROWTH_MIB)


if __name__ == "__main__":
    sys.exit(main())
