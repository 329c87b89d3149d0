"""Tests of echoserver.gamelift.client: settings, calls, the environment, and threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, get_ident
from typing import Any, TypeVar, cast

from botocore import exceptions
from twisted.internet.defer import CancelledError, Deferred, execute
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echoserver.gamelift.client import (
    MAX_THREADS,
    THREADS,
    Client,
    EndpointConfig,
    GameLift,
    IdleExitThreadPool,
    Session,
    hostsOf,
    openClient,
)
from echoserver.gamelift.errors import CallFailed
from tests.awsdoubles import (
    ONE,
    REGISTER,
    FakeClient,
    FakeSession,
    LoopbackEndpoint,
    gameLiftWith,
    inThisThread,
    localSession,
    logLines,
)

T = TypeVar("T")

OPERATIONS = {
    "ClaimGameServer": "claim_game_server",
    "DeregisterGameServer": "deregister_game_server",
    "DescribeGameServer": "describe_game_server",
    "DescribeGameServerGroup": "describe_game_server_group",
    "DescribeGameServerInstances": "describe_game_server_instances",
    "ListGameServerGroups": "list_game_server_groups",
    "ListGameServers": "list_game_servers",
    "RegisterGameServer": "register_game_server",
    "UpdateGameServer": "update_game_server",
}


class ClientTests(SynchronousTestCase):
    """The real client, with an endpoint on loopback."""

    def setUp(self) -> None:
        self.endpoint = LoopbackEndpoint()
        self.addCleanup(self.endpoint.close)
        where = EndpointConfig(endpoint=self.endpoint.url, local=True)
        self.client = openClient(localSession(), where, "us-east-1")

    def test_oneAttempt(self) -> None:
        """A call is sent once, also if it fails."""
        for status, code in [
            (500, "InternalServiceException"),
            (400, "ThrottlingException"),
            (400, "LimitExceededException"),
        ]:
            self.endpoint.requests.clear()
            self.endpoint.setError(status, code)
            self.failureResultOf(gameLiftWith(self.client).call("RegisterGameServer", **REGISTER))
            self.assertEqual(len(self.endpoint.requests), 1)
        self.endpoint.requests.clear()
        self.endpoint.response = b""
        self.failureResultOf(gameLiftWith(self.client).call("RegisterGameServer", **REGISTER))
        self.assertEqual(len(self.endpoint.requests), 1)

    def test_settings(self) -> None:
        """3 s to connect, 5 s without data, one attempt, and a connection for each thread."""
        config = cast(Any, self.client).meta.config
        self.assertEqual((config.connect_timeout, config.read_timeout), (3, 5))
        self.assertEqual(config.retries, {"total_max_attempts": 1, "mode": "standard"})
        self.assertEqual(config.max_pool_connections, IdleExitThreadPool(10_000).max)
        self.assertEqual(config.proxies, {})

    def test_operationNames(self) -> None:
        """Each operation in use is a method of boto3's client."""
        client = FakeClient()
        gameLift = gameLiftWith(client)
        for operation, method in OPERATIONS.items():
            gameLift.call(operation)
            self.assertEqual(client.calls[-1][0], method)
            self.assertTrue(callable(getattr(self.client, method)))


class CallTests(SynchronousTestCase):
    """Requests and log lines."""

    def test_noneIsLeftOut(self) -> None:
        """A member that is None is not sent; an empty one is."""
        client = FakeClient()
        gameLiftWith(client).call("ClaimGameServer", GameServerId=None, GameServerData="")
        self.assertEqual(client.calls, [("claim_game_server", {"GameServerData": ""})])

    def test_log(self) -> None:
        """A call is logged in one line with its request id, and without its members."""
        client = FakeClient({"ResponseMetadata": {"RequestId": "an-id"}})
        with capturedLogs() as events:
            gameLiftWith(client).call("RegisterGameServer", **REGISTER)
        self.assertEqual(logLines(events), ["RegisterGameServer took 0 ms, request id an-id."])
        self.assertNotIn("secret", repr(events))

    def test_logOfFailure(self) -> None:
        """A failed call is logged in one line."""

        class Failing:
            def register_game_server(self, **members: Any) -> None:
                raise exceptions.ReadTimeoutError(endpoint_url="http://x")

        with capturedLogs() as events:
            call = gameLiftWith(Failing()).call("RegisterGameServer", **REGISTER)
        self.failureResultOf(call, CallFailed)
        (line,) = logLines(events)
        self.assertIn("RegisterGameServer failed after 0 ms: ", line)
        self.assertNotIn("secret", repr(events))

    def test_hostileRequestId(self) -> None:
        """A request id of an endpoint is escaped and cut."""
        client = FakeClient({"ResponseMetadata": {"RequestId": "\x1b[2J\n" + "x" * 10_000}})
        with capturedLogs() as events:
            gameLiftWith(client).call("RegisterGameServer", **REGISTER)
        (line,) = logLines(events)
        self.assertIn("request id \\x1b[2J xxx", line)
        self.assertLess(len(line), 200)


