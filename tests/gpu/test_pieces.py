"""Pieces of documents on a GPU: their newlines, what tells their bytes from others, and matches in
the chain that begins where the piece's own starts do.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS, random_document

from vyre_dist import RulePack, Scanner
from vyre_dist.compiler import Arena
from vyre_dist.engine import content
from vyre_dist.engine.document import BytesDocument, window_of
from vyre_dist.engine.lines import NEWLINE_BLOCK, newlines_in
from vyre_dist.extract import DROPPED, Span, Window
from vyre_dist.extract.overrun import overrun_of
from vyre_dist.extract.window import whole
from vyre_dist.kernels.cuda import CudaBackend, DevicePack
from vyre_dist.kernels.cuda.backend import contents_of, owned_by
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.rows.layout import CONTENT_BLOCK, OPEN


def cut(rng: random.Random, text: bytes, overlap: int) -> list[Window]:
    """The text as windows that own it piece by piece, without gaps."""
    document, windows, at = BytesDocument(text, "x"), [], 0
    while at < len(text):
        end = min(len(text), at + rng.randrange(1, max(2, len(text))))
        windows.append(window_of(document, at, end, overlap))
        at = end
    return windows


def test_blocks_are_as_large_on_the_device() -> None:
    """The device counts lines and makes digests by the blocks of the host."""
    assert CONTENT_BLOCK == NEWLINE_BLOCK == content.BLOCK


@pytest.mark.parametrize("seed", range(3))
def test_newlines_and_digests_are_the_hosts(gpu: Gpu, seed: int) -> None:
    """Of pieces that begin and end anywhere, small and of several blocks, with whole documents and
    empty ones between them.
    """
    rng = random.Random(seed)
    pack = compile_pack(RulePack.from_patterns({"token": PATTERNS[0]}).data)
    lane = DevicePack(pack, ArtifactCache(None)).lane()
    windows: list[Window] = []
    for size in (0, 1, 5, 16, 63, 700, 65_535, 65_536, 65_537, 131_073, 200_001):
        text = bytes(rng.choices(b"\n\x0b\x8a\x00az", k=size))
        windows.append(whole(text))
        windows += cut(rng, text, rng.choice((1, 5, 40)))
    arena = Arena.lay_out(
        [w.data for w in windows], [w.base == 0 for w in windows], [w.at_end for w in windows]
    )
    arena = Arena(
        arena.data,
        arena.starts,
        arena.ends,
        arena.at_start,
        arena.at_end,
        owned_by(windows, arena.starts, arena.ends),
    )
    found = contents_of(windows, arena, lane.fused(arena).contents)
    assert set(found) == {w for w, window in enumerate(windows) if not window.is_whole}
    assert len(found) > 12
    for w, piece in found.items():
        window = windows[w]
        blocks = range(window.lo, window.hi, NEWLINE_BLOCK)
        want = [newlines_in(window.data, at, min(at + NEWLINE_BLOCK, window.hi)) for at in blocks]
        assert list(piece.newlines) == want
        assert piece.block_digests == content.block_sums(window.data)
    # a byte more or less, or in another place, is told
    text = bytearray(windows[-1].data)
    same = content.digest_of_blocks(len(text), content.block_sums(text))
    for other in (text[:-1], text + b"\0", bytes(text[1:] + text[:1])):
        assert content.digest_of_blocks(len(other), content.block_sums(other)) != same


def test_the_evidence_of_a_device_is_compared() -> None:
    """A digest of blocks is borne out by the same bytes, read in chunks, and by no others."""
    data = random.Random(5).randbytes(9_000_001)
    digest = content.digest_of_blocks(8_999_001, content.block_sums(data[1000:]))
    evidence = [
        content.Evidence(0, 1000, content.digest_of(data[:1000])),
        content.Evidence(1000, 9_000_001, digest),
    ]
    assert content.first_difference(evidence, BytesDocument(data, "f").read) is None
    for at, which in ((999, 0), (1000, 1), (9_000_000, 1)):
        changed = data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :]
        found = content.first_difference(evidence, BytesDocument(changed, "f").read)
        assert found == evidence[which]


@pytest.mark.parametrize("seed", range(4))
def test_the_device_settles_pieces(gpu: Gpu, seed: int) -> None:
    """Spans and groups of every piece are those of google-re2's chain from its first own start, and
    most of them need no search of the host.
    """
    rng = random.Random(seed)
    pack = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
    compiled = compile_pack(pack.data)
    backend = CudaBackend(compiled, ArtifactCache(None))
    windows: list[Window] = []
    for _ in range(gpu.amount(40, 12)):
        text = random_document(rng, 60)
        windows += cut(rng, text, compiled.overlap if rng.random() < 0.7 else 60)
        windows.append(whole(text))
    windows = [w for w in windows if w.at_end or len(w.data) - w.hi >= compiled.overlap]
    outcome = backend.run_fused(windows)
    for w, window in enumerate(windows):
        want = sorted(
            Span(start, rule, end, flags)
            for rule, matcher in backend.matchers.items()
            for start, end, flags in matcher.iter_matches(window)
        )
        assert [span for span in outcome.spans.get(w, []) if not span.flags] == want
    known = [
        (window, rule, start, groups)
        for w, by_rule in outcome.groups.items()
        for rule, starts in by_rule.items()
        for start, groups in starts.items()
        for window in (windows[w],)
        if not window.is_whole
    ]
    assert len(known) > gpu.amount(60, 15)
    for window, rule, start, groups in known:
        (end,) = (e for s, e, _ in backend.matchers[rule].iter_matches(window) if s == start)
        assert backend.matchers[rule].groups_at(bytes(window.data), start, end) == groups


@pytest.mark.parametrize("seed", range(4))
def test_matches_that_go_on_begin_where_the_device_says(gpu: Gpu, seed: int) -> None:
    """What a search of all of a piece finds to be open at its end is not below that offset, and the
    search from there finds the same.
    """
    rng = random.Random(seed)
    unbounded = [
        r"tok[\s\S]{4,}?end",
        r"begin [a-z ]*key=\w+",
        r"curl .*--user [a-z]+",
        r"key=[a-z0-9]{3,}",
        r"[a-z]+xqzj",
    ]
    pack = RulePack.from_patterns({f"u{i}": pattern for i, pattern in enumerate(unbounded)})
    compiled = compile_pack(pack.data, max_match_bytes=64)
    backend = CudaBackend(compiled, ArtifactCache(None))
    words = [b"tok", b"begin ", b"key=", b"curl ", b"--user ", b"abc", b"a1", b"x y ", b" z "] * 3
    words += [b"end", b"xqzj", b"\n", bytes(rng.choices(b".;:#", k=90))]
    windows: list[Window] = []
    for _ in range(gpu.amount(200, 40)):
        windows += cut(rng, b"".join(rng.choices(words, k=80)), compiled.overlap)
    outcome = backend.run_fused(windows)
    opened = narrowed = 0
    for w, piece in outcome.contents.items():
        window = windows[w]
        for rule, low in piece.open_lows.items():
            chain = [
                s for s in outcome.spans.get(w, []) if s.rule == rule and not s.flags & DROPPED
            ]
            found = [(span.start, span.end, span.flags) for span in chain]
            overrun = overrun_of(backend.matchers[rule])
            want = overrun.open_from(window, found)
            assert overrun.open_from(window, found, low) == want
            opened += want is not None
            narrowed += low > window.lo
    assert opened > 10 and narrowed > 10


@pytest.mark.parametrize("left", [1, 2, 9])
@pytest.mark.parametrize(
    "pattern",
    [
        r"secret:=[0-9a-c]{13};",
        r"secret:=[0-9a-c]{10,14};",
        r"secret:=[0-9a-c]{10,14}(?:;|\n)",
        r"secret:=[0-9a-c]+;?",
        r"secret.*",
    ],
)
def test_a_match_that_ends_with_the_document(gpu: Gpu, pattern: str, left: int) -> None:
    """It begins in a piece whose window ends there, too, though the next piece owns the end."""
    del gpu
    pack = RulePack.from_patterns({"r": pattern})
    text = b"abcdefghi\n" * 40 + b"secret:=0123456789abc;"
    want = Scanner(pack, backend="cpu").scan(text)
    assert [(found.start, found.end) for found in want] == [(400, 422)]
    assert Scanner(pack, backend="cuda", shard_bytes=len(text) - left).scan(text) == want


def test_rows_of_pieces_are_seldom_left_open(gpu: Gpu) -> None:
    """A text of matches that is cut in the middle of them leaves the host a few rows at borders."""
    pack = compile_pack(RulePack.from_patterns({"token": r"tok_[a-z0-9]{12}\b"}).data)
    lane = DevicePack(pack, ArtifactCache(None)).lane()
    text = b"".join(b"key = tok_%012d;\n" % number for number in range(gpu.amount(20_000, 600)))
    windows = cut(random.Random(1), text, pack.overlap)
    assert len(windows) > 1
    arena = Arena.lay_out(
        [w.data for w in windows], [w.base == 0 for w in windows], [w.at_end for w in windows]
    )
    owned = owned_by(windows, arena.starts, arena.ends)
    found = lane.fused(
        Arena(arena.data, arena.starts, arena.ends, arena.at_start, arena.at_end, owned)
    )
    assert found.matches is not None
    assert np.count_nonzero(found.matches["status"] == OPEN) <= 2 * len(windows)


def test_split_files_give_the_findings_of_whole_ones(gpu: Gpu, tmp_path: Path) -> None:
    """Byte filters drop matches at borders of pieces, and the chains stay those of the file."""
    rng = random.Random(8)
    pack = tmp_path / "p.toml"
    pack.write_text(
        "schema = 1\nname = 'x'\n[[rules]]\nid = 'r'\nregex = '''k=([a-c]{2,9}[ab]+)'''\n"
        "secret_group = 1\nentropy = 1.4\nkeywords = ['k=']\n"
    )
    text = b"".join(
        b"k=" + bytes(rng.choices(b"abc", k=rng.randrange(3, 14))) + rng.choice((b"", b" ", b"\n"))
        for _ in range(gpu.amount(4000, 300))
    )
    (tmp_path / "f").write_bytes(text)
    want = Scanner(pack, backend="cpu").scan(text)
    assert len(want) > 50
    for shard_bytes in (1 << 20, 97, 33):
        found = Scanner(pack, backend="cuda", shard_bytes=shard_bytes).scan_paths(
            [str(tmp_path / "f")], workers=None
        )
        assert [(f.start, f.end, f.secret, f.line, f.column) for f in found] == [
            (f.start, f.end, f.secret, f.line, f.column) for f in want
        ]
