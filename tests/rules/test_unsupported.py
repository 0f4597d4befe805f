"""Packs that ask for more than there is here: refused by name, or left out on request, and never
misread.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from vyre_dist.rules import LeftOut, PackError, RulePack
from vyre_dist.rules.left_out import by_reason, lines

YAML_RULE = "- id: bad\n  name: Bad\n  pattern: x\n  "
YAML_GOOD = "rules:\n- id: good\n  name: Good\n  pattern: good_([0-9a-z]+)\n"
TOML_GOOD = "[[rules]]\nid = 'good'\nregex = 'good'\n"
TOML_RULE = "[[rules]]\nid = 'bad'\nregex = 'x'\n"


def load(folder: Path, text: str, name: str, *, skip: bool = False) -> RulePack:
    """`text` as a pack in the file `name`."""
    file = folder / name
    file.write_text(text)
    return RulePack.load(file, skip_unsupported=skip)


YAML_KEYS = {
    "pattern_requirements: {min_digits: 2}": "the key pattern_requirements",
    "pattern_requirements: {ignore_if_contains: [test]}": "the key pattern_requirements",
    "visible: false": "visible: false",
    "visible: no": "visible: false",
    "visible: 'False'": "visible: false",
    "confidence: low": "confidence: low",
    "confidence: Low": "confidence: low",
    "confidence: unheard-of": "confidence: unheard-of",
    "path: 'a'": "the key path",
    "betterleaks_filter: {kind: nil}": "the key betterleaks_filter",
    "noisy: true": "the key noisy",
    "min_entropi: 3": "the unknown key min_entropi",
    "keywords: [x]": "the unknown key keywords",
    "pattern: '(?<!a)x'": "a regex that RE2's syntax cannot say",
    "pattern: '(x)\\1'": "a regex that RE2's syntax cannot say",
    "pattern: '(?>x)'": "a regex that RE2's syntax cannot say",
    "pattern: 'x++'": "a regex that RE2's syntax cannot say",
}


@pytest.mark.parametrize("key", YAML_KEYS)
def test_a_yaml_key_that_changes_verdicts_refuses_its_rule(tmp_path: Path, key: str) -> None:
    """kingfisher's and titus' keys, unknown ones and other engines' regexes refuse their rule by
    name, or leave it out.
    """
    rule = YAML_RULE.replace("pattern: x\n  ", "") if key.startswith("pattern:") else YAML_RULE
    text = YAML_GOOD + rule + key + "\n"
    with pytest.raises(PackError) as caught:
        load(tmp_path, text, "pack.yml")
    (problem,) = caught.value.diagnostics
    assert (problem.rule_id, problem.unsupported) == ("bad", YAML_KEYS[key])
    assert "--skip-unsupported" in str(caught.value)
    pack = load(tmp_path, text, "pack.yml", skip=True)
    assert [rule.id for rule in pack] == ["good"]
    assert pack.left_out == (LeftOut("bad", YAML_KEYS[key], str(tmp_path / "pack.yml"), 5),)


@pytest.mark.parametrize(
    "key",
    [
        "visible: true",
        "confidence: medium",
        "confidence: HIGH",
        "pattern_requirements:",
        "pattern_requirements: {}",
        "min_entropy: 0",
        "min_entropy:",
        "validation: {type: Http}",
        "depends_on_rule: [{rule_id: other, variable: V}]",
        "prevalidated: true",
        "revocation: {type: AWS}",
        "tls_mode: lax",
        "base_score: 40",
        "description: what it is",
        "categories: [api]",
        "references: ['https://example.org']",
        "tags: [a]",
        "noisy: false",
    ],
)
def test_a_yaml_key_that_changes_nothing_is_read_past(tmp_path: Path, key: str) -> None:
    """Labels, validation and values that say nothing neither refuse a rule nor cause a warning."""
    pack = load(tmp_path, YAML_GOOD + YAML_RULE + key + "\n", "pack.yml")
    assert ([rule.id for rule in pack], pack.warnings, pack["bad"].entropy) == (
        ["good", "bad"],
        (),
        None,
    )


@pytest.mark.parametrize(
    ("pattern", "group"),
    [
        ("tok_[0-9a-z]+", 0),
        ("(a)(b)", 1),
        ("(a)(?P<word>b)(?P<token>c)", 3),
        ("(a)(?<first>b)(?P<second>c)", 2),
        ("(?:x|y)(a)|(b)", None),
        ("x(a)?", None),
        ("(?:x(a)){0,2}", None),
        ("(?:x(a)){1,2}", 1),
        ("(a)|(?P<TOKEN>b)", None),
        ("(?m)tok\\s", None),
    ],
)
def test_min_entropy_measures_what_kingfisher_measures(
    tmp_path: Path, pattern: str, group: int | None
) -> None:
    """min_entropy is ours of the group TOKEN, else the first named, else the first; where that is
    not sure it is refused.
    """
    text = YAML_GOOD + f"- id: e\n  name: E\n  pattern: '{pattern}'\n  min_entropy: 2.5\n"
    if group is None:
        with pytest.raises(PackError, match="rule 'e': min_entropy is not supported"):
            load(tmp_path, text, "pack.yml")
        return
    rule = load(tmp_path, text, "pack.yml")["e"]
    assert (rule.entropy, rule.secret_group) == (2.5, group)


@pytest.mark.parametrize("value", ["-1", ".inf", ".nan", "high", "[3]", "'3'"])
def test_min_entropy_must_be_a_number(tmp_path: Path, value: str) -> None:
    """Something else is a mistake, which --skip-unsupported does not excuse."""
    text = YAML_GOOD + YAML_RULE + f"min_entropy: {value}\n"
    with pytest.raises(PackError, match="min_entropy is"):
        load(tmp_path, text, "pack.yml", skip=True)


TOML_KEYS = {
    "filter = 'x'": "the key filter",
    "tokenEfficiency = true": "the key tokenEfficiency",
    "specificity = 200": "the key specificity",
    "[[rules.required]]\nid = 'good'": "the key required",
    "[[rules.components]]\nid = 'good'": "the key components",
    "[[rules.entropies]]\nMin = '3'": "the key entropies",
    "fileNameRegex = 'x'": "the unknown key fileNameRegex",
    "secret_group = 1": "the unknown key secret_group",
    "[[rules.allowlists]]\nresources = ['a']\npaths = ['b']": "the key resources",
    "[[rules.allowlists]]\npathz = ['a']\npaths = ['b']": "the unknown key pathz",
    "[[rules.allowlists]]\nregexes = ['(?=a)']": "a regex that RE2's syntax cannot say",
}


@pytest.mark.parametrize("key", TOML_KEYS)
def test_a_toml_key_that_changes_verdicts_refuses_its_rule(tmp_path: Path, key: str) -> None:
    """The same for gitleaks' and betterleaks' keys, of rules and of their allowlists."""
    text = TOML_GOOD + TOML_RULE + key + "\n"
    with pytest.raises(PackError) as caught:
        load(tmp_path, text, "pack.toml")
    (problem,) = caught.value.diagnostics
    assert (problem.rule_id, problem.unsupported) == ("bad", TOML_KEYS[key])
    pack = load(tmp_path, text, "pack.toml", skip=True)
    assert ([rule.id for rule in pack], by_reason(pack.left_out)) == (
        ["good"],
        {TOML_KEYS[key]: ("bad",)},
    )


@pytest.mark.parametrize(
    "key",
    ["filter = 'x'\n", "prefilter = 'x'\n", "[whitelist]\nfiles = ['x']\n", "[unheard]\nof = 1\n"],
)
def test_a_key_of_the_whole_pack_concerns_all_its_rules(tmp_path: Path, key: str) -> None:
    """A global filter that is not evaluated leaves out all rules of its file, and none of another
    one's.
    """
    (tmp_path / "a.toml").write_text(key + TOML_RULE)
    (tmp_path / "b.toml").write_text(TOML_GOOD)
    with pytest.raises(PackError) as caught:
        RulePack.load(tmp_path)
    assert [(p.rule_id, Path(p.file).name) for p in caught.value.diagnostics] == [("", "a.toml")]
    pack = RulePack.load(tmp_path, skip_unsupported=True)
    assert ([rule.id for rule in pack], [one.rule_id for one in pack.left_out]) == (
        ["good"],
        ["bad"],
    )
    with pytest.raises(PackError, match="no rules but such as are not supported: 1 rule left out"):
        RulePack.load(tmp_path / "a.toml", skip_unsupported=True)


def test_of_two_rules_with_one_id_the_later_is_kept(tmp_path: Path) -> None:
    """A repeated id is refused; on request the later rule is used, of one file, of a folder and of
    several packs.
    """
    twice = (
        TOML_GOOD
        + TOML_RULE
        + TOML_GOOD.replace("'good'\n", "'later'\n").replace("id = 'later'", "id = 'good'")
    )
    with pytest.raises(PackError, match="already taken"):
        load(tmp_path, twice, "pack.toml")
    pack = load(tmp_path, twice, "pack.toml", skip=True)
    assert [(rule.id, rule.regex) for rule in pack] == [("bad", "x"), ("good", "later")]
    assert [(one.rule_id, one.line) for one in pack.left_out] == [("good", 1)]
    files = [tmp_path / "one.toml", tmp_path / "two.toml"]
    for file in files:
        file.write_text(f"[[rules]]\nid = 'same'\nregex = '{file.stem}'\n")
    (rule,) = RulePack.load_all(files, skip_unsupported=True)
    assert rule.regex == "two"
    # a later one that is not supported is the one that counts, too
    files[1].write_text("[[rules]]\nid = 'same'\nregex = 'two'\nfilter = 'x'\n" + TOML_GOOD)
    assert [rule.id for rule in RulePack.load_all(files, skip_unsupported=True)] == ["good"]


def test_ids_repeat_in_packs_that_extend(tmp_path: Path) -> None:
    """An extended pack with a repeated id is merged with the later of them."""
    (tmp_path / "base.toml").write_text(
        TOML_GOOD + TOML_GOOD.replace("regex = 'good'", "regex = 'later'")
    )
    own = "[extend]\npath = 'base.toml'\n[[rules]]\nid = 'good'\ntags = ['t']\n"
    with pytest.raises(PackError, match="already taken"):
        load(tmp_path, own, "own.toml")
    (rule,) = load(tmp_path, own, "own.toml", skip=True)
    assert (rule.regex, rule.tags) == ("later", ("t",))


def test_a_rule_that_is_switched_off_is_not_refused(tmp_path: Path) -> None:
    """disabledRules takes out a base's unsupported rule before it could refuse the pack."""
    (tmp_path / "base.toml").write_text(TOML_GOOD + TOML_RULE + "filter = 'x'\n")
    own = "[extend]\npath = 'base.toml'\n"
    with pytest.raises(PackError, match="rule 'bad': filter is not supported"):
        load(tmp_path, own, "own.toml")
    pack = load(tmp_path, own + "disabledRules = ['bad']\n", "own.toml")
    assert ([rule.id for rule in pack], pack.left_out) == (["good"], ())


