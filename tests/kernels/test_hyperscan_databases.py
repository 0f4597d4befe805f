"""What Hyperscan refuses stays exact; what it compiled is cached, and a cache that fails costs time
only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from oracle import hits, hits_of
from split_scans import split_at

from vyre_dist import EngineConfig, Scanner
from vyre_dist.errors import UsageError
from vyre_dist.extract.window import whole
from vyre_dist.kernels import open_backend
from vyre_dist.kernels.routes import rule_routes
from vyre_dist.program import ArtifactCache, CompiledPack, CompiledRule, compile_pack
from vyre_dist.rules import RulePack

hyperscan = pytest.importorskip("hyperscan")

from vyre_dist.kernels import hyperscan_db  # noqa: E402 (needs it)
from vyre_dist.kernels.hyperscan_db import candidate_databases, check_library  # noqa: E402

ROOT = Path(__file__).parents[2]

HYPERSCAN = "Hyperscan, then google-re2"
COUNTED = (
    HYPERSCAN
    + "; repeats of more than 2048 are looked for as loops and counted where these begin, "
    "which may take as many steps for each such place"
)
REFUSED = "google-re2 on every document: Hyperscan refuses the regex"
NULLABLE = "google-re2 on every document: the regex matches the empty string"

# (pattern, route, documents in which it is to be looked for)
NEVER = "not searched for"
ROUTES: list[tuple[str, str, list[bytes]]] = [
    # a bounded repeat above 32767, which Hyperscan is not asked to count
    ("a.{1,40000}b", COUNTED, [b"a" + b"x" * 300 + b"b", b"ab", b"axb" * 3, b"a\nb"]),
    # can never match
    (r"[^\x00-\xff]", NEVER, [b"a", b""]),
    (r"a[^\x00-\xff]|b", HYPERSCAN, [b"ab", b"a"]),
    (r"a\b\b\Bb", NEVER, [b"ab", b"a b"]),
    (r"a\zb", NEVER, [b"ab", b"a"]),
    # anchors inside
    (r"(?m)a$^", NEVER, [b"a\na", b"a"]),
    (r"(?m)(?:^a$\n?){2,}", REFUSED, [b"a\na\n\na\na\na", b"aa"]),
    (r"(?:a(?m:^)|\n(?m:^)b?){1,3}c", REFUSED, [b"\n\nbc", b"\n\n\nbc", b"\nc"]),
    # longer, as a text, than Hyperscan's 16 000 bytes
    ("|".join(f"k{i:04}z" for i in range(2300)), REFUSED, [b"k0000zk2299z k2300z", b"k"]),
    # match the empty string
    ("a*", NULLABLE, [b"baab", b""]),
    (r"\b", NULLABLE, [b"a b", b""]),
    ("(?m)^", NULLABLE, [b"a\n\nb\n", b""]),
    ("a?|b", NULLABLE, [b"ab"]),
    # taken, though they look no less strange
    (r"(?s).{1,30000}", COUNTED, [b"x" * 300, b""]),
    (r"\Ba\B", HYPERSCAN, [b"aaa", b"a"]),
    (r"(?:a\b|\Bb){3,50}", HYPERSCAN, [b"abbb", b"bbba"]),
    ("x" * 5000, HYPERSCAN, [b"x" * 10_001, b"x" * 4999]),
    (r"\w{1,900}@\w{1,900}\.\w{1,900}", HYPERSCAN, [b"a" * 1000 + b"@b.c", b"@b.c"]),
]


# what google-re2 itself can't be told, in words that it knows
IN_RE2 = {
    "a.{1,40000}b": "a." + ".{0,1000}" * 39 + ".{0,999}b",
    "(?s).{1,30000}": "(?s)." + ".{0,1000}" * 29 + ".{0,999}",
}


@pytest.mark.parametrize(
    ("pattern", "route", "documents"), ROUTES, ids=[row[0][:20] for row in ROUTES]
)
def test_every_route_is_exact(pattern: str, route: str, documents: list[bytes]) -> None:
    """Whichever way a rule takes, its findings are google-re2's; `rules check` names the way."""
    routes = rule_routes(compile_pack(RulePack.from_patterns({"r": pattern}).data))
    assert routes == ({} if route == NEVER else {0: route})
    pack = RulePack.from_patterns({"r": pattern, "other": "[ab]x"})
    as_re2 = {"r": IN_RE2.get(pattern, pattern), "other": "[ab]x"}
    expected = [hits(as_re2, document) for document in documents]
    for backend in ("cpu", "reference"):
        scanner = Scanner(pack, backend)
        for shard_bytes in (1 << 20, 1000):
            split_at(scanner, shard_bytes)
            assert [hits_of(f) for f in scanner.scan_batch(documents)] == expected


