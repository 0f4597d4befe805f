"""The registry of pack formats: one entry is all that loading needs to know of a format."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from vyre_dist.rules import PackError, RulePack, formats
from vyre_dist.rules.draft import PackDraft, RuleDraft
from vyre_dist.rules.merging import merge_rules
from vyre_dist.rules.model import Allowlist, Origin, Rule
from vyre_dist.rules.pack_format import PackFormat, PackSource


def read_json(source: PackSource) -> PackDraft:
    """`{"id": "regex", ...}`"""
    rules = json.loads(source.data)
    for regex in rules.values():
        source.patterns.check(regex)
    return PackDraft(
        source.name, "json", [RuleDraft(Rule(rule_id, regex)) for rule_id, regex in rules.items()]
    )


JSON = PackFormat("json", "JSON", (".json",), lambda source: source.data[:1] == b"{", read_json)


@pytest.fixture
def with_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, JSON))
    monkeypatch.setattr(formats, "ENDINGS", (*formats.ENDINGS, ".json"))


def test_a_further_format_is_one_entry(with_json: None, tmp_path: Path) -> None:
    """A format in the list is read, alone and beside other files, and named as the dialect."""
    (tmp_path / "a.json").write_text('{"token": "tok_[0-9]+"}')
    pack = RulePack.load(tmp_path / "a.json")
    assert (pack.dialect, [rule.id for rule in pack]) == ("json", ["token"])
    (tmp_path / "b.toml").write_text("[[rules]]\nid = 'key'\nregex = 'key=x'\n")
    both = RulePack.load_all([tmp_path / "a.json", tmp_path / "b.toml"])
    assert (both.dialect, sorted(rule.id for rule in both)) == ("mixed", ["key", "token"])


def test_what_no_format_recognises_has_no_rules(with_json: None, tmp_path: Path) -> None:
    """A file with a format's ending that the format does not recognise is refused."""
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(PackError, match="no rules"):
        RulePack.load(tmp_path / "a.json")


def test_endings_that_no_format_has(tmp_path: Path) -> None:
    """The refusal of another ending names those that there are."""
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(PackError) as caught:
        RulePack.load(tmp_path / "a.txt")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.hint == (
        "gitleaks and vyre packs end in .toml, Nosey Parker packs end in .yml or .yaml"
    )


def test_every_field_of_a_rule_is_merged() -> None:
    """Whatever an overriding rule has wins over the base's, lists are appended, nothing is lost."""
    origin = Origin("own.toml", 3)
    allowlists = (Allowlist(stopwords=("x",)),)
    own = Rule("r", "a", "d", "p", 2, 3.5, ("k",), ("t",), allowlists, ("e",), ("n",), 99, origin)
    base = Rule("r", "b", "c", "q", 1, 1.5, ("m", "k"), ("u",), (), ("f",), ("o",), 11)
    merged = merge_rules(own, base)
    for field in fields(Rule):
        mine, its = getattr(own, field.name), getattr(base, field.name)
        want = mine if not isinstance(mine, tuple) else its + mine
        assert getattr(merged, field.name) == (("m", "k") if field.name == "keywords" else want)
    nothing = Rule("r", None, origin=origin)
    assert merge_rules(nothing, base) == replace(base, origin=origin)
