"""Probes: what is asked of the bytes around a window."""

from __future__ import annotations

import pytest

from vyre_dist.compiler import compile_rule, default_model
from vyre_dist.compiler.probes import MAX_PROBES, Probe
from vyre_dist.regex import charclass, parse

LOWER_HEX = charclass.of(b"0123456789abcdef")


def probes_of(pattern: str) -> tuple[tuple[Probe, ...], ...]:
    return compile_rule(parse(pattern).root, default_model()).probes


@pytest.mark.parametrize("pattern", ["xqzj[0-9a-f]{16}", "return[0-9a-f]{16}"])
def test_rare_and_common_windows_have_probes(pattern: str) -> None:
    """Whatever the model says of a window, as many bytes beside it are looked at as there is room
    for.
    """
    for probes in probes_of(pattern):
        assert len(probes) == MAX_PROBES
        assert any(probe.mask == LOWER_HEX for probe in probes)


@pytest.mark.parametrize("pattern", ["xqzj", "(?i)xqzj", "(?i)xqzj(?:[0-9]{9})?"])
def test_only_what_every_match_has(pattern: str) -> None:
    """No probe lies outside of the shortest match: bytes that a match may end before are not asked
    for.
    """
    for probes in probes_of(pattern):
        assert all(-4 < probe.offset < 4 for probe in probes)


def test_letter_case_is_news() -> None:
    """Windows are folded, so that the case of their letters is asked for where the expression says
    which.
    """
    assert any(probe.mask == charclass.of(b"Q") for probes in probes_of("xQzj") for probe in probes)
    assert not any(
        probe.mask == charclass.of(b"Zz") for probes in probes_of("(?i)xqzj") for probe in probes
    )
