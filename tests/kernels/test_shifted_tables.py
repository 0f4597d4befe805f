"""Tables of cases, each shifted over window edges every 64 bytes, on every backend: past two of
them, by `make nightly` past four.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from split_scans import split_at

from vyre_dist import Scanner

WINDOW = 64
OFFSETS = range(2 * WINDOW + 3)
MORE_OFFSETS = range(4 * WINDOW + 5)
PAD = b"\n"  # no word byte, and a line may start after it: what a case says stays true behind it

# (pattern, haystack, spans); nothing here may look for the start of the text
CASES: list[tuple[str, bytes, list[tuple[int, int]]]] = [
    ("a", b"", []),
    ("a", b"a", [(0, 1)]),
    ("a", b"aa", [(0, 1), (1, 2)]),
    ("aa", b"aaaaa", [(0, 2), (2, 4)]),
    ("abcdefgh", b"abcdefghabcdefgh", [(0, 8), (8, 16)]),
    ("abcdefgh", b"abcdefgabcdefgh", [(7, 15)]),
    ("(?i)secret", b"xSeCrEtx", [(1, 7)]),
    ("a|ab", b"ab", [(0, 1)]),
    ("ab|a", b"ab", [(0, 2)]),
    ("abcd|bc", b"abc", [(1, 3)]),
    ("a+", b"baaab", [(1, 4)]),
    ("a+?", b"baaab", [(1, 2), (2, 3), (3, 4)]),
    ("a{2,3}", b"aaaaaaa", [(0, 3), (3, 6)]),
    ("a{2,3}?", b"aaaaa", [(0, 2), (2, 4)]),
    ("a.{3}b", b"aaaab", [(0, 5)]),
    ("a.*b", b"axxbxxb", [(0, 7)]),
    ("a.*?b", b"axxbxxb", [(0, 4)]),
    ("(?s)a.*?b", b"ax\nxb", [(0, 5)]),
    ("x(?s:.){100}y", b"x" + b"z" * 100 + b"y", [(0, 102)]),
    ("x(?s:.){0,200}y", b"x" + b"z" * 150 + b"yxy", [(0, 154)]),
    ("x[^y]*y", b"x" + b"x" * 150 + b"yxy", [(0, 152), (152, 154)]),
    ("[ab]{70}", b"a" * 139, [(0, 70)]),
    ("[ab]{70}", b"a" * 140, [(0, 70), (70, 140)]),
    (r"\ba+\b", b"a aa ba aab a", [(0, 1), (2, 4), (12, 13)]),
    (r"\Ba", b"a aa", [(3, 4)]),
    (r"a\B", b"a aa", [(2, 3)]),
    (r"(?m)^a", b"a\naa\nba", [(0, 1), (2, 3)]),
    (r"(?m)a$", b"a\nab\nba", [(0, 1), (6, 7)]),
    (r"a\z", b"aba", [(2, 3)]),
    (r"a$", b"a\na", [(2, 3)]),
    (r"(?m)^x[^\n]*$", b"xa\nxb\nyx\nx", [(0, 2), (3, 5), (9, 10)]),
    (r"\w+@\w+\.com", b"me@here.com you@there.com", [(0, 11), (12, 25)]),
    (r"[^\n]a", b"bab\na", [(0, 2)]),
    (r"(?s).a\n.", b"xa\n\xff", [(0, 4)]),
    (r"\xff\x00", b"\xff\xff\x00\x00", [(1, 3)]),
    (r"é", "éa".encode(), [(0, 2)]),
    (r"a[^\x00-\xff]|b", b"ab", [(1, 2)]),
    (r"a*b|c", b"aac", [(2, 3)]),
    (r"(?:ab)+", b"ababab", [(0, 6)]),
    (r"(?:ab)+c|b", b"ababab", [(1, 2), (3, 4), (5, 6)]),
    (r"(?U)a+b", b"aab", [(0, 3)]),
    (r"a(?:b|bc)d?", b"abcd", [(0, 2)]),
    (r"\d{3}-\d{4}", b"555-12345-6789", [(0, 8)]),
    (r"a{3}a*?a{2}", b"a" * 11, [(0, 5), (5, 10)]),
]


@pytest.mark.parametrize(
    "offsets", [OFFSETS, pytest.param(MORE_OFFSETS, marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize(("backend", "ends"), [("cpu", False), ("cpu", True), ("reference", False)])
def test_every_case_at_every_offset(backend: str, ends: bool, offsets: range) -> None:
    """A match is found where it is, whichever window edges it lies across."""
    if backend == "reference":
        offsets = offsets[
            ::5
        ]  # it takes a hundred times as long: these meet every edge of a window
    for pattern, haystack, spans in CASES:
        scanner = Scanner({"r": pattern}, backend, shard_bytes=WINDOW)
        if ends and find_spec(
            "hyperscan"
        ):  # as after the first MiB of documents that some rule is all over
            scanner.engine.backend._every_end = False
            scanner.engine.backend._searched[0] = 1 << 30
        found = scanner.scan_batch([PAD * offset + haystack for offset in offsets])
        for offset, findings in zip(offsets, found, strict=True):
            wanted = [(offset + start, offset + end) for start, end in spans]
            assert [(f.start, f.end) for f in findings] == wanted, (pattern, haystack, offset)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_start_of_text_is_only_at_the_start(backend: str) -> None:
    """What looks for the start of the text finds it at offset 0 and at no window's edge."""
    for pattern in (r"\Aa+", "^a+", r"(?s)\A.*?a+", r"(?:\A|b)a+"):
        scanner = Scanner({"r": pattern}, backend, shard_bytes=WINDOW)
        for size in OFFSETS:
            ends = [(f.start, f.end) for f in scanner.scan(b"a" * (size + 1))]
            assert ends == [(0, size + 1)], pattern


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_empty_matches_at_every_offset(backend: str) -> None:
    """A rule that can match nothing does so between all bytes, but not where its last match
    ended.
    """
    scanner = Scanner({"r": "a*"}, backend, shard_bytes=WINDOW)
    for offset in OFFSETS:
        spans = [(f.start, f.end) for f in scanner.scan(b"b" * offset + b"aab")]
        assert spans == [
            *((i, i) for i in range(offset)),
            (offset, offset + 2),
            (offset + 3, offset + 3),
        ]


@pytest.mark.parametrize("mode", ["force", "disable"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_all_rules_as_one_pack(backend: str, mode: str) -> None:
    """A rule finds in a pack of all of them what it finds alone."""
    patterns = {f"{i}": pattern for i, (pattern, _, _) in enumerate(CASES)}
    documents = [PAD * (17 * i) + haystack for i, (_, haystack, _) in enumerate(CASES)]
    whole = Scanner(patterns, backend, speculation=mode)
    together = whole.scan_batch(documents)
    split_at(whole, WINDOW)
    assert whole.scan_batch(documents) == together
    for rule, pattern in patterns.items():
        alone = Scanner({rule: pattern}, backend, speculation=mode).scan_batch(documents)
        assert alone == [[f for f in found if f.rule_id == rule] for found in together]
