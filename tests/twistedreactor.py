"""
Twisted's own tests of reactors, run on the uvloop reactor by C{make conformance-reactor}.

Twisted runs them on each of its reactors, AsyncioSelectorReactor among them; so it says what ours
owes. What it does not keep is in L{NOT_KEPT}, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.uvloopcase import uvloopReactor

ROOMS = [
    *("base", "core", "fdset", "process", "socket", "stdio"),
    *("tcp", "threads", "time", "tls", "udp", "unix"),
]
STOCK = "_AsyncioSelectorReactorTests"
CHANGED_USER = "fails on the stock reactors too, where others may not read root's Python"
NOT_KEPT = {
    "ProcessTestsBuilder.test_changeUID": CHANGED_USER,
    "PTYProcessTestsBuilder.test_changeUID": CHANGED_USER,
}


def expectedToFail(test: Callable[[Any], object], reason: str) -> Callable[[Any], object]:
    """The same test: what it does is reported, and the day it passes is seen."""

    @wraps(test)
    def expected(case: Any) -> object:
        return test(case)

    expected.todo = reason  # type: ignore[attr-defined] # how trial is told
    return expected


def onUvloop(builder: type[Any]) -> type[Any]:
    """The tests of a builder, on the uvloop reactor."""
    body = {"__module__": __name__, "reactorFactory": uvloopReactor, "timeout": 20}
    for name, reason in NOT_KEPT.items():
        of, test = name.split(".")
        if of == builder.__name__:
            body[test] = expectedToFail(getattr(builder, test), reason)
    return type(builder.__name__, (builder, SynchronousTestCase), body)


def allOnUvloop() -> dict[str, type[Any]]:
    """Whatever Twisted runs on its asyncio reactor."""
    return {
        made.removesuffix(STOCK): onUvloop(case.__bases__[0])
        for room in ROOMS
        for made, case in vars(import_module(f"twisted.internet.test.test_{room}")).items()
        if made.endswith(STOCK)
    }


globals().update(allOnUvloop())
