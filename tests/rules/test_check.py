"""check_pack: what is told about each rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vyre_dist.regex import Regex
from vyre_dist.rules import Allowlist, PackData, Rule, RulePack, check_pack, search


def pack(*rules: Rule) -> RulePack:
    return RulePack(PackData("p", rules))


def test_widths_and_notes() -> None:
    """Widths, groups and emptiness are told, and what makes a rule costly is noted."""
    bounded, free, path_only = check_pack(
        pack(
            Rule("b", "(a)b{2,5}", keywords=("ab",)),
            Rule("f", "(?:x|y)*"),
            Rule("p", None, path="x"),
        )
    )
    assert (bounded.groups, bounded.min_width, bounded.max_width, bounded.nullable) == (
        1,
        3,
        6,
        False,
    )
    assert bounded.notes == ()
    assert (free.min_width, free.max_width, free.nullable) == (0, None, True)
    assert [note.split()[0] for note in free.notes] == ["matches", "matches", "has"]
    assert (path_only.re2_memory, path_only.max_width, path_only.ok) == (None, 0, True)


def test_examples() -> None:
    """Examples that the rule misses and negative ones that it reports are told by number."""
    rule = Rule(
        "r",
        "k_([a-z]+)",
        entropy=1.0,
        keywords=("k_",),
        allowlists=(Allowlist(stopwords=("example",)),),
    )
    rule = replace(
        rule,
        examples=("k_abcd", "k_aaaa", "k_example", "nothing", "k_aaaa k_abcd"),
        negative_examples=("k_bbbb", "x k_wxyz"),
    )
    (report,) = check_pack(pack(rule))
    assert report.missed_examples == (1, 2, 3)
    assert report.matched_negatives == (1,)
    assert not report.ok


def test_examples_stand_in_a_fitting_place() -> None:
    """A rule's path pattern and path allowlists do not keep its examples from matching."""
    rule = Rule(
        "r", "abc", path=r"\.tf$", allowlists=(Allowlist(paths=(".*",)),), examples=("abc",)
    )
    (report,) = check_pack(pack(rule))
    assert report.ok


def test_examples_of_a_path_are_not_judged() -> None:
    """Examples are texts, and a rule with a path only looks at none: that they were passed over is
    told.
    """
    bare, with_examples, with_negatives = check_pack(
        pack(
            Rule("b", None, path="x"),
            Rule("e", None, path="x", examples=("y",)),
            Rule("n", None, path="x", negative_examples=("x",)),
        )
    )
    assert [len(r.notes) for r in (bare, with_examples, with_negatives)] == [1, 2, 2]
    assert "not judged" in with_examples.notes[1]
    assert with_examples.ok and with_negatives.ok


def test_lines_of_examples() -> None:
    """An allowlist that targets lines sees the whole line of the match and no other."""
    line = Allowlist(regexes=("^# .*; done$",), regex_target="line")
    rule = Rule(
        "r",
        "abc",
        allowlists=(line,),
        examples=("# abc;\n done", "x\nabc"),
        negative_examples=("y\n# abc; done\nz",),
    )
    (report,) = check_pack(pack(rule))
    assert report.ok


def test_large_regexes_are_told_by_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A regex that needs more than the default memory says how much; one past the limit is a
    problem.
    """
    large = pack(Rule("s", "abc"), Rule("l", "(?:[acegikmoqsuwy]{1000}){60}"))
    assert [(r.re2_memory, r.ok) for r in check_pack(large)] == [(8 << 20, True), (64 << 20, True)]
    monkeypatch.setattr(search, "MAX_MEM_STEPS", (8 << 20,))
    refused = check_pack(large)[1]
    assert (refused.re2_memory, refused.ok) == (None, False)
    assert "google-re2 refuses" in refused.problems[0]


def test_route_is_asked_for_every_regex() -> None:
    """The caller's route callback is asked once for each rule with a regex, and its answer is
    told.
    """
    asked = []

    def route(index: int, rule: Rule, regex: Regex) -> str:
        asked.append((index, rule.id))
        return f"{regex.groups} groups"

    reports = check_pack(pack(Rule("p", None, path="x"), Rule("a", "(x)")), route=route)
    assert asked == [(1, "a")]
    assert [report.route for report in reports] == ["", "1 groups"]


def test_builtin_rules_do_what_they_say() -> None:
    """Every built-in rule matches all its examples and none of its negative ones."""
    wrong = {
        r.rule_id: (r.missed_examples, r.matched_negatives, r.problems)
        for r in check_pack(RulePack.builtin())
        if not r.ok
    }
    assert wrong == {}
