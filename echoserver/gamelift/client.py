"""
The client of GameLift's API: session, client, time limits, threads. Only this module calls boto3.

The import of boto3, its session, its client and each call run in the threads of a separate pool. On
the reactor thread they would block the reactor. In the reactor's pool they would delay the lookup
of host names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any, ParamSpec, Protocol, TypeVar
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from echoserver.gamelift.errors import CallFailed, notOpened, overdue, translate
from echoserver.gamelift.replies import checkReplies
from echoserver.printable import printable

_log = Logger(namespace="fleetiq.gamelift")

Reply = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 5.0
WHOLE_CALL = 10.0
THREADS = 10
# Threads use the core that the players' data needs. 50 threads are enough for the heartbeats of 500
# game servers while each call takes 5 s.
MAX_THREADS = 50


class Client(Protocol):
    """The used part of a boto3 client: one method for each operation, in snake case."""

    def __getattr__(self, name: str) -> Callable[..., Reply]: ...


class Session(Protocol):
    """The used part of a C{boto3.session.Session}. It is not thread-safe: one call at a time."""

    region_name: str | None

    def client(self, service: str, **settings: Any) -> Client: ...


class InThread(Protocol):
    """Runs a function in a thread of the pool; the Deferred fires on the reactor thread."""

    def __call__(self, function: Callable[[], T], /) -> Deferred[T]: ...


class IdleExitThreadPool(ThreadPool):
    """
    A thread pool for calls. Its threads are daemons, so that a call that hangs does not delay the
    exit. A thread ends when no call waits, because each further thread makes every system call of
    the process slower.

    @param gameServers: the number of game servers that will call.
    """

    threadFactory = staticmethod(partial(Thread, daemon=True))  # type: ignore[assignment] # a factory

    def __init__(self, gameServers: int = 1) -> None:
        threads = min(max(THREADS, gameServers), MAX_THREADS)
        super().__init__(minthreads=0, maxthreads=threads, name="boto3")

    def callInThreadWithCallback(
        self,
        onResult: Callable[[bool, T], object] | None,
        func: Callable[P, T],
        *args: P.args,
        **kw: P.kwargs,
    ) -> None:
        self.threads = [thread for thread in self.threads if thread.is_alive()]
        super().callInThreadWithCallback(onResult, func, *args, **kw)
        if not self.joined:
            self.stopAWorker()

    def widen(self, gameServers: int) -> None:
        """Allow this number of calls at the same time, so that each game server can deregister."""
        self.adjustPoolsize(maxthreads=max(self.max, gameServers))

    def stopIfIdle(self) -> None:
        """
        Join the threads, unless a call runs. Such a call can wait for the reactor thread, which
        would wait for the call here.
        """
        if not self.working:
            self.stop()


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """
    The endpoint to call.

    @ivar region: None for the region of the profile.
    @ivar endpoint: a URL; None for AWS_ENDPOINT_URL_GAMELIFT, or else the endpoint of AWS.
    @ivar local: True for a local FleetIQ. Then the credentials are dummies, and no AWS variable,
        profile or proxy is read.
    """

    region: str | None = None
    endpoint: str | None = None
    local: bool = False


def openSession(where: EndpointConfig) -> Session:
    """Import boto3 and make its session. Takes 150 ms: call it once, in a thread of the pool."""
    import boto3.session
    import botocore.session

    if not where.local:
        session: Session = boto3.session.Session(region_name=where.region)
        return session
    local: Session = boto3.session.Session(
        aws_access_key_id="local",
        aws_secret_access_key="local",
        region_name=where.region or "us-east-1",
        botocore_session=botocore.session.Session(session_vars=withoutFiles()),
    )
    return local


def withoutFiles() -> dict[str, Any]:
    """Return the variables of a session of botocore that reads no AWS variable and no file."""
    import botocore.session

    variables: dict[str, Any] = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
    }
    noFile = (None, None, os.devnull, None)
    variables["config_file"] = variables["credentials_file"] = noFile
    return variables


def openClient(session: Session, where: EndpointConfig, region: str | None) -> Client:
    """Make the client and look for credentials. Takes 60 ms: call it in a thread of the pool."""
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=MAX_THREADS,
        **({"proxies": {}} if where.local else {}),
    )
    return session.client(
        "gamelift", region_name=region, endpoint_url=where.endpoint, config=config
    )


def openCheckedClient(session: Session, where: EndpointConfig, region: str | None) -> Client:
    """Make a client as L{openClient} does, and let it limit and check its replies."""
    client = openClient(session, where, region)
    checkReplies(client)
    return client


def hostsOf(where: EndpointConfig, region: str | None, environ: Mapping[str, str]) -> list[str]:
    """Return the hosts that boto3 connects to: the metadata service, and the endpoint."""
    ipv6 = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
    metadata = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    endpoint = (
        where.endpoint
        or environ.get("AWS_ENDPOINT_URL_GAMELIFT")
        or environ.get("AWS_ENDPOINT_URL")
        or f"https://gamelift.{region}.amazonaws.com"
    )
    urls = (metadata or ("http://[fd00:ec2::254]" if ipv6 else "http://169.254.169.254"), endpoint)
    hosts = []
    for url in urls:
        try:
            hosts.append(urlsplit(url).hostname)
        except ValueError:
            continue
    return list(dict.fromkeys(host for host in hosts if host))


class GameLift:
    """
    GameLift's API. Each call of an operation returns a Deferred. Use it on the reactor thread.

    @param inThread: runs boto3 in a thread: C{partial(deferToThreadPool, reactor, pool)}.
    @param session: makes the session, in such a thread.
    @param client: makes the client of that session, in such a thread.
    @param ended: called when a call has ended, with its operation, C{"ok"} or the label of the
        error (L{CallFailed.label}), and its duration in seconds.
    """

    def __init__(
        self,
        clock: IReactorTime,
        inThread: InThread,
        where: EndpointConfig,
        *,
        session: Callable[[EndpointConfig], Session] = openSession,
        client: Callable[[Session, EndpointConfig, str | None], Client] = openCheckedClient,
        ended: Callable[[str, str, float], None] = lambda *_: None,
    ) -> None:
        self._clock = clock
        self._inThread = inThread
        self.where = where
        self._makeSession = session
        self._makeClient = client
        self._ended = ended
        self._session: Session | None = None
        self._client: Client | None = None
        self._region: str | None = None
        self._hosts: list[str] = []
        # The calls that wait for the client while it is made; None otherwise.
        self._waiting: list[Deferred[Client]] | None = None

    def region(self) -> Deferred[str | None]:
        """
        Open the session. Fires with the region in the settings; fails with L{CallFailed}: do not
        retry.
        """

        def opening() -> tuple[Session, str | None]:
            session = self._makeSession(self.where)
            return session, session.region_name  # reads the profile's file

        def opened(made: tuple[Session, str | None]) -> str | None:
            self._session, region = made
            return region

        return self._try(notOpened, "session", opening).addCallback(opened)

    def open(self, region: str | None) -> Deferred[None]:
        """
        Make the client, after L{region} has fired. If that fails because of the network, for
        example because a proxy is down, log it: each call tries again.

        @return: fires with None; fails with L{CallFailed} if a setting is wrong: do not retry.
        """
        self._region = region
        self._hosts = hostsOf(self.where, region, os.environ)

        def failed(failure: Failure) -> None:
            error = failure.value
            if not (isinstance(error, CallFailed) and error.retry):
                failure.raiseException()
            _log.warn(
                "{reason} Each call to FleetIQ tries again.",
                reason=str(error),
                eventName="call.noClient",
            )

        return self._opened().addCallbacks(lambda _: None, failed)

    def _opened(self) -> Deferred[Client]:
        """Make the client, or wait for the attempt in progress. Fails with L{CallFailed}."""
        client: Deferred[Client] = Deferred()
        if self._waiting is not None:
            self._waiting.append(client)
            return client
        assert self._session is not None, "call region() first"
        self._waiting = [client]
        made = self._try(
            notOpened, "client", self._makeClient, self._session, self.where, self._region
        )
        made.addBoth(self._made)
        return client

    def _made(self, result: Client | Failure) -> None:
        waiting, self._waiting = self._waiting or [], None
        if not isinstance(result, Failure):
            self._client = result
        for each in waiting:
            each.callback(result)

    def call(self, operation: str, **request: Any) -> Deferred[Reply]:
        """
        Call one operation, once. The limits are 3 s to connect, 5 s without data, and 10 s in all,
        including the wait for a thread. If a call is cancelled before a thread has begun it, it is
        not sent; a late reply is ignored. A peer that sends one byte at a time can occupy the
        thread for longer.

        @param operation: its name in the API, for example C{"RegisterGameServer"}.
        @param request: its members, with their names in the API. Members that are None are not
            sent.
        @return: fires with the reply, without C{ResponseMetadata}; fails with L{CallFailed}, whose
            C{retry} is True if a retry can succeed.
        """
        members = {name: value for name, value in request.items() if value is not None}
        id = members.get("GameServerId")
        began = self._clock.seconds()
        sent = abandoned = False

        def send(client: Client) -> Deferred[Reply]:
            def run() -> Reply:
                nonlocal sent
                if abandoned:
                    return {}  # the result is ignored
                sent = True
                return _send(client, operation, members)

            return self._try(translate, operation, run)

        def cancelled(failure: Failure) -> Failure:
            nonlocal abandoned
            abandoned = bool(failure.check(CancelledError))
            return failure

        def tooLate(*_: object) -> Reply:
            raise overdue(operation, WHOLE_CALL, sent=sent)

        done = self._clientFor(operation).addCallback(send).addErrback(cancelled)
        done.addTimeout(WHOLE_CALL, self._clock, tooLate)
        level = LogLevel.debug if _isPoll(operation, members) else LogLevel.info
        return done.addCallbacks(
            self._replied, self._failed, (operation, began, id, level), {}, (operation, began, id)
        )

    def _clientFor(self, operation: str) -> Deferred[Client]:
        if self._client is not None:
            return succeed(self._client)

        def failed(failure: Failure) -> Client:
            failure.trap(CallFailed)
            error: Any = failure.value
            raise CallFailed(
                operation,
                error.code,
                f"{operation} was not sent: {error}",
                retry=error.retry,
                mayHaveHappened=False,
            )

        return self._opened().addErrback(failed)

    def _try(
        self,
        meaning: Callable[[str, Exception, Sequence[str]], CallFailed],
        what: str,
        work: Callable[..., T],
        *args: Any,
    ) -> Deferred[T]:
        def run() -> T:
            try:
                return work(*args)
            except Exception as error:
                raise meaning(what, error, self._hosts) from error

        return self._inThread(run)

    def _replied(
        self, reply: Reply, operation: str, began: float, id: str | None, level: Any
    ) -> Reply:
        requestId = reply.pop("ResponseMetadata", {}).get("RequestId", "none")
        took = self._clock.seconds() - began
        _log.emit(
            level,
            "{operation} took {ms:.0f} ms, request id {requestId}.",
            operation=operation,
            ms=took * 1000,
            requestId=printable(requestId, 100),
            gameServerId=id,
            eventName="call.succeeded",
        )
        self._ended(operation, "ok", took)
        return reply

    def _failed(self, failure: Failure, operation: str, began: float, id: str | None) -> Failure:
        took = self._clock.seconds() - began
        error = failure.value
        name = type(error).__name__
        code, label = (error.code, error.label) if isinstance(error, CallFailed) else (name, name)
        _log.warn(
            "{operation} failed after {ms:.0f} ms: {code}.",
            operation=operation,
            ms=took * 1000,
            code=code,
            gameServerId=id,
            eventName="call.failed",
        )
        self._ended(operation, label, took)
        return failure


def _isPoll(operation: str, members: Reply) -> bool:
    """Return whether a call is repeated at rest: a heartbeat, or a poll of the instance."""
    heartbeat = operation == "UpdateGameServer" and "UtilizationStatus" not in members
    return heartbeat or operation == "DescribeGameServerInstances"


def _send(client: Client, operation: str, members: Reply) -> Reply:
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation)
    method: Callable[..., Reply] = getattr(client, name.lstrip("_"))
    return method(**members)
