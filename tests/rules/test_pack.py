"""RulePack: access, hashing, folders, our own TOML dialect."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from vyre_dist.regex import RegexSyntaxError
from vyre_dist.rules import Allowlist, Origin, PackData, Rule, RulePack, check_pack

NATIVE = """\
schema = 1
name = "mine"
description = "for tests"

[[rules]]
id = "token"
description = "A token"
regex = '''
  tok_          # prefix
  ( [a-f]{4} )  # secret
'''
verbose = true
case_insensitive = true
secret_group = 1
entropy = 1.5
keywords = ["TOK_", "tok_"]
tags = ["t", "t"]
examples = ["TOK_abcd"]
negative_examples = ["tok_abc", "tok_aaaa", "tok abcd"]
max_match_bytes = 100
[[rules.allowlists]]
condition = "&&"
regex_target = "line"
regexes = ["^#"]
stopwords = ["ABCD"]

[[rules]]
id = "off"
regex = "x"
enabled = false

[[rules]]
id = "camel"
regex = "(a)(b)"
secretGroup = 2

[[allowlists]]
target_rules = ["camel"]
commits = [" ABC "]
paths = ["x"]
"""


@pytest.fixture
def native(tmp_path: Path) -> RulePack:
    file = tmp_path / "file.toml"
    file.write_text(NATIVE)
    return RulePack.load(file)


def test_our_own_dialect(native: RulePack) -> None:
    """Our dialect's keys, in snake_case or camelCase, all reach the model."""
    assert (native.name, native.dialect, native.warnings) == ("mine", "vyre", ())
    assert [rule.id for rule in native] == ["token", "camel"]
    token = native["token"]
    assert token.regex is not None
    assert token.regex.startswith("(?xi)  tok_  ")
    assert (token.secret_group, token.entropy, token.max_match_bytes) == (1, 1.5, 100)
    assert (token.keywords, token.tags) == (("tok_",), ("t",))
    assert token.allowlists == (
        Allowlist(condition="AND", regexes=("^#",), regex_target="line", stopwords=("abcd",)),
    )
    assert token.origin.line == 5
    assert native["camel"].secret_group == 2
    assert native.allowlists == (Allowlist(commits=("abc",), paths=("x",), target_rules=("camel",)),)


def test_examples_go_through_the_whole_rule(native: RulePack) -> None:
    """Examples are judged by the whole rule: flags, keywords, secret and entropy."""
    report = check_pack(native)[0]
    assert (report.ok, report.examples, report.negative_examples) == (True, 1, 3)


@pytest.mark.parametrize(
    ("condition", "both"),
    [("", False), ("or", False), ("||", False), ("OR", False), ("and", True), ("And", True), ("&&", True)],
)
def test_conditions(tmp_path: Path, condition: str, both: bool) -> None:
    """A condition is written as gitleaks takes it."""
    file = tmp_path / "p.toml"
    file.write_text(
        f"[[rules]]\nid = 'a'\nregex = 'x'\n[rules.allowlist]\ncondition = '{condition}'\npaths = ['p']\n"
    )
    assert RulePack.load(file)["a"].allowlists[0].condition == ("AND" if both else "OR")


def test_access() -> None:
    """A pack is a sequence of rules that is searched by id."""
    pack = RulePack.from_patterns({"b": "b+", "a": "(a)"}, name="two")
    assert (len(pack), pack.name, [rule.id for rule in pack]) == (2, "two", ["b", "a"])
    assert (pack["a"].regex, pack.index_of("a")) == ("(a)", 1)
    assert "a" in pack
    assert "c" not in pack
    with pytest.raises(KeyError):
        pack["c"]
    assert [regex and regex.groups for regex in pack.regexes] == [0, 1]


def test_packs_travel(native: RulePack) -> None:
    """A pack survives pickling, and its regexes are parsed again on the other side."""
    again = pickle.loads(pickle.dumps(native))  # noqa: S301 (our own bytes)
    assert again == native
    assert (again.content_hash, again.dialect, again.name) == (
        native.content_hash,
        native.dialect,
        native.name,
    )
    assert [regex and regex.groups for regex in again.regexes] == [1, 2]


def test_unchecked_data_is_not_taken_for_path_rules() -> None:
    """Data that came through no loader raise where their regex is faulty."""
    pack = RulePack(PackData("p", (Rule("a", "("),)))
    with pytest.raises(RegexSyntaxError):
        _ = pack.regexes


