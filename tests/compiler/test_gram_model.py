"""The 4-gram model: its rates are those of text, its windows are priced as the prefilter hits."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
import pytest

from vyre_dist.compiler import GramModel, TableFormatError, default_model
from vyre_dist.compiler.gram_model import cross, encode_grams, folded_bytes
from vyre_dist.regex import charclass


def window(*classes: bytes) -> tuple[int, ...]:
    return tuple(charclass.of(members) for members in classes)


def literal(text: bytes) -> tuple[int, ...]:
    return window(*(bytes([byte]) for byte in text))


@pytest.fixture(scope="module")
def source_code() -> np.ndarray:
    """Some of Python's own library."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(folder.glob("*.py"))[:120]
    assert len(files) > 50
    return np.frombuffer(b"".join(file.read_bytes() for file in files), np.uint8)


def counted_rate(text: np.ndarray, classes: tuple[int, ...], *, fold: bool) -> float:
    hit = np.ones(text.size - 3, bool)
    for place, mask in enumerate(classes):
        table = np.zeros(256, bool)
        table[list(charclass.members(mask))] = True
        if fold:
            table = np.isin(np.arange(256) | 0x20, np.flatnonzero(table) | 0x20)
        hit &= table[text[place : text.size - 3 + place]]
    return float(hit.mean())


def test_the_model_fits_in_the_wheel() -> None:
    """The shipped model is at most 300 KB and holds tens of thousands of grams that make up most of
    text.
    """
    keys, rates = default_model().common()
    assert keys.size >= 50_000
    assert np.all(keys[1:] > keys[:-1])
    assert np.all(keys & 0x20202020 == 0x20202020)
    assert 0.75 < rates.sum() < 1.0


@pytest.mark.parametrize(
    "text", [b"self", b"impo", b"    ", b"the ", b"retu", b"name", b"key=", b"toke"]
)
def test_rates_of_source_code(source_code: np.ndarray, text: bytes) -> None:
    """Common words are expected about as often as Python's library has them (within a factor of
    8).
    """
    expected = default_model().expected_rate(literal(text))
    assert 1 / 8 < expected / counted_rate(source_code, literal(text), fold=True) < 8


def test_rates_of_classes(source_code: np.ndarray) -> None:
    """A class window's rate is about what is counted, folded and not, for two, three and four
    bytes.
    """
    lower, upper = bytes(range(0x61, 0x7B)), bytes(range(0x41, 0x5B))
    for classes, fold in [
        (window(lower, lower, lower, lower), True),
        (window(b".", lower, lower, b"("), True),
        (window(upper, upper, upper, upper), False),
        (window(b"kK", b"eE", b"yY"), True),
        (window(b"=", b"="), True),
    ]:
        expected = default_model().expected_rate(classes, fold=fold)
        counted = counted_rate(source_code, classes, fold=fold)
        assert 1 / 6 < expected / counted < 6, (classes, expected, counted)


def test_upper_case_is_rarer_than_folded() -> None:
    """Without folding a window in capitals is much rarer than the same letters in either case."""
    model = default_model()
    assert (
        model.expected_rate(literal(b"SELF"), fold=False)
        < model.expected_rate(literal(b"SELF")) / 5
    )
    assert model.expected_rate(literal(b"self"), fold=False) <= model.expected_rate(
        literal(b"self")
    )


def test_nonsense_is_rare() -> None:
    """What no text contains is expected less than once in a hundred thousand bytes."""
    assert default_model().expected_rate(literal(b"\x01q~\x02")) < 1e-5


def test_windows_that_cannot_be_priced() -> None:
    """Empty, long and very wide windows are refused."""
    model = default_model()
    wide = (charclass.ALL,) * 4
    for classes in ((), literal(b"abcde"), wide):
        with pytest.raises(ValueError):
            model.expected_rate(classes)


def test_cross_counts_every_gram() -> None:
    """The cross product of folded classes is every gram that the window can look like."""
    grams = cross([folded_bytes(mask) for mask in window(b"aAb", b"1", b"-", b"xyz")])
    spelled = {int(g).to_bytes(4, "little") for g in grams}
    assert spelled == {bytes([a, 0x31, 0x2D, x]) for a in b"ab" for x in b"xyz"}


def test_round_trip_and_damage() -> None:
    """A packed model comes back with its rates within 7 %; a damaged one is an error of its own
    kind.
    """
    rng = np.random.default_rng(5)
    grams = np.unique(rng.integers(0, 1 << 32, 5000, np.uint32) | np.uint32(0x20202020))
    rates = rng.random(grams.size) ** 8 + 1e-8
    rates /= rates.sum()
    blob = encode_grams(grams, rates, np.full(256, 1 / 256))
    back = GramModel.from_bytes(blob).rates(grams)
    assert np.all(np.abs(back / rates - 1) < 0.07)
    for broken in (b"", blob[:-20], blob[:40] + b"\0" + blob[41:]):
        with pytest.raises(TableFormatError):
            GramModel.from_bytes(broken)
