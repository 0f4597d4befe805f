"""Properties of the filters against a slow reading of gitleaks' rules, with Python's re."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.rules import Allowlist, CompiledFilters, PackData, Rule, entropies, entropy
from vyre_dist.rules.content_filters import JudgedLine
from vyre_dist.rules.entropies import Entropies
from vyre_dist.rules.filters import Matched
from vyre_dist.rules.finder import Finder
from vyre_dist.rules.search import Renderings

IDS = ("r0", "r1", "r2")
PATTERNS = st.sampled_from(
    ["a", "^b", "c$", "a.c", "(?i)B", "[^a]b", "a{2}", r"\bc\b", "", "(a|b)c"]
)
PATHS = st.sampled_from([r"\.c$", "^a/", "b/", "(?i)C", "a/b", "^$"])
WORDS = st.text("abC", min_size=1, max_size=3)
TEXTS = st.text("abcABC \n", max_size=6).map(str.encode)
DOCUMENTS = st.sampled_from(["", "a/b/x.c", "a/x.h", "b/a.C", "c", "A/b.c"])


def few(items: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(items, max_size=2).map(tuple)


allowlists = st.builds(
    Allowlist,
    condition=st.sampled_from(["OR", "AND"]),
    commits=st.sampled_from([(), (), (), ("c0ffee",)]),
    paths=few(PATHS),
    regexes=few(PATTERNS),
    regex_target=st.sampled_from(["secret", "match", "line"]),
    stopwords=few(WORDS),
    target_rules=few(st.sampled_from(IDS)),
).filter(lambda a: bool(a.commits or a.paths or a.regexes or a.stopwords))


def packs() -> st.SearchStrategy[PackData]:
    def rule(rule_id: str) -> st.SearchStrategy[Rule]:
        own = st.lists(allowlists, max_size=2).map(tuple)
        return st.builds(
            Rule, st.just(rule_id), st.just("x"), path=st.none() | PATHS, allowlists=own
        )

    return st.builds(
        PackData,
        st.just("p"),
        st.tuples(*map(rule, IDS)),
        st.lists(allowlists, max_size=3).map(tuple),
    )


def found(patterns: tuple[str, ...], text: bytes) -> bool:
    # in RE2 `$` without (?m) is the end of the text, not also before a last line break
    return any(re.search(p.replace("$", r"\Z").encode(), text) for p in patterns)


def in_force(pack: PackData, rule: Rule) -> list[Allowlist]:
    return [a for a in pack.allowlists if not a.target_rules or rule.id in a.target_rules] + list(
        rule.allowlists
    )


def path_allowed(allowlist: Allowlist, path: str) -> bool:
    hit = bool(path) and found(allowlist.paths, path.encode())
    if allowlist.condition == "OR":
        return hit
    if allowlist.regexes or allowlist.stopwords or allowlist.commits:
        return False
    return hit


def match_allowed(
    allowlist: Allowlist, path: str, secret: bytes, match: bytes, line: bytes
) -> bool:
    text = {"secret": secret, "match": match.strip(b"\n"), "line": line}[allowlist.regex_target]
    regex = bool(text) and found(allowlist.regexes, text)
    stop = any(word.encode().lower() in secret.lower() for word in allowlist.stopwords)
    if allowlist.condition == "OR":
        return regex or stop
    if allowlist.commits:
        return False
    checks = []
    if allowlist.paths:
        checks.append(bool(path) and found(allowlist.paths, path.encode()))
    if allowlist.regexes:
        checks.append(regex)
    if allowlist.stopwords:
        checks.append(stop)
    return all(checks)


@given(packs(), st.lists(st.tuples(DOCUMENTS, TEXTS, TEXTS, TEXTS), min_size=1, max_size=4))
def test_filters_agree_with_the_slow_reading(
    pack: PackData, cases: list[tuple[str, bytes, bytes, bytes]]
) -> None:
    """Path decisions and dropped matches are those of the rules as written down, for any pack and
    order of questions.
    """
    filters = CompiledFilters(pack)
    for path, secret, match, line in cases:
        decisions = []
        for index, rule in enumerate(pack.rules):
            mine = in_force(pack, rule)
            applies = (rule.path is None or found((rule.path,), path.encode())) and not any(
                path_allowed(a, path) for a in mine
            )
            decisions.append(applies)
            assert filters.rule_applies_to_path(index, path) is applies
            dropped = not applies or any(match_allowed(a, path, secret, match, line) for a in mine)
            assert filters.allowed(index, path, secret, match, lambda text=line: text) is dropped  # type: ignore[misc]
        assert filters.document_skipped(path) is (not any(decisions))


@given(
    packs(),
    DOCUMENTS,
    st.lists(st.tuples(st.sampled_from(range(len(IDS))), TEXTS, TEXTS, TEXTS), max_size=12),
    st.integers(0, 3),
)
def test_many_matches_are_judged_as_one_by_one(
    pack: PackData, path: str, cases: list[tuple[int, bytes, bytes, bytes]], few: int
) -> None:
    """Texts that are searched together, with line breaks in some of them, give each match the
    verdict that it gets alone. Lines are asked for in order, and only for rules that need them.
    """
    rules = tuple(
        replace(rule, entropy=least)
        for rule, least in zip(pack.rules, (0.9, None, 1.5), strict=True)
    )
    filters = CompiledFilters(replace(pack, rules=rules))
    matches = [
        Matched(at, rule, at + 1, match, (secret,))
        for at, (rule, secret, match, _) in enumerate(cases)
    ]
    asked: list[int] = []

    def line_of(start: int, end: int) -> JudgedLine:
        assert end == start + 1 and filters.needs_line(matches[start].rule)
        asked.append(start)
        return JudgedLine(lambda: cases[start][3], len(cases[start][3]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vyre_dist.rules.content_filters._MANY", 2)
        patch.setattr("vyre_dist.rules.content_filters._FEW_HITS", few)
        together = filters.judge_all(path, matches, line_of)
    assert together == [
        filters.judge(rule, path, match, (secret,), lambda line=line: line)  # type: ignore[misc]
        for rule, secret, match, line in cases
    ]
    assert asked == sorted(asked)


def test_texts_that_are_on_no_allowlist_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand matches cost two searches, one for secrets and one for matches, and two more for
    each that an allowlist covers.
    """
    allowlists = (
        Allowlist(regexes=("^example", "test$"), stopwords=("placeholder",)),
        Allowlist(regexes=("DUMMY",), regex_target="match"),
    )
    filters = CompiledFilters(PackData("p", (Rule("r", "x", allowlists=allowlists),)))
    secrets = [b"s%d" % n for n in range(1000)]
    secrets[500] = b"aPlaceHolder"
    matches = [Matched(n, 0, n, b"key=" + secret, (secret,)) for n, secret in enumerate(secrets)]
    searches: list[int] = []
    search = Finder.search

    def counted(self: Finder, data: bytes, pos: int, limit: int) -> object:
        searches.append(pos)
        return search(self, data, pos, limit)

    monkeypatch.setattr(Finder, "search", counted)
    verdicts = filters.judge_all("f", matches, lambda *_: JudgedLine(bytes, 0))
    assert [n for n, verdict in enumerate(verdicts) if verdict is None] == [500]
    assert len(searches) == 2 + 2


