"""Every case at 261 offsets in ragged arenas, over tile edges and cut in two: what is confirmed is
what google-re2 finds.
"""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from vyre_dist.compiler import GramModel, PackTables, compile_tables
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import ArenaResult, execute_arena
from vyre_dist.regex import parse

OFFSETS = range(261)
TILE = 64

# pattern -> texts in which it is looked for, with matches and near misses
CASES: dict[str, list[bytes]] = {
    r"token_[0-9a-f]{8}": [b"token_0123abcd", b"token_0123abcg", b"token_0123abc", b"Token_0123abcd"],
    r"(?i)token_[0-9a-f]{8}\b": [b"TOKEN_0123ABCD", b"tokeN_0123abcd9"],
    r"\bAKIA[A-Z0-9]{16}\b": [b"AKIAABCDEFGHIJKLMNOP", b"AKIAABCDEFGHIJKLMNOPQ", b"_AKIAABCDEFGHIJKLMNOP"],
    r"\Bsecret\B": [b"xsecretx", b"secretx", b"xsecret", b" secret "],
    r"(?m)^key=\w+$": [b"key=abc", b"key=abc\nz", b"z\nkey=a", b"xkey=abc", b"key=abc ", b"key="],
    r"\Akey=[a-z]{3}\z": [b"key=abc", b"key=abcd", b" key=abc", b"key=ab"],
    r"(?s)BEGIN.{0,99}END": [b"BEGIN" + b"x" * 99 + b"END", b"BEGIN" + b"x" * 100 + b"END", b"BEGINEND"],
    r"-----BEGIN(?s:.)*?-----END": [b"-----BEGIN\n\n-----END", b"-----BEGIN----END"],
    r"[\w.-]{0,50}?pass(?:wd|word)?\s*[:=]\s*['\"]\S{6,}": [b"my.password = 'abcdef", b"pass:'abcde", b"pass='abc def'"],
    r"x{70}y": [b"x" * 70 + b"y", b"x" * 69 + b"y", b"x" * 200 + b"y", b"x" * 200],
    r"~q~": [b"~q~", b"~q", b"~~q~~"],
    r"(?:foo|bar|bazz|qux)_id": [b"foo_id", b"qux_id", b"ba_id", b"bazz_ida"],
    r"[a-f0-9]{32}": [b"0123456789abcdef" * 2, b"0123456789abcdeg" * 2],
    r"\b[a-f0-9]{8}\b": [b"deadbeef", b"deadbeefa", b"xdeadbeef"],
    r"a*": [b"", b"b", b"aab"],
    r"tok(?:a|b)*a(?:a|b){12}c": [b"tokabababababababababc", b"tokbbbbbbbbbbbbbbbbc", b"tokabbbbbbbbbbbbc"],
    r"k.{0,40}e.{0,40}y[a-c]{9}": [b"k" + b"." * 40 + b"e" + b"." * 40 + b"yabcabcabc", b"keyabcabcab"],
    "é=\\xff\\x00": ["é=".encode() + b"\xff\x00", "é=".encode() + b"\xff"],
}  # fmt: skip


@pytest.fixture(scope="module", params=["every window is cheap", "shipped model"])
def pack(request: pytest.FixtureRequest, flat_model: GramModel) -> PackTables:
    model = flat_model if request.param == "every window is cheap" else None
    return compile_tables([parse(pattern).root for pattern in CASES], model).tables


def test_every_case_at_every_offset(pack: PackTables, lab: SimpleNamespace) -> None:
    """Behind 0 to 260 bytes, packed between ragged neighbours: each rule's rows of each document
    is google-re2's.
    """
    oracles = [lab.re2_of(parse(pattern)) for pattern in CASES]
    rng = random.Random(1)
    by_tables = 0
    for number, texts in enumerate(CASES.values()):
        for text in texts:
            pad = rng.choice((b"\n", b" ", b"-", b"x"))
            documents = [pad * offset + text + rng.choice((b"", b"", pad)) for offset in OFFSETS]
            arena = Arena.lay_out(documents, alignment=rng.choice((2, 16)))
            result = execute_arena(pack, arena, tile_bytes=TILE)
            confirmed = {row[:2] for row in result.confirmed.tolist()}
            left = {row[:2] for row in result.for_host.tolist()}
            for document, data in enumerate(documents):
                expected = oracles[number].search(data) is not None
                by_tables += (document, number) in confirmed
                if (document, number) not in left:
                    assert ((document, number) in confirmed) == expected, (
                        oracles[number].pattern,
                        data,
                    )
                others = {rule for d, rule in confirmed if d == document}
                assert all(oracles[rule].search(data) for rule in others), (data, others)
            assert_tiles(pack, arena, result)
    assert by_tables > 5000


def assert_tiles(pack: PackTables, arena: Arena, result: ArenaResult) -> None:
    """The committed tiles are those that rows' pivots lie in, wherever matches begin; and no more
    than those attempted.
    """
    anchored = set(pack.entries["rule"].tolist())
    entries = pack.entries.copy()
    entries["distance"] = 0  # so that rows have their pivots' positions
    plain = execute_arena(replace(pack, entries=entries), arena, tile_bytes=TILE)
    rows = plain.confirmed.tolist() + plain.for_host.tolist()
    assert result.committed_tiles == len(
        {position // TILE for _, rule, position in rows if rule in anchored}
    )
    assert result.committed_tiles == plain.committed_tiles <= result.attempted_tiles


def test_cut_in_two(pack: PackTables, lab: SimpleNamespace) -> None:
    """Of a document cut at each offset, a part alone confirms nothing that the whole lacks, and
    what lies inside it with a byte of context on each side is confirmed or left open.
    """
    oracles = [lab.re2_of(parse(pattern)) for pattern in CASES]
    for number, texts in enumerate(CASES.values()):
        for text in texts:
            document = b"\n" * 7 + text + b"\n" * 5
            cuts = range(len(document) + 1)
            parts = [part for cut in cuts for part in (document[:cut], document[cut:])]
            starts = [flag for cut in cuts for flag in (True, cut == 0)]
            ends = [flag for cut in cuts for flag in (cut == len(document), True)]
            result = execute_arena(pack, Arena.lay_out(parts, starts, ends), tile_bytes=TILE)
            whole = oracles[number].search(document)
            confirmed = {row[:2] for row in result.confirmed.tolist()}
            known = confirmed | {row[:2] for row in result.for_host.tolist()}
            for i, cut in enumerate(cuts):
                for document_number in (2 * i, 2 * i + 1):
                    assert whole or (document_number, number) not in confirmed, (text, cut)
                if whole and whole.end() + (cut < len(document)) <= cut:
                    assert (2 * i, number) in known, (text, cut)
                if whole and whole.start() - (cut > 0) >= cut:
                    assert (2 * i + 1, number) in known, (text, cut)
