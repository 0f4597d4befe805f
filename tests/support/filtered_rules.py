"""Rules with filters of every kind, for haystacks."""

from __future__ import annotations

from hypothesis import strategies as st

from vyre_dist.rules.model import Allowlist, PackData, Rule


def on(target: str, *regexes: str, stopwords: tuple[str, ...] = ()) -> Allowlist:
    return Allowlist(regexes=regexes, regex_target=target, stopwords=stopwords)  # type: ignore[arg-type]


RULES = [
    Rule("gated", "[ab]{2,}", keywords=("abc",)),
    # no literal to search for, and keywords that are long enough to stand in for it
    Rule("dear", r"\w{2,4}", keywords=("bcab", "AAAB")),
    Rule("unbounded", r"a\w*", keywords=("-", "b_")),
    Rule("line", "a+", allowlists=(on("line", "b$", "^1"),)),
    Rule("long-line", "(?s)b.{0,3}a", allowlists=(on("line", "1.*-"),)),
    Rule("match", "[ab]+", allowlists=(on("match", "^a.*b$"),)),
    Rule("secret", "(a*)(b+)", allowlists=(on("secret", "^b"),)),
    Rule("group", "(a)?(b+)c?", secret_group=1),
    Rule("words", "[abc]{3}", allowlists=(on("secret", stopwords=("BA", "cc")),)),
    Rule("entropy", r"\w{3,8}", entropy=1.0),
    Rule("py-only", "a", path=r"\.py$"),
    Rule("file", None, path=r"(^|/)b"),
    Rule("short-cap", "[ab]+", max_match_bytes=3),
    Rule("empties", "c*", keywords=("c",)),
]


def as_pack(rules: list[Rule]) -> PackData:
    return PackData("test", tuple(rules))


some_rules = st.lists(
    st.sampled_from(RULES), min_size=1, max_size=4, unique_by=lambda rule: rule.id
)
some_path = st.sampled_from(["x.py", "b", "dir/b.py", "<bytes>"])
