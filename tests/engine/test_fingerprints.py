"""A finding's fingerprint and secret_id: what they are made of, and what does not change them."""

from __future__ import annotations

import hashlib
import hmac
import pickle
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist import Finding, RulePack, Scanner, SecretKey, UsageError
from vyre_dist.engine.reported import fingerprint

PATTERNS = {"tok": r"\btok_([0-9a-z]{4})\b", "word": r"[a-z]+_\w+", "line": r"key = \S+"}


def as_documented(rule_id: bytes, path: bytes, match: bytes, ordinal: int) -> str:
    """docs/output-formats.md, read aloud."""
    text = b""
    for field in (rule_id, path, match):
        text += str(len(field)).encode() + b":" + field
    return hashlib.sha256(text + str(ordinal).encode()).hexdigest()[:32]


def expected(findings: list[Finding]) -> list[str]:
    """The fingerprints of one document's findings, counted anew."""
    seen: Counter[tuple[str, bytes]] = Counter()
    out = []
    for f in findings:
        key = (f.rule_id, f.match)
        path = f.path.encode("utf-8", "surrogateescape")
        out.append(as_documented(f.rule_id.encode(), path, f.match, seen[key]))
        seen[key] += 1
    return out


def test_a_fingerprint_is_what_the_docs_say() -> None:
    """Rule, path, matched bytes and the ordinal among equal matches, each with its length; 32 hex
    digits.
    """
    data = b"key = tok_abcd tok_abcd\nkey = tok_abcd\n\xff tok_\xe9 tok_zzzz"
    found = Scanner(PATTERNS).scan(data, "d/\udcff!.py")
    assert len(found) > 6 and [f.fingerprint for f in found] == expected(found)
    assert all(len(f.fingerprint) == 32 and f.secret_id is None for f in found)
    assert len({f.fingerprint for f in found}) == len(found)


def test_the_example_of_the_docs_holds() -> None:
    """docs/output-formats.md shows one fingerprint, and what it is made of."""
    docs = (Path(__file__).parents[2] / "docs/output-formats.md").read_text()
    (found,) = Scanner({"tok": r"tok_\d"}).scan(b"tok_1", "src/a")
    assert found.fingerprint == hashlib.sha256(b"3:tok5:src/a5:tok_10").hexdigest()[:32]
    assert "`3:tok5:src/a5:tok_10`" in docs and f"`{found.fingerprint}`" in docs


def test_edits_elsewhere_change_no_fingerprint() -> None:
    """Lines put in above, between and below leave all as they are; only a new equal match has a new
    ordinal.
    """
    scanner = Scanner(PATTERNS)
    before = scanner.scan(b"tok_abcd\nkey = 1\ntok_abcd\n", "f")
    after = scanner.scan(b"# new\n\ntok_abcd\n  more\nkey = 1\n# tok_wxyz\n\ntok_abcd\nend", "f")
    assert {f.fingerprint for f in before} < {f.fingerprint for f in after}
    assert [f.line for f in before] != [f.line for f in after]
    moved = scanner.scan(b"tok_abcd\nkey = 1\ntok_abcd\n", "g")
    assert not {f.fingerprint for f in before} & {f.fingerprint for f in moved}


@pytest.mark.parametrize("shard_bytes", [1, 7, 64, 1000, 1 << 20])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_shards_and_backends_change_no_fingerprint(
    tmp_path: Path, shard_bytes: int, backend: str
) -> None:
    """In pieces or whole, in bytes or in a file, with equal matches in different pieces."""
    rng = random.Random(5)
    words = [b"tok_abcd", b"tok_abce", b"key = 1", b"\n", b" ", b"xx", b"\xc3\xa9", b"secret.env"]
    data = b" ".join(rng.choice(words) for _ in range(150))
    pack = RulePack.from_patterns(PATTERNS)
    whole = Scanner(pack).scan(data, "f")
    assert [f.fingerprint for f in whole] == expected(whole)
    in_pieces = Scanner(pack, backend, shard_bytes=shard_bytes)
    assert in_pieces.scan(data, "f") == whole
    (tmp_path / "f").write_bytes(data)
    found = in_pieces.scan_paths(tmp_path / "f")
    assert [f.fingerprint for f in found] == expected(list(found))