class EndTests(SynchronousTestCase):
    """The end of a call: in time, too late, or cancelled."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient()
        self.works: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.ended: list[tuple[str, str, float]] = []
        self.gameLift = GameLift(
            self.clock,
            self.inThread,
            EndpointConfig(),
            session=lambda _: cast(Session, FakeSession(self.client)),
            client=lambda *_: cast(Client, self.client),
            ended=lambda *what: self.ended.append(what),
        )
        self.gameLift.region()
        self.work()
        self.gameLift.open("us-east-1")
        self.work()

    def inThread(self, function: Callable[[], T], /) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        self.works.append((done, function))
        return done

    def work(self) -> None:
        """Run the next function, as a thread."""
        done, function = self.works.pop(0)
        execute(function).chainDeferred(done)

    def test_label(self) -> None:
        """The callback gets the error's code, or "other" for one that is not known."""
        for code, label in (("ThrottlingException", "ThrottlingException"), ("\x1bx", "other")):
            error = exceptions.ClientError({"Error": {"Code": code}}, "ListGameServers")
            self.patch(self.client, "list_game_servers", partial(self.raises, error))
            call = self.gameLift.call("ListGameServers")
            self.work()
            self.failureResultOf(call, CallFailed)
            self.assertEqual(self.ended.pop(), ("ListGameServers", label, 0.0))

    def raises(self, error: Exception) -> None:
        raise error

    def test_reply(self) -> None:
        """A reply in time leaves no timer, and the callback gets the duration."""
        call = self.gameLift.call("ListGameServers")
        self.clock.advance(9.9)
        self.work()
        self.successResultOf(call)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.ended, [("ListGameServers", "ok", 9.9)])

    def test_dripping(self) -> None:
        """After 10 s, a call that was sent may have happened. A later reply is ignored."""
        call = self.gameLift.call("ListGameServers")
        done, send = self.works.pop(0)
        reply = send()
        self.clock.advance(10.0)
        error = self.failureResultOf(call, CallFailed).value
        self.assertEqual((error.retry, error.mayHaveHappened), (True, True))
        self.assertEqual(str(error), "ListGameServers did not end within 10 s.")
        done.callback(reply)
        self.assertEqual(self.ended, [("ListGameServers", "Overdue", 10.0)])

    def test_noThread(self) -> None:
        """A call that no thread has begun has not happened, and is not sent later."""
        call = self.gameLift.call("ListGameServers")
        self.clock.advance(10.0)
        error = self.failureResultOf(call, CallFailed).value
        self.assertEqual((error.retry, error.mayHaveHappened), (True, False))
        self.assertIn("was not sent: no thread was free within 10 s", str(error))
        self.work()
        self.assertEqual(self.client.calls, [])

    def test_cancelled(self) -> None:
        """A call that was cancelled before a thread began it is not sent."""
        call = self.gameLift.call("RegisterGameServer", **REGISTER)
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.work()
        self.assertEqual(self.client.calls, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OpenTests(SynchronousTestCase):
    """The client cannot be made at first, because the network fails."""

    def setUp(self) -> None:
        self.error: Exception | None = exceptions.ProxyConnectionError(proxy_url="http://proxy")
        self.attempts = 0
        self.client = FakeClient()
        self.works: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.patch(os, "environ", {})
        self.gameLift = GameLift(
            Clock(),
            self.inThread,
            EndpointConfig(),
            session=lambda _: cast(Session, FakeSession(self.client)),
            client=self.makeClient,
        )
        self.gameLift.region()
        self.work()
        with capturedLogs() as events:
            opened = self.gameLift.open("eu-west-3")
            self.work()
            self.opened = opened
        self.lines = logLines(events)

    def makeClient(self, *_: object) -> Client:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        return cast(Client, self.client)

    def inThread(self, function: Callable[[], T], /) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        self.works.append((done, function))
        return done

    def work(self) -> None:
        """Run the next function, as a thread."""
        done, function = self.works.pop(0)
        execute(function).chainDeferred(done)

    def test_logged(self) -> None:
        """The failure is logged with a hint, and does not end the start."""
        self.assertIsNone(self.successResultOf(self.opened))
        line = (
            'boto3 did not start: Failed to connect to proxy URL: "http://proxy". Check the proxy'
            " in HTTP_PROXY and HTTPS_PROXY, or name the hosts that need none in no_proxy:"
            " 169.254.169.254,gamelift.eu-west-3.amazonaws.com. Each call to FleetIQ tries again."
        )
        self.assertEqual(self.lines, [line])

    def test_retried(self) -> None:
        """Each call tries again, and fails with an error to retry, until it succeeds."""
        call = self.gameLift.call("RegisterGameServer", **REGISTER)
        self.work()
        error = self.failureResultOf(call, CallFailed).value
        self.assertEqual((error.retry, error.mayHaveHappened), (True, False))
        self.assertTrue(
            str(error).startswith("RegisterGameServer was not sent: boto3 did not start: "), error
        )
        self.assertEqual(error.label, "ProxyConnectionError")
        self.error = None
        call = self.gameLift.call("RegisterGameServer", **REGISTER)
        self.work()
        self.work()
        self.successResultOf(call)
        call = self.gameLift.call("RegisterGameServer", **REGISTER)
        self.work()
        self.successResultOf(call)
        self.assertEqual((self.attempts, len(self.client.calls)), (3, 2))

    def test_shared(self) -> None:
        """Concurrent calls share one attempt. A cancelled call does not end it."""
        first, second, third = (
            self.gameLift.call("RegisterGameServer", **REGISTER) for _ in range(3)
        )
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.error = None
        self.work()
        self.work()
        self.work()
        self.assertEqual(self.works, [])
        self.successResultOf(first)
        self.successResultOf(third)
        self.assertEqual((self.attempts, len(self.client.calls)), (2, 2))

    def test_setting(self) -> None:
        """A wrong setting that shows later is an error not to retry."""
        self.error = ValueError("bad")
        call = self.gameLift.call("RegisterGameServer", **REGISTER)
        self.work()
        self.assertFalse(self.failureResultOf(call, CallFailed).value.retry)

    def test_hosts(self) -> None:
        """The hosts are those of the metadata service and of the endpoint."""
        metadata, mode = (
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        )
        aws, url = EndpointConfig(), EndpointConfig(endpoint="https://user:secret@there:1/x")
        for where, environ, hosts in [
            (aws, {}, ["169.254.169.254", "gamelift.eu-west-3.amazonaws.com"]),
            (aws, {mode: "IPv6"}, ["fd00:ec2::254", "gamelift.eu-west-3.amazonaws.com"]),
            (aws, {metadata: "http://m:1", "AWS_ENDPOINT_URL_GAMELIFT": "http://g:2"}, ["m", "g"]),
            (aws, {metadata: "http://m:1", "AWS_ENDPOINT_URL": "http://m:2"}, ["m"]),
            (url, {"AWS_ENDPOINT_URL": "http://m:2"}, ["169.254.169.254", "there"]),
            (url, {metadata: "http://["}, ["there"]),
        ]:
            self.assertEqual(hostsOf(where, "eu-west-3", environ), hosts)


class EnvironmentTests(SynchronousTestCase):
    """The variables and files of AWS that are read."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        (self.home / ".aws").mkdir(parents=True)
        self.setEnvironment()

    def setEnvironment(self, **variables: str) -> None:
        """Set these variables and the home directory, and no others."""
        self.patch(os, "environ", {"HOME": str(self.home.absolute()), **variables})

    def opened(self, where: EndpointConfig) -> tuple[str | None, Any]:
        """Return the region and the client."""
        made: list[Client] = []

        def client(*args: Any) -> Client:
            made.append(openClient(*args))
            return made[0]

        gameLift = GameLift(Clock(), inThisThread, where, client=client)
        region = self.successResultOf(gameLift.region())
        self.successResultOf(gameLift.open(region))
        return region, made[0]

    def setInvalid(self) -> None:
        """Set invalid values of every kind."""
        for name in ("config", "credentials"):
            (self.home / ".aws" / name).write_text("[[[ nonsense")
        self.setEnvironment(
            AWS_ACCESS_KEY_ID="half",
            AWS_BEARER_TOKEN_GAMELIFT="nonsense",
            AWS_CA_BUNDLE="/nowhere.pem",
            AWS_CONFIG_FILE=str(self.home / ".aws" / "config"),
            AWS_DEFAULT_REGION="nonsense!",
            AWS_DEFAULTS_MODE="nonsense",
            AWS_ENDPOINT_URL="nonsense",
            AWS_ENDPOINT_URL_GAMELIFT="nonsense",
            AWS_MAX_ATTEMPTS="nonsense",
            AWS_PROFILE="nowhere",
            AWS_REGION="nonsense!",
            AWS_RETRY_MODE="nonsense",
            AWS_SESSION_TOKEN="nonsense",
            AWS_USE_DUALSTACK_ENDPOINT="true",
            AWS_USE_FIPS_ENDPOINT="true",
            HTTP_PROXY="http://127.0.0.1:1",
            HTTPS_PROXY="http://127.0.0.1:1",
            http_proxy="http://127.0.0.1:1",
        )

    def test_localReadsNothing(self) -> None:
        """For a local FleetIQ, no variable or file of AWS and no proxy is read."""
        endpoint = LoopbackEndpoint()
        self.addCleanup(endpoint.close)
        endpoint.setResponse(200, {"GameServer": {"GameServerId": "server"}})
        self.setInvalid()
        region, client = self.opened(EndpointConfig(endpoint=endpoint.url, local=True))
        self.assertEqual(region, "us-east-1")
        client.describe_game_server(**ONE)
        (head,) = endpoint.requests
        self.assertIn(b"POST / HTTP/1.1", head)
        self.assertIn(b"Credential=local/", head)
        self.assertIn(b"/us-east-1/gamelift/", head)
        self.assertNotIn(b"nonsense", head)

    def test_awsReadsThem(self) -> None:
        """For AWS, the same settings are an error."""
        self.setInvalid()
        failure = self.failureResultOf(
            GameLift(Clock(), inThisThread, EndpointConfig()).region(), CallFailed
        )
        self.assertTrue(str(failure.value).startswith("boto3 did not start: "))

    def test_profile(self) -> None:
        """The region and the credentials come from the profile, the endpoint from its variable."""
        (self.home / ".aws" / "config").write_text(
            "[profile there]\nregion = eu-west-3\n"
            "aws_access_key_id = key\naws_secret_access_key = secret\n"
        )
        url = "http://127.0.0.1:4571"
        self.setEnvironment(AWS_PROFILE="there", AWS_ENDPOINT_URL_GAMELIFT=url)
        region, client = self.opened(EndpointConfig())
        self.assertEqual(region, "eu-west-3")
        self.assertEqual(client.meta.region_name, "eu-west-3")
        self.assertEqual(client.meta.endpoint_url, url)

    def test_givenRegion(self) -> None:
        """An explicit region takes precedence."""
        self.setEnvironment(
            AWS_DEFAULT_REGION="eu-west-3", AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s"
        )
        region, client = self.opened(EndpointConfig(region="ap-northeast-2"))
        self.assertEqual(region, "ap-northeast-2")
        self.assertEqual(client.meta.endpoint_url, "https://gamelift.ap-northeast-2.amazonaws.com")

    def test_noSuchProfile(self) -> None:
        """The error for a missing profile names it, and has a hint."""
        self.setEnvironment(AWS_PROFILE="nowhere")
        failure = self.failureResultOf(
            GameLift(Clock(), inThisThread, EndpointConfig()).region(), CallFailed
        )
        self.assertEqual(
            str(failure.value),
            "boto3 did not start: The config profile (nowhere) could not be found."
            " Name another in AWS_PROFILE, or unset it.",
        )
        error = cast(CallFailed, failure.value)
        self.assertEqual((error.retry, error.mayHaveHappened), (False, False))

    def test_noRegion(self) -> None:
        """Without a region, there is an error with a hint."""
        self.setEnvironment(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret")
        gameLift = GameLift(Clock(), inThisThread, EndpointConfig())
        self.assertIsNone(self.successResultOf(gameLift.region()))
        failure = self.failureResultOf(gameLift.open(None), CallFailed)
        self.assertEqual(
            str(failure.value),
            "boto3 did not start: You must specify a region. Give --region, or set AWS_REGION.",
        )

    def test_wrongEndpoint(self) -> None:
        """An endpoint that is no URL is a sentence that shows it."""
        self.setEnvironment(
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_ENDPOINT_URL_GAMELIFT="nonsense",
        )
        gameLift = GameLift(Clock(), inThisThread, EndpointConfig(region="us-east-1"))
        self.successResultOf(gameLift.region())
        failure = self.failureResultOf(gameLift.open("us-east-1"), CallFailed)
        self.assertEqual(
            str(failure.value),
            "boto3 did not start: Invalid endpoint: nonsense."
            " Check AWS_ENDPOINT_URL_GAMELIFT and the region.",
        )


class ThreadTests(TestCase):
    """boto3 never runs on the reactor thread."""

    async def test_everythingInThreads(self) -> None:
        """The session, its region, the client and each call are of the pool's threads."""
        from twisted.internet import reactor

        pool = IdleExitThreadPool()
        pool.start()
        self.addCleanup(pool.stop)
        client = FakeClient()
        sessions: list[FakeSession] = []

        def session(_: EndpointConfig) -> Session:
            sessions.append(FakeSession(client))
            return cast(Session, sessions[0])

        def make(session: Session, *_: object) -> Client:
            return session.client("gamelift")

        inThread = partial(deferToThreadPool, cast(IReactorFromThreads, reactor), pool)
        gameLift = GameLift(Clock(), inThread, EndpointConfig(), session=session, client=make)
        region = await gameLift.region()
        await gameLift.open(region)
        fired: list[int] = []
        await gameLift.call("ListGameServers").addCallback(lambda _: fired.append(get_ident()))
        self.assertEqual(region, "eu-west-3")
        self.assertEqual(fired, [get_ident()])
        self.assertNotIn(get_ident(), client.threads | sessions[0].threads)
        self.assertEqual(client.calls, [("list_game_servers", {})])


class DaemonThreadPoolTests(SynchronousTestCase):
    """L{IdleExitThreadPool}: it does not delay the exit of the process."""

    def test_daemons(self) -> None:
        """Its threads are daemons."""
        pool = IdleExitThreadPool()
        pool.start()
        self.addCleanup(pool.stop)
        pool.adjustPoolsize(minthreads=1)
        self.assertEqual([thread.daemon for thread in pool.threads], [True])

    def test_sizes(self) -> None:
        """There is a thread for each game server, within limits; C{widen} removes the limit."""
        sizes = [IdleExitThreadPool(gameServers).max for gameServers in (1, 30, 500)]
        self.assertEqual(sizes, [THREADS, 30, MAX_THREADS])
        pool = IdleExitThreadPool(500)
        for gameServers in (500, 1):
            pool.widen(gameServers)
            self.assertEqual(pool.max, 500)

    def test_end(self) -> None:
        """A thread ends with its call if no other call waits, and is removed from the list."""
        pool = IdleExitThreadPool()
        pool.start()
        self.addCleanup(pool.stop)
        for _ in range(3):
            pool.callInThread(get_ident)
            (thread,) = pool.threads
            thread.join(5)
            self.assertFalse(thread.is_alive())

    def test_waiting(self) -> None:
        """A waiting call runs in a thread whose call has ended: there are not more threads."""
        pool = IdleExitThreadPool()
        pool.adjustPoolsize(maxthreads=1)
        pool.start()
        self.addCleanup(pool.stop)
        begin, idents = Event(), []
        pool.callInThread(begin.wait, 5)
        for _ in range(3):
            pool.callInThread(lambda: idents.append(get_ident()))
        (thread,) = pool.threads
        begin.set()
        thread.join(5)
        self.assertEqual(3 * [thread.ident], idents)

    def test_idle(self) -> None:
        """Idle threads are joined."""
        pool = IdleExitThreadPool()
        pool.start()
        pool.adjustPoolsize(minthreads=1)
        (thread,) = pool.threads
        pool.stopIfIdle()
        self.assertFalse(thread.is_alive())

    def test_calling(self) -> None:
        """C{stopIfIdle} does not wait for a call that runs."""
        pool = IdleExitThreadPool()
        pool.start()
        self.addCleanup(pool.stop)
        began, end = Event(), Event()
        self.addCleanup(end.set)

        def call() -> None:
            began.set()
            end.wait(5)

        pool.callInThread(call)
        self.assertTrue(began.wait(5))
        pool.stopIfIdle()
        (thread,) = pool.threads
        self.assertTrue(thread.is_alive())
        self.assertFalse(end.is_set())
