"""KeywordSearch says what the filters say of a lower-case copy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("hyperscan")

from vyre_dist.kernels.keyword_search import KeywordSearch

# letters of both cases, what looks like a letter of another case without being one, and what
# Hyperscan's syntax is made of
LETTERS = st.sampled_from(
    [
        b"k",
        b"K",
        b"\xe2\x84\xaa",
        b"@",
        b"`",
        b"[",
        b"{",
        b"\\",
        b".",
        b"*",
        b"\x00",
        b"\xff",
        b"\n",
    ]
)
WORDS = st.lists(LETTERS, min_size=1, max_size=4).map(b"".join).map(bytes.lower)


@given(
    keywords=st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=1, max_size=3),
    texts=st.lists(st.lists(LETTERS, max_size=12).map(b"".join), min_size=1, max_size=8),
)
def test_as_in_a_lower_case_copy(keywords: list[list[bytes]], texts: list[bytes]) -> None:
    """A rule's keyword is found where one of them is in the text's lower case, and nowhere else."""
    search = KeywordSearch(keywords)
    for text in texts:
        for rule, words in enumerate(keywords):
            assert search.found(rule, text) == any(word in text.lower() for word in words), (
                words,
                text,
            )


def test_at_every_place() -> None:
    """Wherever it lies, the last byte included; and half of it is nothing."""
    search = KeywordSearch([[b"api_key", b"token"]])
    for at in range(300):
        for after in (0, 1, 40):
            assert search.found(0, b"." * at + b"API_Key" + b"." * after)
            assert search.found(0, b"." * at + b"tokEN" + b"." * after)
            assert not search.found(0, b"." * at + b"API_Ke" + b"." * after)