def test_lines_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of a thousand matches, which go on on the next line, cost a search for each
    allowlist that may cover them, and two more for one that does.
    """
    allowlists = (
        Allowlist(regexes=("^import .*$",), regex_target="line"),
        Allowlist(regexes=("x",), regex_target="line", paths=("c$",), condition="AND"),
    )
    filters = CompiledFilters(PackData("p", (Rule("r", "x", allowlists=allowlists),)))
    texts = [b"key: x%d\nnext" % n for n in range(1000)]
    texts[300] = b"import x"
    texts[400] = b"import x\nnext"
    matches = [Matched(n, 0, n, b"m", (b"secret",)) for n in range(1000)]
    searches: list[int] = []
    search = Finder.search

    def counted(self: Finder, data: bytes, pos: int, limit: int) -> object:
        searches.append(pos)
        return search(self, data, pos, limit)

    monkeypatch.setattr(Finder, "search", counted)
    verdicts = filters.judge_all(
        "f", matches, lambda at, _: JudgedLine(lambda: texts[at], len(texts[at]))
    )
    assert [n for n, verdict in enumerate(verdicts) if verdict is None] == [300]
    assert len(searches) <= 1 + 2 * 2


@given(packs(), DOCUMENTS, TEXTS)
def test_the_line_is_asked_for_only_when_announced(
    pack: PackData, path: str, secret: bytes
) -> None:
    """`allowed` asks for the line only for rules that `needs_line` says so of."""
    filters = CompiledFilters(pack)
    for index in range(len(pack.rules)):
        asked: list[int] = []

        def line(asked: list[int] = asked) -> bytes:
            asked.append(1)
            return b"a line"

        filters.allowed(index, path, secret, secret, line)
        assert not asked or filters.needs_line(index)


@given(st.binary(max_size=300))
def test_entropy_is_shannons(secret: bytes) -> None:
    """Entropy agrees with the textbook sum, is 0 to 8, and does not depend on the order of
    bytes.
    """
    slow = sum(n / len(secret) * math.log2(len(secret) / n) for n in Counter(secret).values())
    assert math.isclose(entropy(secret), slow, rel_tol=1e-12, abs_tol=1e-12)
    assert 0 <= entropy(secret) <= 8
    assert entropy(bytes(sorted(secret))) == entropy(secret)


@given(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=4), st.binary(max_size=30))
def test_stop_words_are_literal(words: list[bytes], secret: bytes) -> None:
    """Stop words are plain text, whatever characters they hold, and ASCII case does not count."""
    texts = [word.decode("latin-1") for word in words]
    secret = secret + texts[0].encode() * (len(secret) % 2)
    filters = CompiledFilters(
        PackData("p", (Rule("r", "x"),), (Allowlist(stopwords=tuple(texts)),))
    )
    expected = any(text.encode().lower() in secret.lower() for text in texts)
    assert filters.allowed(0, "f", secret, secret, bytes) is expected


@given(packs(), DOCUMENTS, st.lists(DOCUMENTS.filter(bool), min_size=1, max_size=5))
def test_a_folders_verdict_is_that_of_each_of_its_files(
    pack: PackData, prefix: str, names: list[str]
) -> None:
    """Where a folder's paths share a decision it is the one that each gets alone, line breaks in
    names or not.
    """
    filters = CompiledFilters(pack)
    shared = filters.folder_decision(prefix, names)
    if shared is not None:
        alone = CompiledFilters(pack)
        for name in names:
            decision = alone.path_decision(prefix + name)
            assert (shared.skipped, shared.applies) == (decision.skipped, decision.applies)


def test_folders_of_no_interest_share_a_verdict() -> None:
    """It is not by asking for every path that folders are judged; one path of interest makes it
    necessary.
    """
    rule = Rule("r", "x", allowlists=(Allowlist(paths=(r"(?:^|/)go\.sum$", r"\.png$")),))
    filters = CompiledFilters(PackData("p", (rule,)))
    assert filters.folder_decision("a/", ["b", "c.pngx", "xgo.sum"]) is not None
    for names in (["b", "c.png"], ["go.sum", "d"]):
        assert filters.folder_decision("a/", names) is None


def test_what_is_remembered_of_patterns_changes_nothing() -> None:
    """Filters made from remembered renderings parse nothing and decide as before."""
    allowlist = Allowlist(paths=(r"\.lock$",), regexes=("^ab+$",), stopwords=("zz",))
    pack = PackData("p", (Rule("r", "x", path=r"\.c$", allowlists=(allowlist,)),))
    first = Renderings()
    CompiledFilters(pack, first)
    again = Renderings(first.known)
    filters = CompiledFilters(pack, again)
    assert first.grown and not again.grown
    assert filters.allowed(0, "f.c", b"abb", b"abb", bytes)
    assert not filters.allowed(0, "f.c", b"acb", b"acb", bytes)
    assert filters.path_decision("f.lock").skipped


@given(
    st.lists(st.binary(max_size=300) | st.text("ab", max_size=200).map(str.encode), max_size=30),
    st.integers(1, 3000),
)
def test_entropies_of_many_are_those_of_each(secrets: list[bytes], block: int) -> None:
    """To the last bit, and near what the definition gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vyre_dist.rules.entropies._MANY", 1)
        patch.setattr("vyre_dist.rules.entropies._WORTH_IMPORTING", 1)
        patch.setattr("vyre_dist.rules.entropies._BLOCK", block)
        together = Entropies().of(secrets)
    assert together == [entropy(secret) for secret in secrets]
    assert [str(bits) for bits in together] == [str(entropy(secret)) for secret in secrets]
    for secret, bits in zip(secrets, together, strict=True):
        shares = [count / len(secret) for count in Counter(secret).values()]
        assert math.isclose(bits, -sum(share * math.log2(share) for share in shares), abs_tol=1e-9)


def test_terms_of_short_secrets_are_exact_integers() -> None:
    """Scaled, each is an integer, and as many as there are bytes add up to less than 64 bits."""
    for size in range(1, entropies._SUMMED + 1):
        terms = [
            entropies._terms(size)[count] * 2.0**entropies._SCALE for count in range(1, size + 1)
        ]
        assert all(term.is_integer() for term in terms)
        assert -entropies._terms(size)[1] * size * 2.0**entropies._SCALE < 2**64
    # the most there can be
    secret = bytes(range(256))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entropies, "_MANY", 1)
        assert Entropies().of([secret, b"", secret[:255] + b"a"]) == [
            8.0,
            0.0,
            entropy(secret[:255] + b"a"),
        ]
