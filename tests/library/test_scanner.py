"""Scanner as programs use it: what it takes, what it refuses, threads, pickling, the cache."""

from __future__ import annotations

import copy
import doctest
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import vyre_dist
from vyre_dist import EngineConfig, Finding, RulePack, Scanner, SecretKey, UsageError

PATTERNS = {"key": r"key_[0-9]{4}", "word": r"[a-z]+!"}
TEXT = b"key_1234 hello!\nkey_5678"


def places(findings: list[Finding]) -> list[tuple[str, int, int]]:
    return [(finding.rule_id, finding.start, finding.end) for finding in findings]


WANT = [("key", 0, 8), ("word", 9, 15), ("key", 16, 24)]


@pytest.mark.parametrize("name", vyre_dist.__all__)
def test_each_public_name_is_there(name: str) -> None:
    """`from vyre_dist import NAME` works, and classes have a docstring."""
    value = getattr(vyre_dist, name)
    assert isinstance(value, str) or value.__doc__


def test_the_packages_example_holds() -> None:
    """The first lines that a reader meets do what they say, and completion knows all names."""
    result = doctest.testmod(vyre_dist)
    assert result.attempted == 3 and result.failed == 0
    assert set(vyre_dist.__all__) <= set(dir(vyre_dist))


def test_a_name_that_is_not_there_is_refused() -> None:
    """A misspelled name is an AttributeError that tells it."""
    with pytest.raises(AttributeError, match="Scaner"):
        vyre_dist.Scaner  # type: ignore[attr-defined]  # noqa: B018


# --- packs


