"""load_tables: the cache changes nothing but the time; damage is a miss; many processes at once are
fine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from text_execution import execute

from vyre_dist.compiler import PackTables, compile_tables, encode_tables
from vyre_dist.compiler import codec as codec_module
from vyre_dist.program import ArtifactCache, CompiledPack, compile_pack
from vyre_dist.program import pack_tables as module
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.rules import RulePack

ROOT = Path(__file__).parents[2]
GITLEAKS = ROOT.parent / "shared" / "data" / "gitleaks.toml"

PATTERNS = {
    "path-like": r"a.c/\w+",
    "literal": "token_",
    "alone": r"(?m)^x+$",
    "wide": "[a-f0-9]{40}",
}


@pytest.fixture
def compiled() -> CompiledPack:
    return compile_pack(RulePack.from_patterns(PATTERNS).data)


def artifact(folder: Path) -> Path:
    [path] = [p for p in (folder / "tables").iterdir() if not p.name.startswith(".")]
    return path


def count_compilations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []

    def counting(roots: list[object]) -> object:
        seen.append(len(roots))
        return compile_tables(roots)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "compile_tables", counting)
    return seen


def same(a: PackTables, b: PackTables) -> bool:
    return encode_tables(a) == encode_tables(b)


def test_second_time_from_the_cache(
    compiled: CompiledPack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables are compiled once for a cache and are equal ever after; without a cache each time."""
    seen = count_compilations(monkeypatch)
    cache = ArtifactCache(str(tmp_path))
    first = load_tables(compiled, cache)
    assert seen == [4]
    assert same(load_tables(compiled, ArtifactCache(str(tmp_path))), first)
    assert seen == [4]
    assert same(load_tables(compiled), first)
    assert seen == [4, 4]
    [found] = execute(first, b"a token_").confirmed
    assert compiled.rules[found[0]].pattern == b"token_"


def test_rule_numbers_are_places_in_the_pack() -> None:
    """Rules that have only a path, and so no tables, shift the numbers of those behind them."""
    from vyre_dist.rules.model import PackData, Rule

    compiled = compile_pack(PackData("p", (Rule("path", None, path="x"), Rule("r", "token_"))))
    [(number, _)] = execute(load_tables(compiled), b"token_").confirmed
    assert (number, compiled.rules[number].index) == (0, 1)


def test_damage_is_a_miss(
    compiled: CompiledPack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored file that was cut, changed or overwritten is compiled anew and replaced."""
    seen = count_compilations(monkeypatch)
    cache = ArtifactCache(str(tmp_path))
    first = load_tables(compiled, cache)
    path = artifact(tmp_path)
    good = path.read_bytes()
    for bad in (
        b"",
        good[:100],
        good[:-1],
        good[:500] + bytes([good[500] ^ 1]) + good[501:],
        b"nonsense",
    ):
        path.write_bytes(bad)
        before = len(seen)
        assert same(load_tables(compiled, cache), first)
        assert len(seen) == before + 1
        assert path.read_bytes() == good


def test_other_contents_under_the_same_key_are_a_miss(
    compiled: CompiledPack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An artifact in good order whose tables are of another schema is compiled anew; another schema
    has another key.
    """
    cache = ArtifactCache(str(tmp_path))
    first = load_tables(compiled, cache)
    with monkeypatch.context() as patch:
        patch.setattr(codec_module, "TABLES_SCHEMA", 0)
        stale = encode_tables(first)
    seen = count_compilations(monkeypatch)
    monkeypatch.setattr(ArtifactCache, "get", lambda *_: stale)
    assert same(load_tables(compiled, cache), first)
    assert seen == [4]


def test_another_pack_model_or_schema_is_another_artifact(
    compiled: CompiledPack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever shapes the tables is in the key."""
    cache = ArtifactCache(str(tmp_path))
    load_tables(compiled, cache)
    load_tables(compile_pack(RulePack.from_patterns({**PATTERNS, "wide": "b"}).data), cache)
    monkeypatch.setattr(module, "default_model_digest", lambda: "of another model")
    load_tables(compiled, cache)
    monkeypatch.setattr(module, "TABLES_SCHEMA", 10_000)
    load_tables(compiled, cache)
    assert len(list((tmp_path / "tables").iterdir())) == 4


PROCESS = """
import sys, hashlib
from dataclasses import replace
from vyre_dist.compiler import encode_tables
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.rules import RulePack
pack = RulePack.builtin().data
compiled = compile_pack(replace(pack, rules=pack.rules[:40]))
cache = ArtifactCache(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
digests = {hashlib.sha256(encode_tables(load_tables(compiled, cache))).hexdigest() for _ in range(2)}
assert cache.write_error is None
print(*digests)
"""


def test_several_processes_at_once(tmp_path: Path) -> None:
    """Processes that fill one cache at the same moment all get the same tables and leave one
    file.
    """
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for _ in range(3)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], outputs
    assert len({out for out, _ in outputs}) == 1
    assert len(outputs[0][0].split()) == 1
    assert artifact(tmp_path).stat().st_size > 10_000


COLD = """
import sys, time
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.rules import RulePack
pack = RulePack.load(sys.argv[1]).data
cache = ArtifactCache(sys.argv[2])
began = time.process_time()
load_tables(compile_pack(pack, cache=cache), cache)
seconds = time.process_time() - began
# not ru_maxrss, which starts at what the parent held when it forked
print(seconds, next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_gitleaks_in_time_and_memory(tmp_path: Path) -> None:
    """gitleaks' pack compiles cold within seconds and a GB, and comes from the cache within 50 ms.

    The target for a quiet machine is 3 s of one core; the bound here is twice that, in processor
    time.
    """
    if not GITLEAKS.exists():
        pytest.skip("third-party test data is absent: gitleaks.toml")
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(GITLEAKS), str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    seconds, peak_kib = done.stdout.split()
    assert float(seconds) < 6
    assert int(peak_kib) < 1 << 20
    pack, cache = RulePack.load(GITLEAKS).data, ArtifactCache(str(tmp_path))
    times = []
    for _ in range(5):
        began = time.process_time()
        tables = load_tables(compile_pack(pack, cache=cache), cache)
        times.append(time.process_time() - began)
    assert min(times) < 0.05
    assert tables.routes.size == 221
