"""Races as a picture: each choice's ratio to the default with its interval, pair by pair."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vyre_dist.atomic_file import AtomicFile
from vyre_dist.cli.autotune_table import choice_text
from vyre_dist.errors import UsageError
from vyre_dist.tuning.comparison import MARGIN, interval_of, median

if TYPE_CHECKING:
    from vyre_dist.runs.ahead import TunedAhead
    from vyre_dist.tuning.comparison import Comparison

_SUFFIX = ".svg"
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
_WIDTH, _HEIGHT, _LEFT, _TOP, _LEGEND = 720, 260, 60, 34, 18
_MOST_POINTS = 40
_FIRST = 5
"""Pairs: with fewer the interval is wider than any picture."""


def require_svg(file: str) -> None:
    """Raise UsageError for a name of a file that is none of ours."""
    if Path(file).suffix != _SUFFIX:
        raise UsageError(f"--plot {file}: the picture is SVG; give a name that ends with {_SUFFIX}")


def write_plot(path: str, races: Sequence[TunedAhead]) -> None:
    """One panel for each race, below each other; the file appears when it is whole. Raises
    OSError.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = AtomicFile(path, mode=0o666)
    try:
        file.stream.write(svg_of(races).encode())
        file.commit()
    finally:
        file.abort()


def svg_of(races: Sequence[TunedAhead]) -> str:
    """The picture's text."""
    panels, top = [], 0
    for tuned in races:
        panels += [f'<g transform="translate(0,{top})">', *_panel(tuned), "</g>"]
        top += _HEIGHT + _TOP + _LEGEND * (1 + len(tuned.race.compared))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" '
            f'viewBox="0 0 {_WIDTH} {top}" font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{top}" fill="white"/>',
            *panels,
            "</svg>\n",
        ]
    )


def _points(compared: Comparison) -> list[tuple[int, float, float, float]]:
    """(pairs, ratio, low, high), in steps that grow."""
    ratios = compared.log_ratios
    first = min(_FIRST, len(ratios))
    if not first:
        return []
    growth = (len(ratios) / first) ** (1 / _MOST_POINTS)
    counts = sorted({round(first * growth**n) for n in range(_MOST_POINTS + 1)})
    found = []
    for count in counts:
        low, high = interval_of(ratios[:count])
        found.append((count, *map(math.exp, (median(ratios[:count]), low, high))))
    return found


def _panel(tuned: TunedAhead) -> Iterator[str]:
    race = tuned.race
    curves = {choice: _points(compared) for choice, compared in race.compared.items()}
    points = [point for curve in curves.values() for point in curve]
    most = max([point[0] for point in points], default=1)
    # what the medians need, and the intervals' better halves
    near = [point[1] for point in points] + [
        curve[-1][i] for curve in curves.values() if curve for i in (2, 3)
    ]
    low, high = min([0.95, *near]) * 0.99, max([1.05, *near]) * 1.01

    def x(pairs: float) -> float:
        spread = math.log(max(most, _FIRST + 1) / _FIRST)
        return _LEFT + (_WIDTH - _LEFT - 10) * math.log(max(pairs, _FIRST) / _FIRST) / spread

    def y(ratio: float) -> float:
        inside = min(max(ratio, low), high)
        return _TOP + _HEIGHT * (math.log(high / inside) / math.log(high / low))

    yield f'<text x="{_LEFT}" y="20" font-size="14">{_title(tuned)}</text>'
    yield (
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_WIDTH - _LEFT - 10}" height="{_HEIGHT}" '
        'fill="none" stroke="#cccccc"/>'
    )
    for ratio, dash in ((1.0, ""), (1.0 - MARGIN, ' stroke-dasharray="4 3"')):
        yield (
            f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y(ratio):.1f}" y2="{y(ratio):.1f}" '
            f'stroke="#666666"{dash}/>'
        )
    for ratio in (low, 1.0, high):
        yield f'<text x="{_LEFT - 6}" y="{y(ratio) + 4:.1f}" text-anchor="end">{ratio:.2f}</text>'
    for pairs in sorted({_FIRST, most}):
        anchor = "end" if pairs == most else "start"
        yield (
            f'<text x="{x(pairs):.1f}" y="{_TOP + _HEIGHT + 14}" text-anchor="{anchor}">'
            f"{pairs} pairs</text>"
        )
    for number, (choice, curve) in enumerate(curves.items()):
        color = _COLORS[number % len(_COLORS)]
        if curve:
            band = [f"{x(n):.1f},{y(up):.1f}" for n, _, _, up in curve]
            band += [f"{x(n):.1f},{y(down):.1f}" for n, _, down, _ in reversed(curve)]
            line = " ".join(f"{x(n):.1f},{y(ratio):.1f}" for n, ratio, _, _ in curve)
            yield f'<polygon points="{" ".join(band)}" fill="{color}" fill-opacity="0.12"/>'
            yield f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>'
        won = ", the best" if choice == race.winner else ""
        refused = f", refused: {race.refused[choice]}" if choice in race.refused else ""
        text = html.escape(f"{choice_text(choice)}{won}{refused}")
        yield (
            f'<text x="{_LEFT}" y="{_TOP + _HEIGHT + 14 + _LEGEND * (number + 1)}" fill="{color}">'
            f"{text}</text>"
        )


def _title(tuned: TunedAhead) -> str:
    best = " (the default is best)" if tuned.race.winner.is_default else ""
    text = f"{tuned.workload.workload}, {tuned.programs.adapter:.60}: time / the default's{best}"
    return html.escape(text)
