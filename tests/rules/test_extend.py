"""[extend]: one pack on top of another."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from vyre_dist.rules import PackError, RulePack, builtin_names

BASE = """\
title = "base"
[[rules]]
id = "one"
description = "first"
regex = "one(x)(y)"
secretGroup = 1
entropy = 2.5
keywords = ["One"]
tags = ["t1"]
[[rules.allowlists]]
stopwords = ["BASE"]
[[rules]]
id = "two"
regex = "two"
[[allowlists]]
paths = ["base"]
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    file = tmp_path / "base.toml"
    file.write_text(BASE)
    return file


def extended(base: Path, text: str, name: str = "own.toml") -> RulePack:
    """Load `text` as a file beside the base."""
    file = base.parent / name
    file.write_text(text)
    return RulePack.load(file)


def test_own_values_win_and_lists_are_appended(base: Path) -> None:
    """An own rule with a base rule's id changes what it states and adds to the lists; the rest
    stays.
    """
    pack = extended(
        base,
        "[extend]\npath = 'base.toml'\n[[rules]]\nid = 'three'\nregex = 'three'\n"
        "[[rules]]\nid = 'one'\nentropy = 3\nkeywords = ['uno', 'one']\ntags = ['t2']\n"
        "[[rules.allowlists]]\nstopwords = ['own']\n[allowlist]\npaths = ['own']\n",
    )
    assert [rule.id for rule in pack] == ["one", "two", "three"]
    one = pack["one"]
    assert (one.regex, one.secret_group, one.description) == ("one(x)(y)", 1, "first")
    assert (one.entropy, one.keywords, one.tags) == (3.0, ("one", "uno"), ("t1", "t2"))
    assert [a.stopwords for a in one.allowlists] == [("base",), ("own",)]
    assert [a.paths for a in pack.allowlists] == [("base",), ("own",)]
    assert one.origin.file.endswith("own.toml")
    assert pack["two"].origin.file.endswith("base.toml")


def test_checks_see_the_merged_rule(base: Path) -> None:
    """A secret group is checked against the regex that results, whichever file it comes from."""
    with pytest.raises(PackError, match="secret group 1 asked for, the regex has 0 groups"):
        extended(base, "[extend]\npath = 'base.toml'\n[[rules]]\nid = 'one'\nregex = 'plain'\n")


@pytest.mark.parametrize("extending", ["", "disabledRules = ['n']\n"])
@pytest.mark.parametrize("where", ["own", "base"])
def test_ids_are_unique_in_packs_that_extend(base: Path, where: str, extending: str) -> None:
    """Two rules with one id are refused in a pack that extends and in one that is extended, as they
    are in any other.
    """
    twice = "[[rules]]\nid = 'n'\nregex = 'a'\n[[rules]]\nid = 'n'\nregex = 'b'\n"
    text = "[extend]\npath = 'base.toml'\n" + extending
    if where == "own":
        text += twice
    else:
        base.write_text(twice)
        text += "[[rules]]\nid = 'o'\nregex = 'o'\n"
    with pytest.raises(PackError, match="already taken") as caught:
        extended(base, text)
    (problem,) = caught.value.diagnostics
    assert (Path(problem.file).stem, problem.rule_id) == (where, "n")


def test_disabled_rules(base: Path) -> None:
    """Disabled rules of the base are gone; an id that the base does not have is a warning with the
    nearest one.
    """
    pack = extended(base, "[extend]\npath = 'base.toml'\ndisabledRules = ['one', 'twoo']\n")
    assert [rule.id for rule in pack] == ["two"]
    assert [str(w) for w in pack.warnings if "did you mean 'two'?" in str(w)]


def test_a_disabled_rule_that_an_allowlist_targets(base: Path) -> None:
    """It is gone from the allowlist, too, beside other packs and below a further level; one with no
    other target is gone.
    """
    base.write_text(
        BASE + '[[allowlists]]\ntargetRules = ["two", "one"]\nregexes = ["both"]\n'
        '[[allowlists]]\ntargetRules = ["two"]\nregexes = ["gone"]\n'
    )
    text = "[extend]\npath = 'base.toml'\ndisabledRules = ['two']\n"
    other = base.parent / "other.toml"
    other.write_text("[[rules]]\nid = 'else'\nregex = 'else'\n")
    above = "[extend]\npath = 'own.toml'\n"
    for pack in (
        extended(base, text),
        RulePack.load_all([base.parent / "own.toml", other]),
        extended(base, above, "above.toml"),
    ):
        targets = [a.target_rules for a in pack.allowlists if a.regexes]
        assert "two" not in [rule.id for rule in pack] and targets == [("one",)]


def test_an_own_rule_survives_its_disabled_namesake(base: Path) -> None:
    """Disabling a base rule leaves an own rule of that id as it is written, unmerged."""
    pack = extended(
        base,
        "[extend]\npath = 'base.toml'\ndisabledRules = ['one']\n[[rules]]\nid = 'one'\nregex = "
        "'mine'\n",
    )
    assert (pack["one"].regex, pack["one"].entropy) == ("mine", None)


def test_enabled_false_takes_out_a_base_rule(base: Path) -> None:
    """In our own dialect, `enabled = false` takes a rule out, and allowlists may still name it."""
    pack = extended(
        base,
        "schema = 1\n[extend]\npath = 'base.toml'\n[[rules]]\nid = 'one'\nenabled = false\n"
        "[[allowlists]]\ntarget_rules = ['one']\nstopwords = ['x']\n",
    )
    assert [rule.id for rule in pack] == ["two"]
    assert [a.paths for a in pack.allowlists] == [("base",)]


