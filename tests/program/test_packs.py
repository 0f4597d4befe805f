"""load_pack: what it keeps of a pack, and what it must read anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from vyre_dist.program import ArtifactCache
from vyre_dist.program.packs import load_pack
from vyre_dist.rules import RulePack

RULES = "[[rules]]\nid = '{0}'\nregex = '{0}'\n"


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(str(tmp_path / "cache"))


def kept(cache: ArtifactCache) -> int:
    """How many packs lie in the cache."""
    assert cache.directory is not None
    folder = Path(cache.directory, "rules")
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.parametrize(
    "extend",
    [
        "[extend]\npath = 'base.toml'\n",
        "[ 'extend' ]\npath = 'base.toml'\n",
        "extend.path = 'base.toml'\n",
        "[Extend]\nPath = 'base.toml'\n",
        "EXTEND = {path = 'base.toml'}\n",
        "[[extend]]\npath = 'base.toml'\n",
        "\"\\u0065xtend\" = {path = 'base.toml'}\n",
    ],
)
@pytest.mark.parametrize("schema", ["", "schema = 1\n"])
def test_a_changed_base_is_seen(
    extend: str, schema: str, tmp_path: Path, cache: ArtifactCache
) -> None:
    """However a pack says that it extends another, a change of that one's file counts from the next
    load on.
    """
    base, own = tmp_path / "base.toml", tmp_path / "own.toml"
    own.write_text(schema + extend + RULES.format("own"))
    for rule in ("one", "two"):
        base.write_text(RULES.format(rule))
        for _ in range(2):
            data, warnings = load_pack([own], cache)
            assert ([rule.id for rule in data.rules], warnings) == ([rule, "own"], ())
    assert kept(cache) == 0


def test_plain_packs_come_from_the_cache(
    tmp_path: Path, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack whose files are all named is read once while they stay the same, also where they speak
    of `extend`.
    """
    files = [tmp_path / "a.toml", tmp_path / "b.toml"]
    files[0].write_text("# [extend]\n" + RULES.format("a") + "description = '''\n[extend]\n'''\n")
    files[1].write_text(RULES.format("b"))
    read = []
    load_all = RulePack.load_all
    monkeypatch.setattr(RulePack, "load_all", lambda names: read.append(names) or load_all(names))
    first, _ = load_pack(files, cache)
    assert load_pack(files, cache) == (first, ())
    assert (len(read), kept(cache)) == (1, 1)
    files[1].write_text(RULES.format("c"))
    assert [rule.id for rule in load_pack(files, cache)[0].rules] == ["a", "c"]
    assert len(read) == 2


def test_a_file_that_changes_while_it_is_loaded_is_not_kept(
    tmp_path: Path, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content that was saved between the look at the file and its loading never counts as what the
    file held before.
    """
    file = tmp_path / "a.toml"
    file.write_text(RULES.format("old"))
    load_all = RulePack.load_all

    def saved_meanwhile(names: list[Path]) -> RulePack:
        file.write_text(RULES.format("new"))
        return load_all(names)

    with monkeypatch.context() as patched:
        patched.setattr(RulePack, "load_all", saved_meanwhile)
        assert [rule.id for rule in load_pack([file], cache)[0].rules] == ["new"]
    assert kept(cache) == 0
    file.write_text(RULES.format("old"))
    assert [rule.id for rule in load_pack([file], cache)[0].rules] == ["old"]
