"""Patterns, documents and instances for the tests on a GPU, and how rows are compared."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from span_executor import find_span

from vyre_dist.compiler import Arena, PackTables, compile_tables
from vyre_dist.compiler.arena_executor import ARENA_ROW_DTYPE, ArenaResult, Rows
from vyre_dist.program.span_tables import SpanTables
from vyre_dist.program.tunables import Tunables
from vyre_dist.regex import parse
from vyre_dist.rows import layout
from vyre_dist.rows.layout import FILTERED, FOUND, HOST, MATCH_DTYPE, NO_GROUP, NO_SUCH_GROUP
from vyre_dist.rules.filters import pick_secret
from vyre_dist.rules.model import Rule

PATTERNS = [
    r"token[=:]\s*[0-9a-f]{8}",
    r"(?i)[\w.-]{0,50}?(?:key|secret)(?:[ "
    r"\t\w.-]{0,20})[=:]{1,3}['\"]?([\w=-]{10,40})(?:['\"\s;]|$)",
    r"\bghp_[0-9A-Za-z]{12}\b",
    r"AKIA[A-Z2-7]{8}",
    r"(?m)^begin.*end$",
    r"\Astart",
    r"finish\z",
    r"\b[a-f0-9]{40}\b",
    r"-----BEGIN[ A-Z]{0,20}-----[\s\S]{16,}?-----END",
    r"s\.[a-z]{6}",
    r"(?:abc|bcd|cde)x{0,3}y",
    r"zzzz",
    r"\x00\x01\x02\xff",
    r"curl\b(?:.*|.*(?:[\r\n]{1,2}.*){1,5})[ \t](?:-u|--user)=?[\w:]{3,10}",
    # without windows or runs: every place is asked
    r"(?m)^[a-z]{9}$",
    r"[a-f]{2}",
    r"\b\d\d?\b",
    r"\A[a-z]?\d",
]

# more of them than the kernel asks for at once
MANY_EVERYWHERE = [
    *PATTERNS,
    *(rf"\b{chr(97 + n)}{n % 10}" for n in range(26)),
    "xy",
    r"\By\d",
    "q.$",
]

PIECES = [
    *(
        b"token=deadbeef",
        b"token: 0123456789",
        b"my.key = 'abcdef-0123456'\n",
        b"secret:=0123456789abc;",
    ),
    *(
        b" ghp_abcDEF012345 ",
        b"xghp_abcDEF012345",
        b"AKIAABCDEFG2",
        b"begin of the end",
        b"begin end\n",
        b"start",
    ),
    *(
        b"finish",
        b"\n",
        b" ",
        b"0123456789abcdef0123456789abcdef01234567",
        b"0123456789abcdef" * 5,
        b"s.abcdef",
    ),
    *(
        b"-----BEGIN KEY-----",
        b"-----END",
        b"abcxxy",
        b"cdey",
        b"zzzz",
        b"zzz",
        b"\x00\x01\x02\xff",
        b"kEy=",
    ),
    *(
        b"curl -u me:pass ",
        b"curl x\n\n--user=abc:d",
        b"int main(void) { return 0; }\n",
        b"the quick brown fox ",
    ),
    *(b"ke", b"y", b"tok", b"en=", b"\xe9\xff\x00"),
    *(b"\nabcdefghi\n", b"abcdefghi", b" 7 ", b"42", b"a1"),
]

TUNABLES = [
    Tunables(threads=768, unroll=4, tile_bytes=64 << 10, bitmap_bits=20, blocks_per_sm=1),
    Tunables(threads=1024, unroll=2, tile_bytes=512, bitmap_bits=20, blocks_per_sm=1),
    Tunables(threads=512, unroll=1, tile_bytes=4096, bitmap_bits=19, blocks_per_sm=2),
    Tunables(threads=256, unroll=3, tile_bytes=16 << 10, bitmap_bits=18, blocks_per_sm=3),
    Tunables(threads=32, unroll=4, tile_bytes=1 << 20, bitmap_bits=10, blocks_per_sm=1),
    # little enough dynamic shared memory to need no asking, were it not for the rest
    Tunables(threads=1024, unroll=1, tile_bytes=8192, bitmap_bits=17, blocks_per_sm=1),
    Tunables(threads=768, unroll=4, tile_bytes=64 << 10, bitmap_bits=19, blocks_per_sm=1),
]


def make_tables(patterns: list[str]) -> PackTables:
    return compile_tables([parse(pattern).root for pattern in patterns]).tables


def random_document(rng: random.Random, pieces: int) -> bytes:
    return b"".join(rng.choice(PIECES) for _ in range(rng.randrange(pieces + 1)))


def placed(rows: Rows) -> list[tuple[int, int, int]]:
    """Rows with a place, sorted: what the programs on the GPU put out."""
    own = rows[rows["position"] != np.uint64(0xFFFF_FFFF_FFFF_FFFF)]
    return sorted(
        zip(own["document"].tolist(), own["rule"].tolist(), own["position"].tolist(), strict=True)
    )


def device_rows(result: ArenaResult) -> Any:
    """The reference's rows in the layout in which the GPU puts them out."""
    parts = []
    for rows, flag in ((result.confirmed, 0), (result.for_host, layout.HOST)):
        located = rows[rows["position"] != np.uint64(0xFFFF_FFFF_FFFF_FFFF)]
        own = np.empty(located.size, layout.ROW_DTYPE)
        own["document"], own["position"] = located["document"], located["position"]
        own["rule"] = located["rule"] | np.uint32(flag)
        parts.append(own)
    return np.concatenate(parts)


