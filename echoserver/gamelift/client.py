"""
The one door to boto3: session, client, time limits, threads.

boto3 is imported, its session and client are made, and every call runs, in the threads of one pool
of our own: never on the reactor thread, where making a client would block on the network, nor in
the reactor's pool, where names are looked up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from echoserver.gamelift.errors import CallFailed, notOpened, overdue, translate

_log = Logger(namespace="fleetiq.gamelift")

Reply = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 5.0
WHOLE_CALL = 10.0
THREADS = 10
# Many calls that return at once take turns on the one core that players wait for. 50 are enough
# for the heartbeats of 500 game servers while each call takes 5 s.
MOST_THREADS = 50


class Client(Protocol):
    """What is used of a boto3 client: a method an operation, in snake case."""

    def __getattr__(self, name: str) -> Callable[..., Reply]: ...


class Session(Protocol):
    """What is used of a C{boto3.session.Session}. Not thread-safe: one call at a time."""

    region_name: str | None

    def client(self, service: str, **settings: Any) -> Client: ...


class InThread(Protocol):
    """Runs a function in one of our threads; the Deferred fires on the reactor thread."""

    def __call__(self, function: Callable[[], T], /) -> Deferred[T]: ...


class IdleExitThreadPool(ThreadPool):
    """
    A pool whose threads never keep the process alive: a call that hangs holds up no exit. They end
    when no call waits for them: beside another thread each system call takes longer, and so each
    player's bytes.

    @param gameServers: how many will call; none but slow calls need a thread for each.
    """

    threadFactory = staticmethod(partial(Thread, daemon=True))  # type: ignore[assignment] # a factory

    def __init__(self, gameServers: int = 1) -> None:
        threads = min(max(THREADS, gameServers), MOST_THREADS)
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
        """From now on so many may call at once: none waits in vain for a thread to leave with."""
        self.adjustPoolsize(maxthreads=max(self.max, gameServers))

    def stopIfIdle(self) -> None:
        """
        Join the threads, unless one is in a call: the call may wait for the very reactor thread
        that would wait for it here.
        """
        if not self.working:
            self.stop()


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """
    EndpointConfig FleetIQ is.

    @ivar region: None leaves it to the profile.
    @ivar endpoint: a URL; None leaves it to AWS_ENDPOINT_URL_GAMELIFT, then to AWS's own.
    @ivar local: a FleetIQ of this machine: dummy credentials, and no AWS variable, profile or
        proxy is read.
    """

    region: str | None = None
    endpoint: str | None = None
    local: bool = False


def openSession(where: EndpointConfig) -> Session:
    """Import boto3 and make its session: some 150 ms. In a thread of the pool, once a process."""
    import boto3.session
    import botocore.session

    if not where.local:
        session: Session = boto3.session.Session(region_name=where.region)
        return session
    unread = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
    }
    unread["config_file"] = unread["credentials_file"] = (None, None, os.devnull, None)
    local: Session = boto3.session.Session(
        aws_access_key_id="local",
        aws_secret_access_key="local",
        region_name=where.region or "us-east-1",
        botocore_session=botocore.session.Session(session_vars=unread),
    )
    return local


def openClient(session: Session, where: EndpointConfig, region: str | None) -> Client:
    """Make the client, some 60 ms, and look for the credentials. In a thread of the pool."""
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=MOST_THREADS,
        **({"proxies": {}} if where.local else {}),
    )
    return session.client(
        "gamelift", region_name=region, endpoint_url=where.endpoint, config=config
    )


class GameLift:
    """
    GameLift's API, an operation a Deferred. All methods on the reactor thread.

    @param inThread: where boto3 runs: C{partial(deferToThreadPool, reactor, pool)}.
    @param session: makes the session, in such a thread.
    @param client: makes the client of that session, in such a thread.
    @param ended: called as each call ends: with its operation, C{"ok"} or the error's code, and the
        seconds it took.
    """

    def __init__(
        self,
        clock: IReactorTime,
        inThread: InThread,
        where: EndpointConfig,
        *,
        session: Callable[[EndpointConfig], Session] = openSession,
        client: Callable[[Session, EndpointConfig, str | None], Client] = openClient,
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

    def region(self) -> Deferred[str | None]:
        """Open the session; fires with the region the settings name. Fails with L{CallFailed}."""

        def opening() -> tuple[Session, str | None]:
            session = self._makeSession(self.where)
            return session, session.region_name  # reads the profile's file

        def opened(made: tuple[Session, str | None]) -> str | None:
            self._session, region = made
            return region

        return self._try(notOpened, "session", opening).addCallback(opened)

    def open(self, region: str | None) -> Deferred[None]:
        """Make the client, after L{region} has fired. Fails with L{CallFailed}; do not retry."""

        def opened(client: Client) -> None:
            self._client = client

        assert self._session is not None, "region() comes first"
        made = self._try(notOpened, "client", self._makeClient, self._session, self.where, region)
        return made.addCallback(opened)

    def call(self, operation: str, **request: Any) -> Deferred[Reply]:
        """
        Call one operation, once: no repeating, at most 3 s to connect, 5 s of silence, and 10 s in
        all, the wait for a thread included. Cancelled, it is not sent if it has not been yet; a
        late reply is ignored. Only a peer that sends a byte now and then can keep the thread.

        @param operation: as AWS spells it, C{"RegisterGameServer"}.
        @param request: its members, as AWS spells them; None leaves one out.
        @return: fires with the reply, without C{ResponseMetadata}; fails with L{CallFailed}, which
            says whether to retry.
        """
        members = {name: value for name, value in request.items() if value is not None}
        client, began = self._client, self._clock.seconds()
        assert client is not None, "open() comes first"
        sent = abandoned = False

        def send() -> Reply:
            nonlocal sent
            if abandoned:
                return {}  # nobody hears of it
            sent = True
            return _send(client, operation, members)

        def cancelled(failure: Failure) -> Failure:
            nonlocal abandoned
            abandoned = bool(failure.check(CancelledError))
            return failure

        def tooLate(*_: object) -> Reply:
            raise overdue(operation, WHOLE_CALL, sent=sent)

        done = self._try(translate, operation, send).addErrback(cancelled)
        done.addTimeout(WHOLE_CALL, self._clock, tooLate)
        return done.addCallbacks(
            self._replied, self._failed, (operation, began), {}, (operation, began)
        )

    def _try(
        self,
        meaning: Callable[[str, Exception], CallFailed],
        what: str,
        work: Callable[..., T],
        *args: Any,
    ) -> Deferred[T]:
        def run() -> T:
            try:
                return work(*args)
            except Exception as error:
                raise meaning(what, error) from error

        return self._inThread(run)

    def _replied(self, reply: Reply, operation: str, began: float) -> Reply:
        requestId = reply.pop("ResponseMetadata", {}).get("RequestId", "none")
        took = self._clock.seconds() - began
        _log.info(
            "{operation} took {ms:.0f} ms, request id {requestId}.",
            operation=operation,
            ms=took * 1000,
            requestId=requestId,
        )
        self._ended(operation, "ok", took)
        return reply

    def _failed(self, failure: Failure, operation: str, began: float) -> Failure:
        took = self._clock.seconds() - began
        code = getattr(failure.value, "code", type(failure.value).__name__)
        _log.warn(
            "{operation} failed after {ms:.0f} ms: {code}.",
            operation=operation,
            ms=took * 1000,
            code=code,
        )
        self._ended(operation, code, took)
        return failure


def _send(client: Client, operation: str, members: Reply) -> Reply:
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation)
    method: Callable[..., Reply] = getattr(client, name.lstrip("_"))
    return method(**members)
