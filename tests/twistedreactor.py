"""
Twisted's own tests of reactors, run on the uvloop reactor by C{make conformance-reactor}.

These are all the tests that Twisted runs on its C{AsyncioSelectorReactor}. L{EXPECTED_FAILURES} has
the tests that fail on the uvloop reactor, each with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.uvloopcase import uvloopReactor

MODULES = [
    *("base", "core", "fdset", "process", "socket", "stdio"),
    *("tcp", "threads", "time", "tls", "udp", "unix"),
]
SUFFIX = "_AsyncioSelectorReactorTests"
CHANGED_USER = "also fails on Twisted's reactors if other users may not read root's Python"
EXPECTED_FAILURES = {
    "ProcessTestsBuilder.test_changeUID": CHANGED_USER,
    "PTYProcessTestsBuilder.test_changeUID": CHANGED_USER,
}


def expectedToFail(test: Callable[[Any], object], reason: str) -> Callable[[Any], object]:
    """Return the test, marked as an expected failure. Trial reports it when it passes."""

    @wraps(test)
    def expected(case: Any) -> object:
        return test(case)

    expected.todo = reason  # type: ignore[attr-defined] # trial's marker
    return expected


def onUvloop(builder: type[Any]) -> type[Any]:
    """Return a test case with the tests of a builder, on the uvloop reactor."""
    body = {"__module__": __name__, "reactorFactory": uvloopReactor, "timeout": 20}
    for name, reason in EXPECTED_FAILURES.items():
        className, test = name.split(".")
        if className == builder.__name__:
            body[test] = expectedToFail(getattr(builder, test), reason)
    return type(builder.__name__, (builder, SynchronousTestCase), body)


def allOnUvloop() -> dict[str, type[Any]]:
    """Return a test case for each one that Twisted makes for its asyncio reactor, by name."""
    return {
        name.removesuffix(SUFFIX): onUvloop(case.__bases__[0])
        for module in MODULES
        for name, case in vars(import_module(f"twisted.internet.test.test_{module}")).items()
        if name.endswith(SUFFIX)
    }


globals().update(allOnUvloop())
