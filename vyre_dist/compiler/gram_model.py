"""GramModel: how often a window of byte classes occurs in ordinary text and source code.

The model is a table of 4-gram frequencies made by benchmarks/make_gram_model.py. Grams are folded
with `| 0x20`, as the prefilter folds its input: upper case becomes lower, and a few other bytes
fall together as well. The commonest grams are kept exactly. Of the others, those with the same
kinds of bytes in the same order share their mean rate: the sum over a wide window is right, a
single rare gram's rate is a guess. What is decided by these rates is in anchors.py and hashing.py.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import zlib
from collections.abc import Sequence

import msgpack
import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.errors import TableFormatError
from vyre_dist.regex import charclass

_SCHEMA = 1
_EXACT_GRAMS = 90_000
# Kinds of folded bytes; whatever is not listed (control and high bytes) is the last kind.
_KINDS = (
    b"0123456789", b"aeiou", b"tnsr", b"lhdc", b"mpfg", b"bywv", b"kxjqz", b" ", b"*", b"\x7f",
    b"\"'`", b"()[]{}<>", b".,;:", b"=+-/|&!%", b"#$?@\\~^)",
)  # fmt: skip
_BITS_PER_KIND = 4
# A rate is stored as -6 * log2(rate): steps of 12 %, down to 2^-42; the last value means never.
_STEPS_PER_OCTAVE = 6
_NEVER = 255

FOLD = 0x20
MAX_WINDOW = 4

Grams = npt.NDArray[np.uint32]
Rates = npt.NDArray[np.float64]


class GramModel:
    """Frequencies of folded 4-grams, and of single bytes; immutable."""

    def __init__(self, keys: Grams, exact: Rates, rest: Rates, single: Rates) -> None:
        self._keys = keys
        self._exact = exact
        self._rest = rest
        # Of each folded byte's occurrences, the share of each byte that folds to it.
        group = np.arange(256) | FOLD
        total = np.bincount(group, single, minlength=256)[group]
        self._given_fold = np.where(total > 0, single / np.where(total > 0, total, 1.0), 0.5)
        self._single = single
        self._shares: dict[int, float] = {}  # asked for again and again while probes are chosen

    @classmethod
    def from_bytes(cls, blob: bytes) -> GramModel:
        """The model that encode_grams wrote.

        Raises:
            TableFormatError: it is damaged or of another version.
        """
        try:
            fields = msgpack.unpackb(zlib.decompress(blob))
            schema = fields["schema"]
            gaps = np.frombuffer(fields["gaps"], "<u2").astype(np.uint64)
            tables = [
                _dequantized(np.frombuffer(fields[name], np.uint8)) for name in ("exact", "rest")
            ]
            single = np.frombuffer(fields["single"], "<f4").astype(np.float64)
        except (zlib.error, ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise TableFormatError("4-gram model", f"it can't be read ({error})") from error
        if schema != _SCHEMA or gaps.size != 2 * tables[0].size or single.size != 256:
            raise TableFormatError(
                "4-gram model", f"schema {schema} or its sizes are not those of {_SCHEMA}"
            )
        keys = np.cumsum(gaps[0::2] | gaps[1::2] << np.uint64(16)).astype(np.uint32)
        return cls(keys, tables[0], tables[1], single)

    def rates(self, grams: Grams) -> Rates:
        """The share of text positions at which each folded gram (first byte lowest) stands."""
        at = np.searchsorted(self._keys, grams)
        at[at == self._keys.size] = 0
        return np.where(self._keys[at] == grams, self._exact[at], self._rest[_kinds(grams)])

    def common(self) -> tuple[Grams, Rates]:
        """The exactly known grams, ascending, and their rates: most of what text consists of."""
        return self._keys, self._exact

    def byte_share(self, mask: int) -> float:
        """The share of text bytes that are in the class."""
        share = self._shares.get(mask)
        if share is None:
            share = self._shares[mask] = float(self._single[list(charclass.members(mask))].sum())
        return share

    def expected_rate(self, window: Sequence[int], *, fold: bool = True) -> float:
        """Expected hits of a window of 1..4 byte classes (256-bit masks), per byte of text.

        `fold`: with text and classes both folded, as the prefilter compares them. Without, only
        what the classes really hold is counted; letter case is then guessed from the least likely
        position.

        Raises:
            ValueError: the window is empty, longer than 4, or too wide to enumerate.
        """
        classes = [folded_bytes(mask) for mask in window]
        if not 1 <= len(classes) <= MAX_WINDOW:
            raise ValueError(f"a window has 1 to {MAX_WINDOW} classes, not {len(classes)}")
        if len(classes) < MAX_WINDOW:
            return self._short_rate(window, classes, fold)
        size = 1
        for members in classes:
            size *= len(members)
        if size > 1 << 20:
            raise ValueError(f"a window of {size} grams is too wide to price: 2^20 is the limit")
        if fold:
            return self.folded_rates([window])[0]
        rates = self.rates(cross(classes))
        return float(
            (rates.reshape([len(c) for c in reversed(classes)]) * self._case(window, classes)).sum()
        )

    def folded_rates(self, windows: Sequence[Sequence[int]]) -> list[float]:
        """`expected_rate` of many windows of four classes each, at once."""
        grams = [window_grams(window) for window in windows]
        if not grams:
            return []
        ends = np.cumsum([g.size for g in grams])
        return np.add.reduceat(self.rates(np.concatenate(grams)), np.append(0, ends[:-1])).tolist()  # type: ignore[no-any-return]

    def _case(
        self, window: Sequence[int], classes: Sequence[tuple[int, ...]]
    ) -> npt.NDArray[np.float64]:
        """Of each gram's spellings the share that the classes allow; axes from the last byte on."""
        weights = np.ones([1] * len(window))
        for index, (mask, members) in enumerate(zip(window, classes, strict=True)):
            own = [
                sum(self._given_fold[b] for b in {f, f ^ FOLD} if mask >> b & 1) for f in members
            ]
            shape = [1] * len(window)
            shape[len(window) - 1 - index] = len(own)
            weights = np.minimum(weights, np.array(own).reshape(shape))
        return weights

    def _short_rate(
        self, window: Sequence[int], classes: Sequence[tuple[int, ...]], fold: bool
    ) -> float:
        """The rate of a window of less than four bytes, from the grams that are known exactly."""
        inside = np.ones(self._keys.size, bool)
        weights = np.ones(self._keys.size)
        for index, (mask, members) in enumerate(zip(window, classes, strict=True)):
            allowed = np.zeros(256)
            for f in members:
                allowed[f] = (
                    1.0
                    if fold
                    else sum(self._given_fold[b] for b in {f, f ^ FOLD} if mask >> b & 1)
                )
            byte = self._keys >> np.uint32(8 * index) & np.uint32(255)
            inside &= allowed[byte] > 0
            weights = np.minimum(weights, allowed[byte])
        return float((self._exact * inside * weights).sum())


