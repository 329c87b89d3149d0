"""The cost of the game layer: Twisted's Echo with C{twistd fleetiq-game}, and on a bare port."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from statistics import median

from benchmarks.contenders import BARE, LAYER, layerContenders, reactors
from benchmarks.figures import Goal, Result, alternate, pairedRatio, spread
from benchmarks.load import Load, players
from benchmarks.processes import connect

CONNECTIONS, SIZE, SECONDS = 100, 64, 0.4
GOAL = 0.95


def measure(full: bool) -> Result:
    """Take a minute, or five."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(start()) for name, start in layerContenders().items()}
        for server in servers.values():
            # One player stays connected, so that no session starts or ends during the rounds.
            player = stack.enter_context(connect(server.port))
            player.sendall(b"hello")
            player.recv(64)

        def run(name: str) -> Load:
            with players(servers[name], CONNECTIONS, SIZE, SECONDS, payload="binary") as load:
                return load

        seen = alternate(list(servers), 40 if full else 15, run)
    return Result(
        title="The game layer",
        method=(
            f"{CONNECTIONS} connections send {SIZE} bytes in a closed loop, in alternating rounds"
            f" of {SECONDS} s. 'core' is the CPU time of the server for each echo. Ratios are"
            " medians of the ratios of all rounds."
        ),
        columns=("", "echoes a second", "core us"),
        rows=[
            [
                name,
                spread([load.rate for load in loads], "{:,.0f}"),
                f"{median(load.core for load in loads):.2f}",
            ]
            for name, loads in seen.items()
        ],
        data={name: [asdict(load) for load in loads] for name, loads in seen.items()},
        goals=[_goal(reactor, seen) for reactor in reactors().values()],
    )


def _goal(reactor: str, seen: dict[str, list[Load]]) -> Goal:
    layer, bare = (
        [load.core for load in seen[f"{name}, {reactor} reactor"]] for name in (LAYER, BARE)
    )
    what = f"{LAYER} x bare port, {reactor} reactor, time on a core"
    return Goal(what, pairedRatio(bare, layer), GOAL)
