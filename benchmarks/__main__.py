"""C{make bench}: measures all, or what is named, and writes table, JSON and plots."""

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
    "connection_memory",
    "crowd",
    "first_echo",
    "stalls",
    "sessions",
    "many_servers",
    "fleet",
    "startup",
    "local_operations",
)


def main() -> int:
    """@return: 1 if a goal's floor was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "benchmark", nargs="*", help=f"one of {', '.join(BENCHMARKS)}; all if omitted"
    )
    parser.add_argument("--full", action="store_true", help="an hour instead of some minutes")
    parser.add_argument("--into", type=Path, default=Path("build/benchmarks/measured"))
    asked = parser.parse_args()
    if unknown := set(asked.benchmark) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}: choose of {', '.join(BENCHMARKS)}")
    asked.into.mkdir(parents=True, exist_ok=True)
    missed = False
    for name in asked.benchmark or BENCHMARKS:
        measure: Callable[[bool], Result] = import_module(f"benchmarks.{name}").measure
        result = measure(asked.full)
        sys.stdout.write(f"{result}\n")
        sys.stdout.flush()
        _write(asked.into, name, result)
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
