"""Real packs of other tools: what the loaders make of them, against numbers taken from the
files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from vyre_dist.rules import CompiledFilters, PackError, RulePack, check_pack
from vyre_dist.rules.left_out import by_reason

DATA = Path(__file__).parents[3] / "shared" / "data"
GITLEAKS = DATA / "gitleaks.toml"
NOSEYPARKER = DATA / "noseyparker"

# condition, target, and how many paths, regexes and stop words
GENERIC = [
    ("OR", "secret", 0, 1, 0),
    ("OR", "match", 0, 1, 1446),
    ("OR", "line", 0, 2, 0),
    ("AND", "line", 4, 3, 0),
]

LATER = DATA.parent / "later" / "packs-data"
KINGFISHER = LATER / "kingfisher" / "rules"
BETTERLEAKS = LATER / "betterleaks"

needs_gitleaks = pytest.mark.skipif(
    not GITLEAKS.exists(), reason="third-party data absent: gitleaks.toml"
)
needs_noseyparker = pytest.mark.skipif(
    not NOSEYPARKER.exists(), reason="third-party data absent: noseyparker"
)
needs_living_packs = pytest.mark.skipif(
    not LATER.exists(), reason="third-party data absent: kingfisher and betterleaks"
)


@pytest.fixture(scope="module")
def gitleaks() -> RulePack:
    return RulePack.load(GITLEAKS)


@pytest.fixture(scope="module")
def noseyparker() -> RulePack:
    return RulePack.load(NOSEYPARKER)


@needs_gitleaks
def test_gitleaks_counts(gitleaks: RulePack) -> None:
    """The gitleaks pack has 222 rules, one of them with a path only, and as many filters as its
    file has lines for.
    """
    assert len(gitleaks) == 222
    assert sum(regex is not None for regex in gitleaks.regexes) == 221
    assert sum(rule.entropy is not None for rule in gitleaks) == 130
    assert sum(bool(rule.keywords) for rule in gitleaks) == 221
    assert sum(len(rule.allowlists) for rule in gitleaks) == 13
    assert sum(rule.path is not None for rule in gitleaks) == 5
    assert {rule.id: rule.secret_group for rule in gitleaks if rule.secret_group} == {
        "sonar-api-token": 2
    }
    assert gitleaks.warnings == ()
    assert gitleaks.dialect == "gitleaks"


@needs_gitleaks
def test_gitleaks_fields(gitleaks: RulePack) -> None:
    """Rules carry what their file says, in file order, and know their line in it."""
    first = gitleaks.rules[0]
    assert (first.id, first.entropy, first.keywords) == ("1password-secret-key", 3.8, ("a3-",))
    lines = GITLEAKS.read_text().splitlines()
    for rule in gitleaks:
        assert lines[rule.origin.line - 1] == "[[rules]]"
        assert lines[rule.origin.line] == f'id = "{rule.id}"'
    assert gitleaks["pkcs12-file"].regex is None
    assert gitleaks["pkcs12-file"].path == r"(?i)(?:^|\/)[^\/]+\.p(?:12|fx)$"
    curl = gitleaks["curl-auth-header"]
    assert (curl.keywords, curl.entropy) == (("curl",), 2.75)
    generic = gitleaks["generic-api-key"].allowlists
    shape = [
        (a.condition, a.regex_target, len(a.paths), len(a.regexes), len(a.stopwords))
        for a in generic
    ]
    assert shape == GENERIC
    (only,) = gitleaks.allowlists
    assert (len(only.paths), only.condition, only.target_rules) == (25, "OR", ())
    assert only.stopwords == ("014df517-39d1-4453-b7b3-9930c563627c", "abcdefghijklmnopqrstuvwxyz")


@needs_gitleaks
def test_gitleaks_rules_are_usable(gitleaks: RulePack) -> None:
    """Every gitleaks regex compiles in google-re2 and matches nothing shorter than ten bytes."""
    reports = check_pack(gitleaks)
    assert [report.rule_id for report in reports if not report.ok] == []
    assert all(report.re2_memory for report in reports if report.rule_id != "pkcs12-file")
    assert not any(report.nullable for report in reports)
    assert min(report.min_width for report in reports if report.rule_id != "pkcs12-file") == 10


@needs_gitleaks
@pytest.mark.parametrize(
    ("path", "skipped"),
    [
        ("src/main.c", False),
        ("img/logo.PNG", True),
        ("web/node_modules/left-pad/index.js", True),
        ("gitleaks.toml", True),
        ("a/go.sum", True),
        ("deploy/key.pfx", False),
        ("", False),
        ("bad\udcff.jpg", True),
    ],
)
def test_gitleaks_paths(gitleaks: RulePack, path: str, skipped: bool) -> None:
    """The global allowlist's paths take whole documents out, and nothing else does."""
    assert CompiledFilters(gitleaks).document_skipped(path) is skipped


