"""FileNames: a list of names in all that is asked of it, whatever the names are."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.sources import FileNames

NAMES = st.lists(st.binary(max_size=9).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"\n"))))


@given(names=NAMES, start=st.integers(-4, 9), end=st.integers(-4, 9))
def test_it_is_the_list_that_it_was_made_of(names: list[str], start: int, end: int) -> None:
    """By length, place, part and order; and as bytes, which name the files on disk."""
    packed = FileNames.of(names)
    assert len(packed) == len(names)
    assert list(packed) == names and packed == names and names == packed
    assert packed != [*names, "more"]
    assert packed[start:end] == names[start:end] == list(packed[start:end])
    assert [packed[place] for place in range(-len(names), len(names))] == names * 2
    assert packed.raw == list(map(os.fsencode, names))
    again = FileNames(packed.packed)
    assert again == packed == FileNames.of(packed) and len(again) == len(names)
    assert (packed == FileNames.of([*names, ""])) is False


def test_what_is_no_list_of_names_is_refused() -> None:
    """Bytes that break off in a name, and a name that would be two."""
    with pytest.raises(ValueError, match=r"end in b'a.+b', not in a NUL"):
        FileNames(b"a\0b")
    with pytest.raises(ValueError, match="with a NUL in it"):
        FileNames.of(["a", "b\0c"])
