"""A SecretScreen drops only secrets that the rule's filters drop, and asks about few of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.extract import secret_screen as module
from vyre_dist.extract.secret_screen import SecretScreen
from vyre_dist.rules.byte_filters import byte_filters_of
from vyre_dist.rules.content_filters import Search
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.finder import Finder
from vyre_dist.rules.model import Allowlist, PackData, Rule

PATTERNS = (r"^a", r"b$", r"\bab\b", "a.b", r"^[ab]+$", r"(?i)aB", r"\Ba\B", "^$")


def screen_of(rule: Rule) -> tuple[CompiledFilters, SecretScreen]:
    pack = PackData("p", (rule,))
    filters = CompiledFilters(pack)
    return filters, SecretScreen(byte_filters_of(pack)[0], filters.contents[0].secrets)


@given(
    size=st.integers(0, 6),
    text=st.text("ab-\n", min_size=6, max_size=80).map(str.encode),
    entropy=st.sampled_from([None, 0.5, 1.0]),
    patterns=st.lists(st.sampled_from(PATTERNS), max_size=2),
    words=st.lists(st.sampled_from(["ab", "B-", "bb"]), max_size=2),
)
def test_what_is_dropped_is_dropped_by_the_filters(
    size: int, text: bytes, entropy: float | None, patterns: list[str], words: list[str]
) -> None:
    lists = (Allowlist(regexes=tuple(patterns), stopwords=tuple(words)),)
    allowlists = lists if patterns or words else ()
    rule = Rule("r", "(?s)(.*)", entropy=entropy, secret_group=1, allowlists=allowlists)
    filters, screen = screen_of(rule)
    at = np.arange(len(text) - size + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FEW_SECRETS", 1)
        kept = screen.kept(text, at, size)
    for start in at[~kept].tolist():
        secret = text[start : start + size]
        assert filters.judge(0, "p", secret, (secret,), lambda: b"") is None


def test_allowlists_are_asked_once_for_secrets_that_share_what_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of ten thousand secrets of five kinds eight at most are looked at one by one."""
    rule = Rule("r", "(?s)(.*)", allowlists=(Allowlist(regexes=("^x",), stopwords=("value",)),))
    _, screen = screen_of(rule)
    kinds = [b"value_%05d", b"no_value%03d", b"xx_xxxx%04d", b"%05dValue-", b"reported%03d"]
    texts = [(kind % (n % 1000))[:11].ljust(11, b"_") for kind in kinds for n in range(2000)]
    calls = []
    original = Finder.search

    def counted(self: Finder, *args: object) -> object:
        calls.append(args)
        return original(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Finder, "search", counted)
    kept = screen.kept(b"".join(texts), np.arange(len(texts)) * 11, 11)
    assert [text.startswith(b"reported") for text in texts] == kept.tolist()
    assert len(calls) <= 8
    assert isinstance(screen.allowed, Search)
