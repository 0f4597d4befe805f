"""`vyre-dist scan`: formats, files, redaction and the report."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from without_hyperscan import told

Cli = Callable[..., Any]
FOUND = [("a.txt", "aaaaaaaaaaaa"), ("sub/b.txt", "bbbbbbbbbbbb")]


def test_human_is_the_default(cli: Cli, pack: Path) -> None:
    """Findings with their places, then the totals; nothing on standard error but progress."""
    run = cli("scan", "-r", pack, "--progress", "never")
    lines = run.out.decode().splitlines()
    assert run.code == 1 and run.err == ""
    assert lines[0] == "a.txt:2:7 token: tok_aaaaaaaaaaaa"
    assert any(line.startswith("2 findings in 3 documents; 0.1 kB in ") for line in lines)
    assert "INCOMPLETE" not in run.out.decode()


def read_csv(text: str) -> list[tuple[str, str]]:
    return [(row["path"], row["secret"]) for row in csv.DictReader(io.StringIO(text))]


def read_sarif(text: str) -> list[tuple[str, str]]:
    results = json.loads(text)["runs"][0]["results"]
    return [(r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "") for r in results]


def test_each_format_on_standard_output(cli: Cli, pack: Path) -> None:
    """jsonl, csv, sarif and parquet say the same to a pipe."""
    import pyarrow.parquet as pq

    outputs = {f: cli("scan", "-r", pack, "-f", f) for f in ("jsonl", "csv", "sarif", "parquet")}
    assert {run.code for run in outputs.values()} == {1}
    assert [(f["path"], f["secret"]) for f in outputs["jsonl"].findings] == FOUND
    assert read_csv(outputs["csv"].out.decode()) == FOUND
    assert [path for path, _ in read_sarif(outputs["sarif"].out.decode())] == ["a.txt", "sub/b.txt"]
    table = pq.read_table(io.BytesIO(outputs["parquet"].out)).to_pylist()
    assert [(row["path"], row["secret"].decode()) for row in table] == FOUND


def test_several_formats_at_once(cli: Cli, pack: Path, tree: Path, tmp_path: Path) -> None:
    """Each FORMAT=FILE is written, readable by its owner alone, and one more goes to standard
    output.
    """
    names = {f: tmp_path / f"found.{f}" for f in ("human", "jsonl", "csv", "sarif", "parquet")}
    options = [arg for f, name in names.items() for arg in ("-f", f"{f}={name}")]
    run = cli("scan", "-r", pack, *options, "-f", "csv")
    assert run.code == 1 and read_csv(run.out.decode()) == FOUND
    assert read_csv(names["csv"].read_text()) == FOUND
    assert "2 findings in 3 documents" in names["human"].read_text()
    assert {path.stat().st_mode & 0o777 for path in names.values()} == {0o600}
    assert sorted(os.listdir(tmp_path)) == sorted([*(p.name for p in names.values()), "tree"])


def test_output_names_the_file_of_the_one_format(cli: Cli, pack: Path, tmp_path: Path) -> None:
    """-o is for the format without a file; standard output stays empty."""
    run = cli("scan", "-r", pack, "-f", "csv", "-o", tmp_path / "found.csv")
    assert run.out == b"" and read_csv((tmp_path / "found.csv").read_text()) == FOUND
    run = cli("scan", "-r", pack, "-o", tmp_path / "found.txt")
    assert run.out == b"" and "tok_aaaaaaaaaaaa" in (tmp_path / "found.txt").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "x", "-f", "csv=y"], "--output names one file, and 0 formats have none"),
        (
            ["-o", "x", "-f", "csv", "-f", "human"],
            "--output names one file, and 2 formats have none",
        ),
        (["-f", "csv=x", "-f", "jsonl=./x"], "two outputs go to './x'"),
        (["-f", "csv", "-f", "jsonl"], "two outputs go to standard output"),
        (
            ["-f", "csv=no/such/folder/x"],
            "output 'no/such/folder/x': cannot be written: No such file",
        ),
        (["-f", "csv=sub"], "output 'sub': is a directory"),
        (["-o", "x", "-o", "y", "-f", "csv"], "--output names 2 files, and 1 formats have none"),
        (
            ["-o", "x.html"],
            "no format is known for .html; name one (--format human --output x.html), or use one "
            "of .txt",
        ),
        (["-o", "x.sarif.gz"], "no format is known for .gz"),
        (["-o", "x.sarif", "-o", "x.sarif"], "two outputs go to 'x.sarif'"),
        (["-f", "csv=x", "-f", "jsonl=x.incomplete"], "two outputs go to 'x.incomplete'"),
        (["--report", "no/such/x"], "output 'no/such/x': cannot be written: No such file"),
        # the others begin with a header, which nobody is to get either
        (
            ["-f", "csv", "--report", "no/such/x"],
            "output 'no/such/x': cannot be written: No such file",
        ),
        (
            ["-f", "csv", "-f", "jsonl=no/such/x"],
            "output 'no/such/x': cannot be written: No such file",
        ),
        (["--report", "x", "-o", "x"], "two outputs go to 'x'"),
        (["--report", "x.incomplete", "-f", "csv=x"], "two outputs go to 'x.incomplete'"),
        (["--report", "/dev/stdout"], "two outputs go to '/dev/stdout'"),
    ],
)
def test_outputs_that_cannot_be_are_2(cli: Cli, options: list[str], message: str) -> None:
    """What can't be written is found out before anything is scanned, or written elsewhere."""
    run = cli("scan", "--progress", "never", *options)
    assert run.code == 2 and message in run.err and run.out == b""


