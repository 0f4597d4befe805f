"""Bad packs: everything that is wrong is told at once, each with its place."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from vyre_dist.errors import UsageError
from vyre_dist.rules import Diagnostic, PackError, PackNotFoundError, RulePack

GOOD = "[[rules]]\nid = 'good'\nregex = 'x'\n"
PATH_ONLY = "[[rules]]\nid = 'file'\npath = 'x'\n"


def problems(folder: Path, text: str, name: str = "pack.toml") -> tuple[Diagnostic, ...]:
    """What loading `text` complains about; fails when it does not complain."""
    file = folder / name
    file.write_bytes(text.encode())
    with pytest.raises(PackError) as caught:
        RulePack.load(file)
    assert {problem.file for problem in caught.value.diagnostics} == {str(file)}
    return caught.value.diagnostics


EVERYTHING = """\
title = "bad"

[extend]
url = "https://example.org/gitleaks.toml"

[[rules]]
id = "a"
regex = '''
  (ab
  [z-a])'''
keywords = ["", 3]
entropy = -1

[[rules]]
regex = "xé\\\\d{2,1}"

[[rules]]
id = "a"
secretGroup = "x"
[[rules.allowlists]]
condition = "XOR"
regexes = ['''ok''', '''[a''']
regexTarget = "file"
[[rules.allowlists]]
description = "nothing"

[[rules]]
id = "c"
path = '''(?<1'''
[[rules.required]]
id = "a"

[[rules]]
id = "d"
regex = "(x)"
secretGroup = 2

[[rules]]
id = "e"
description = "nothing"

