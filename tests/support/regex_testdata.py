"""The Rust regex crate's test data (../shared/data/regex-testdata) as cases of ours, and why some
are left out.

Ours are leftmost-first matches over bytes. A set of regexes is as many cases as it has regexes,
each on its own. An anchored search for one match is a search for `\\A(?:...)`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vyre_dist import regex as rx

ROOT = Path(__file__).resolve().parents[3] / "shared" / "data"

Spans = list[tuple[int, int] | None]

# RE2 reads \b{start} as a boundary and a text
_BOUNDARY_NAME = re.compile(r"\\b\{")
_OURS = {"match-kind": "leftmost-first", "search-kind": "leftmost", "line-terminator": "\n"}


@dataclass(frozen=True)
class Case:
    """`expected`: the spans of group 0 and up of the first `limit` matches; None: only `hit` is
    known.
    """

    name: str
    pattern: str
    haystack: bytes
    expected: list[Spans] | None
    limit: int | None
    hit: bool
    left_out: str | None


def shared(name: str) -> Path:
    """Third-party test data by name; the test is skipped where it is absent."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"third-party test data is absent: {name}")
    return path


def cases() -> Iterator[Case]:
    """All cases of all files, those that are left out included."""
    root = shared("regex-testdata")
    for file in sorted(root.rglob("*.toml")):
        for test in tomllib.loads(file.read_text())["test"]:
            yield from _cases_of(file.stem, test)


def _cases_of(stem: str, test: dict[str, Any]) -> Iterator[Case]:
    haystack = test["haystack"].encode()
    if test.get("unescape"):
        haystack = haystack.decode("unicode_escape").encode("latin-1", "replace")
    sources = test["regex"] if isinstance(test["regex"], list) else [test["regex"]]
    is_set = len(sources) > 1
    for number, source in enumerate(sources):
        # bytes instead of code points is what ours does everywhere
        pattern, switched = re.subn(r"\(\?([imsU]*)-u([:)])", r"(?\1\2", source)
        if test.get("case-insensitive"):
            pattern = f"(?i:{pattern})"
        if test.get("anchored"):
            pattern = rf"\A(?:{pattern})"
        name = f"{stem}/{test['name']}" + (f"#{number}" if is_set else "")
        rows = test["matches"]
        expected = None if is_set else [_spans(row) for row in rows]
        hit = any(row["id"] == number for row in rows) if is_set else bool(rows)
        lists_all = test.get("search-kind") == "overlapping" and test.get("match-kind") == "all"
        hidden = is_set and not hit and not lists_all
        reason = "another regex of its set hides it" if hidden else None
        reason = reason or _why_left_out(stem, test, pattern, haystack, switched > 0, is_set)
        yield Case(name, pattern, haystack, expected, test.get("match-limit"), hit, reason)


def _spans(row: Any) -> Spans:
    """A row is a span, a list of the groups' spans, or a table with either; no span is []."""
    found = row.get("spans", row.get("span")) if isinstance(row, dict) else row
    spans = found if isinstance(found[0], list) else [found]
    return [tuple(span) or None for span in spans]


def _why_left_out(
    stem: str, test: dict[str, Any], pattern: str, haystack: bytes, switched: bool, is_set: bool
) -> str | None:
    if test.get("compiles") is False:
        return "does not compile in Rust"
    for option, ours in _OURS.items():
        value = test.get(option, ours)
        # of a set, only whether each regex matches is asked, and every kind of search agrees on
        # that
        if value != ours and not (is_set and option in ("match-kind", "search-kind")):
            return (
                f"{option} = {value}" if option != "line-terminator" else "another line terminator"
            )
    if test.get("bounds"):
        return "search within bounds"
    if test.get("anchored") and test.get("match-limit") != 1:
        return "all matches anchored"
    if _BOUNDARY_NAME.search(pattern):
        return r"\b{start} and the like"
    by_code_point = stem == "regex-lite" or (test.get("unicode", True) and not switched)
    ascii_only = (
        pattern.isascii() and haystack.isascii() and not re.search(r"\\[xuU]\{?[89a-fA-F]", pattern)
    )
    if by_code_point and not ascii_only:
        return "code points instead of bytes"
    try:
        rx.parse(pattern)
    except rx.RegexSyntaxError:
        return "RE2 refuses the pattern"
    return None
