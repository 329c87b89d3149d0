"""The echo servers that are compared, by the names that tables and plots give them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from twisted.application.reactors import getReactorTypes

from benchmarks.processes import Server, epollEcho, fleetiqEcho, peer, workshop

OURS = "fleetiq-echo"
OURS_UVLOOP = "fleetiq-echo, uvloop reactor"
STOCK = "stock Twisted"
STOCK_OURS = "Twisted's Echo, our uvloop reactor"
UVLOOP = "raw uvloop"
EPOLL = "C, epoll"
WORKSHOP = "the workshop's server"


def ours(reactor: str = "default") -> Server:
    """Our game server, registered: what follows is no start any more."""
    server = fleetiqEcho(reactor=reactor)
    server.says("AVAILABLE as")
    return server


def reactors() -> dict[str, str]:
    """Our server's names, by the reactors that are installed here."""
    known = {each.shortName for each in getReactorTypes()}
    both = {OURS: "default", OURS_UVLOOP: "uvloop"}
    return {name: reactor for name, reactor in both.items() if reactor in {"default", *known}}


def contenders() -> dict[str, Callable[[], Server]]:
    """What starts each of them; what needs uvloop is left out where there is none."""
    found: dict[str, Callable[[], Server]] = {
        name: partial(ours, reactor) for name, reactor in reactors().items()
    }
    found[STOCK] = partial(peer, "twisted")
    if find_spec("uvloop"):
        found[STOCK_OURS] = partial(peer, "twisted-our-reactor")
        found["stock Twisted, asyncio reactor over uvloop"] = partial(peer, "twisted-over-uvloop")
        found[UVLOOP] = partial(peer, "uvloop")
    found["asyncio, protocols"] = partial(peer, "asyncio-protocols")
    found["asyncio, streams"] = partial(peer, "asyncio-streams")
    found[EPOLL] = epollEcho
    found[WORKSHOP] = workshop
    return found
