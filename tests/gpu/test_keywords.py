"""Keywords that a device has seen in long documents and pieces are those that are there."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS

from vyre_dist import RulePack
from vyre_dist.compiler import Arena
from vyre_dist.compiler.arena import WATCHED_BYTES
from vyre_dist.engine import findings as module
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import Piece, ScanTask, Stamp, StitchTask
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.kernels.cuda import DevicePack
from vyre_dist.kernels.cuda.backend import keywords_of
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.rules.keyword_table import KeywordTable

# of one hash, of one beginning, inside of each other, with bytes that folding makes alike, not
# ASCII, long, and one that is too short for a number
WORDS = [b"sgp_", b"sourcegraph", b"source", b"key", b"keyring", b"@a_b", b"`a_b", b"a.b", b"ab"]
WORDS += ["\u00e4pfel".encode(), b"x" * 300, b"abcdefghijklmnopqrstuvwxyz"]
LETTERS = b"\n .kKeEyYsSgGpP_@`abx\xc3\xa4\xc3\x84"


def seen(
    gpu: Gpu, table: KeywordTable, texts: list[bytes], owned: bool = False
) -> dict[int, bytes]:
    """The flags of the texts that a device gives."""
    pack = compile_pack(RulePack.from_patterns({"token": PATTERNS[0]}).data)
    lane = DevicePack(pack, ArtifactCache(None), keywords=table).lane()
    arena = Arena.lay_out(texts)
    if owned:
        bounds = np.stack(
            [arena.starts + np.minimum(1, arena.ends - arena.starts), arena.ends], axis=1
        )
        arena = Arena(arena.data, arena.starts, arena.ends, arena.at_start, arena.at_end, bounds)
    return keywords_of(arena, lane.fused(arena).keywords)


def those_in(text: bytes, table: KeywordTable) -> list[bytes]:
    """What the host finds."""
    lowered = text.lower()
    return [word for word in table.words if word in lowered]


def told(flags: bytes, table: KeywordTable) -> list[bytes]:
    """The words whose bits are set."""
    bits = int.from_bytes(flags, "little")
    assert bits < 1 << len(table.words)
    return [word for number, word in enumerate(table.words) if bits >> number & 1]


@pytest.mark.parametrize("seed", range(4))
def test_random_texts(gpu: Gpu, seed: int) -> None:
    """Words anywhere: across vectors, blocks and documents' ends, in any letter case."""
    rng = random.Random(seed)
    table = KeywordTable.of([WORDS])
    texts = [b""]
    for size in (0, 1, 2, 3, 40, 5_000, WATCHED_BYTES, WATCHED_BYTES + 3, 200_001):
        text = bytearray(rng.choices(LETTERS[:10] if seed % 2 else b"\n .", k=size))
        for word in rng.sample(table.words, rng.randrange(len(table.words))):
            if len(word) <= size:
                at = rng.choice((0, size - len(word), rng.randrange(size - len(word) + 1)))
                text[at : at + len(word)] = rng.choice((word, word.upper(), word.title()))
        texts.append(bytes(text))
    found = seen(gpu, table, texts, owned=True)
    assert set(found) == {w for w, text in enumerate(texts) if text}
    for w, flags in found.items():
        assert told(flags, table) == those_in(texts[w], table), (w, len(texts[w]))


PLACES = (0, 13, 14, 15, 16, 65_520, 65_532, 65_533, 65_534, 65_535, 65_536)


def test_every_place(gpu: Gpu) -> None:
    """A word at the seams of vectors and blocks is seen, and one byte less of it is not."""
    table = KeywordTable.of([[b"sgp_"]])
    texts = []
    for at in PLACES:
        for word in (b"SGP_", b"SGP"):
            texts.append((b"." * at + word).ljust(WATCHED_BYTES + 20, b"."))
    found = seen(gpu, table, texts)
    assert [told(found[w], table) for w in range(len(texts))] == [[b"sgp_"], []] * len(PLACES)


def test_a_word_that_ends_in_the_next_document(gpu: Gpu) -> None:
    """It is in neither."""
    table = KeywordTable.of([[b"sgp_"]])
    first, second = b"." * (WATCHED_BYTES - 2) + b"sg", b"p_" + b"." * WATCHED_BYTES
    assert [told(flags, table) for flags in seen(gpu, table, [first, second]).values()] == [[], []]


def test_small_documents_are_left_to_the_host(gpu: Gpu) -> None:
    """So an arena of small files costs nothing more."""
    table = KeywordTable.of([[b"sgp_"]])
    assert seen(gpu, table, [b"sgp_" * 10, b"."]) == {}


def test_many_words(gpu: Gpu) -> None:
    """Thousands: most hashes are taken, and chains are long."""
    rng = random.Random(5)
    words = sorted({bytes(rng.choices(b"abcdefgh", k=rng.randrange(3, 9))) for _ in range(6000)})
    table = KeywordTable.of([words])
    text = bytes(rng.choices(b"abcdefgh", k=WATCHED_BYTES))
    (flags,) = seen(gpu, table, [text]).values()
    assert told(flags, table) == those_in(text, table)
    assert 100 < len(told(flags, table)) < len(words)


RULES = """
[[rules]]
id = "rare"
regex = '''[0-9a-f]{40}'''
keywords = ["sourcegraph", "sgp_"]

[[rules]]
id = "short"
regex = '''q[0-9]{5}q'''
keywords = ["zz", "quartz"]
"""


@pytest.mark.parametrize("word", [b"", b"SourceGraph", b"ZZ"])
def test_no_document_is_read_for_keywords(
    gpu: Gpu, word: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a device has seen in the pieces decides for the whole document, where no keyword is
    shorter than three bytes; findings are those of the reference.
    """
    text = bytearray(b"line of text\n" * 60_000)
    text[300_000:300_041] = b"\n" + b"0123456789abcdef" * 2 + b"01234567"
    text[500_000:500_008] = b"\nq12345q"
    text[700_001 : 700_001 + len(word)] = word
    path = tmp_path / "text"
    path.write_bytes(text)
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    pack = RulePack.load(rules).data
    searched: list[int] = []
    search = module.FindingBuilder._keyword_search

    def counted(self: module.FindingBuilder) -> Callable[[int, bytes], bool]:
        own = search(self)

        def found_by_host(rule: int, data: bytes) -> bool:
            searched.append(rule)
            return own(rule, data)

        return found_by_host

    monkeypatch.setattr(module.FindingBuilder, "_keyword_search", counted)
    monkeypatch.setattr(module, "_LOWERED_BYTES", 0)
    found = {}
    for backend in ("cuda", "reference"):
        engine = ScanEngine(pack, EngineConfig(backend=backend, speculation="force"))
        stamp, size = Stamp.of(path.stat()), len(text)
        pieces = [
            Piece(0, str(path), size, at, min(at + 200_000, size), None, stamp)
            for at in range(0, size, 200_000)
        ]
        parts = [engine.run(ScanTask((piece,))).parts[0] for piece in pieces]
        if backend == "cuda":
            searched.clear()
        whole = Piece(0, str(path), size, 0, size, None, stamp)
        result = engine.run(StitchTask(whole, tuple(parts)))
        if backend == "cuda":
            assert 0 not in searched
            assert all(part.keyword_flags for part in parts)
        found[backend] = [(row.rule, row.start, row.end) for row in result.findings]
    assert found["cuda"] == found["reference"]
    assert [rule for rule, *_ in found["cuda"]] == {b"": [], b"SourceGraph": [0], b"ZZ": [1]}[word]