def test_one_refused_rule_costs_the_others_nothing() -> None:
    """In a pack, only the rules that Hyperscan refuses take another route."""
    pack = RulePack.from_patterns({pattern: pattern for pattern, _, _ in ROUTES}).data
    assert list(rule_routes(compile_pack(pack)).values()) == [
        route for _, route, _ in ROUTES if route != NEVER
    ]


Refuses = Callable[[Sequence[CompiledRule], list[int]], bool]


class Refusing:
    """build_database that refuses some of what Hyperscan would take, as a smaller build of it
    might.
    """

    def __init__(self, refuses: Refuses) -> None:
        self._real = hyperscan_db.build_database
        self._refuses = refuses
        self.refusals = 0

    def __call__(self, rules: Sequence[CompiledRule], flags: int | list[int], *gates: Any) -> Any:
        if self._refuses(rules, [flags] * len(rules) if isinstance(flags, int) else flags):
            self.refusals += 1
            raise hyperscan.CompilerError("Pattern is too large.")
        return self._real(rules, flags, *gates)


PACK = {"one": "a+b", "two": "[bc]{2,3}", "three": "(?m)c$", "four": "a*", "five": r"\bab"}
DOCUMENTS = [b"aab abc bcc\nccc", b"abab", b"", b"bc" * 70]

