"""Run the benchmarks of C{make bench}, and write tables, JSON and plots."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.figures import Result, machine

BENCHMARKS = (
    "echo_rate",
    "game_layer",
    "splice",
    "connection_memory",
    "crowd",
    "first_echo",
    "stalls",
    "sessions",
    "many_servers",
    "fleet",
    "startup",
    "local_operations",
    "page",
)


def main() -> int:
    """
    Run the benchmarks that the command line names.

    @return: 1 if a result is below the floor of its goal.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "benchmark", nargs="*", help=f"one or more of {', '.join(BENCHMARKS)}; default: all"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="more rounds: about an hour in all, instead of some minutes",
    )
    parser.add_argument("--into", type=Path, default=Path("build/benchmarks/measured"))
    arguments = parser.parse_args()
    if unknown := set(arguments.benchmark) - set(BENCHMARKS):
        parser.error(
            f"unknown benchmark {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}"
        )
    arguments.into.mkdir(parents=True, exist_ok=True)
    missed = False
    for name in arguments.benchmark or BENCHMARKS:
        measure: Callable[[bool], Result] = import_module(f"benchmarks.{name}").measure
        result = measure(arguments.full)
        sys.stdout.write(f"{result}\n")
        sys.stdout.flush()
        _write(arguments.into, name, result)
        missed = missed or any(goal.verdict == "MISSED" for goal in result.goals)
    return int(missed)


def _write(into: Path, name: str, result: Result) -> None:
    whole = {"machine": machine(), "title": result.title, "data": result.data}
    (into / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")
    (into / f"{name}.txt").write_text(f"{result}\n")
    for file, svg in result.plots.items():
        (into / file).write_text(svg)


if __name__ == "__main__":
    sys.exit(main())
