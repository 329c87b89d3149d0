"""
A program that runs child processes on a reactor: C{python -m tests.uvreactor.childrenprogram CASE}.

It prints a result for each child. It is a process of its own, because libuv changes the handler of
SIGCHLD of its whole process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol, connectionDone
from twisted.python.failure import Failure

TIMEOUT = 10.0
# A child that closes its pipes, and ends only later.
CLOSES_PIPES = "exec <&- >&- 2>&-; sleep 0.2; exit 3"
ENV = {"PATH": "/usr/bin:/bin"}


class Child(ProcessProtocol):
    """Fires C{ended} with the exit code."""

    def __init__(self) -> None:
        self.ended: Deferred[str] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(str(getattr(reason.value, "exitCode", None)))


class FirstReply(Protocol):
    """Closes the input of a child after its first output. Fires C{ended} with that output."""

    def __init__(self) -> None:
        self.ended: Deferred[str] = Deferred()
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        assert self.transport is not None
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.received.decode())


def spawn(script: str = CLOSES_PIPES, **kw: Any) -> Deferred[str]:
    """Start a child of C{spawnProcess}. Fires with its exit code, or "never"."""
    from twisted.internet import reactor

    child = Child()
    reactor.spawnProcess(child, "/bin/sh", ["sh", "-c", script], env=ENV, **kw)
    return child.ended.addTimeout(TIMEOUT, reactor).addErrback(lambda _: "never")


def other(*command: str) -> Deferred[Any]:
    """Run a child of asyncio. Fires with its exit code."""

    async def run() -> int:
        return await (await asyncio.create_subprocess_exec(*command or ("/bin/true",))).wait()

    return Deferred.fromFuture(asyncio.ensure_future(run()))


def ended(process: asyncio.subprocess.Process) -> Deferred[Any]:
    """Wait for a child of asyncio. Fires with its exit code, or "never"."""
    waiting = asyncio.wait_for(process.wait(), TIMEOUT)
    return Deferred.fromFuture(asyncio.ensure_future(waiting)).addErrback(lambda _: "never")


async def after() -> list[str]:
    """Children that start after a child of asyncio has ended."""
    await other()
    return [await spawn() for _ in range(3)]


async def during() -> list[str]:
    """A child that ends while one of asyncio runs, and one that runs until after that."""
    asyncios = other("/bin/sleep", "0.5")
    longer = spawn("exec <&- >&- 2>&-; sleep 0.8; exit 4")
    return [await spawn(), str(await asyncios), await longer]


async def many() -> list[str]:
    """Many children of both kinds at once."""
    children: list[Deferred[Any]] = []
    for _ in range(20):
        children += [other(), spawn(), spawn("exit 3"), spawn("exit 3", usePTY=True)]
    return sorted({str(each) for each in await gatherResults(children)})


async def output() -> list[str]:
    """Return the results of Twisted's functions that use C{spawnProcess}."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import ProcessEndpoint
    from twisted.internet.utils import getProcessOutput, getProcessOutputAndValue, getProcessValue

    await other()
    lines: Any = await ProcessEndpoint(reactor, "/bin/cat", ["cat"], ENV).connect(
        Factory.forProtocol(FirstReply)
    )
    lines.transport.write(b"echo")
    _, _, code = await getProcessOutputAndValue("/bin/sh", ["-c", CLOSES_PIPES], ENV)
    return [
        (await getProcessOutput("/bin/echo", ["out"])).decode().strip(),
        str(await getProcessValue("/bin/sh", ["-c", CLOSES_PIPES], ENV)),
        str(code),
        await lines.ended,
    ]


async def early() -> list[str]:
    """Children of both kinds that C{main} has started before the reactor runs."""
    assert earlyAsyncio is not None
    return [await earlyChild, await spawn(), str(await ended(earlyAsyncio))]


earlyChild: Deferred[str] = Deferred()
earlyAsyncio: asyncio.subprocess.Process | None = None


def main(case: str, *options: str) -> None:
    """Run a case on the uvloop reactor, and print its result."""
    global earlyChild, earlyAsyncio
    if "no-pidfd" in options:
        del os.pidfd_open
    from echoserver.uvreactor import install

    install()
    from twisted.internet import reactor

    cases: dict[str, Callable[[], Coroutine[Any, Any, list[str]]]] = {
        each.__name__: each for each in (after, during, many, output, early)
    }

    def run() -> None:
        result: Deferred[object] = Deferred.fromCoroutine(cases[case]())
        result.addTimeout(3 * TIMEOUT, reactor)
        result.addCallbacks(
            lambda words: sys.stdout.write(" ".join(words)),
            lambda failure: sys.stdout.write(str(failure)),
        )
        result.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(run)
    if case == "early":
        earlyChild = spawn()
        starting = asyncio.create_subprocess_exec("/bin/sleep", "0.5")
        earlyAsyncio = asyncio.get_event_loop().run_until_complete(starting)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