def test_targets_in_the_base(base: Path) -> None:
    """A global allowlist may target a rule that comes from the base."""
    text = (
        "[extend]\npath = 'base.toml'\n[[allowlists]]\ntargetRules = ['two']\nstopwords = ['x']\n"
    )
    pack = extended(base, text)
    assert pack.allowlists[1].target_rules == ("two",)


def test_keywords_for_a_base_rule_with_a_path_only(base: Path) -> None:
    """Keywords that an override adds to a rule that has only a path are refused, unless it adds a
    regex, too.
    """
    base.write_text("[[rules]]\nid = 'file'\npath = 'x'\n")
    own = "[extend]\npath = 'base.toml'\n[[rules]]\nid = 'file'\nkeywords = ['k']\n"
    with pytest.raises(PackError, match="has keywords and no regex") as caught:
        extended(base, own)
    assert caught.value.diagnostics[0].line == 3
    assert extended(base, own + "regex = 'y'\n")["file"].keywords == ("k",)


def test_a_pack_knows_that_it_extends(base: Path) -> None:
    """A pack knows whether files take part that were not named, and does not forget it when it
    travels.
    """
    assert not RulePack.load(base).extends
    for pack in (
        extended(base, "[extend]\npath = 'base.toml'\n"),
        RulePack.load_all([base.parent / "own.toml"]),
    ):
        assert pickle.loads(pickle.dumps(pack)).extends  # noqa: S301 (our own bytes)


def test_a_rule_without_its_base_is_told(base: Path) -> None:
    """An override whose base rule is missing is a problem that points at [extend]."""
    with pytest.raises(PackError, match="neither regex nor path") as caught:
        extended(base, "[extend]\npath = 'base.toml'\n[[rules]]\nid = 'on'\nentropy = 3\n")
    assert "[extend]" in caught.value.diagnostics[0].hint


def test_two_levels_but_not_three(base: Path) -> None:
    """Packs extend each other two deep, as in gitleaks; a third level is a problem instead of being
    passed over.
    """
    extended(
        base, "[extend]\npath = 'base.toml'\n[[rules]]\nid = 'm'\nregex = 'm'\n", "middle.toml"
    )
    pack = extended(base, "[extend]\npath = 'middle.toml'\n", "top.toml")
    assert [rule.id for rule in pack] == ["one", "two", "m"]
    with pytest.raises(PackError, match="more than 2 deep"):
        extended(base, "[extend]\npath = 'top.toml'\n", "roof.toml")


def test_circles(base: Path) -> None:
    """Packs that extend each other in a circle are told by name, and a pack that extends itself is
    such a circle.
    """
    with pytest.raises(PackError, match=r"circle: self\.toml -> self\.toml"):
        extended(base, "[extend]\npath = 'self.toml'\n", "self.toml")
    (base.parent / "b.toml").write_text("[extend]\npath = 'a.toml'\n")
    with pytest.raises(PackError, match=r"circle: a\.toml -> b\.toml -> a\.toml"):
        extended(base, "[extend]\npath = 'b.toml'\n", "a.toml")


def test_a_missing_base(base: Path) -> None:
    """A base that is not there is a problem at the [extend] table."""
    with pytest.raises(PackError, match=r"'gone\.toml' does not exist") as caught:
        extended(base, "title = 'x'\n[extend]\npath = 'gone.toml'\n")
    assert caught.value.diagnostics[0].line == 2


def test_paths_are_looked_up_beside_the_file_first(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path means the file's folder, and the current folder only where nothing is
    there.
    """
    elsewhere = base.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "base.toml").write_text("[[rules]]\nid = 'wrong'\nregex = 'x'\n")
    (elsewhere / "here.toml").write_text("[[rules]]\nid = 'here'\nregex = 'x'\n")
    monkeypatch.chdir(elsewhere)
    assert "one" in extended(base, "[extend]\npath = 'base.toml'\n")
    assert "here" in extended(base, "[extend]\npath = 'here.toml'\n")


def test_a_yaml_base(base: Path) -> None:
    """The base may be of another format."""
    (base.parent / "np.yml").write_text("rules:\n- id: np.1\n  name: n\n  pattern: abc\n")
    pack = extended(base, "[extend]\npath = 'np.yml'\n[[rules]]\nid = 'np.1'\nentropy = 1\n")
    assert (pack["np.1"].regex, pack["np.1"].entropy) == ("abc", 1.0)


def test_use_default_is_the_builtin_pack(base: Path) -> None:
    """useDefault stands for our own built-in packs, with a warning that says so."""
    pack = extended(base, "[extend]\nuseDefault = true\n[[rules]]\nid = 'mine'\nregex = 'mine'\n")
    assert [rule.id for rule in pack] == [*(rule.id for rule in RulePack.builtin()), "mine"]
    assert any("useDefault" in str(w) for w in pack.warnings)


def test_builtin_names() -> None:
    """Every built-in pack loads under its own name, and together they are the built-in pack."""
    names = builtin_names()
    assert names[0] == "builtin"
    assert len(names) > 1
    ids = [rule.id for name in names[1:] for rule in RulePack.load(name)]
    assert ids == [rule.id for rule in RulePack.builtin()]
    assert RulePack.load("builtin") == RulePack.builtin()