[[allowlists]]
targetRules = ["aa", "c"]
paths = ["x"]
"""


def test_every_problem_at_once(tmp_path: Path) -> None:
    """One load tells every problem of a file, in file order, each at its own line and column."""
    found = [(p.line, p.column, p.rule_id) for p in problems(tmp_path, EVERYTHING)]
    assert found == [
        (4, 1, ""),  # a url
        (10, 4, "a"),  # the regex's class, on the pattern's second line
        (11, 13, "a"),  # an empty keyword
        (11, 17, "a"),  # a keyword that is a number
        (12, 1, "a"),  # a negative entropy
        (14, 1, "#2"),  # no id
        (15, 1, "#2"),  # a regex with escapes in its TOML string: the key's place
        (17, 0, "a"),  # an id that is taken
        (19, 1, "a"),  # a secret group that is a string
        (21, 1, "a"),  # a condition
        (22, 25, "a"),  # an allowlist's regex
        (23, 1, "a"),  # a regex target
        (24, 1, "a"),  # an allowlist without checks
        (29, 11, "c"),  # a path's regex
        (30, 1, "c"),  # a composite rule
        (33, 0, "d"),  # a secret group beyond the groups
        (38, 0, "e"),  # neither regex nor path
        (42, 0, ""),  # an unknown target
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a = 1\nb = = 2\n", 2, 5, "not TOML"),
        ("[[rules]]\nid = 'x", 2, 8, "not TOML"),
        ("[[rules]]\r\nid = 'a'\r\nregex = '''x\r\n  (y'''\r\n", 4, 3, "regex, column 5"),
        (GOOD + "[[rules]]\nid = ['a']\nregex = 'x'\n", 5, 1, "id is a list"),
        (GOOD + "[[rules]]\nid = '  '\nregex = 'x'\n", 4, 1, "has no id"),
        (GOOD + "entropy = true\n", 4, 1, "entropy is true or false"),
        (GOOD + "entropy = nan\n", 4, 1, "entropy is nan"),
        (GOOD + "secretGroup = -1\n", 4, 1, "secretGroup is -1"),
        (GOOD + "secretGroup = 1\n", 1, 0, "secret group 1 asked for, the regex has 0 groups"),
        (GOOD + "keywords = 'x'\n", 4, 1, "keywords is a string"),
        (GOOD + "[rules.allowlist]\n[[rules.allowlists]]\npaths = ['x']\n", 4, 1, "both there"),
        (
            PATH_ONLY + "keywords = ['x']\n",
            1,
            0,
            "keywords and no regex: a rule with a path only does not look",
        ),
        (
            "schema = 1\n" + PATH_ONLY + "keywords = ['x']\n",
            2,
            0,
            "write the keywords as its regex",
        ),
        (GOOD + "filter = 'true'\n", 4, 1, "filter is not supported"),
        (GOOD + "[[rules.components]]\nid = 'x'\n", 4, 1, "components is not supported"),
        ("rules = 3\n", 1, 1, "rules is an integer"),
        ("rules = ['x']\n", 1, 10, "rules[0] is a string"),
        ("title = 'x'\n", 0, 0, "no rules"),
        ("", 0, 0, "no rules"),
        (GOOD + "entropy = 1\nEntropy = 2\n", 5, 1, "the same key"),
        ("[allowlist]\npaths = ['x']\n[[allowlists]]\npaths = ['x']\n" + GOOD, 1, 1, "both there"),
        ("[allowlist]\npaths = []\n" + GOOD, 1, 1, "all empty"),
        ("[extend]\nuseDefault = true\npath = 'x'\n" + GOOD, 3, 1, "both set"),
        ("schema = 2\n" + GOOD, 1, 1, "schema"),
        ("schema = 1\n" + GOOD + "kewords = ['x']\n", 5, 1, "unknown key 'kewords'"),
        ("schema = 1\n" + GOOD + "max_match_bytes = 0\n", 5, 1, "max_match_bytes is 0"),
        (
            "schema = 1\n[[rules]]\nid='x'\nverbose=true\nregex='''\n  a # comment\n  ( b'''\n",
            7,
            3,
            "regex, column 17",
        ),
    ],
)
def test_toml_problems(tmp_path: Path, text: str, line: int, column: int, words: str) -> None:
    """Each kind of mistake in a TOML pack is told with its line and column."""
    file = tmp_path / "pack.toml"
    file.write_bytes(text.encode())
    with pytest.raises(PackError) as caught:
        RulePack.load(file)
    first = caught.value.diagnostics[0]
    assert words in str(first)
    assert (first.line, first.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("rules: [", 1, 9, "not YAML"),
        ("", 0, 0, "empty"),
        ("- a\n", 1, 1, "a map was expected"),
        ("rulez: []\n", 1, 1, "there is no `rules:`"),
        ("rules: x\n", 1, 8, "rules is a scalar"),
        ("rules:\n- 3\n", 2, 3, "a map was expected"),
        ("rules:\n- name: x\n  pattern: y\n", 2, 3, "has no id"),
        ("rules:\n- id: a\n  pattern: '(y'\n", 3, 12, "pattern, column 1"),
        ("rules:\n- id: a\n  pattern: [y]\n", 3, 12, "pattern is a list"),
        ("rules:\n- id: a\n  pattern: y\n  examples: y\n", 4, 13, "examples is a scalar"),
        ("rules:\n- id: a\n  pattern: y\n  examples: [[y]]\n", 4, 14, "examples[0] is a list"),
        ("rules:\n- id: a\n  id: b\n  pattern: y\n", 3, 3, "there twice"),
        ("rules:\n- id: a\n  pattern: y\n- id: a\n  pattern: z\n", 4, 0, "already taken"),
        ("rules:\n- id: a\n  name: y\n", 2, 0, "neither regex nor path"),
        ("rules: !!python/object/apply:os.getcwd []\n", 0, 0, "no rules"),
    ],
)
def test_yaml_problems(tmp_path: Path, text: str, line: int, column: int, words: str) -> None:
    """Each kind of mistake in a Nosey Parker pack is told with its line and column."""
    file = tmp_path / "pack.yml"
    file.write_text(text)
    with pytest.raises(PackError) as caught:
        RulePack.load(file)
    told = [str(p) for p in caught.value.diagnostics if (p.line, p.column) == (line, column)]
    assert any(words in text for text in told), caught.value


@pytest.mark.parametrize(("name", "start"), [("pack.toml", "a = "), ("pack.yml", "rules: ")])
def test_nesting_that_no_parser_follows(tmp_path: Path, name: str, start: str) -> None:
    """A file whose brackets are nested deeper than its parser can go is a problem of the pack, not
    a bug.
    """
    (problem,) = problems(tmp_path, start + "[" * 5000 + "]" * 5000 + "\n", name)
    assert "nested too deep" in problem.message


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A TOML file that is not UTF-8 is refused at the first bad byte."""
    file = tmp_path / "pack.toml"
    file.write_bytes(b"title = 'x'\n# \xff\n")
    with pytest.raises(PackError) as caught:
        RulePack.load(file)
    (problem,) = caught.value.diagnostics
    assert (problem.line, problem.column) == (2, 3)


