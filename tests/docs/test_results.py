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


def wrong_in(page: Path) -> list[str]:
    """What of a page's measurements is not as its comments say."""
    wrong = []
    for block, comments, origin in annotated(page):
        where = f"{page.name}:{block.line}"
        shown, expected = numbers_of(block), [v for c in comments for v in values(c)]
        if origin is not None and origin not in OTHER_ORIGINS:
            wrong.append(f"{where}: unknown origin {origin}")
        elif block.kind == "table" and expected:
            if len(shown) != len(expected):
                wrong.append(f"{where}: {len(shown)} numbers, {len(expected)} in the results")
            pairs = zip(shown, expected, strict=False)
            wrong += [
                f"{where}: {text} is {value}" for text, value in pairs if not agrees(text, value)
            ]
        else:
            wrong += [f"{where}: {each}" for each in _wrong_in_text(block, shown, expected, origin)]
    return wrong


def _wrong_in_text(
    block: Block, shown: list[str], expected: list[float], origin: str | None
) -> Iterator[str]:
    rest = [] if origin else measured_in(block)
    position = 0
    for value in expected:
        found = next((i for i in range(position, len(shown)) if agrees(shown[i], value)), None)
        if found is None:
            yield f"{value} is not there, or not in this order"
            continue
        if shown[found] in rest:
            rest.remove(shown[found])
        position = found + 1
    if rest:
        yield f"{rest} has no result"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_measurements_are_those_of_the_results(page: Path) -> None:
    """What a comment names is what the table or paragraph before it shows, and nothing is shown as
    measured that no comment names.
    """
    assert wrong_in(page) == []


_RESULT = '<!-- results: git_index.jsonl\nr["rows"]["vyre-dist, split"]["seconds"]\n-->\n'
_TABLE = "| | seconds |\n|---|---|\n| split | {} |\n\n"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("It takes 0.065 s.\n" + _RESULT, 0),
        ("It takes 0.07 s.\n" + _RESULT, 0),  # rounded
        ("It takes 0.066 s.\n" + _RESULT, 2),  # the result is not there, the number has none
        ("It takes 0.065 s, or 66 ms.\n" + _RESULT, 1),
        ("It takes 0.065 s.\n", 1),
        ("It takes 0.065 s.\n<!-- no measurement: example -->\n", 0),
        ("It takes 0.065 s.\n<!-- no measurement: guess -->\n", 1),
        (_TABLE.format("0.065") + _RESULT, 0),
        (_TABLE.format("0.066") + _RESULT, 1),
        (_TABLE.format("0.065 (2)") + _RESULT, 1),
        (_TABLE.format("0.065"), 1),
    ],
)
def test_wrong_pages_are_seen(text: str, wrong: int, tmp_path: Path) -> None:
    """A number that is not the result's, one without a result, and a result that is not shown."""
    page = tmp_path / "page.md"
    page.write_text(text)
    assert len(wrong_in(page)) == wrong, wrong_in(page)


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
