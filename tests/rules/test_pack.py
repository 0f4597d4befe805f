"""RulePack: access, hashing, folders, our own TOML dialect."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vyre_dist.regex import RegexSyntaxError
from vyre_dist.rules import Allowlist, CompiledFilters, Origin, PackData, Rule, RulePack, check_pack
from vyre_dist.rules.noseyparker_yaml import to_re2_syntax

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
    assert native.allowlists == (
        Allowlist(commits=("abc",), paths=("x",), target_rules=("camel",)),
    )


def test_examples_go_through_the_whole_rule(native: RulePack) -> None:
    """Examples are judged by the whole rule: flags, keywords, secret and entropy."""
    report = check_pack(native)[0]
    assert (report.ok, report.examples, report.negative_examples) == (True, 1, 3)


@pytest.mark.parametrize(
    ("condition", "both"),
    [
        ("", False),
        ("or", False),
        ("||", False),
        ("OR", False),
        ("and", True),
        ("And", True),
        ("&&", True),
    ],
)
def test_conditions(tmp_path: Path, condition: str, both: bool) -> None:
    """A condition is written as gitleaks takes it."""
    file = tmp_path / "p.toml"
    file.write_text(
        f"[[rules]]\nid = 'a'\nregex = 'x'\n[rules.allowlist]\ncondition = '{condition}'\npaths = "
        "['p']\n"
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


BASE = Rule(
    "a", "x", "text", "p", 0, 2.5, ("k",), ("t",), (Allowlist(paths=("p",)),), max_match_bytes=5
)


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
    """Texts for people, places and examples do not change the content hash, and it is the same in
    every process.
    """
    told = replace(
        BASE,
        description="other",
        tags=(),
        origin=Origin("f", 3),
        examples=("x",),
        negative_examples=("y",),
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
    own, shared = (
        PackData("p", (replace(a, allowlists=allowlists),)),
        PackData("p", (a,), allowlists),
    )
    assert own.content_hash() != shared.content_hash()


def test_folders_keep_allowlists_apart(tmp_path: Path) -> None:
    """A folder's files become one pack, in name order; a file's global allowlists cover its own
    rules.
    """
    (tmp_path / "sub").mkdir()
    rule = "[[rules]]\nid = '{0}'\nregex = '{0}'\n[[allowlists]]\npaths = ['{0}']\n"
    (tmp_path / "b.toml").write_text(rule.format("b"))
    (tmp_path / "a.yaml").write_text("rules:\n- id: y\n  pattern: y\n")
    (tmp_path / "sub" / "c.toml").write_text("schema = 1\n" + rule.format("c"))
    (tmp_path / "notes.txt").write_text("not a pack")
    pack = RulePack.load(tmp_path)
    assert [rule.id for rule in pack] == ["y", "b", "c"]
    assert [(a.paths, a.target_rules) for a in pack.allowlists] == [
        (("b",), ("b",)),
        (("c",), ("c",)),
    ]
    assert pack.dialect == "mixed"


ALLOWLIST = "[[allowlists]]\nstopwords = ['secret']\n"


@pytest.mark.parametrize("own", ["", "schema = 1\n"])
@pytest.mark.parametrize("as_folder", [False, True], ids=["files", "folder"])
def test_allowlists_without_rules_cover_none(own: str, as_folder: bool, tmp_path: Path) -> None:
    """A file of allowlists only silences no rule of the files beside it, and is told where its
    allowlist stands; one that names its rules does as it says.
    """
    files = [tmp_path / name for name in ("a.toml", "b.toml", "c.toml")]
    files[0].write_text(own + ALLOWLIST)
    files[1].write_text("[[rules]]\nid = 'r'\nregex = 'secret[0-9]'\n")
    files[2].write_text(ALLOWLIST + "targetRules = ['r']\n")

    def load(*wanted: Path) -> RulePack:
        if not as_folder:
            return RulePack.load_all(wanted)
        for file in set(files) - set(wanted):
            file.rename(file.with_suffix(".off"))
        return RulePack.load(tmp_path)

    pack = load(*files)
    assert pack.allowlists == (Allowlist(stopwords=("secret",), target_rules=("r",)),)
    (warning,) = pack.warnings
    assert (warning.file, warning.line) == (str(files[0]), 1 + bool(own))
    assert "the allowlist is ignored" in str(warning)
    pack = load(files[0], files[1])
    assert (pack.allowlists, len(pack.warnings)) == ((), 1)
    assert not CompiledFilters(pack).allowed(0, "f", b"secret1", b"secret1", lambda: b"secret1")


NOSEY_PARKER_SYNTAX = [
    # in a class nothing is a count or a comment
    ("[{1, 5}a]", "[{1, 5}a]"),
    ("[(?#)]x", "[(?#)]x"),
    ("[^{1, 5}]{1, 5}", "[^{1, 5}]{1,5}"),
    # where a class ends
    ("[]{1, 5}]{1, 5}", "[]{1, 5}]{1,5}"),
    ("[^]{1, 5}]{1, 5}", "[^]{1, 5}]{1,5}"),
    ("[[:alpha:]{1, 5}]{1, 5}", "[[:alpha:]{1, 5}]{1,5}"),
    ("[[:^alpha:]{1, 5}]{1, 5}", "[[:^alpha:]{1, 5}]{1,5}"),
    ("[[a]{1, 5}", "[[a]{1,5}"),
    ("[[:]{1, 5}", "[[:]{1,5}"),
    (r"[\\]{1, 5}", r"[\\]{1,5}"),
    (r"[\]{1, 5}]{1, 5}", r"[\]{1, 5}]{1,5}"),
    # what opens none
    (r"\[{1, 5}", r"\[{1,5}"),
    (r"\\[{1, 5}]", r"\\[{1, 5}]"),
    (r"\Q[\E{1, 5}]", r"\Q[\E{1,5}]"),
    (r"\Q{1, 5}(?#)\E{1, 5}", r"\Q{1, 5}(?#)\E{1,5}"),
    ("(?# [ )a{1, 5}", "a{1,5}"),
    ("#[{1, 5}]", "#[{1, 5}]"),
    ("(?x) a # [ (?# \n {1, 5}", "(?x) a # [ (?# \n {1,5}"),
    ("\n(?ix-s)a# [\n{1, 5}", "\n(?ix-s)a# [\n{1,5}"),
    # not closed: the parser's matter
    ("a{1, 5}[{1, 5}", "a{1,5}[{1, 5}"),
    ("[]", "[]"),
    ("a{1, 5}(?# b{1, 5}", "a{1,5}(?# b{1, 5}"),
    ("[a\\", "[a\\"),
]


@pytest.mark.parametrize(("pattern", "rewritten"), NOSEY_PARKER_SYNTAX)
def test_nosey_parkers_syntax_is_rewritten_where_it_is_syntax(pattern: str, rewritten: str) -> None:
    """Comments and white space in counts go; what looks like them in a class, quotes or a line
    comment stays.
    """
    assert to_re2_syntax(pattern) == rewritten


@pytest.mark.parametrize("unit", ["[", "[:", "[^", "[]", "[[:a", "(?#", "\\Q", "[\\Q"])
def test_rewriting_takes_no_time(unit: str) -> None:
    """Nothing that is opened a hundred thousand times is looked for to the end each time."""
    began = time.process_time()
    to_re2_syntax(unit * 100_000)
    assert time.process_time() - began < 2


def test_a_count_that_does_not_end_takes_no_time() -> None:
    """White space that could belong to either side of a number that is not there is gone through
    once.
    """
    pattern = "a{1," + " " * 100_000
    began = time.process_time()
    assert to_re2_syntax(pattern) == pattern
    assert time.process_time() - began < 2


def test_comments_and_spaced_counts_of_nosey_parker(tmp_path: Path) -> None:
    """What Nosey Parker's regex syntax has beyond RE2's is rewritten, and escapes are left
    alone.
    """
    file = tmp_path / "p.yml"
    file.write_text(
        "rules:\n- id: a\n  pattern: |\n    (?x) \\(?(?# a comment ) x{1, 5} \\{ 2 \\}\n"
    )
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
    assert (report.ok, report.examples, report.negative_examples, report.problems) == (
        True,
        1,
        1,
        (),
    )
