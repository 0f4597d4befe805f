"""Tunables and programs: what is refused, what survives a round trip, what a key depends on."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vyre_dist import UsageError
from vyre_dist.autotune.choice import Choice
from vyre_dist.compiler import PackTables, compile_tables
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import bitmap_positions, candidates
from vyre_dist.compiler.codec import decode_tables, encode_tables, tables_digest
from vyre_dist.compiler.hashing import BITMAP_BITS, make_bitmap
from vyre_dist.dispatch.keys import AutotuneKey
from vyre_dist.program.scan_program import KINDS, ScanProgram
from vyre_dist.program.tunables import MAX_BITMAP_BITS, Tunables
from vyre_dist.regex import parse

ROOT = Path(__file__).parents[2]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"threads": 0}, "threads must be an int from 32 to 1024, found 0"),
    ({"threads": 2048}, "found 2048"),
    ({"threads": 48}, "multiple of 32"),
    ({"threads": 256.0}, "threads must be an int"),
    ({"threads": True}, "threads must be an int"),
    ({"unroll": 0}, "unroll must be"),
    ({"unroll": 8}, "unroll must be an int from 1 to 4, found 8"),
    ({"tile_bytes": 20_000}, "power of two, found 20000"),
    ({"tile_bytes": 1 << 30}, "tile_bytes must be"),
    ({"bitmap_bits": 21}, "bitmap_bits must be an int from 10 to 20"),
    ({"blocks_per_sm": 0}, "blocks_per_sm must be"),
]

OTHERS: list[dict[str, Any]] = [
    {"threads": 128},
    {"unroll": 2},
    {"tile_bytes": 32 << 10},
    {"bitmap_bits": 18},
    {"blocks_per_sm": 3},
]


@pytest.mark.parametrize(("values", "reason"), REFUSED)
def test_refused_values(values: dict[str, Any], reason: str) -> None:
    """A value out of its range is refused, with what was found and what is allowed."""
    with pytest.raises(UsageError) as caught:
        Tunables(**values)
    assert reason in str(caught.value)


def test_every_field_has_another_value_here() -> None:
    """The alternatives below cover each field once."""
    assert [name for values in OTHERS for name in values] == [
        f.name for f in dataclasses.fields(Tunables)
    ]


def test_round_trips() -> None:
    """Tunables and programs come back from plain values and from bytes as they were."""
    for values, kind in product([{}, *OTHERS], KINDS):
        tunables = Tunables(**values)
        assert Tunables.from_plain(list(tunables.plain())) == tunables
        for own, engine in product((tunables, None), ("", "re2 1")):
            program = ScanProgram(kind, "3:abc:65536", own, engine)
            assert ScanProgram.from_bytes(program.to_bytes()) == program
            assert program.to_bytes() == ScanProgram(kind, "3:abc:65536", own, engine).to_bytes()


@pytest.mark.parametrize(
    "plain", [None, [], [256, 1, 16384, 19], [256, 1, 16384, 19, "2"], [1] * 6]
)
def test_other_plain_values(plain: Any) -> None:
    """What Tunables.plain() does not give is refused."""
    with pytest.raises(UsageError):
        Tunables.from_plain(plain)


def test_damaged_programs_are_refused() -> None:
    """Wherever one byte changes, or the end is missing, the program is refused."""
    blob = ScanProgram("fused", "key", Tunables()).to_bytes()
    for at in range(len(blob)):
        with pytest.raises(UsageError):
            ScanProgram.from_bytes(blob[:at] + bytes([blob[at] ^ 0x20]) + blob[at + 1 :])
        with pytest.raises(UsageError):
            ScanProgram.from_bytes(blob[:at])
    with pytest.raises(UsageError):
        ScanProgram("prefilters", "key")  # type: ignore[arg-type]


def test_keys_tell_programs_apart() -> None:
    """Kind, pack, engine and each tunable change the key, and the folded key of the autotune store
    too; a program without tunables has a key of its own.
    """
    programs = [
        ScanProgram(kind, pack, tunables, engine)
        for kind, pack, tunables, engine in product(KINDS, "ab", (Tunables(), None), ("", "re2 1"))
    ]
    programs += [ScanProgram("fused", "a", Tunables(**values)) for values in OTHERS]
    assert len({program.spec_key for program in programs}) == len(programs)
    assert len({AutotuneKey.of(program.spec_key, "adapter") for program in programs}) == len(
        programs
    )
    for tunables, threads in ((Tunables(), 256), (None, 1)):
        fused = ScanProgram("fused", "a", tunables).spec_key
        assert fused.workgroup_size == (threads, 1, 1)
        prefilter = ScanProgram("prefilter", "a", tunables).spec_key
        assert prefilter.binding_sig == fused.binding_sig
        assert prefilter.spec_hash == fused.spec_hash
        assert ScanProgram("fused", "b", tunables).spec_key.shader_hash == fused.shader_hash


def test_what_a_key_is_made_of() -> None:
    """The tables stand for the pack that they were made of; what they are read by counts, and no
    version.
    """
    one = ScanProgram("fused", "a", Tunables(), tables="t", sources="s")
    assert one.spec_key == ScanProgram("fused", "b", Tunables(), tables="t", sources="s").spec_key
    others = [
        ScanProgram("fused", "a", Tunables(), tables=tables, sources=sources)
        for tables, sources in (("", "s"), ("u", "s"), ("t", "s2"), ("t", ""))
    ]
    assert len({one.spec_key, *(other.spec_key for other in others)}) == 5
    assert ScanProgram.from_bytes(one.to_bytes()) == one


def test_a_choices_tunables() -> None:
    """What it names is changed, and nothing else; what can't be is refused."""
    own = Tunables(threads=512)
    chosen = own.with_choice(Choice.of(unroll=2, lane="serial"))
    assert chosen == dataclasses.replace(own, unroll=2)
    for choice in (Choice.of(unroll=9), Choice.of(unroll="2")):
        with pytest.raises(UsageError, match="unroll"):
            own.with_choice(choice)