@functools.cache
def default_model() -> GramModel:
    """The model that ships with the package; read once per process."""
    return GramModel.from_bytes(_default_blob())


@functools.cache
def default_model_digest() -> str:
    """A hash of the shipped model: part of the key of whatever was compiled with it."""
    return hashlib.sha256(_default_blob()).hexdigest()[:16]


def _default_blob() -> bytes:
    return importlib.resources.files("vyre_dist.compiler").joinpath("data/grams.bin").read_bytes()


@functools.lru_cache(maxsize=4096)
def folded_bytes(mask: int) -> tuple[int, ...]:
    """The class's members after `| 0x20`, ascending and distinct."""
    return tuple(sorted({byte | FOLD for byte in charclass.members(mask)}))


@functools.lru_cache(maxsize=8192)
def _pairs(first: int, second: int) -> Grams:
    """The two-byte grams of two classes."""
    low, high = (np.array(folded_bytes(mask), np.uint32) for mask in (first, second))
    return (high[:, None] << np.uint32(8) | low[None, :]).ravel()


def window_grams(window: Sequence[int]) -> Grams:
    """Every folded gram that a window of four classes stands for (first byte lowest)."""
    low, high = _pairs(window[0], window[1]), _pairs(window[2], window[3])
    return (high[:, None] << np.uint32(16) | low[None, :]).ravel()


def cross(classes: Sequence[tuple[int, ...]]) -> Grams:
    """Every gram with one byte out of each class, first byte lowest and varying fastest."""
    grams = np.zeros(1, np.uint32)
    for index, members in enumerate(classes):
        grams = (
            np.array(members, np.uint32)[:, None] << np.uint32(8 * index) | grams[None, :]
        ).ravel()
    return grams


def encode_grams(grams: Grams, rates: Rates, single: Rates) -> bytes:
    """The model's file from distinct folded grams, their rates, and the rates of the 256 bytes."""
    by_rate = np.lexsort((grams, -rates))
    kept = np.sort(by_rate[:_EXACT_GRAMS])
    rest = by_rate[_EXACT_GRAMS:]
    keys = np.sort(grams[kept])
    wide = keys.astype(np.uint64)
    gaps = wide - np.append(np.zeros(1, np.uint64), wide[:-1])
    halves = np.stack((gaps & np.uint64(0xFFFF), gaps >> np.uint64(16)), axis=1).astype("<u2")
    cells = np.bincount(_kinds(grams[rest]), rates[rest], minlength=1 << 4 * _BITS_PER_KIND)
    sizes = np.bincount(
        _kind_table()[np.unique(np.arange(256) | FOLD)], minlength=1 << _BITS_PER_KIND
    )
    members = functools.reduce(np.multiply.outer, [sizes.astype(np.float64)] * 4).ravel()
    members -= np.bincount(_kinds(keys), minlength=members.size)
    fields = {
        "schema": _SCHEMA,
        "gaps": halves.tobytes(),
        "exact": _quantized(rates[kept][np.argsort(grams[kept])]).tobytes(),
        "rest": _quantized(cells / np.maximum(members, 1.0)).tobytes(),
        "single": single.astype("<f4").tobytes(),
    }
    return zlib.compress(msgpack.packb(fields), 9)


@functools.cache
def _kind_table() -> npt.NDArray[np.uint32]:
    table = np.full(256, len(_KINDS), np.uint32)
    for kind, members in enumerate(_KINDS):
        table[list(members)] = kind
    return table


def _kinds(grams: Grams) -> npt.NDArray[np.uint32]:
    """Four kinds as one number, that of the first byte lowest."""
    table = _kind_table()
    number = np.zeros(grams.shape, np.uint32)
    for index in range(MAX_WINDOW):
        kind = table[grams >> np.uint32(8 * index) & np.uint32(255)]
        number |= kind << np.uint32(_BITS_PER_KIND * index)
    return number


def _quantized(rates: Rates) -> npt.NDArray[np.uint8]:
    with np.errstate(divide="ignore"):
        steps = np.round(-_STEPS_PER_OCTAVE * np.log2(rates))
    return np.clip(steps, 0, _NEVER).astype(np.uint8)


def _dequantized(steps: npt.NDArray[np.uint8]) -> Rates:
    return np.where(steps == _NEVER, 0.0, np.exp2(steps / -float(_STEPS_PER_OCTAVE)))
