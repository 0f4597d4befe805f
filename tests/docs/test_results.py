"""Every measurement in the pages is one that benchmarks/results holds.

Behind a table, a paragraph or a list's item stands a comment:

    <!-- results: scan_cpu.jsonl commit=21c675b
    median(r["seconds"]["reader alone (C)"])
    -->

The first line names a file of benchmarks/results and what tells its records from others:
`commit=a|b` takes several. Each further line is a Python expression for one number, or for several
in the order in which they are read. An expression sees `r`, the first record; `rs`, all of them;
`pick(commit="a", pack="x")`, the only one of them with these values; `median`; and of a text file
`number("copy +(\\S+) ms")`, the first number that the regex catches. A comment may be followed by
another one.

A table's cells, but for the first of each row, hold these numbers and no others. A paragraph may
hold others between them, as long as no unit makes them measurements. Numbers with such a unit that
nobody measured have a comment, too: `<!-- no measurement: limit -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from pages import PAGES, ROOT, Block, blocks, name_of, table_cells

RESULTS = ROOT / "benchmarks" / "results"
# what a number can be that has a unit and comes from no benchmark
OTHER_ORIGINS = {
    "limit",  # of our own, set in the code
    "example",  # worked out in the text, or what an example prints
    "format",  # another one's: a protocol, a file format, a product's documentation
}
NUMBER = re.compile(r"(?<![\w.,^{])(?:\d{1,3}(?: \d{3})+|\d+)(?:\.\d+)?(?![\w^{]|[.,]\d)")
# a decimal in seconds or bytes was measured, a whole one is mostly a setting
_MEASURED = re.compile(
    rf"({NUMBER.pattern})(?=\s+(?:[GMT]B/s|[µmn]s\b|×)|\s*%)"
    r"|(?<![\w.])(\d+\.\d+)(?=\s+(?:s\b|[kMG]B\b))"
)


def records(head: str) -> tuple[list[dict[str, Any]], str]:
    """The records that a comment's first line names, and the text of the file."""
    name, *conditions = head.split()
    text = (RESULTS / name).read_text()
    if not name.endswith(".jsonl"):
        assert not conditions, f"{name} is a text: it has no records to choose from"
        return [], text
    wanted = [(key, value.split("|")) for key, value in (c.split("=", 1) for c in conditions)]
    found = [
        record
        for record in map(json.loads, text.splitlines())
        if all(str(record.get(key, "")).startswith(tuple(values)) for key, values in wanted)
    ]
    assert found, f"no record of {name} has {conditions}"
    return found, text


def values(comment: str) -> list[float]:
    """The numbers that a comment's expressions stand for."""
    head, *lines = comment.splitlines()
    rs, text = records(head)

    def pick(**fields: Any) -> dict[str, Any]:
        (only,) = [r for r in rs if all(r[key] == value for key, value in fields.items())]
        return only

    def number(regex: str) -> float:
        found = re.search(regex, text)
        assert found, f"{regex} is not in {head}"
        return float(found[1].replace(",", ""))

    names = {"r": rs[0] if rs else {}, "rs": rs, "pick": pick, "number": number, "median": median}
    # one name space: comprehensions look names up there
    return [n for line in lines for n in flat(eval(line, dict(names)))]  # noqa: S307 - our own pages


def flat(value: Any) -> Iterator[float]:
    """The numbers in nested sequences."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from flat(each)
    else:
        yield float(value)


def agrees(shown: str, value: float) -> bool:
    """Whether `shown` is `value`, rounded as it is shown."""
    decimals = len(shown.partition(".")[2])
    return abs(float(shown.replace(" ", "")) - value) <= 0.5001 * 10**-decimals


def numbers_of(block: Block) -> list[str]:
    """The numbers in a table but for each row's first cell, or in a paragraph."""
    if block.kind == "table":
        plain = Block("table", block.plain, block.line)
        text = " | ".join(cell for row in table_cells(plain)[1:] for cell in row[1:])
    else:
        text = re.sub(r"\s*\n\s*", " ", block.plain)
    return [found[0] for found in NUMBER.finditer(text)]


def measured_in(block: Block) -> list[str]:
    """The numbers whose unit says that somebody measured them."""
    if block.kind == "table":
        return [n for n in numbers_of(block) if "." in n]
    if block.kind != "text":
        return []
    text = re.sub(r"\s*\n\s*", " ", block.plain)
    return [found[1] or found[2] for found in _MEASURED.finditer(text)]


def annotated(page: Path) -> Iterator[tuple[Block, list[str], str | None]]:
    """Each block, the result comments right behind it, and why others are no measurements."""
    found = blocks(page)
    for i, block in enumerate(found):
        if block.kind not in ("table", "text"):
            continue
        comments, origin = [], None
        for follower in found[i + 1 :]:
            if follower.kind != "comment":
                break
            origin = follower.comment("no measurement") or origin
            if (comment := follower.comment("results")) is not None:
                comments.append(comment)
        yield block, comments, origin


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_measurements_are_those_of_the_results(page: Path) -> None:
    """What a comment names is what the table or paragraph before it shows, and nothing is shown as
    measured that no comment names.
    """
    for block, comments, origin in annotated(page):
        where = f"{name_of(page)}:{block.line}"
        shown, expected = numbers_of(block), [v for c in comments for v in values(c)]
        assert origin is None or origin in OTHER_ORIGINS, where
        if block.kind == "table" and expected:
            assert len(shown) == len(expected), (where, shown, expected)
            wrong = [pair for pair in zip(shown, expected, strict=True) if not agrees(*pair)]
            assert wrong == [], where
            continue
        rest = measured_in(block)
        position = 0
        for value in expected:
            while position < len(shown) and not agrees(shown[position], value):
                position += 1
            assert position < len(shown), f"{where}: {value} is not there, or not in this order"
            if shown[position] in rest:
                rest.remove(shown[position])
            position += 1
        assert origin is not None or rest == [], f"{where}: {rest} has no result"


def test_a_wrong_number_is_seen() -> None:
    """The comparison is by the digits that are shown."""
    assert agrees("1 645", 1644.7) and agrees("0.54", 1644.7 / 3033.9) and agrees("14.0", 13.995)
    assert not agrees("1 646", 1644.7) and not agrees("0.5", 0.56)


@pytest.mark.parametrize(
    ("text", "measured"),
    [
        ("It takes 1.35 s, or 12 ms.", ["1.35", "12"]),
        ("A line every 30 seconds, and 64 KiB.", []),
        ("1 645 GB/s of 2.1.0, `5 ms`, 3 × and 90 %", ["1 645", "3", "90"]),
    ],
)
def test_what_counts_as_measured(text: str, measured: list[str]) -> None:
    """Units of speed and decimals of seconds and bytes do; versions, settings and code do not."""
    assert measured_in(Block("text", text, 1)) == measured