@needs_gitleaks
def test_gitleaks_path_rules(gitleaks: RulePack) -> None:
    """A rule with a path pattern applies to the paths it matches; one with a path only reports such
    files.
    """
    filters = CompiledFilters(gitleaks)
    pkcs12, nuget = gitleaks.index_of("pkcs12-file"), gitleaks.index_of("nuget-config-password")
    assert filters.rule_applies_to_path(pkcs12, "a/b.p12")
    assert not filters.rule_applies_to_path(pkcs12, "a/b.p13")
    assert filters.rule_applies_to_path(nuget, "x/NuGet.Config")
    assert not filters.rule_applies_to_path(nuget, "x/nuget.conf")


@needs_noseyparker
def test_noseyparker_counts(noseyparker: RulePack) -> None:
    """The Nosey Parker rules are 189, with unique ids, the descriptions being their names, and no
    filters.
    """
    assert len(noseyparker) == 189
    assert noseyparker["np.aws.1"].description == "AWS API Key"
    assert noseyparker["np.aws.1"].tags == ("api", "identifier")
    assert noseyparker.dialect == "noseyparker"
    assert noseyparker.warnings == ()
    assert not any(rule.keywords or rule.entropy or rule.allowlists for rule in noseyparker)


@needs_noseyparker
def test_noseyparker_examples(noseyparker: RulePack) -> None:
    """All 430 examples match their rule's regex, and none of the 144 negative ones does."""
    reports = check_pack(noseyparker)
    assert sum(report.examples for report in reports) == 430
    assert sum(report.negative_examples for report in reports) == 144
    wrong = {
        r.rule_id: (r.missed_examples, r.matched_negatives, r.problems) for r in reports if not r.ok
    }
    assert wrong == {}


@needs_noseyparker
def test_noseyparker_single_file() -> None:
    """A single YAML file is a pack of its own, and rules know their lines."""
    pack = RulePack.load(NOSEYPARKER / "aws.yml")
    assert pack.name == "aws"
    lines = (NOSEYPARKER / "aws.yml").read_text().splitlines()
    for rule in pack:
        assert lines[rule.origin.line - 1] == f"- name: {rule.description}"


@needs_living_packs
def test_kingfishers_rules() -> None:
    """Of kingfisher's rules those are refused that ask for more; the others know their entropy, and
    no warning is left.
    """
    with pytest.raises(PackError) as caught:
        RulePack.load(KINGFISHER)
    assert all(problem.unsupported for problem in caught.value.diagnostics)
    pack = RulePack.load(KINGFISHER, skip_unsupported=True)
    counts = {reason: len(rules) for reason, rules in by_reason(pack.left_out).items()}
    assert counts == {
        "confidence: low": 7,
        "visible: false": 6,
        "its id is taken again further on": 3,
        "min_entropy of a text that is chosen otherwise here": 2,
        "visible: false and min_entropy of a text that is chosen otherwise here": 1,
    }
    assert (len(pack), pack.warnings) == (131, ())
    assert sum(rule.entropy is not None for rule in pack) > 120


@needs_living_packs
@pytest.mark.parametrize(
    ("version", "rules", "left_out"),
    [("v1.1.2", 253, 4), ("v1.2.0", 0, 0), ("v1.7.0", 0, 0), ("v2.0.0-rc.4-shown", 0, 0)],
)
def test_betterleaks_packs(version: str, rules: int, left_out: int) -> None:
    """As docs/rule-packs.md says: of v1.1 a few rules are refused, from v1.2.0 on all of them."""
    file = BETTERLEAKS / f"betterleaks-{version}.toml"
    with pytest.raises(PackError):
        RulePack.load(file)
    if not rules:
        with pytest.raises(PackError, match="no rules but such as are not supported"):
            RulePack.load(file, skip_unsupported=True)
        return
    pack = RulePack.load(file, skip_unsupported=True)
    assert (len(pack), len(pack.left_out)) == (rules, left_out)