def test_a_failed_run_keeps_the_file_that_was_there(
    cli: Cli, pack: Path, tree: Path, tmp_path: Path
) -> None:
    """Usage errors after outputs were opened leave an older result alone, and no temporary file."""
    older = tmp_path / "found.csv"
    older.write_text("older")
    run = cli("scan", "-r", pack, "-f", f"csv={older}", "--backend", "abacus")
    assert run.code == 2 and older.read_text() == "older"
    assert sorted(os.listdir(tmp_path)) == ["found.csv", "tree"]


def test_redaction_reaches_every_stream(cli: Cli, pack: Path, tree: Path, tmp_path: Path) -> None:
    """With --redact no format, on no stream, in no file, has the secret; the places are all
    there.
    """
    names = {f: tmp_path / f"found.{f}" for f in ("jsonl", "csv", "sarif", "parquet")}
    options = [arg for f, name in names.items() for arg in ("-f", f"{f}={name}")]
    run = cli(
        "scan",
        "--redact",
        "-r",
        pack,
        ".",
        *options,
        "-f",
        "human",
        "--report",
        tmp_path / "report",
    )
    assert run.code == 1
    everything = [
        run.out,
        run.err.encode(),
        *(p.read_bytes() for p in tmp_path.iterdir() if p.is_file()),
    ]
    assert len(everything) == 7
    for stream in everything:
        assert b"aaaaaaaa" not in stream and b"bbbbbbbb" not in stream
    assert b"a.txt:2:7 token: tok_***" in run.out


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--redact", "***"),
        ("--redact=100", "***"),
        ("--redact=75", "aaa***"),
        ("--redact=1", "aaaaaaaaaaa***"),
    ],
)
def test_redacting_a_share(scan: Cli, option: str, shown: str) -> None:
    """--redact masks all, --redact=75 leaves the first quarter; the path behind it is a path."""
    run = scan(option, "a.txt")
    assert [(f["secret"], f["match"]) for f in run.findings] == [(shown, f"tok_{shown}")]


@pytest.mark.parametrize("value", ["0", "101", "x", ""])
def test_redacting_no_share_is_2(scan: Cli, value: str) -> None:
    """Only a percentage will do."""
    run = scan(f"--redact={value}", "a.txt")
    assert run.code == 2 and "--redact" in run.err


def test_the_report(cli: Cli, pack: Path, tree: Path, tmp_path: Path) -> None:
    """--report writes what the jsonl summary says, as one JSON object, with the speed."""
    run = cli(
        "scan",
        "-r",
        pack,
        ".",
        "missing",
        "-f",
        "jsonl",
        "-j",
        "1",
        "--report",
        tmp_path / "report",
    )
    report = json.loads((tmp_path / "report").read_text())
    speed = report.pop("megabytes_per_second")
    assert isinstance(speed, float)
    summary = run.summary
    del summary["type"]
    assert report == summary
    assert (report["documents"], report["findings"], report["findings_by_rule"]) == (
        3,
        2,
        {"token": 2},
    )
    assert (report["workers"], report["pool"], report["backend"]) == (1, "local", "cpu")
    assert [p["path"] for p in report["problems"]] == ["missing"] and report["complete"] is False


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.sarif", "sarif"),
        ("x.SARIF", "sarif"),
        ("x.sarif.json", "sarif"),
        ("x.json", "jsonl"),
        ("x.jsonl", "jsonl"),
        ("x.ndjson", "jsonl"),
        ("x.csv", "csv"),
        ("x.parquet", "parquet"),
        ("x.txt", "human"),
        ("x.log", "human"),
        ("x", "human"),
        (".sarif", "human"),
        ("results.2024", "human"),
        ("a.sarif/x", "human"),
    ],
)
def test_the_format_follows_the_ending(
    cli: Cli, pack: Path, tree: Path, name: str, form: str
) -> None:
    """-o without --format writes what the name promises, and says so where that is not text."""
    (tree / "a.sarif").mkdir()
    run = cli("scan", "-r", pack, "a.txt", "-o", name)
    assert run.code == 1 and run.out == b""
    assert format_of((tree / name).read_bytes()) == form
    said = f"vyre-dist: {name} is written as {form} because its name ends in "
    assert run.err.startswith(said) == (form != "human") and len(run.err.splitlines()) == (
        form != "human"
    )


