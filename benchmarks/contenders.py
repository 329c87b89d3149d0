"""The echo servers that the benchmarks compare, by their names in tables and plots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from twisted.application.reactors import getReactorTypes

from benchmarks.processes import Server, epollEcho, fleetiqEcho, gameServer, peer, workshop

ECHO = "fleetiq-echo"
ECHO_UVLOOP = "fleetiq-echo, uvloop reactor"
STOCK = "stock Twisted"
STOCK_UVLOOP = "Twisted's Echo, our uvloop reactor"
UVLOOP = "raw uvloop"
EPOLL = "C, epoll"
WORKSHOP = "the workshop's server"
LAYER = "wire.Echo behind the game layer"
BARE = "wire.Echo on a bare port"


def registeredEcho(reactor: str = "default") -> Server:
    """Start fleetiq-echo, and wait until it is registered."""
    server = fleetiqEcho(reactor=reactor)
    server.waitForLine("AVAILABLE as")
    return server


def reactors() -> dict[str, str]:
    """Return the reactor of each name of fleetiq-echo, for the reactors that are installed."""
    known = {each.shortName for each in getReactorTypes()}
    both = {ECHO: "default", ECHO_UVLOOP: "uvloop"}
    return {name: reactor for name, reactor in both.items() if reactor in {"default", *known}}


def layered(reactor: str) -> Server:
    """Start Twisted's Echo with C{twistd fleetiq-game}, and wait until it is registered."""
    factory = "--factory=benchmarks.peers.makeFactory"
    server = gameServer("fleetiq-game", factory, reactor=reactor)
    server.waitForLine("AVAILABLE as")
    return server


def layerContenders() -> dict[str, Callable[[], Server]]:
    """Return a function that starts each server of L{benchmarks.game_layer}."""
    found: dict[str, Callable[[], Server]] = {}
    for reactor in reactors().values():
        bare = "twisted" if reactor == "default" else "twisted-uvloop-reactor"
        found[f"{LAYER}, {reactor} reactor"] = partial(layered, reactor)
        found[f"{BARE}, {reactor} reactor"] = partial(peer, bare)
    return found


def contenders() -> dict[str, Callable[[], Server]]:
    """Return a function that starts each server. Without uvloop, its servers are left out."""
    found: dict[str, Callable[[], Server]] = {
        name: partial(registeredEcho, reactor) for name, reactor in reactors().items()
    }
    found[STOCK] = partial(peer, "twisted")
    if find_spec("uvloop"):
        found[STOCK_UVLOOP] = partial(peer, "twisted-uvloop-reactor")
        found["stock Twisted, asyncio reactor over uvloop"] = partial(peer, "twisted-over-uvloop")
        found[UVLOOP] = partial(peer, "uvloop")
    found["asyncio, protocols"] = partial(peer, "asyncio-protocols")
    found["asyncio, streams"] = partial(peer, "asyncio-streams")
    found[EPOLL] = epollEcho
    found[WORKSHOP] = workshop
    return found
