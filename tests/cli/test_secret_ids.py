"""Fingerprints and secret ids from the shell: in which outputs they are, and that the key is in
none.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

Cli = Callable[..., Any]
KEY = "k3y-of-the-tests-0123456789abcdef"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "the.key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    return path


def secret_id(secret: bytes) -> str:
    return hmac.new(KEY.encode(), secret, hashlib.sha256).hexdigest()


FORMATS = ["human", "jsonl", "sarif", "csv", "parquet"]


def outputs(tree: Path) -> list[str]:
    return [arg for name in FORMATS for arg in ("-f", f"{name}={tree.parent}/out.{name}")]


def ids_in(folder: Path) -> dict[str, list[tuple[str, str | None]]]:
    """(fingerprint, secret_id) of each finding, by format; None where there is no such field."""
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    results = json.loads((folder / "out.sarif").read_text())["runs"][0]["results"]
    rows = list(csv.DictReader(io.StringIO((folder / "out.csv").read_text())))
    table = pq.read_table(folder / "out.parquet").to_pylist()
    return {
        "jsonl": [(x["fingerprint"], x.get("secret_id")) for x in lines if x["type"] == "finding"],
        "sarif": [
            (r["partialFingerprints"]["vyreDist/v2"], r["properties"].get("secretId"))
            for r in results
        ],
        "csv": [(r["fingerprint"], r.get("secret_id")) for r in rows],
        "parquet": [(r["fingerprint"], r.get("secret_id")) for r in table],
    }


def test_every_format_names_the_finding(cli: Cli, tree: Path, pack: Path) -> None:
    """Without a key there is a fingerprint, the same in all formats, and no secret_id, no column
    and no word of one.
    """
    assert (
        cli("scan", "-r", pack, *outputs(tree), "--report", tree.parent / "r.json", ".").code == 1
    )
    found = ids_in(tree.parent)
    (one,) = {tuple(each) for each in found.values()}
    assert len(one) == 2 and all(len(f) == 32 and s is None for f, s in one)
    text = b"".join((tree.parent / f"out.{name}").read_bytes() for name in FORMATS)
    assert b"secret_id" not in text and b"secretId" not in text
    assert "secret_key" not in (tree.parent / "r.json").read_text()


@pytest.mark.parametrize("redact", [[], ["--redact"], ["--redact=50"]])
def test_every_format_names_the_secret_under_a_key(
    cli: Cli, tree: Path, pack: Path, key: Path, redact: list[str]
) -> None:
    """What is masked is named all the same; the report tells which key, and nothing tells the
    key.
    """
    (tree / ".env").write_bytes(b"a file that a path tells")
    (tree / "again.txt").write_bytes(b"xx tok_bbbbbbbbbbbb")
    report = tree.parent / "r.json"
    run = cli(
        "scan",
        "-r",
        pack,
        "--secret-key-file",
        key,
        *redact,
        *outputs(tree),
        "--report",
        report,
        ".",
    )
    assert run.code == 1
    plain = ids_in(tree.parent)
    by_csv = [(f, s or None) for f, s in plain.pop("csv")]
    (one,) = {tuple(each) for each in (*plain.values(), by_csv)}
    a, b = secret_id(b"aaaaaaaaaaaa"), secret_id(b"bbbbbbbbbbbb")
    assert [s for _, s in one] == [None, a, b, b] and len({f for f, _ in one}) == 4
    told = json.loads(report.read_text())["secret_key_fingerprint"]
    assert len(told) == 32 and told in (tree.parent / "out.human").read_text()
    everything = [(tree.parent / f"out.{name}").read_bytes() for name in FORMATS]
    everything += [report.read_bytes(), run.out, run.err.encode()]
    forms = [KEY, KEY.encode().hex()]
    forms += [
        hashlib.new(h, KEY.encode() + e).hexdigest()
        for h in ("md5", "sha256")
        for e in (b"", b"\n")
    ]
    assert not [form for form in forms for data in everything if form.encode() in data]
    bare = [hashlib.sha256(s).hexdigest()[:32] for s in (b"aaaaaaaaaaaa", b"bbbbbbbbbbbb")]
    assert not [form for form in bare for data in everything if form.encode() in data]
    assert cli("scan", "-r", pack, "-f", "jsonl", ".").findings[1]["fingerprint"] == one[1][0]


def test_the_key_is_no_document(cli: Cli, tree: Path, pack: Path) -> None:
    """A key in the folder that is scanned, or named as an input, is left out and counted: a report
    would tell it.
    """
    path = tree / "my.key"
    path.write_text("tok_kkkkkkkkkkkk")
    path.chmod(0o600)
    os.link(path, tree / "same.key")
    for inputs in (["."], ["my.key", "a.txt", "sub", "same.key"]):
        run = cli("scan", "-r", pack, "-f", "jsonl", "--secret-key-file", "my.key", *inputs)
        assert run.paths == ["a.txt", "sub/b.txt"] and run.summary["skipped"] == {"own-file": 2}
        assert b"kkkk" not in run.out
    assert "my.key" in cli("scan", "-r", pack, "-f", "jsonl", ".").paths


@pytest.mark.parametrize(
    ("make", "found", "allowed"),
    [
        (lambda _: None, "No such file", "secret key file"),
        (lambda p: p.mkdir(), "Is a directory", "secret key file"),
        (lambda p: (p.touch(), p.chmod(0o600)), "it is empty", "openssl rand -hex 32"),
        (lambda p: (p.write_text("short\n"), p.chmod(0o600)), "5 bytes", "16 to 4096"),
        (
            lambda p: (p.write_bytes(b"x" * 5000), p.chmod(0o600)),
            "more than 4096 bytes",
            "16 to 4096",
        ),
        (lambda p: (p.write_text(KEY), p.chmod(0o644)), "mode 0644", "chmod 600"),
    ],
)
def test_a_key_that_is_none_ends_the_scan_before_it_begins(
    cli: Cli, tree: Path, pack: Path, make: Callable[[Path], object], found: str, allowed: str
) -> None:
    """Exit code 2, no output, and a message that says what was found and what is allowed, without
    the key.
    """
    path = tree.parent / "bad key"
    make(path)
    run = cli("scan", "-r", pack, "-f", "jsonl=out", "--secret-key-file", path, ".")
    assert run.code == 2 and found in run.err and allowed in run.err and str(path) in run.err
    assert KEY not in run.err and not (tree / "out").exists() and run.err.count("\n") == 1


def test_a_key_may_come_through_a_pipe(tree: Path, pack: Path, environment: dict[str, str]) -> None:
    """A secret manager's output never needs to be a file."""
    read, write = os.pipe()
    os.write(write, KEY.encode())
    os.close(write)
    command = [sys.executable, "-m", "vyre_dist", "scan", "-r", str(pack), "-f", "jsonl", "a.txt"]
    command += ["--secret-key-file", f"/dev/fd/{read}"]
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, pass_fds=(read,), timeout=60
    )
    os.close(read)
    assert json.loads(done.stdout.splitlines()[0])["secret_id"] == secret_id(b"aaaaaaaaaaaa")


@pytest.mark.parametrize("form", ["--secret-key-file={}", "--secret-key-file {}"])
def test_submit_does_not_upload_the_key(cli: Cli, tree: Path, form: str) -> None:
    """A key in the folder that goes to the cluster is refused, before anything goes there."""
    (tree / "sub/my.key").write_text(KEY)
    for path in ("sub/my.key", str(tree / "sub/my.key")):
        arguments = form.format(path).split()
        run = cli(
            "submit",
            "--address",
            "http://127.0.0.1:1",
            "--working-dir",
            ".",
            "--",
            "scan",
            *arguments,
            "/x",
        )
        assert run.code == 2 and "head node" in run.err and KEY not in run.err
