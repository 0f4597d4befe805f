"""Summaries of compiled rules: what people are told is what the tables hold."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vyre_dist.compiler import compile_rule, default_model
from vyre_dist.compiler.anchors import GRAM_PRICE, STRIDE
from vyre_dist.compiler.explain import RuleSummary, summarize, summarize_pack
from vyre_dist.regex import parse


def summary_of(pattern: str) -> RuleSummary:
    return summarize(compile_rule(parse(pattern).root, default_model()))


def test_a_rule_with_tables() -> None:
    """Windows are shown as regexes, automata with their states."""
    summary = summary_of(r"(?i)xqzj_[0-9a-f]{8}\b")
    assert summary.route == "automata"
    assert summary.windows == ("[Xx][Qq][Zz][Jj]", "[Qq][Zz][Jj]_")
    assert summary.grams == 2
    assert summary.chance_hits_per_mb == pytest.approx(2 * GRAM_PRICE * 1e6 / STRIDE)
    assert summary.hits_per_mb < 2
    assert summary.after.startswith("table, ")
    assert summary.before.startswith("table, ")
    assert not summary.reason


def test_short_windows_lose_their_padding() -> None:
    """A window of three bytes is shown as three; the byte before one that begins at an odd offset
    is any byte.
    """
    assert summary_of("~q~").windows == ("~q~", "(?s:.)~q~")


@pytest.mark.parametrize(
    ("pattern", "route", "after"),
    [
        (r"(?m)^[a-z]{9}$", "always_on", "table, "),
        (r"\b[a-f0-9]{40}\b", "host", ""),
        ("tok_(?:a|b)*a(?:a|b){60}", "automata", "bit-parallel, "),
        ("a.{0,1000}b.{0,1000}c", "host", ""),
        ("token[^\\x00-\\xff]", "never", ""),
    ],
)
def test_other_routes(pattern: str, route: str, after: str) -> None:
    """Whoever goes another way shows which, and has a reason."""
    summary = summary_of(pattern)
    assert summary.route == route
    assert summary.after.startswith(after)
    assert bool(summary.after) == bool(after)
    assert summary.reason


def test_runs() -> None:
    """A rule that is looked for by runs says of what, and how long they are."""
    summary = summary_of(r"\b[a-f0-9]{40}\b")
    assert summary.run == "40 or more of [0-9a-f] in a row"
    assert summary.line.startswith(
        "host; documents with 40 or more of [0-9a-f] in a row; because no four bytes"
    )


def test_every_window_is_a_regex(gitleaks: SimpleNamespace) -> None:
    """Each shown window of a real pack parses, to at most four positions."""
    for program in gitleaks.compiled.rules:
        for text in summarize(program).windows:
            assert parse(text.encode("latin-1")) is not None


def test_a_pack_as_a_whole(gitleaks: SimpleNamespace) -> None:
    """The pack's estimates are those of its tables; true windows are a part of the bitmap's
    hits.
    """
    compiled = gitleaks.compiled
    summary = summarize_pack(compiled, default_model())
    assert sum(summary.routes.values()) == len(compiled.rules)
    assert (summary.grams, summary.table_bytes) == (
        compiled.tables.grams.size,
        compiled.tables.nbytes,
    )
    assert 0 < summary.gram_percent < summary.bitmap_percent < 1
    assert summary.line.startswith(f"tables: {summary.routes['automata']} automata, ")
    by_rule = sum(summarize(program).hits_per_mb for program in compiled.rules)
    # rules that share a window count it each
    assert summary.gram_percent * 1e4 <= by_rule < 3 * summary.gram_percent * 1e4


def test_one_line() -> None:
    """A summary's line names route, the first three windows, rates, automata and the reason."""
    line = summary_of("tok_(?:a|b)*a(?:a|b){60}").line
    assert line.startswith("automata; anchors tok_ ok_a ok_b; ")
    assert "by chance; after: bit-parallel, " in line
    assert "; because the part after its anchors runs bit-parallel" in line
    assert " more; " in summary_of("(?:abqz|bcqz|cdqz|deqz|efqz)_").line
