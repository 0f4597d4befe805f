"""The cpu backend where Hyperscan is not installed: the same findings, told with one warning."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import without_hyperscan
from generate import haystacks, packs
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import hits

from vyre_dist import RulePack
from vyre_dist.extract import Span
from vyre_dist.extract.window import Window, whole
from vyre_dist.kernels.cpu_without_hyperscan import Re2CpuBackend
from vyre_dist.program import ArtifactCache, compile_pack

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300
NIGHTLY_TIMEOUT_S = 3600


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """See without_hyperscan."""
    return without_hyperscan.environment(tmp_path_factory.mktemp("without"))


def run(
    environment: dict[str, str], *arguments: str | Path, timeout: int = TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Python without Hyperscan, to its end."""
    command = without_hyperscan.command(*map(str, arguments))
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )


def backend(patterns: dict[str, str], cap: int = 1 << 16) -> Re2CpuBackend:
    compiled = compile_pack(RulePack.from_patterns(patterns).data, max_match_bytes=cap)
    return Re2CpuBackend(compiled, ArtifactCache(None))


@settings(max_examples=examples(300))
@given(patterns=packs(), documents=st.lists(haystacks(), min_size=1, max_size=3))
def test_both_programs_find_what_google_re2_finds(
    patterns: dict[str, str], documents: list[bytes]
) -> None:
    """Fused, and prefilter with its confirmation, give the spans of every rule in every window."""
    opened = backend(patterns)
    windows = [whole(document) for document in documents]
    names = list(patterns)
    want = sorted(
        (w, names.index(h.rule), h.start, h.end)
        for w, d in enumerate(documents)
        for h in hits(patterns, d)
    )
    spans = opened.run_fused(windows).spans
    assert [
        (w, span.rule, span.start, span.end) for w, own in spans.items() for span in own
    ] == want
    assert opened.confirm(windows, opened.run_prefilter(windows)).spans == spans


def test_windows_own_what_starts_in_them() -> None:
    """A window in the middle of a document reports what starts between its bounds, with the context
    around it.
    """
    opened = backend({"word": r"\bab+\b", "empty": r"x*?$"})
    data = b"ab abb abbb abbbb"
    window = Window(data, 100, 3, 8, False)
    assert opened.run_fused([window]).spans == {0: [Span(3, 0, 6), Span(7, 0, 11)]}


LETTERS = [
    b"token=",
    b"TOKEN=",
    b"ToKeN",
    b"\xe9xyz",
    b"\xc3\xa9t\xc3\xa9",
    b"sk-x",
    b"s\xe2\x84\xaa-x",
    b"x1",
    b"\n",
]
PATTERNS = {
    "folded": "(?i)token",
    "plain": "token=",
    "byte": r"\xe9xyz",
    "either": "(?i)été",
    "or": "(?:sk-x|tok)[a-z0-9]",
    "kelvin": "(?i)sk-x",
    "nothing to go by": "[a-z][0-9]",
    "empty": "z*",
    "never": "a\\zb",
}


@given(st.lists(st.sampled_from(LETTERS), max_size=8).map(b"".join))
def test_no_rule_that_matches_is_passed_over(text: bytes) -> None:
    """Whatever the letter case and the encoding, a rule that matches in a text is one of its
    candidates.
    """
    candidates = backend(PATTERNS)._candidates.rules_for(text)
    names = list(PATTERNS)
    assert {hit.rule for hit in hits(PATTERNS, text)} <= {names[rule] for rule in candidates}


def test_rules_are_passed_over_without_their_literals() -> None:
    """What is not in the text is not searched for; rules without a literal always are."""
    candidates = backend(PATTERNS)._candidates
    names = list(PATTERNS)
    assert {names[rule] for rule in candidates.always} == {
        "byte",
        "either",
        "nothing to go by",
        "empty",
    }
    found = {names[rule] for rule in candidates.rules_for(b"TOKEN ")}
    assert found == {"folded", "or", "byte", "either", "nothing to go by", "empty"}


