"""The result of a benchmark: figures with their spread, a table, and goals."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Goal:
    """
    The goal of a figure.

    @ivar seen: the measured figure.
    @ivar floor: the least acceptable figure; C{goal} if it is None.
    @ivar most: whether C{goal} is a maximum.
    """

    what: str
    seen: float
    goal: float
    floor: float | None = None
    most: bool = False
    unit: str = ""

    @property
    def verdict(self) -> str:
        """Which bound the figure meets: C{goal}, C{floor} or C{MISSED}."""
        for name, bound in (("goal", self.goal), ("floor", self.floor)):
            if bound is not None and (self.seen <= bound if self.most else self.seen >= bound):
                return name
        return "MISSED"

    def __str__(self) -> str:
        bound = "at most" if self.most else "at least"
        floor = "" if self.floor is None else f", floor {self.floor:g}"
        return (
            f"{self.verdict:6s} {self.what}: {self.seen:.3g}{self.unit}"
            f" ({bound} {self.goal:g}{self.unit}{floor})"
        )


@dataclass(frozen=True, slots=True)
class Result:
    """
    The result of one benchmark.

    @ivar method: how it was measured, in one or two sentences.
    @ivar data: all measured values, for JSON.
    @ivar plots: SVG documents by file name.
    """

    title: str
    method: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: Any
    goals: Sequence[Goal] = ()
    plots: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        table = [list(self.columns), *map(list, self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        return "\n".join([f"== {self.title}", self.method, "", *lines, *map(str, self.goals), ""])


def alternate(contenders: Sequence[T], rounds: int, measure: Callable[[T], V]) -> dict[T, list[V]]:
    """
    Measure each contender once a round.

    Every second round runs in reverse order, so that a drift of the machine affects all alike.
    """
    seen: dict[T, list[V]] = {contender: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            seen[contender].append(measure(contender))
    return seen


def pairedRatio(values: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios of all rounds."""
    return median(a / b for a, b in zip(values, base, strict=True))


def spread(values: Sequence[float], form: str = "{:.3g}") -> str:
    """Format the median, the minimum and the maximum."""
    least, most = form.format(min(values)), form.format(max(values))
    return f"{form.format(median(values))} ({least}..{most})"


def share(values: Sequence[float], part: float) -> float:
    """Return the quantile C{part} of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def machine() -> dict[str, str]:
    """Describe the machine and the versions of the main packages."""
    model = "unknown"
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = models[0].partition(":")[2].strip() if models else model
    versions = {"python": platform.python_version()}
    for package in ("twisted", "uvloop", "boto3"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        **versions,
    }