BASE = Rule("a", "x", "text", "p", 0, 2.5, ("k",), ("t",), (Allowlist(paths=("p",)),), max_match_bytes=5)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "b"},
        {"regex": "y"},
        {"regex": None},
        {"path": "q"},
        {"path": None},
        {"secret_group": 1},
        {"entropy": 2.6},
        {"entropy": None},
        {"keywords": ("k", "l")},
        {"keywords": ()},
        {"max_match_bytes": 6},
        {"allowlists": ()},
        *(
            {"allowlists": (replace(BASE.allowlists[0], **change),)}  # type: ignore[arg-type]
            for change in (
                {"paths": ("q",)},
                {"condition": "AND"},
                {"regexes": ("x",)},
                {"regex_target": "line"},
                {"stopwords": ("x",)},
                {"commits": ("c",)},
                {"target_rules": ("a",)},
            )
        ),
    ],
)
def test_the_hash_sees_what_changes_findings(change: dict[str, object]) -> None:
    """Every field that changes findings changes the content hash."""
    changed = replace(BASE, **change)  # type: ignore[arg-type]
    assert PackData("p", (changed,)).content_hash() != PackData("p", (BASE,)).content_hash()


def test_the_hash_is_stable() -> None:
    """Texts for people, places and examples do not change the content hash, and it is the same in every
    process.
    """
    told = replace(
        BASE, description="other", tags=(), origin=Origin("f", 3), examples=("x",), negative_examples=("y",)
    )
    told = replace(told, allowlists=(replace(BASE.allowlists[0], description="d"),))
    data = PackData("p", (BASE,))
    assert PackData("q", (told,)).content_hash() == data.content_hash()
    assert data.content_hash() == "6b3679a0bab95bf60a9a3f60fbb908a75b47d906bcaf7bfb7c95f5ac6b451fe2"


def test_the_hash_sees_order_and_split() -> None:
    """Rules in another order, and an allowlist moved from a rule to the pack, are another pack."""
    a, b = Rule("a", "x"), Rule("b", "y")
    assert PackData("p", (a, b)).content_hash() != PackData("p", (b, a)).content_hash()
    allowlists = (Allowlist(paths=("p",)),)
    own, shared = PackData("p", (replace(a, allowlists=allowlists),)), PackData("p", (a,), allowlists)
    assert own.content_hash() != shared.content_hash()


def test_folders_keep_allowlists_apart(tmp_path: Path) -> None:
    """A folder's files become one pack, in name order; a file's global allowlists cover its own rules."""
    (tmp_path / "sub").mkdir()
    rule = "[[rules]]\nid = '{0}'\nregex = '{0}'\n[[allowlists]]\npaths = ['{0}']\n"
    (tmp_path / "b.toml").write_text(rule.format("b"))
    (tmp_path / "a.yaml").write_text("rules:\n- id: y\n  pattern: y\n")
    (tmp_path / "sub" / "c.toml").write_text("schema = 1\n" + rule.format("c"))
    (tmp_path / "notes.txt").write_text("not a pack")
    pack = RulePack.load(tmp_path)
    assert [rule.id for rule in pack] == ["y", "b", "c"]
    assert [(a.paths, a.target_rules) for a in pack.allowlists] == [(("b",), ("b",)), (("c",), ("c",))]
    assert pack.dialect == "mixed"


def test_comments_and_spaced_counts_of_nosey_parker(tmp_path: Path) -> None:
    """What Nosey Parker's regex syntax has beyond RE2's is rewritten, and escapes are left alone."""
    file = tmp_path / "p.yml"
    file.write_text("rules:\n- id: a\n  pattern: |\n    (?x) \\(?(?# a comment ) x{1, 5} \\{ 2 \\}\n")
    rule = RulePack.load(file)["a"]
    assert rule.regex == "(?x) \\(? x{1,5} \\{ 2 \\}\n"


def test_spellings_of_gitleaks(tmp_path: Path) -> None:
    """gitleaks' keys are read without regard to case; a list of tables may stand for a table."""
    file = tmp_path / "p.toml"
    file.write_text(
        "[[rules]]\nID = 'a'\nregex = '(x)'\nsecretgroup = 1\nKeywords = ['K']\n"
        "[[rules.allowList]]\nstopWords = ['S']\nregextarget = 'match'\nregexes = ['r']\n"
        "[allowLists]\ntargetrules = ['a']\npaths = ['p']\n"
    )
    pack = RulePack.load(file)
    assert pack.warnings == ()
    (rule,) = pack
    assert (rule.id, rule.secret_group, rule.keywords) == ("a", 1, ("k",))
    assert rule.allowlists == (Allowlist(stopwords=("s",), regex_target="match", regexes=("r",)),)
    assert pack.allowlists == (Allowlist(target_rules=("a",), paths=("p",)),)


def test_the_documented_example_works(tmp_path: Path) -> None:
    """The example in docs/rule-packs.md loads without a warning and does what it says."""
    text = (Path(__file__).parents[2] / "docs" / "rule-packs.md").read_text()
    example = text.split("```toml\n")[1].split("```")[0]
    file = tmp_path / "acme.toml"
    file.write_text(example)
    pack = RulePack.load(file)
    assert (pack.dialect, pack.warnings, pack.name) == ("vyre", (), "acme")
    (report,) = check_pack(pack)
    assert (report.ok, report.examples, report.negative_examples, report.problems) == (True, 1, 1, ())