def test_a_tables_digest(tables: PackTables) -> None:
    """Of all that is in them."""
    assert tables_digest(tables) == tables_digest(decode_tables(encode_tables(tables)))
    others = {tables_digest(tables)}
    for field in dataclasses.fields(PackTables):
        value = getattr(tables, field.name)
        if isinstance(value, np.ndarray) and value.size:
            changed = value.copy()
            changed.view(np.uint8).reshape(-1)[0] ^= 1
        else:
            continue
        others.add(tables_digest(dataclasses.replace(tables, **{field.name: changed})))
    assert len(others) > 10


def test_keys_do_not_depend_on_the_process() -> None:
    """Another process, with other hash seeds, computes the same key."""
    script = (
        "from vyre_dist.program.scan_program import ScanProgram; "
        "from vyre_dist.program.tunables import Tunables; "
        "print(ScanProgram('fused', 'a', Tunables()).spec_key)"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert keys == {str(ScanProgram("fused", "a", Tunables()).spec_key)}


@pytest.fixture(scope="module")
def tables() -> PackTables:
    return compile_tables(
        [parse(p).root for p in ("tok_[0-9]{4}", "xqzj", r"key\s*=\s*\w{4}")]
    ).tables


@pytest.mark.parametrize("bits", [10, 15, 18, 19, MAX_BITMAP_BITS])
def test_bitmaps_of_other_sizes_lose_no_candidate(tables: PackTables, bits: int) -> None:
    """Whatever size of the bitmap tunables ask for, candidates are the same; the bitmap's hits are
    not.
    """
    text = np.random.default_rng(1).integers(0, 256, 50_000, np.uint8)
    arena = Arena.lay_out([b"tok_1234 key = abcd " * 9, bytes(text), b"xqzj"])
    other = dataclasses.replace(tables, bitmap=make_bitmap(tables.grams, tables.multiplier, bits))
    assert other.bitmap.size == 1 << bits - 3
    wide, found = candidates(tables, arena), candidates(other, arena)
    assert wide.positions.size >= 18
    assert all(np.array_equal(a, b) for a, b in zip(wide, found, strict=True))
    hits = [bitmap_positions(t, arena.data).size for t in (tables, other)]
    assert hits[1] > hits[0] if bits < 16 else hits[1] <= 2 * hits[0]
    assert bits in range(BITMAP_BITS - 10, MAX_BITMAP_BITS + 1)
