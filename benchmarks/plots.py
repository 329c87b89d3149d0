"""Plots as SVG, without a dependency: bars with their spread, and lines on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from statistics import median

WIDTH = 760
_LABELS = 280
_RIGHT = 90
_ROW = 26
_TOP = 44
_STRONG, _WEAK = "#c2410c", "#94a3b8"
_HUES = ("#2563eb", "#0f766e", "#7c3aed", "#475569", "#a16207", "#be123c", "#0891b2", "#65a30d")


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name, and its points as C{(x, y)}, both greater than 0."""

    name: str
    points: Sequence[tuple[float, float]]


def bars(
    title: str,
    measured: Sequence[tuple[str, Sequence[float]]],
    emphasized: Sequence[str] = (),
    form: str = "{:,.0f}",
) -> str:
    """Draw a bar for each median, and a line from the minimum to the maximum."""
    longest = max(max(values) for _, values in measured)
    scale = (WIDTH - _LABELS - _RIGHT) / longest
    drawn = []
    for at, (name, values) in enumerate(measured):
        middle = _TOP + at * _ROW + _ROW / 2
        end = _LABELS + scale * median(values)
        least, most = _LABELS + scale * min(values), _LABELS + scale * max(values)
        fill = _STRONG if name in emphasized else _WEAK
        drawn += [
            _text(_LABELS - 8, middle + 4, name, "end"),
            _bar(_LABELS, middle - 8, end - _LABELS, fill),
            _line(least, middle, most, middle, "#0f172a"),
            _text(max(end, most) + 6, middle + 4, form.format(median(values)), "start"),
        ]
    return _svg(title, _TOP + len(measured) * _ROW + 12, drawn)


def lines(title: str, across: str, series: Sequence[Series], emphasized: Sequence[str] = ()) -> str:
    """Draw a line for each of C{series}. Both axes are logarithmic."""
    points = [point for each in series for point in each.points]
    left, right, bottom = 70, WIDTH - 240, 380
    lowX, highX = _decades([x for x, _ in points])
    lowY, highY = _decades([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (log10(x) - lowX) / (highX - lowX) * (right - left),
            bottom - (log10(y) - lowY) / (highY - lowY) * (bottom - _TOP),
        )

    drawn = [_text((left + right) / 2, bottom + 38, across, "middle")]
    for power in range(lowX, highX + 1):
        x, _ = place(10**power, 10**lowY)
        drawn += [_line(x, _TOP, x, bottom), _text(x, bottom + 18, f"{10**power:,}", "middle")]
    for power in range(lowY, highY + 1):
        _, y = place(10**lowX, 10**power)
        drawn += [_line(left, y, right, y), _text(left - 6, y + 4, f"{10**power:,}", "end")]
    for at, each in enumerate(series):
        strong = each.name in emphasized
        hue = _HUES[at % len(_HUES)]
        places = [place(x, y) for x, y in each.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{hue}"'
            f' stroke-width="{3 if strong else 1.5}"/>'
        )
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{hue}"/>' for x, y in places]
        drawn += [
            _line(right + 16, _TOP + at * 22, right + 36, _TOP + at * 22, hue),
            _text(right + 42, _TOP + at * 22 + 4, each.name, "start"),
        ]
    return _svg(title, bottom + 56, drawn)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)


def _bar(x: float, y: float, width: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="16" rx="2" fill="{fill}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str = "#e2e8f0") -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"'
        ' stroke-width="1.5"/>'
    )


def _svg(title: str, height: float, drawn: Sequence[str]) -> str:
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
        ' font-family="system-ui, sans-serif" font-size="12" fill="#0f172a">\n'
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n'
        f'<text x="12" y="24" font-size="14" font-weight="600">{escape(title)}</text>\n'
        f"{body}\n</svg>\n"
    )