def test_ordinals_begin_anew_with_each_document() -> None:
    """What one document of a batch holds does not count in the next."""
    one, two = Scanner(PATTERNS).scan_batch(
        [("f", b"tok_abcd tok_abcd"), ("f", b"tok_abcd tok_abcd")]
    )
    assert [f.fingerprint for f in one] == [f.fingerprint for f in two] == expected(one)


@given(
    st.tuples(
        st.text(max_size=4), st.text("a:1\0", max_size=4), st.binary(max_size=4), st.integers(0, 12)
    ),
    st.tuples(
        st.text(max_size=4), st.text("a:1\0", max_size=4), st.binary(max_size=4), st.integers(0, 12)
    ),
)
def test_fields_do_not_run_into_each_other(
    one: tuple[str, str, bytes, int], other: tuple[str, str, bytes, int]
) -> None:
    """Two findings that differ in anything have different fingerprints."""
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


# --- secret_id

KEY = bytes(range(32))


def test_a_secret_id_is_an_hmac_of_the_secret() -> None:
    """The same secret has one name in every document and rule; the match around it does not
    count.
    """
    found = Scanner(PATTERNS, secret_key=SecretKey(KEY)).scan(b"tok_abcd\nfoo_abcd")
    by_rule = {(f.rule_id, f.secret): f.secret_id for f in found}
    for (_, secret), name in by_rule.items():
        assert name == hmac.new(KEY, secret, hashlib.sha256).hexdigest()
    other = Scanner(PATTERNS, secret_key=SecretKey(KEY[::-1])).scan(b"tok_abcd")
    assert other[0].secret_id not in by_rule.values()


def test_what_has_no_secret_has_no_secret_id(tmp_path: Path) -> None:
    """A rule that has only a path says nothing of a secret."""
    pack = tmp_path / "p.toml"
    pack.write_text("[[rules]]\nid = 'env'\npath = '''\\.env$'''\n")
    (found,) = Scanner(RulePack.load(pack), secret_key=SecretKey(KEY)).scan(b"", "x.env")
    assert found.secret_id is None and found.fingerprint == as_documented(b"env", b"x.env", b"", 0)


@pytest.mark.parametrize(
    ("size", "allowed"), [(0, 0), (15, 0), (16, 1), (4096, 1), (4097, 0), (100_000, 0)]
)
def test_a_key_has_a_length_that_a_key_has(tmp_path: Path, size: int, allowed: int) -> None:
    """Too short a key can be guessed; too long a one is some other file."""
    path = tmp_path / "key"
    path.write_bytes(b"\x01" * size)
    path.chmod(0o600)
    if allowed:
        assert SecretKey.load(path).fingerprint == SecretKey(b"\x01" * size).fingerprint
    else:
        with pytest.raises(UsageError, match="16 to 4096"):
            SecretKey.load(path)
        with pytest.raises(UsageError, match="16 to 4096"):
            SecretKey(b"\x01" * size)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_break_at_the_end_is_no_part_of_the_key(tmp_path: Path, end: bytes) -> None:
    """Editors and `openssl rand -hex` put one there."""
    path = tmp_path / "key"
    path.write_bytes(b"0123456789abcdef" + end)
    path.chmod(0o400)
    assert SecretKey.load(path).secret_id(b"s") == SecretKey(b"0123456789abcdef").secret_id(b"s")


@pytest.mark.parametrize("end", [b"\r", b"\n\n", b" "])
def test_other_bytes_at_the_end_are(tmp_path: Path, end: bytes) -> None:
    """A key may be any bytes."""
    path = tmp_path / "key"
    path.write_bytes(b"0123456789abcdef" + end)
    path.chmod(0o600)
    key = b"0123456789abcdef" + end.removesuffix(b"\n")
    assert SecretKey.load(path).secret_id(b"s") == SecretKey(key).secret_id(b"s")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o777])
def test_a_key_that_others_can_get_at_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says what was found, what is allowed, and how to get there."""
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(mode)
    with pytest.raises(UsageError, match=rf"mode {mode:04o}.*0600: chmod 600 {path}"):
        SecretKey.load(path)


def test_a_key_does_not_leave_its_process() -> None:
    """It can't be pickled, and does not show itself."""
    key = SecretKey(KEY)
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(key)
    shown = f"{key!r} {key} {key.fingerprint}"
    assert KEY.hex() not in shown and repr(KEY) not in shown
    assert hashlib.sha256(KEY).hexdigest()[:32] not in shown