REFUSALS: dict[str, Refuses] = {
    "exactly": lambda rules, flags: any(
        r.index == 1 and not f & hyperscan.HS_FLAG_PREFILTER
        for r, f in zip(rules, flags, strict=True)
    ),
    "in every mode": lambda rules, _: any(r.index == 1 for r in rules),
    "more than two at once": lambda rules, _: len(rules) > 2,
    "to tell its ends": lambda _, flags: any(not f & hyperscan.HS_FLAG_SINGLEMATCH for f in flags),
    "everything": lambda *_: True,
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusals_change_no_finding(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule refused exactly, refused at all, together with others, or for its ends, is found all
    the same.
    """
    refusing = Refusing(REFUSALS[reason])
    monkeypatch.setattr("vyre_dist.kernels.hyperscan_db.build_database", refusing)
    for shard_bytes in (1 << 20, 5):
        scanner = Scanner(PACK, "cpu", shard_bytes=shard_bytes)
        scanner.engine.backend._searched.update(dict.fromkeys(range(len(PACK)), 1 << 30))
        assert [hits_of(f) for f in scanner.scan_batch(DOCUMENTS)] == [
            hits(PACK, d) for d in DOCUMENTS
        ]
        many = scanner.scan_batch(20 * DOCUMENTS)  # in an arena, with databases of its own
        assert [hits_of(f) for f in many] == 20 * [hits(PACK, d) for d in DOCUMENTS]
    assert refusing.refusals


def test_a_rule_refused_exactly_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rules check` tells rules that Hyperscan takes in prefilter mode only."""
    monkeypatch.setattr(
        "vyre_dist.kernels.hyperscan_db.build_database", Refusing(REFUSALS["exactly"])
    )
    compiled = compile_pack(RulePack.from_patterns(PACK).data)
    databases = candidate_databases(compiled, ArtifactCache(None))
    assert (databases.approximate, databases.always) == ({1}, (3,))
    assert rule_routes(compiled)[1].startswith("Hyperscan (prefilter mode)")


def test_dense_matches_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document with more ends than are worth collecting is searched from match to match, with the
    same result.
    """
    pack = {"r": "[ab]{2}"}
    document = b"ab" * 20_000 + b"-" + b"a" * 20_001
    scanner = Scanner(pack, "cpu", speculation="force")
    backend = scanner.engine.backend
    backend._searched[0] = 1 << 30
    assert backend._match_ends(0, document) is None
    assert backend._every_end
    for _ in range(2):
        assert hits_of(scanner.scan(document)) == hits(pack, document)
        assert not backend._every_end
    assert hits_of(scanner.scan(b"-ab-ab-")) == hits(pack, b"-ab-ab-")


def test_a_failed_dispatch_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found in a window whose confirmation failed is not taken for the next dispatch's
    first window's.
    """
    compiled = compile_pack(RulePack.from_patterns({"r": "token[0-9]"}).data)
    backend = open_backend("cpu", compiled)
    failed = []

    def fail(*_: object) -> None:
        failed.append(True)
        raise MemoryError

    for path in ("run_prefilter", "run_fused"):
        with monkeypatch.context() as patched:
            patched.setattr(backend, "_confirm", fail)
            with pytest.raises(MemoryError):
                backend.run_fused([whole(b"- token1")])
        fresh = getattr(open_backend("cpu", compiled), path)([whole(b"nothing")])
        assert getattr(backend, path)([whole(b"nothing")]) == fresh
    assert len(failed) == 2


def compiled_pack() -> CompiledPack:
    return compile_pack(RulePack.from_patterns(PACK).data)


def artifacts(folder: Path, kind: str) -> list[Path]:
    return [path for path in (folder / kind).iterdir() if not path.name.startswith(".")]


def scan_with(folder: Path) -> list[Any]:
    scanner = Scanner(PACK, "cpu", config=EngineConfig(cache_dir=str(folder)))
    return [hits_of(f) for f in scanner.scan_batch(DOCUMENTS)]


def test_cached_databases_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start compiles nothing: it would fail if it tried."""
    expected = scan_with(tmp_path)
    assert len(artifacts(tmp_path, "hyperscan")) == 1
    monkeypatch.setattr(
        "vyre_dist.kernels.hyperscan_db.build_database", Refusing(REFUSALS["everything"])
    )
    assert candidate_databases(compiled_pack(), ArtifactCache(str(tmp_path))).always == (3,)
    assert scan_with(tmp_path) == expected


def test_damaged_cache_is_a_miss(tmp_path: Path) -> None:
    """Whatever happens to a cached file, the scan compiles anew, gives the same findings and mends
    the cache.
    """
    expected = scan_with(tmp_path)
    for kind in ("hyperscan", "pack"):
        [path] = artifacts(tmp_path, kind)
        good = path.read_bytes()
        middle = len(good) // 2
        flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
        for damaged in (b"", good[:10], good[:-1], good + b"x", flipped, os.urandom(len(good))):
            path.write_bytes(damaged)
            assert scan_with(tmp_path) == expected
            assert path.read_bytes() == good


def test_a_database_of_another_machine_is_a_miss(tmp_path: Path) -> None:
    """Bytes that Hyperscan will not load, though their checksum is right, are compiled anew and
    replaced.
    """
    import msgpack

    expected = scan_with(tmp_path)
    compiled = compile_pack(RulePack.from_patterns(PACK).data)
    stored: list[str] = []

    class Spy(ArtifactCache):
        def get(self, kind: str, key: str) -> bytes | None:
            stored.append(key)
            return super().get(kind, key)

    candidate_databases(compiled, Spy(str(tmp_path)))
    cache = ArtifactCache(str(tmp_path))
    good = cache.get("hyperscan", stored[0])
    assert good is not None
    for bad in (
        [[b"no database"], [], [], [], []],
        [[b""], [], [], [], []],
        [[], [], [], []],
        ["what", 1],
        {"a": 1},
        7,
    ):
        cache.put("hyperscan", stored[0], msgpack.packb(bad))
        assert scan_with(tmp_path) == expected
        assert cache.get("hyperscan", stored[0]) == good


def test_a_cache_in_a_files_place_is_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache can't be written, a scan finds the same, and what it compiles is in the spare
    place.
    """
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert scan_with(in_the_way) == scan_with(tmp_path / "cache")
    cache = ArtifactCache(str(in_the_way))
    cache.put("hyperscan", "key", b"payload")
    assert isinstance(cache.write_error, OSError)
    assert cache.get("hyperscan", "key") == b"payload"
    assert str(tmp_path / "vyre-dist-") in cache.trouble


def test_concurrent_starts_share_a_cache(tmp_path: Path) -> None:
    """Processes that start at once with an empty cache all scan, and leave one whole artifact each
    kind.
    """
    script = """
import json, sys
from vyre_dist import EngineConfig, Scanner
folder, pack, documents = json.loads(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
scanner = Scanner(pack, "cpu", config=EngineConfig(cache_dir=folder))
print(json.dumps([[(f.rule_id, f.start, f.end) for f in scanner.scan(d.encode("latin-1"))] for d in documents]))
"""
    documents = [d.decode("latin-1") for d in DOCUMENTS]
    arguments = json.dumps([str(tmp_path), PACK, documents])
    command = [sys.executable, "-c", script, arguments]
    children = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    found = [json.loads(child.communicate("go\n", timeout=60)[0]) for child in children]
    scanner = Scanner(PACK, "cpu")
    assert (
        found == [[[[f.rule_id, f.start, f.end] for f in scanner.scan(d)] for d in DOCUMENTS]] * 4
    )
    for kind in ("hyperscan", "pack"):
        assert len(list((tmp_path / kind).iterdir())) == 1


LAST_BYTES = [
    (r"(?m:^)\s", b"", b"\n\n"),
    (r"\n[\nb]", b"", b"\n\n"),
    (r"foo.*x[yz]", b"foo", b"xy"),
    (r"(?s)foo.*[xw][yz]", b"foo", b"wz"),
    (r"x[yz]\z", b"", b"xy"),
    (r"[xw][yz]$", b"", b"xz"),
]


@pytest.mark.parametrize(("pattern", "head", "tail"), LAST_BYTES)
@pytest.mark.parametrize("behind", [b"", b"b", b"b" * 33])
def test_pairs_at_every_offset(pattern: str, head: bytes, tail: bytes, behind: bytes) -> None:
    """A pair of bytes is found wherever it lies in a text, also at its very end."""
    scanner = Scanner({"r": pattern}, backend="cpu")
    documents = [head + b"a" * filler + tail + behind for filler in range(140)]
    found = [hits_of(findings) for findings in scanner.scan_batch(documents)]
    assert found == [hits({"r": pattern}, document, 1 << 16) for document in documents]
    assert all(found) or pattern.endswith(("\\z", "$"))


def test_a_library_that_misses_matches_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which version it is, what it misses and what to install is said."""
    check_library.__wrapped__()
    monkeypatch.setattr(hyperscan_db, "_LAST_PAIRS", ((b"x[yz]", b"", b"xx"),))
    with pytest.raises(
        UsageError, match=r"hyperscan [\d.]+ misses matches .*'x\[yz\]' .*<0\.7\.23"
    ):
        check_library.__wrapped__()


def test_other_libraries_survive_hyperscan() -> None:
    """pyarrow can be imported behind Hyperscan; it ended the process where google-re2 was not there
    first.
    """
    for first in (
        "from vyre_dist.kernels.backends import has_hyperscan; assert has_hyperscan()",
        "import vyre_dist.kernels.cpu",
        "import vyre_dist.kernels.keyword_search",
    ):
        code = f"{first}; import pyarrow"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
