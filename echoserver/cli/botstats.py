"""What many players measured: counts, latencies over time, and their plots. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil
from typing import Any

from echoserver.cli.tables import Table

_COLUMNS = 60
_LINES = 8
_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 760, 320, 70, 40, 40
_LINES_OF_SVG = (("p50", "#2563eb"), ("p99", "#c2410c"), ("max", "#94a3b8"))


@dataclass(frozen=True, slots=True)
class Interval:
    """
    The latencies of the echoes that ended in an interval, in seconds.

    @ivar second: the begin of the interval, since the start of the run.
    """

    second: float
    echoes: int
    p50: float | None
    p99: float | None
    max: float | None


@dataclass(slots=True)
class BotStats:
    """
    Counts and latencies of a run.

    @ivar refusals: attempts to claim for which no game server was free, and players that a game
        server rejected.
    @ivar connectFailures: game servers that were claimed, but could not be connected to.
    @ivar failedCalls: claims that failed for another reason.
    @ivar lostBytes: bytes that were sent to a game server and did not come back.
    @ivar wrongBytes: received bytes that are not the next ones that were sent.
    @ivar echoes: for each echo, when it ended since the start of the run, and its latency.
    """

    players: int
    seconds: float
    claims: int = 0
    refusals: int = 0
    connectFailures: int = 0
    failedCalls: int = 0
    sentBytes: int = 0
    lostBytes: int = 0
    wrongBytes: int = 0
    echoes: list[tuple[float, float]] = field(default_factory=list)

    def timeline(self, columns: int = _COLUMNS) -> list[Interval]:
        """Return intervals of equal length: of 1 s, or longer if there were too many."""
        length = max(1.0, self.seconds / columns)
        last = max([self.seconds, *(end for end, _ in self.echoes[-1:])])
        buckets: list[list[float]] = [[] for _ in range(ceil(last / length) + 1)]
        for end, latency in self.echoes:
            buckets[min(int(end / length), len(buckets) - 1)].append(latency)
        while len(buckets) > 1 and not buckets[-1]:
            buckets.pop()
        return [_interval(i * length, bucket) for i, bucket in enumerate(buckets)]

    def asJSON(self) -> dict[str, Any]:
        """Return the result for programs. Times are in seconds."""
        whole = _interval(0.0, [latency for _, latency in self.echoes])
        return {
            "players": self.players,
            "seconds": self.seconds,
            "claims": self.claims,
            "refusals": self.refusals,
            "connectFailures": self.connectFailures,
            "failedCalls": self.failedCalls,
            "echoes": whole.echoes,
            "sentBytes": self.sentBytes,
            "lostBytes": self.lostBytes,
            "wrongBytes": self.wrongBytes,
            "p50": whole.p50,
            "p99": whole.p99,
            "max": whole.max,
            "timeline": [
                {"second": i.second, "echoes": i.echoes, "p50": i.p50, "p99": i.p99, "max": i.max}
                for i in self.timeline()
            ],
        }

    def table(self) -> Table:
        """Return the result as a table."""
        whole = _interval(0.0, [latency for _, latency in self.echoes])
        counts = {
            "players": self.players,
            "claims": self.claims,
            "refusals": self.refusals,
            "failures": self.connectFailures + self.failedCalls,
            "echoes": whole.echoes,
            "lost bytes": self.lostBytes,
            "wrong bytes": self.wrongBytes,
        }
        times = {"p50": whole.p50, "p99": whole.p99, "max": whole.max}
        rows = [(name, f"{count:,d}") for name, count in counts.items()]
        rows += [(f"latency {name}", _milliseconds(each)) for name, each in times.items()]
        return Table(("MEASURE", "VALUE"), rows, "")


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least this part of the sorted values does not exceed."""
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def terminalPlot(intervals: Sequence[Interval]) -> str:
    """Draw p99 over time as columns, and p50 as their lower, darker part."""
    highest = max((each.p99 or 0.0 for each in intervals), default=0.0)
    if highest == 0:
        return ""
    lines = []
    for row in range(_LINES - 1, -1, -1):
        label = f"{highest * (row + 1) / _LINES * 1000:8.1f} ms " if row % 2 else " " * 12
        cells = []
        for each in intervals:
            filled = round(((each.p99 or 0.0) / highest * _LINES - row) * (len(_BLOCKS) - 1))
            isMedian = (each.p50 or 0.0) / highest * _LINES > row + 0.5
            cells.append("▓" if isMedian else _BLOCKS[max(0, min(len(_BLOCKS) - 1, filled))])
        lines.append(label + "".join(cells).rstrip())
    end = f"{intervals[-1].second:.0f} s"
    axis = " " * 12 + "0" + end.rjust(max(len(end) + 1, len(intervals) - 1))
    return "\n".join([*lines, axis, " " * 12 + "█ p99  ▓ p50"]) + "\n"


def svgPlot(title: str, intervals: Sequence[Interval]) -> str:
    """Draw the percentiles over time as SVG."""
    highest = max((each.max or 0.0 for each in intervals), default=0.0) or 0.001
    length = max(1.0, intervals[-1].second) if intervals else 1.0
    bottom = _HEIGHT - _BOTTOM

    def place(second: float, latency: float) -> str:
        x = _LEFT + second / length * (_WIDTH - _LEFT - 80)
        return f"{x:.1f},{bottom - latency / highest * (bottom - _TOP):.1f}"

    drawn = [_text(_WIDTH / 2, 20, title, "middle")]
    for part in range(5):
        y = bottom - part / 4 * (bottom - _TOP)
        drawn.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 80}" stroke="#e2e8f0"/>')
        drawn.append(_text(_LEFT - 8, y + 4, f"{highest * part / 4 * 1000:.1f} ms", "end"))
    drawn.append(_text(_LEFT, bottom + 20, "0 s", "start"))
    drawn.append(_text(_WIDTH - 80, bottom + 20, f"{length:.0f} s", "end"))
    for number, (name, color) in enumerate(_LINES_OF_SVG):
        points = [
            place(each.second, latency)
            for each in intervals
            if (latency := getattr(each, name)) is not None
        ]
        drawn.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="2"/>'
        )
        drawn.append(_text(_WIDTH - 70, _TOP + 18 * number, name, "start", color))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str, color: str = "#0f172a") -> str:
    return f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>'


def _interval(second: float, latencies: Sequence[float]) -> Interval:
    if not latencies:
        return Interval(second, 0, None, None, None)
    ordered = sorted(latencies)
    return Interval(
        second, len(ordered), percentile(ordered, 50), percentile(ordered, 99), ordered[-1]
    )


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