def test_an_allowlist_for_a_rule_that_was_left_out(tmp_path: Path) -> None:
    """Global allowlists may name rules that were left out, and do not become everybody's."""
    text = (
        TOML_GOOD
        + TOML_RULE
        + "filter = 'x'\n[[allowlists]]\ntargetRules = ['bad']\npaths = ['a']\n"
    )
    pack = load(tmp_path, text, "pack.toml", skip=True)
    assert (len(pack), pack.allowlists) == (1, ())


@pytest.mark.parametrize(
    "text", [TOML_GOOD + "entropy = -1\n", "[[rules]]\nid = 'a'\nregex = '('\n"]
)
def test_mistakes_are_not_excused(tmp_path: Path, text: str) -> None:
    """--skip-unsupported leaves out what does not exist here, not what is wrong."""
    with pytest.raises(PackError) as caught:
        load(tmp_path, text, "pack.toml", skip=True)
    assert "--skip-unsupported" not in str(caught.value)


SEMGREP = (
    "rules:\n- id: a\n  pattern: exec(...)\n  message: m\n  languages: [python]\n  severity: "
    "ERROR\n"
)
FOREIGN = {
    SEMGREP: "semgrep",
    "rules:\n- {id: a, patterns: [{pattern: 'f($X)'}], message: m}\n": "semgrep",
    "rules:\n- {id: a, pattern-either: [{pattern: x}]}\n": "semgrep",
    "rules:\n- {id: a, mode: taint, pattern-sources: [], pattern-sinks: []}\n": "semgrep",
    "rulesets:\n- {id: default, name: d, include_rule_ids: [good]}\n": "Nosey Parker rule set",
    "detectors:\n- {name: d, keywords: [k], regex: {a: x}}\n": "trufflehog",
    '{"version": "1.5.0", "plugins_used": [], "results": {}}\n': "detect-secrets",
    "disable-rules: [a]\nrules:\n- {id: a, regex: x, keywords: [k]}\n": "trivy",
    "rules:\n- {id: a, category: c, title: t, severity: HIGH, regex: x}\n": "another tool's format",
    "title: t\nlogsource: {product: linux}\ndetection: {condition: x}\n": "Sigma",
    "id: t\ninfo: {name: n}\nfile: []\n": "nuclei",
    "patterns:\n- pattern: {name: n, regex: x, confidence: high}\n": "another tool's format",
    "signatures:\n- {part: contents, regex: x}\n": "another tool's format",
    "services:\n  web: {image: x}\n": "no `rules:`",
}


