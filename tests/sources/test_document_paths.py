"""How paths are written: what is removed, what stays, and that no two names are written alike."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.document_paths import path_on_disk, written_path


@pytest.mark.parametrize(
    ("given_path", "expected"),
    [
        ("src/a", "src/a"),
        ("./src/a", "src/a"),
        (".//src///a", "src/a"),
        ("././src/./././a", "src/a"),
        ("src/", "src"),
        ("src//", "src"),
        ("src/.", "src"),
        (".", "."),
        ("./", "."),
        (".//.", "."),
        ("/", "/"),
        ("//", "/"),
        ("/.", "/"),
        ("//srv/./a/", "/srv/a"),
        ("..", ".."),
        ("./..", ".."),
        ("./../src", "../src"),
        ("link/../a", "link/../a"),
        ("a/..", "a/.."),
        ("/a/../b", "/a/../b"),
        ("...", "..."),
        (".a/b.", ".a/b."),
        ("a./.b", "a./.b"),
        ("", ""),
        ("<stdin>", "<stdin>"),
        ("a\n/./b", "a\n/b"),
        ("\udcff/./\udcfe", "\udcff/\udcfe"),
        ("a!b", "a%21b"),
        ("!/./!", "%21/%21"),
        ("a%21b", "a%2521b"),
        ("a%25b", "a%2525b"),
        ("%2521", "%252521"),
        ("100%", "100%"),
        ("a%20b%2fc%", "a%20b%2fc%"),
        ("%2!", "%2%21"),
        ("%!", "%%21"),
        # a key is what it is: two slashes make another one of it
        ("s3://bucket//a/./b/", "s3://bucket//a/./b/"),
        ("gs://bucket/a!b%21", "gs://bucket/a!b%21"),
        ("https://host/a/../b//", "https://host/a/../b//"),
    ],
)
def test_a_path_is_written_in_one_form(given_path: str, expected: str) -> None:
    """`./`, `//` and a final `/` go, `..` and URLs stay, `!` is escaped."""
    assert written_path(given_path) == expected


names = st.text(st.sampled_from("!%215a/."), max_size=12) | st.text(max_size=8).map(
    lambda t: os.fsdecode(t.encode("utf-8", "surrogatepass"))
)


@given(names)
def test_what_is_on_disk_can_be_told_from_what_is_written(name: str) -> None:
    """The written form has no `!`, and says how the file is called."""
    name = name.replace("/", "|") + "x"
    for path in (name, f"d/{name}", f"../{name}/f"):
        assert "!" not in written_path(path)
        assert path_on_disk(written_path(path)) == path


@given(names, names)
def test_two_names_are_never_written_alike(one: str, other: str) -> None:
    """Different names of one folder have different written forms."""
    one, other = one.replace("/", "|") + "x", other.replace("/", "|") + "x"
    assert (written_path(one) == written_path(other)) == (one == other)
