"""compile_pack: what it keeps, what it refuses by name, and that its cache changes nothing."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner

from vyre_dist import Scanner, UsageError
from vyre_dist.cli.main import cli
from vyre_dist.program import ArtifactCache, RulesRefusedError, compile_pack
from vyre_dist.program.compiled import MAX_MATCH_BYTES_LIMIT
from vyre_dist.rules import RulePack
from vyre_dist.rules.model import PackData, Rule

# A class of 128 ranges, 300 000 times: more instructions than google-re2 takes, whatever its
# memory.
TOO_LARGE = ("[" + "".join(f"\\x{byte:02x}" for byte in range(0, 256, 2)) + "]{1000}") * 300

FINE = Rule("fine", "abc")
REFUSED = {
    "too-large": (
        Rule("too-large", TOO_LARGE),
        "google-re2 refuses the regex, given 1024 MiB of memory",
    ),
    "syntax": (Rule("syntax", "a(b"), "missing"),
    "repeat": (Rule("repeat", "(?:(a)|b){1200}"), "exceeds RE2's limit"),
    "cap": (Rule("cap", "a+", max_match_bytes=MAX_MATCH_BYTES_LIMIT + 1), "at most 1073741824"),
}


def as_pack(*rules: Rule) -> PackData:
    return PackData("p", rules)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_refused_by_name(name: str, backend: str) -> None:
    """A rule that cannot be used keeps a Scanner from being made, and the error names it and the
    reason.
    """
    rule, reason = REFUSED[name]
    with pytest.raises(RulesRefusedError) as caught:
        Scanner(as_pack(FINE, rule), backend)
    [(rule_id, why)] = caught.value.refused
    assert rule_id == name
    assert reason in why
    assert name in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_all_refused_rules_are_named() -> None:
    """One error names every rule that is refused, and travels between processes."""
    with pytest.raises(RulesRefusedError) as caught:
        compile_pack(as_pack(FINE, *(rule for rule, _ in REFUSED.values())))
    assert [rule_id for rule_id, _ in caught.value.refused] == list(REFUSED)
    assert pickle.loads(pickle.dumps(caught.value)).refused == caught.value.refused  # noqa: S301


def test_rules_check_reports_what_is_refused(tmp_path: Path) -> None:
    """`rules check` names a rule that only the compiler can refuse, says why, and looks at the
    others.
    """
    (tmp_path / "p.toml").write_text(
        "[[rules]]\nid = 'large'\nregex = '''"
        + TOO_LARGE
        + "'''\n[[rules]]\nid = 'fine'\nregex = 'abc'\n"
    )
    done = CliRunner().invoke(
        cli, ["rules", "check", str(tmp_path / "p.toml")], standalone_mode=False
    )
    assert done.return_value == 2
    assert "BAD large" in done.output
    assert "google-re2 refuses the regex" in done.output
    assert "ok  fine" in done.output


def test_widths_and_caps() -> None:
    """Only a rule of unbounded width is cut, at its own cap or the engine's; the overlap covers the
    widest.
    """
    rules = (
        Rule("a", "a{5}b?"),
        Rule("b", "a+"),
        Rule("c", "b+", max_match_bytes=7),
        Rule("d", "(?:a{100}){30}"),
    )
    compiled = compile_pack(as_pack(*rules, Rule("path", None, path="x")), max_match_bytes=50)
    assert [(r.index, r.min_width, r.max_width, r.cap) for r in compiled.rules] == [
        (0, 5, 6, 6),
        (1, 1, None, 50),
        (2, 1, None, 7),
        (3, 3000, 3000, 3000),
    ]
    assert compiled.overlap == 3001
    assert compile_pack(as_pack()).overlap == 1


KEYWORDS = [
    (Rule("r", "[0-9]{8}", keywords=("word", "Other")), b"word"),
    (Rule("r", "[0-9]{8}"), None),  # no keyword
    (Rule("r", "[0-9]{8}", keywords=("word", "abc")), None),  # a short keyword is in every document
    (Rule("r", "word[0-9]{8}", keywords=("word",)), None),  # its own literal is as good
    (Rule("r", "[0-9]{8}x", keywords=("word",)), b"word"),  # one byte is not
]


@pytest.mark.parametrize(("rule", "keywords"), KEYWORDS)
def test_keywords_stand_in_for_dear_regexes_only(rule: Rule, keywords: bytes | None) -> None:
    """A rule without a literal to search for gets its keywords as a pattern, in either case."""
    import re

    [compiled] = compile_pack(as_pack(rule)).rules
    if keywords is None:
        assert compiled.keyword_pattern is None
    else:
        assert compiled.keyword_pattern is not None
        assert all(
            re.search(compiled.keyword_pattern, text)
            for text in (keywords, keywords.upper(), b"-" + keywords.title())
        )
        assert not re.search(compiled.keyword_pattern, keywords[1:])


def test_cached_pack_is_the_same(tmp_path: Path) -> None:
    """What comes from the cache equals what was put in; another cap is another artifact, as is
    another rule.
    """
    cache = ArtifactCache(str(tmp_path))
    pack = RulePack.builtin().data
    fresh = compile_pack(pack)
    assert compile_pack(pack, cache=cache) == fresh
    assert compile_pack(pack, cache=cache) == fresh
    assert compile_pack(pack, cache=cache, max_match_bytes=9) == compile_pack(
        pack, max_match_bytes=9
    )
    assert compile_pack(as_pack(FINE), cache=cache) == compile_pack(as_pack(FINE))
    assert len(list((tmp_path / "pack").iterdir())) == 3


@pytest.mark.parametrize("stored", [b"", b"\x91\x90", b"\x91\x81\xa5index\x00", b"\xc1"])
def test_stored_rules_of_another_layout_are_a_miss(tmp_path: Path, stored: bytes) -> None:
    """What another version stored under the same key is compiled anew and overwritten."""
    cache, pack = ArtifactCache(str(tmp_path)), as_pack(FINE)
    fresh = compile_pack(pack, cache=cache)
    cache.put("pack", fresh.key, stored)
    assert compile_pack(pack, cache=cache) == fresh
    assert cache.get("pack", fresh.key) != stored


def test_refusals_are_not_cached(tmp_path: Path) -> None:
    """A pack that was refused is refused again."""
    cache = ArtifactCache(str(tmp_path))
    for _ in range(2):
        with pytest.raises(RulesRefusedError):
            compile_pack(as_pack(REFUSED["syntax"][0]), cache=cache)
    assert not list(tmp_path.iterdir())
