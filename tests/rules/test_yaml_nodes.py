"""YAML as Nosey Parker's descendants write it: anchors, merged maps, marks at the beginning."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from vyre_dist.rules import PackError, RulePack


def load(folder: Path, text: str) -> RulePack:
    """`text` as a pack."""
    (folder / "pack.yml").write_text(text)
    return RulePack.load(folder / "pack.yml")


MERGING = """\
x-defaults: &defaults
  min_entropy: 3.5
  confidence: medium
  categories: [api]
x-more: &more
  categories: [other]
  examples: [tok_0123456789abcdefghij]
rules:
- <<: *defaults
  id: one
  name: One
  pattern: &pattern tok_([0-9a-z]{20})
- <<: [*more, *defaults]
  id: two
  name: Two
  pattern: *pattern
  min_entropy: 4.5
- &whole
  id: three
  <<: {name: Three, pattern: x}
- <<: *whole
  id: four
"""


def test_merged_keys_are_read(tmp_path: Path) -> None:
    """`<<` brings a map's keys; the rule's own win, then those of the map that is named first."""
    pack = load(tmp_path, MERGING)
    shown = [(r.id, r.description, r.regex, r.entropy, r.tags, len(r.examples)) for r in pack]
    token = "tok_([0-9a-z]{20})"
    assert shown == [
        ("one", "One", token, 3.5, ("api",), 0),
        ("two", "Two", token, 4.5, ("other",), 1),
        ("three", "Three", "x", None, (), 0),
        ("four", "Three", "x", None, (), 0),
    ]
    assert pack.warnings == ()


def test_merged_keys_that_are_not_supported_refuse_each_rule(tmp_path: Path) -> None:
    """A key that comes by a merge counts as one that is written out."""
    text = (
        "x: &x {visible: false}\nrules:\n- {<<: *x, id: a, name: A, pattern: y}\n- {id: b, name: "
        "B, pattern: y}\n"
    )
    with pytest.raises(PackError) as caught:
        load(tmp_path, text)
    assert [problem.rule_id for problem in caught.value.diagnostics] == ["a"]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ("<<: 3\n  id: a", "<< merges a scalar"),
        ("<<: [[1]]\n  id: a", "<< merges a list"),
        ("id: a\n  name: b\n  name: c", "'name' is there twice"),
        ("id: a\n  [1]: c", "a key is a list"),
    ],
)
def test_what_cannot_be_merged_is_told(tmp_path: Path, entries: str, words: str) -> None:
    """A merge of something else than maps, a key that is written twice and one that is no word are
    problems.
    """
    with pytest.raises(PackError, match=words):
        load(tmp_path, f"rules:\n- {entries}\n  pattern: x\n")


def test_a_map_that_merges_itself_is_told(tmp_path: Path) -> None:
    """A circle of merges ends."""
    with pytest.raises(PackError, match="into itself"):
        load(tmp_path, "rules:\n- &a\n  <<: *a\n  id: a\n  pattern: x\n")


def test_merges_of_merges_take_no_time(tmp_path: Path) -> None:
    """Maps that merge the one before twice are gone through once each, not two to the power of
    their number times.
    """
    chain = "".join(f"x{i}: &x{i} {{<<: [*x{i - 1}, *x{i - 1}], k{i}: 1}}\n" for i in range(1, 60))
    text = f"x0: &x0 {{name: deep}}\n{chain}rules:\n- id: a\n  pattern: x\n  x-y: {{<<: *x59}}\n"
    with pytest.raises(PackError, match="unknown key 'x-y'"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pack.yml", "rules:\n- {id: a, name: é, pattern: é}\n"),
        ("pack.toml", "[[rules]]\nid = 'a'\ndescription = 'é'\nregex = 'é'\n"),
        ("native.toml", "schema = 1\n[[rules]]\nid = 'a'\ndescription = 'é'\nregex = 'é'\n"),
    ],
)
def test_a_byte_order_mark_is_read_past(tmp_path: Path, name: str, text: str) -> None:
    """A pack that an editor began with UTF-8's byte order mark is the pack without it, places
    included.
    """
    file = tmp_path / name
    file.write_bytes(codecs.BOM_UTF8 + text.encode())
    marked = RulePack.load(file)
    file.write_text(text)
    plain = RulePack.load(file)
    assert marked == plain
    assert marked["a"].origin == plain["a"].origin


def test_wide_characters_are_told(tmp_path: Path) -> None:
    """TOML in UTF-16, which some editors call Unicode, is refused by that name."""
    file = tmp_path / "pack.toml"
    file.write_text("[[rules]]\nid = 'a'\nregex = 'x'\n", encoding="utf-16")
    with pytest.raises(PackError, match="this one is UTF-16"):
        RulePack.load(file)
