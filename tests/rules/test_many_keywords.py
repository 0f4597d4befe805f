"""Keywords that are looked for all at once are found wherever one search after the other does."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from vyre_dist import RulePack
from vyre_dist.rules import filters, many_keywords
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.many_keywords import ManyKeywords
from vyre_dist.rules.model import Rule

LETTERS = b"abc\n.\xc3\xa4\x00\xff"


@pytest.mark.parametrize("seed", range(40))
def test_random_words_and_texts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few letters, so that many begin alike; at every place, across the seams of steps."""
    rng = random.Random(seed)
    monkeypatch.setattr(many_keywords, "_STEP", rng.choice([1, 2, 3, 7, 1 << 18]))
    least = rng.choice([1, 2, 3, 3])
    words = [bytes(rng.choices(LETTERS, k=rng.randint(least, 7))) for _ in range(rng.randint(1, 9))]
    search = ManyKeywords(words)
    outcomes = set()
    for _ in range(60):
        text = bytes(rng.choices(LETTERS, k=rng.randrange(30)))
        if rng.random() < 0.3:
            text += rng.choice(words) + text[: rng.randrange(4)]
        outcomes.add(wanted := any(word in text for word in words))
        assert search.any_in(text) == wanted, (words, text)
    assert True in outcomes


def test_one_byte_less_is_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a text, and where a step ends."""
    monkeypatch.setattr(many_keywords, "_STEP", 8)
    search = ManyKeywords([b"secret", b"token"])
    for at in range(20):
        assert search.any_in(b"." * at + b"secret")
        assert not search.any_in(b"." * at + b"secre")
        assert not search.any_in(b"." * at + b"secre.t" + b"." * at)


def test_filters_look_for_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From so many on, whatever a keyword's letter case is."""
    many = tuple(f"Word_{number}" for number in range(filters._MANY))
    rules = Rule("few", "x", keywords=("Abc",)), Rule("many", "x", keywords=many)
    own = CompiledFilters(replace(RulePack.from_patterns({"x": "x"}).data, rules=rules))
    asked: list[bytes] = []
    any_in = ManyKeywords.any_in

    def noted(self: ManyKeywords, text: bytes) -> bool:
        asked.append(text)
        return any_in(self, text)

    monkeypatch.setattr(ManyKeywords, "any_in", noted)
    assert own.has_keyword(0, b"an abc") and not own.has_keyword(0, b"word_7")
    assert not asked
    assert own.has_keyword(1, b"a word_7.") and not own.has_keyword(1, b"a word.")
    assert asked == [b"a word_7.", b"a word."]