def format_of(data: bytes) -> str:
    if data.startswith(b"PAR1"):
        return "parquet"
    if data.startswith(b"rule_id,"):
        return "csv"
    if b'"version":"2.1.0"' in data:
        return "sarif"
    return "jsonl" if data.startswith(b'{"type":"finding"') else "human"


def test_several_outputs_by_their_endings(cli: Cli, pack: Path, tree: Path) -> None:
    """-o may be given several times, and beside --format FORMAT=FILE; none is lost."""
    run = cli("scan", "-r", pack, "a.txt", "-o", "x.sarif", "-o", "y.csv", "-f", "jsonl=z")
    assert run.code == 1 and run.out == b"" and len(run.err.splitlines()) == 2
    assert [format_of((tree / n).read_bytes()) for n in ("x.sarif", "y.csv", "z")] == [
        "sarif",
        "csv",
        "jsonl",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["-f", "csv", "-o", "x.sarif"],
            "x.sarif is written as csv, as --format says, though its name ends in .sarif",
        ),
        (
            ["-f", "human=x.csv"],
            "x.csv is written as human, as --format says, though its name ends in .csv",
        ),
        (["-f", "sarif", "-o", "x.json"], ""),
        (["-f", "jsonl", "-o", "x.txt"], ""),
        (["-f", "csv=x.tsv"], ""),
    ],
)
def test_a_format_that_is_asked_for_wins(
    cli: Cli, pack: Path, options: list[str], message: str
) -> None:
    """Over a name that promises another one, which is said."""
    run = cli("scan", "-r", pack, "a.txt", *options)
    assert run.code == 1 and run.err == (f"vyre-dist: {message}\n" if message else "")


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_a_file_that_standard_output_goes_to_is_not_replaced(
    cli: Cli, pack: Path, tmp_path: Path, name: str
) -> None:
    """`>> log` keeps what the log had, by whatever name it is asked for."""
    (tmp_path / "log").write_text("precious\n")
    with open(tmp_path / "log", "ab") as log:
        run = cli("scan", "-r", pack, "-f", f"jsonl={name}", ".", stdout=log)
        log.write(b"end\n")
    first, *lines, last = (tmp_path / "log").read_text().splitlines()
    assert (run.code, first, last) == (1, "precious", "end")
    assert [json.loads(line)["type"] for line in lines] == ["finding", "finding", "summary"]


def test_an_output_that_may_not_be_read_is_replaced(
    pack: Path, tree: Path, environment: dict[str, str]
) -> None:
    """What is to be written need not be readable, and stays as private as it was."""
    for name in ("out", "report"):
        (tree / name).touch()
        (tree / name).chmod(0o200)
    code = (
        "import os, sys\n"
        "access = os.access\n"
        "os.access = lambda path, mode, **more: not mode & os.R_OK and access(path, mode, **more)\n"
        "from vyre_dist.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    command = ["scan", "-r", str(pack), "-o", "out", "--report", "report", "clean.txt"]
    run = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=tree,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert (run.returncode, told(run.stderr)) == (0, "")
    assert {os.stat(tree / name).st_mode & 0o777 for name in ("out", "report")} == {0o200}
    assert "0 findings in 1 document" in (tree / "out").read_text()


def test_what_a_scan_writes_is_no_document_of_it(cli: Cli, pack: Path, tree: Path) -> None:
    """Output files and the report may lie in the folder that is scanned, however large."""
    (tree / "zz").mkdir()
    (tree / "many.txt").write_text("tok_aaaaaaaaaaaa\n" * 20_000)
    run = cli(
        *("scan", "-r", pack, "-", ".", "-f", "jsonl=zz/out.jsonl", "-f", "csv=zz/out.csv"),
        *("--report", "zz/report", "-j", "2", "--shard-size", "4K", "--progress", "never"),
        stdin=b"tok_cccccccccccc",
        TMPDIR=str(tree / "zz"),
    )
    report = json.loads((tree / "zz" / "report").read_text())
    assert (run.code, run.err) == (1, "")
    assert (report["documents"], report["findings"], report["problems"]) == (5, 20_003, [])
    # the two outputs and the report; the copy has no name
    assert report["skipped"] == {"own-file": 3}
    assert sorted(os.listdir(tree / "zz")) == ["out.csv", "out.jsonl", "report"]