@pytest.mark.parametrize("text", FOREIGN)
def test_files_of_other_tools_are_named(tmp_path: Path, text: str) -> None:
    """A YAML file whose rules mean something else is refused as what it is, and left out of a
    folder on request.
    """
    (tmp_path / "foreign.yaml").write_text(text)
    (tmp_path / "good.yml").write_text(YAML_GOOD)
    with pytest.raises(PackError) as caught:
        RulePack.load(tmp_path)
    (problem,) = caught.value.diagnostics
    assert FOREIGN[text] in problem.message
    pack = RulePack.load(tmp_path, skip_unsupported=True)
    assert ([rule.id for rule in pack], [one.rule_id for one in pack.left_out]) == (["good"], [""])
    assert f"all of {tmp_path / 'foreign.yaml'}" in lines(by_reason(pack.left_out))[0]
    with pytest.raises(PackError, match="no rules but such as are not supported"):
        RulePack.load(tmp_path / "foreign.yaml", skip_unsupported=True)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("pyproject.toml", "[project]\nname = 'x'\n", "a Python project's file"),
        ("rules.yar", "rule r { condition: true }\n", "YARA"),
        ("x.baseline", "{}", "detect-secrets"),
    ],
)
def test_other_files_are_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    """Files that are no pack by their ending or their tables are told as such."""
    with pytest.raises(PackError, match=words):
        load(tmp_path, text, name)


def test_what_was_left_out_travels_with_the_pack(tmp_path: Path) -> None:
    """A pickled pack still knows what it was loaded without."""
    pack = load(tmp_path, TOML_GOOD + TOML_RULE + "filter = 'x'\n", "pack.toml", skip=True)
    assert pickle.loads(pickle.dumps(pack)).left_out == pack.left_out != ()  # noqa: S301 (our own bytes)


def test_reasons_are_grouped_and_long_lists_cut() -> None:
    """One line a reason, the one with most rules first, with its first rules by name."""
    left_out = [LeftOut(f"r{i}", "the key filter") for i in range(10)] + [
        LeftOut("", "a semgrep pack", "s.yml")
    ]
    assert lines(by_reason(left_out)) == [
        "10 rules left out (the key filter): r0, r1, r2, r3, r4, r5, r6, r7 and 2 more",
        "1 rule left out (a semgrep pack): all of s.yml",
    ]