def test_a_pack_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path as str or Path, several of them, a built-in name and nothing are all packs."""
    file = tmp_path / "own.toml"
    file.write_text("[[rules]]\nid = 'key'\nregex = '''key_[0-9]{4}'''\n")
    other = tmp_path / "other.toml"
    other.write_text("[[rules]]\nid = 'word'\nregex = '''[a-z]+!'''\n")
    keys = [place for place in WANT if place[0] == "key"]
    loaded = RulePack.load(file)
    for pack in (file, str(file), [file], (str(file),), loaded, loaded.data):
        assert places(Scanner(pack).scan(TEXT)) == keys
    assert places(Scanner([file, other]).scan(TEXT)) == WANT
    builtin = RulePack.builtin()
    for pack in (None, "builtin"):
        assert len(Scanner(pack).engine.pack.rules) == len(builtin.rules)
    monkeypatch.chdir(tmp_path)
    assert places(Scanner("own.toml").scan(TEXT)) == keys


def test_what_a_pack_was_loaded_without_is_told(tmp_path: Path) -> None:
    """`skip_unsupported` leaves rules out, and `left_out` names them."""
    file = tmp_path / "own.toml"
    rule = "[[rules]]\nid = 'key'\nregex = '''key_[0-9]{4}'''\n"
    file.write_text(rule + rule.replace("[0-9]{4}", "x"))
    with pytest.raises(UsageError, match="key"):
        Scanner(file)
    assert [one.rule_id for one in Scanner(file, skip_unsupported=True).left_out] == ["key"]


@pytest.mark.parametrize("wrong", [5, b"own.toml", [], [1], object(), {"r"}])
def test_what_is_no_pack_is_refused(wrong: object) -> None:
    """The message says what a pack may be, and what was found."""
    with pytest.raises(UsageError, match="pack"):
        Scanner(wrong)  # type: ignore[arg-type]


# --- documents


def test_text_is_its_utf8_bytes() -> None:
    """Offsets in text are those of its bytes, alone and in a batch."""
    scanner = Scanner({"r": "b+"})
    text = "é€b😀bb"
    want = scanner.scan(text.encode())
    assert [finding.start for finding in want] == [5, 10]
    assert scanner.scan(text) == want
    [alone, named] = scanner.scan_batch([text, ("p", text)])
    assert [f.start for f in alone] == [f.start for f in named] == [5, 10]


@pytest.mark.parametrize(
    "content", [np.frombuffer(TEXT, np.uint8), memoryview(TEXT)[:], bytearray(TEXT)]
)
def test_any_bytes_like_object_is_a_document(content: bytes) -> None:
    """NumPy's arrays are among them."""
    assert places(Scanner(PATTERNS).scan(content)) == WANT


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.scan(5), "found int"),
        (lambda s: s.scan(None), "found NoneType"),
        (lambda s: s.scan(["a"]), "found list"),
        (lambda s: s.scan("\udcff"), "surrogate"),
        (lambda s: s.scan(b"a", path=b"p"), "path is a str"),
        (lambda s: s.scan_batch("text"), "one str"),
        (lambda s: s.scan_batch(b"text"), "one bytes"),
        (lambda s: s.scan_batch([5]), "found int"),
        (lambda s: s.scan_batch({"p": b"x"}), "items"),
        (lambda s: s.scan_batch([("p", b"x", 1)]), "tuple of 3"),
        (lambda s: s.scan_batch([(b"p", b"x")]), "path is a str"),
        (lambda s: s.scan_paths(b"p"), "found bytes"),
        (lambda s: s.scan_paths([b"p"]), "found bytes"),
        (lambda s: s.scan_paths([5]), "found int"),
        (lambda s: s.scan_paths("p", exclude="*.py"), "list of globs"),
        (lambda s: s.scan_paths("p", max_file_size="1M"), "must be an int"),
        (lambda s: s.scan_paths("p", workers=0), "1 or more"),
        (lambda s: s.scan_paths("p", workers=True), "must be an int"),
        (lambda s: s.scan_paths("p", autoscale=True), "address"),
    ],
)
def test_wrong_types_are_refused_with_the_cure(
    call: Callable[[Scanner], object], message: str
) -> None:
    """What can't be scanned is a UsageError that says what was found."""
    with pytest.raises(UsageError, match=message):
        call(Scanner({"r": "b"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard_bytes": "1M"}, "shard_bytes must be an int"),
        ({"max_match_bytes": 1.5}, "max_match_bytes must be an int"),
        ({"redact": 0}, "1 to 100"),
        ({"redact": True}, "must be an int"),
        ({"secret_key": b"0123456789abcdef"}, "found bytes"),
        ({"cache_dir": "x", "no_cache": True}, "drop one"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    """Each says what is allowed; a key is never shown."""
    with pytest.raises(UsageError, match=message) as caught:
        Scanner({"r": "b"}, **options)  # type: ignore[arg-type]
    assert "0123456789" not in str(caught.value)


def test_numpy_integers_are_options(tmp_path: Path) -> None:
    """Sizes, shares and numbers of workers may come from an array."""
    (tmp_path / "f").write_bytes(TEXT)
    scanner = Scanner(
        PATTERNS, shard_bytes=np.int64(9), max_match_bytes=np.uint16(99), redact=np.uint8(100)
    )
    result = scanner.scan_paths(
        tmp_path, max_file_size=np.int32(1000), workers=np.int8(1), exclude=["*.py"]
    )
    assert places(result) == WANT and result.complete
    assert EngineConfig(shard_bytes=np.int64(9)) == EngineConfig(shard_bytes=9)
    assert type(EngineConfig(shard_bytes=np.int64(9)).shard_bytes) is int


# --- secrets


def test_secrets_are_masked_in_whatever_is_scanned(tmp_path: Path) -> None:
    """With `redact` no finding holds a secret; its place is told."""
    (tmp_path / "f").write_bytes(TEXT)
    scanner = Scanner(PATTERNS, redact=100, shard_bytes=10)
    for found in (
        scanner.scan(TEXT),
        *scanner.scan_batch([TEXT, b"key_1234"]),
        scanner.scan_paths(tmp_path),
        scanner.scan_paths(tmp_path, workers=1),
    ):
        assert found and all(f.secret == f.match == b"***" for f in found)
    assert places(scanner.scan(TEXT)) == WANT
    assert Scanner(PATTERNS, redact=50).scan(b"key_1234")[0].secret == b"key_***"


def test_a_key_is_given_as_a_file_or_a_key(tmp_path: Path) -> None:
    """Both give the same ids, and the key's own file is not scanned."""
    file = tmp_path / "key"
    file.write_bytes(b"key_1234 is no document")
    file.chmod(0o600)
    by_path = Scanner(PATTERNS, secret_key=file)
    by_key = Scanner(PATTERNS, secret_key=SecretKey.load(file))
    assert by_path.scan(TEXT) == by_key.scan(TEXT)
    assert by_path.scan(TEXT)[0].secret_id
    assert by_path.scan_paths(tmp_path) == by_key.scan_paths(tmp_path) == []


# --- threads and pickling


def test_threads_share_a_scanner() -> None:
    """Eight threads scan at the same time, and each gets its own document's findings."""
    scanner = Scanner(PATTERNS, shard_bytes=50)
    documents = [b"x" * n + TEXT + b" " * (n % 7) for n in range(0, 400, 5)]
    want = [scanner.scan(document) for document in documents]
    barrier = threading.Barrier(8)

    def scan(thread: int) -> list[list[Finding]]:
        barrier.wait()
        return [scanner.scan(d) for d in documents] if thread % 2 else scanner.scan_batch(documents)

    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(scan, range(8)):
            assert [places(f) for f in found] == [places(f) for f in want]


def test_engines_are_lent_and_come_back() -> None:
    """One thread uses one engine; a scan within another scan has one of its own."""
    scanner = Scanner(PATTERNS)
    engine = scanner.engine
    scanner.scan(TEXT)
    assert scanner.engine is engine
    with scanner.iter_paths(__file__) as scan:
        next(scan)
        assert scanner.engine is not engine
        assert places(scanner.scan(TEXT)) == WANT
    assert scanner.engine is engine
    with pytest.raises(UsageError):
        scanner.scan("\ud800")
    assert scanner.engine is engine


IN_ANOTHER_PROCESS = """
import pickle, sys
scanner, text = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(scanner.scan(text)))
"""


def test_a_scanner_is_pickled(tmp_path: Path) -> None:
    """Rules, options and the path of the key file travel, also to a process that is spawned."""
    file = tmp_path / "key"
    file.write_bytes(b"0123456789abcdef")
    file.chmod(0o600)
    scanner = Scanner(PATTERNS, shard_bytes=10, redact=100, secret_key=file)
    sent = pickle.dumps(scanner)
    assert b"0123456789abcdef" not in sent
    there = pickle.loads(sent)  # noqa: S301
    assert there.scan(TEXT) == scanner.scan(TEXT)
    assert there.engine.config == scanner.engine.config
    assert "0123456789" not in repr(there)
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=pickle.dumps((scanner, TEXT)),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert pickle.loads(done.stdout) == scanner.scan(TEXT)  # noqa: S301


def test_a_subclass_stays_one() -> None:
    """A copy, which is made as a pickled one is, is of the same class and finds the same."""

    class Own(Scanner):
        """A user's."""

    copied = copy.copy(Own(PATTERNS))
    assert type(copied) is Own and places(copied.scan(TEXT)) == WANT


def test_a_key_does_not_travel() -> None:
    """A Scanner with a key that has no file says what to do instead."""
    scanner = Scanner(PATTERNS, secret_key=SecretKey(b"0123456789abcdef"))
    with pytest.raises(TypeError, match="path of the key file"):
        pickle.dumps(scanner)


# --- the cache


def test_what_comes_from_files_is_kept_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second Scanner compiles nothing; patterns and `no_cache` leave nothing behind."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Scanner(PATTERNS)
    Scanner(RulePack.from_patterns(PATTERNS).data)
    (tmp_path / "own.toml").write_text("[[rules]]\nid = 'key'\nregex = 'key_[0-9]'\n")
    Scanner(tmp_path / "own.toml", no_cache=True)
    Scanner(tmp_path / "own.toml", config=EngineConfig())
    assert not (tmp_path / "cache").exists()
    Scanner(PATTERNS, cache_dir=tmp_path / "own")
    assert (tmp_path / "own" / "pack").is_dir()
    Scanner()
    assert (tmp_path / "cache" / "vyre-dist" / "pack").is_dir()

    def never(*_: object, **__: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr("vyre_dist.program.compiled._compile_rule", never)
    monkeypatch.setattr("vyre_dist.rules.pack.RulePack.builtin", never)
    again = Scanner()
    assert len(pickle.loads(pickle.dumps(again)).engine.pack.rules) > 100  # noqa: S301


def test_engines_of_one_scanner_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second engine takes what the first one compiled, also without a folder to keep it in."""
    scanner = Scanner(PATTERNS)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr("vyre_dist.program.compiled._compile_rule", never)
    with scanner.iter_paths(__file__) as scan:
        next(scan)
        assert places(scanner.scan(TEXT)) == WANT


def test_starting_loads_what_the_command_loads() -> None:
    """A program that makes a Scanner imports neither Ray, nor Redis, nor what writes outputs."""
    code = (
        "import sys\n"
        "from vyre_dist import Scanner\n"
        "Scanner({'r': 'b'})\n"
        "heavy = {'ray', 'redis', 'pyarrow', 'rich', 'click', 'asyncio', 'cupy', 'sqlite3'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
