"""Places in TOML files, checked against what tomllib reads there."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.rules.toml_spots import TomlPath, TomlSpots

TRICKY = (Path(__file__).parent / "tricky.toml").read_text()


def leaves(value: object, path: TomlPath = ()) -> Iterator[tuple[TomlPath, object]]:
    """Every value that is no table or list, with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def offset_of(text: str, place: tuple[int, int]) -> int:
    lines = text.split("\n")
    return sum(len(line) + 1 for line in lines[: place[0] - 1]) + place[1] - 1


def test_strings_are_found_where_they_stand() -> None:
    """Every string without escapes starts at the place that is told, whatever stands around it."""
    spots = TomlSpots(TRICKY)
    checked = 0
    for path, value in leaves(tomllib.loads(TRICKY)):
        if (
            isinstance(value, str)
            and '\\"' not in TRICKY.split("\n")[spots.line_column(path)[0] - 1]
        ):
            assert TRICKY.startswith(
                value, offset_of(TRICKY, spots.line_column_in(path, value, 0))
            ), path
            checked += 1
    assert checked == 20


def test_headers_are_told_by_line() -> None:
    """A table's place is its header; an index counts the headers of an array of tables."""
    spots = TomlSpots(TRICKY)
    lines = TRICKY.split("\n")
    first, second = (spots.line_column(("rules", index))[0] for index in (0, 1))
    assert [lines[n - 1 : n + 1] for n in (first, second)] == [
        ["[[rules]]", "id = 'one'"],
        ["[[rules]]", "id = 'two'"],
    ]
    assert spots.line_column(("rules", 1, "allowlists", 0))[0] > second
    assert spots.line_column(("rules", 1, "no such key")) == (second, 1)
    assert spots.line_column(("nothing",)) == (0, 0)


def test_an_escaped_string_falls_back_to_its_key() -> None:
    """Within a string that is written with escapes, the key's place is told."""
    spots = TomlSpots('a = 1\n b = "x\\ty"\n')
    assert spots.line_column_in(("b",), "x\ty", 2) == (2, 2)
    assert spots.line_column_in(("a",), "1", 0) == (1, 1)


texts = st.text(st.sampled_from("ab'\"[]#=,{}\n .\\"), max_size=12)


def written(value: str, style: int) -> str:
    """`value` as a TOML string, in one of the styles that can hold it."""
    if style == 0 and "'" not in value and "\n" not in value:
        return f"'{value}'"
    if style == 1 and "'''" not in value:
        return f"'''\n{value}'''" if not value.endswith("'") else f"'''\n{value} '''"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"""{escaped}"""' if style == 2 else f'"{escaped}"'


@given(st.lists(st.tuples(texts, st.integers(0, 3), st.integers(0, 2)), max_size=8))
def test_any_mix_of_strings_is_followed(items: list[tuple[str, int, int]]) -> None:
    """However strings are quoted and nested, every leaf of the document has a place of its own, in
    order.
    """
    text = ""
    for index, (value, style, form) in enumerate(items):
        string = written(value, style)
        forms = (
            f"k = {string} # ' \"\n",
            f"k = [ 1, # ]\n {string}, ]\n",
            f"k = {{ a = {string}, b = 1 }}\n",
        )
        text += f"[[rules]]\nid = {index}\n{forms[form]}"
    document = tomllib.loads(text)
    spots = TomlSpots(text)
    places = []
    for path, value in leaves(document):
        places.append(spots.line_column(path))
        if isinstance(value, str) and not set(value) & set('"\\\n'):
            assert text.startswith(value, offset_of(text, spots.line_column_in(path, value, 0)))
    assert places == sorted(set(places))
    for index in range(len(items)):
        line, column = spots.line_column(("rules", index))
        assert (text.split("\n")[line], column) == (f"id = {index}", 1)


@pytest.mark.parametrize(
    "pack", sorted((Path(__file__).parents[2] / "vyre_dist/rules/builtin").glob("*.toml"))
)
def test_builtin_packs_are_followed(pack: Path) -> None:
    """In the built-in packs, every regex is found at the place that is told for it."""
    text = pack.read_text()
    spots = TomlSpots(text)
    rules = tomllib.loads(text)["rules"]
    assert rules
    for index, rule in enumerate(rules):
        line, _ = spots.line_column(("rules", index))
        assert text.split("\n")[line - 1].startswith("[[rules]]")
        if "regex" in rule:
            assert text.split("\n")[spots.line_column(("rules", index, "regex"))[0] - 1].startswith(
                "regex"
            )
