"""How a rule is routed: here, where its pivots lie in its matches."""

from __future__ import annotations

import pytest

from vyre_dist.compiler.gram_model import default_model
from vyre_dist.compiler.routed_rule import MAX_BACK, compile_rule
from vyre_dist.regex import parse


@pytest.mark.parametrize(
    ("pattern", "back"),
    [
        # the rarest window lies behind an unbounded part; another one will do
        (r"curl .*--xqzj=", 4),
        (r"(?:curl|wget) .*--xqzj=[a-z]+", 4),
        (r"x?curl\s+(?:[a-z]{2,9}\s+)*xqzj", 5),
        (r"curl.{0,2000}xqzj", 4),
        # the rarest window is in reach
        (r"curl.{0,200}xqzj", 207),
        # what begins with anything has no other window
        (r"[a-z]+xqzj", None),
        (r"e[a-z0-9]*xqzj", None),
    ],
)
def test_pivots_are_in_reach_of_a_matchs_start(pattern: str, back: int | None) -> None:
    """So that the host need not search a document from its beginning for one row."""
    found = compile_rule(parse(pattern).root, default_model()).back
    assert (found is None) == (back is None)
    if back is not None:
        assert found is not None and found <= back <= MAX_BACK