def test_a_filter_that_gives_up_leaves_no_rule_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The automaton answers "nothing" when its memory is full: then every rule is searched for."""
    opened = backend({"a": "aaa", "b": "bbb"})
    assert opened._candidates.rules_for(b"aaa") == [0]

    class Full:
        def Match(self, _text: bytes, _potential: bool) -> None:  # noqa: N802 (google-re2's name)
            return None

    monkeypatch.setattr(opened._candidates, "_filter", Full())
    assert opened._candidates.rules_for(b"aaa") == [0, 1]
    monkeypatch.setattr(opened._candidates, "_filter", None)
    assert opened._candidates.rules_for(b"") == [0, 1]


def test_many_literals_are_told_apart_in_any_text() -> None:
    """Tens of thousands of literals, more than the automaton has room for, lose no rule."""
    words = [f"{n * 7919 % 100_003:05d}{n:05d}" for n in range(3000)]
    opened = backend({word: word for word in words})
    text = " ".join(words).encode()
    assert len(opened._candidates.rules_for(text)) == len(words)
    assert len(opened._candidates.rules_for(text * 3)) == len(words)


# --- where it is really absent


def test_it_is_absent(environment: dict[str, str]) -> None:
    """The environment of these tests has everything but Hyperscan."""
    done = run(environment, "-c", "import re2, numpy, vyre_dist, hyperscan")
    assert "No module named 'hyperscan'" in done.stderr


def test_a_scan_finds_the_same_and_says_so_once(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """From the shell: the findings of a scan with Hyperscan, one warning, exit code 1."""
    command = ("-m", "vyre_dist", "scan", "--progress", "never", "-f", "jsonl", "examples")
    done = run(environment, *command)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert done.stderr.count("the package hyperscan is not installed") == 1
    with_it = subprocess.run(
        [sys.executable, "-P", *command],
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    expected = [json.loads(line) for line in with_it.stdout.splitlines()]
    if find_spec("hyperscan"):
        assert b"not installed" not in with_it.stderr
    assert len(lines) > 20 and lines[:-1] == expected[:-1]
    for key in ("documents", "bytes", "findings", "backend", "capped_matches"):
        assert lines[-1][key] == expected[-1][key]
    # a backend that never asks for it says nothing
    (tmp_path / "own.toml").write_text("[[rules]]\nid = 'r'\nregex = 'a+b'\n")
    own = ["--rules", tmp_path / "own.toml", "--backend", "reference"]
    done = run(environment, *command, *own)
    assert (done.returncode in (0, 1), done.stderr) == (True, "")


def test_rules_check_says_how_rules_are_found(environment: dict[str, str]) -> None:
    """The way of each rule through the backend is that of an installation without Hyperscan."""
    done = run(environment, "-m", "vyre_dist", "rules", "check", "builtin:cloud")
    assert done.returncode == 0 and "its literals, then google-re2" in done.stdout
    assert "Hyperscan" not in done.stdout


def test_the_library_warns(environment: dict[str, str]) -> None:
    """Scanner says it as a RuntimeWarning, once, and finds what there is."""
    code = (
        "from vyre_dist import Scanner; print([f.secret for f in Scanner({'a': "
        "'a+b'}).scan(b'xaab')])"
    )
    done = run(environment, "-c", code)
    assert done.stdout == "[b'aab']\n"
    assert done.stderr.count("RuntimeWarning: the package hyperscan is not installed") == 1


def test_a_worker_scans_until_a_gpu_is_ready(environment: dict[str, str]) -> None:
    """The backend of a GPU's clients, which scans with the cpu backend meanwhile, needs no
    Hyperscan.
    """
    program = "import vyre_dist.kernels.cuda.warming_backend as it; print(it.WarmingBackend.name)"
    done = run(environment, "-c", program)
    assert (done.returncode, done.stdout) == (0, "cuda\n"), done.stderr


def test_one_that_is_broken_is_as_none(environment: dict[str, str], tmp_path: Path) -> None:
    """A package that cannot be imported is told with the reason, and done without."""
    (tmp_path / "hyperscan.py").write_text(
        "raise ImportError('libhs.so.5: cannot open shared object file')"
    )
    (tmp_path / "a").write_text("tok_")
    broken = {**environment, "PYTHONPATH": f"{tmp_path}:{environment['PYTHONPATH']}"}
    (tmp_path / "p.toml").write_text("[[rules]]\nid = 'a'\nregex = 'tok_'\n")
    done = run(
        broken,
        "-m",
        "vyre_dist",
        "scan",
        "-r",
        tmp_path / "p.toml",
        "--progress",
        "never",
        tmp_path / "a",
    )
    assert done.returncode == 1
    assert (
        done.stderr.count(
            "hyperscan cannot be imported (libhs.so.5: cannot open shared object file)"
        )
        == 1
    )


@pytest.mark.nightly
def test_the_engines_tests_pass_without_it(environment: dict[str, str]) -> None:
    """What the engine's tests say of the cpu backend holds without it; `make without-hyperscan`
    runs more of them.
    """
    done = run(
        environment,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/engine",
        "tests/stream/test_extraction.py",
        "tests/stream/test_slots.py",
        timeout=NIGHTLY_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout[-4000:]