def expected(
    result: ArenaResult,
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]], int, int]:
    """(confirmed, for the host, attempted, committed) of the reference."""
    return (
        placed(result.confirmed),
        placed(result.for_host),
        result.attempted_tiles,
        result.committed_tiles,
    )


def found(rows: Any) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]], int, int]:
    """The same of the GPU's."""
    host = rows.rows["rule"] >> np.uint32(31) == 1
    own = np.empty(rows.rows.size, ARENA_ROW_DTYPE)
    own["document"], own["position"] = rows.rows["document"], rows.rows["position"]
    own["rule"] = rows.rows["rule"] & np.uint32(0x7FFF_FFFF)
    return (
        sorted(set(placed(own[~host]))),
        sorted(set(placed(own[host]))),
        rows.attempted_tiles,
        rows.committed_tiles,
    )


def matches_of(spans: SpanTables, arena: Arena, rows: Any) -> Any:
    """MATCH_DTYPE: what the device's search gives for each of `rows` (ROW_DTYPE of the device), by
    the reference.
    """
    out = np.zeros(rows.size, MATCH_DTYPE)
    out["group_offsets"] = NO_SUCH_GROUP
    for i, (place, document, rule) in enumerate(rows.tolist()):
        if rule & HOST or not (arena.at_start[document] and arena.at_end[document]):
            continue
        program = spans.programs[rule]
        if program is None:
            continue
        start, back, ahead = (
            int(arena.starts[document]),
            *spans.rules[rule][["back", "ahead"]].tolist(),
        )
        text = arena.data[start : arena.ends[document]].tobytes()
        found = find_span(program, text, place - start, back, ahead)
        if found is None:
            continue
        slots = found.slots
        out[i]["first_back"], out[i]["start_back"] = (
            place - start - found.first,
            place - start - found.start,
        )
        out[i]["length"] = found.end - found.start
        out[i]["group_offsets"][: len(slots)] = [
            slot - found.start if slot >= 0 else NO_GROUP for slot in slots
        ]
        groups = [
            text[low:high] if low >= 0 else None
            for low, high in zip(slots[::2], slots[1::2], strict=True)
        ]
        byte_filter = spans.byte_filters[rule]
        secret = pick_secret(
            Rule("r", None, secret_group=byte_filter.secret_group),
            text[found.start : found.end],
            groups,
        )
        out[i]["status"] = FILTERED if byte_filter.drops(secret) else FOUND
    return out