def test_unknown_keys_of_gitleaks_refuse_their_rule(tmp_path: Path) -> None:
    """A key that nothing is known of may change what a rule finds: it is told, with the nearest
    known one.
    """
    text = (
        GOOD + "keyword = ['x']\nconfidence = 'high'\nseverity = 'low'\ntokenEfficiency = false\n"
    )
    (problem,) = problems(tmp_path, text)
    assert (problem.line, problem.rule_id, problem.hint) == (4, "good", "did you mean 'keywords'?")


def test_gitleaks_has_no_keys_with_underscores(tmp_path: Path) -> None:
    """What gitleaks does not know as secretGroup is none here either, but told; in our own dialect
    both are one key.
    """
    rule = "[[rules]]\nid = 'a'\nregex = '(x)(y)'\nsecret_group = 2\n"
    allowlist = "[[allowlists]]\nregexes = ['x']\nregex_target = 'line'\nTARGETRULES = ['a']\n"
    assert [(p.line, p.hint) for p in problems(tmp_path, rule + allowlist)] == [
        (4, "did you mean 'secretGroup'?"),
        (7, "did you mean 'regexTarget'?"),
    ]
    file = tmp_path / "pack.toml"
    file.write_text("schema = 1\n" + rule + allowlist)
    pack = RulePack.load(file)
    assert (pack["a"].secret_group, pack.allowlists[0].regex_target, pack.warnings) == (
        2,
        "line",
        (),
    )


def test_skip_report_leaves_a_rule_out(tmp_path: Path) -> None:
    """A rule that gitleaks would not report on its own is left out, with a warning."""
    file = tmp_path / "pack.toml"
    file.write_text(GOOD + "[[rules]]\nid = 'part'\nregex = 'y'\nskipReport = true\n")
    pack = RulePack.load(file)
    assert [rule.id for rule in pack] == ["good"]
    assert [w.rule_id for w in pack.warnings] == ["part"]


def test_missing_packs(tmp_path: Path) -> None:
    """A name that is neither a path nor a built-in pack is told with the names there are."""
    with pytest.raises(PackNotFoundError) as caught:
        RulePack.load(tmp_path / "absent.toml")
    assert "builtin" in caught.value.builtin
    with pytest.raises(PackNotFoundError):
        RulePack.load("builtin:no-such-pack")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackError, match="no rule files"):
        RulePack.load(tmp_path / "empty")
    (tmp_path / "rules.json").write_text("{}")
    with pytest.raises(PackError, match=r"cannot end in '\.json'"):
        RulePack.load(tmp_path / "rules.json")


def test_a_folder_tells_the_problems_of_all_its_files(tmp_path: Path) -> None:
    """A file that cannot be parsed does not hide what is wrong with its neighbours."""
    (tmp_path / "a.toml").write_text("= 1")
    (tmp_path / "b.yml").write_text("rules: [")
    (tmp_path / "c.toml").write_text(GOOD + "entropy = -1\n")
    with pytest.raises(PackError) as caught:
        RulePack.load(tmp_path)
    assert [Path(p.file).name for p in caught.value.diagnostics] == ["a.toml", "b.yml", "c.toml"]


def test_pack_errors_travel(tmp_path: Path) -> None:
    """The error is a usage error, and its problems survive pickling."""
    error = PackError(problems(tmp_path, "rules = 3\n"))
    assert isinstance(error, UsageError)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert again.diagnostics == error.diagnostics
    assert str(again) == str(error)


def test_from_patterns_tells_all_faults() -> None:
    """Every faulty regex of a plain mapping is told."""
    with pytest.raises(PackError) as caught:
        RulePack.from_patterns({"a": "(", "b": "x", "c": "[z-a]"})
    assert [p.rule_id for p in caught.value.diagnostics] == ["a", "c"]
