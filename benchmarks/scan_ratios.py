"""The ratios that a run of scan_files.py is made for."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Line = dict[str, Any]


def print_ratios(lines: list[Line]) -> None:
    """All that the lines of a run allow."""
    for title, rows in (
        ("slope / min(reading alone, pinned copies)", bounds(lines)),
        ("cuda / cpu", backends(lines)),
        ("GPUs / one GPU", gpus(lines)),
        ("auto / better of the others", autos(lines)),
        ("one file: cuda - cpu, seconds", starts(lines)),
    ):
        shown = list(rows)
        if shown:
            print(title)
        for name, ratio in shown:
            print(f"  {ratio:6.3f}  {name}")


def bounds(lines: list[Line]) -> Iterable[tuple[str, float]]:
    """Each slope's."""
    for line in _of(lines, "slope"):
        yield f"{_name(line)}: {line['GB/s']:.2f} GB/s", line["of the bound"]


def backends(lines: list[Line]) -> Iterable[tuple[str, float]]:
    """Slopes with a GPU against those of as many workers without one."""
    slopes = _of(lines, "slope")
    for line in slopes:
        for other in slopes:
            if (line["backend"], other["backend"]) == ("cuda", "cpu") and _alike(line, other):
                yield _name(line), line["GB/s"] / other["GB/s"]


def gpus(lines: list[Line]) -> Iterable[tuple[str, float]]:
    """Slopes with several GPUs against those with one."""
    slopes = _of(lines, "slope")
    for line in slopes:
        for other in slopes:
            same = line["backend"] == other["backend"] and _alike(line, other)
            if same and line["gpus"] > 1 and other["gpus"] == 1:
                yield _name(line), line["GB/s"] / other["GB/s"]


def autos(lines: list[Line]) -> Iterable[tuple[str, float]]:
    """`auto`, from its start to its end, against the fastest of the others; and its slopes."""
    for line in _of(lines, "auto"):
        best = {backend: min(times) for backend, times in line["seconds of"].items()}
        if "auto" in best:
            others = [seconds for backend, seconds in best.items() if backend != "auto"]
            yield f"{line['files']}, {line['bytes'] / 1e9:.3f} GB", min(others) / best["auto"]
    slopes = _of(lines, "slope")
    for line in slopes:
        others = [
            other["GB/s"]
            for other in slopes
            if other["backend"] != "auto"
            and other["gpus"] in (0, line["gpus"])
            and _alike(line, other)
        ]
        if line["backend"] == "auto" and others:
            yield f"slope of {_name(line)}", line["GB/s"] / max(others)


def starts(lines: list[Line]) -> Iterable[tuple[str, float]]:
    """How much longer one file takes with a GPU."""
    times: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for line in _of(lines, "start"):
        times[line["backend"]].append((_name(line), statistics.median(line["seconds"])))
    least = min((seconds for _, seconds in times["cpu"]), default=None)
    for backend in ("cuda", "auto"):
        for name, seconds in times[backend] if least is not None else ():
            yield f"{name}: {seconds:.2f} s", seconds - least


def _of(lines: list[Line], part: str) -> list[Line]:
    return [line for line in lines if line["part"] == part]


def _alike(one: Line, other: Line) -> bool:
    # on Ray the processes follow from the GPUs
    keys = ("files", "pool") if one["pool"] == "ray" else ("files", "pool", "workers")
    return all(one[key] == other[key] for key in keys)


def _name(line: Line) -> str:
    shown = f"{line['files']}, {line['pool']}, {line['backend']}, {line['workers']} processes"
    return f"{shown}, {line['gpus']} GPUs" if line["gpus"] else shown
