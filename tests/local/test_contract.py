"""The contract of FleetIQ with the local one: in memory, and through boto3 in both protocols."""

import os
from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SkipTest, TestCase

from echoserver.local.http.operations import Operations
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import FleetIQError, instanceIdOf
from echoserver.local.service import LocalFleetIQ
from tests.contract import CallFailed, Reply, fleetIQContract

INSTANCES = [instanceIdOf("local", index) for index in range(2)]


class MemoryFleet:
    """Calls operations directly, without a wire protocol."""

    group = "local"
    instances = INSTANCES

    def __init__(self) -> None:
        clock = Clock()
        clock.advance(1_700_000_000)
        state = Fleet(lambda _event: None)
        state.addGroup("local", 2, clock.seconds())
        self._operations = Operations(state, clock.seconds)
        self.advance: Callable[[float], None] = clock.advance

    async def call(self, operation: str, request: dict[str, Any]) -> Reply:
        try:
            return self._operations.perform(operation, request) or {}
        except FleetIQError as error:
            raise CallFailed(error.code) from error


async def openMemory(_test: TestCase) -> MemoryFleet:
    return MemoryFleet()


class InMemoryTests(fleetIQContract(openMemory)):  # type: ignore[misc] # a computed base class
    """The contract, in memory."""


class ShiftedReactor:
    """A real reactor whose clock a test can advance."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._shift = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def seconds(self) -> float:
        now: float = self._reactor.seconds() + self._shift
        return now

    def advance(self, seconds: float) -> None:
        self._shift += seconds


JSON, CBOR = "json", "smithy-rpc-v2-cbor"


@cache
def makeSession(protocol: str) -> Any:
    """Return a boto3 session that reads no files and variables of this machine. It is cached."""
    import boto3.session
    import botocore.session
    from botocore.serialize import SERIALIZERS

    if protocol not in SERIALIZERS:
        raise SkipTest(f"This botocore does not have the protocol {protocol}.")

    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    # The loader caches the model. Of several protocols botocore would choose JSON.
    model = core.get_component("data_loader").load_service_model("gamelift", "service-2")
    model["metadata"]["protocols"] = [protocol]
    return boto3.session.Session(
        aws_access_key_id="local",
        aws_secret_access_key="local",
        region_name="us-east-1",
        botocore_session=core,
    )


def makeClient(url: str, protocol: str) -> Any:
    """Return a client of that session. Call it in a thread, one call at a time."""
    from botocore.config import Config

    config = Config(
        connect_timeout=3, read_timeout=5, proxies={}, retries={"total_max_attempts": 1}
    )
    return makeSession(protocol).client("gamelift", endpoint_url=url, config=config)


class Boto3Fleet:
    """Calls a local FleetIQ on loopback through boto3, in a thread."""

    group = "local"
    instances = INSTANCES

    client: Any

    def __init__(self, reactor: Any, pool: ThreadPool) -> None:
        self._reactor = reactor
        self._pool = pool
        self.advance = reactor.advance

    def inThread(self, work: Callable[..., Any], *args: Any, **named: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool, work, *args, **named)

    async def call(self, operation: str, request: dict[str, Any]) -> Reply:
        from botocore.exceptions import ClientError

        try:
            reply: Reply = await self.inThread(self.client._make_api_call, operation, request)
        except ClientError as error:
            raise CallFailed(error.response["Error"]["Code"]) from error
        del reply["ResponseMetadata"]
        return reply


async def openBoto3(protocol: str, test: TestCase) -> Boto3Fleet:
    from twisted.internet import reactor

    shifted = ShiftedReactor(reactor)
    fleetIQ = LocalFleetIQ(shifted, "tcp:0:interface=127.0.0.1")
    fleetIQ.startService()
    test.addCleanup(fleetIQ.stopService)
    pool = ThreadPool(1, 1, "boto3")
    pool.start()
    test.addCleanup(pool.stop)
    access = Boto3Fleet(shifted, pool)
    access.client = await access.inThread(makeClient, fleetIQ.url, protocol)
    return access


class JsonTests(fleetIQContract(partial(openBoto3, JSON))):  # type: ignore[misc] # a computed base class
    """The contract over sockets and through boto3, which reuses its connections."""


class CborTests(fleetIQContract(partial(openBoto3, CBOR))):  # type: ignore[misc] # a computed base class
    """The contract through a boto3 whose model of GameLift has only CBOR."""

    async def test_onTheWire(self) -> None:
        """boto3 receives CBOR, with dates. An operation without output has no body."""
        replies = []
        self.access.client.meta.events.register(
            "before-parse", lambda **event: replies.append(event)
        )
        server = await self.register("srv-1")
        self.assertIsInstance(server["RegistrationTime"], datetime)
        await self.call("DeregisterGameServer", GameServerId="srv-1")
        full, empty = (reply["response_dict"] for reply in replies)
        self.assertEqual("application/cbor", full["headers"]["Content-Type"])
        self.assertEqual((200, b""), (empty["status_code"], empty["body"]))
        self.assertNotIn("Content-Type", empty["headers"])
